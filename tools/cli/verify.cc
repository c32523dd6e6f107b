// pitr verify: re-reads everything; exit code 0 only if all of it is well.
#include "pitr/verify.h"

#include <fmt/format.h>

#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

Result<VerifyReport> Verify(const Context& context, ArchiveView& view) {
  uint64_t total = 0;
  for (const SegmentRecord& segment : view.segments()) total += segment.raw_bytes;
  Progress progress(context, "verify " + view.source(), "bytes");
  return VerifyArchive(view, [&](const VerifyReport& report) {
    progress.Update(report.raw_bytes, total);
    return !Interrupted();
  });
}

void Print(const std::string& source, const VerifyReport& report) {
  fmt::print("source        {}\n", source);
  fmt::print("read          {} segments, {} transactions, {} of binlog from {}\n", report.segments, FormatCount(report.transactions),
             FormatBytes(report.raw_bytes), FormatBytes(report.stored_bytes));
  fmt::print("gtids         {}\n", report.gtids.ToString());
  for (const GapRecord& gap : report.gaps) fmt::print("gap           {}: {}\n", gap.missing.ToString(), gap.reason);
  for (const VerifyFinding& finding : report.findings)
    fmt::print("{}  {}{}\n", CodeName(finding.code), finding.segment == 0 ? "" : fmt::format("segment {}: ", finding.segment), finding.message);
  fmt::print("result        {}\n", report.findings.empty() ? "all is well" : fmt::format("{} finding(s)", report.findings.size()));
}

Status Run(const Context& context) {
  TM_ASSIGN_OR_RETURN(std::string path, context.ArchivePath());
  ArchiveDirectory archive(PosixFileSystem(), path);
  TM_RETURN_IF_ERROR(archive.CheckExists());
  std::vector<std::string> names = {context.source};
  if (context.source.empty()) {
    TM_ASSIGN_OR_RETURN(names, archive.Sources());
  }
  Json list = Json::array();
  Status worst;
  for (const std::string& name : names) {
    TM_ASSIGN_OR_RETURN(auto view, ArchiveView::Open(PosixFileSystem(), path, name, OpenCheck::kEvenIfBehind));
    TM_ASSIGN_OR_RETURN(VerifyReport report, Verify(context, *view));
    if (!context.json) Print(view->source(), report);
    Json json = ToJson(report);
    json["source"] = view->source();
    list.push_back(std::move(json));
    if (worst.ok() && !report.findings.empty())
      worst = Status(report.findings.front().code, "source " + view->source() + ": " + report.findings.front().message,
                     "damage in a segment: restore the file from a copy; a difference in the index: pitr index rebuild");
  }
  if (context.json) PrintJson({{"archive", path}, {"sources", list}});
  return worst;
}

}  // namespace

void AddVerify(CLI::App& app, Context& context, Action* action) {
  auto* command = app.add_subcommand("verify", "re-read everything: checksums, boundaries, continuity, footers, index");
  command->callback([&context, action] { *action = [&context] { return Run(context); }; });
}

}  // namespace tidemark::cli
