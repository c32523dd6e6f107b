// pitr verify: re-reads everything; exit code 0 only if all of it is well.
#include "pitr/verify.h"

#include <fmt/format.h>

#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

Result<VerifyReport> Verify(const Context& context, ArchiveAccess& archive,
                            const std::string& source) {
  Progress progress(context, "verify " + source, "bytes");
  return archive.Verify(source, [&](uint64_t raw_bytes, uint64_t raw_bytes_total) {
    progress.Update(raw_bytes, raw_bytes_total);
    return !Interrupted();
  });
}

std::string Text(const VerifyFinding& finding) {
  return (finding.segment == 0 ? "" : "segment " + std::to_string(finding.segment) + ": ") +
         finding.message;
}

// The first finding decides the exit code; the others are told with it.
Status Verdict(const std::string& source, const VerifyReport& report) {
  if (report.findings.empty()) return OkStatus();
  std::string message = "source " + source + ": " + Text(report.findings.front());
  if (report.findings.size() > 1)
    message += " (and " + Counted(report.findings.size() - 1, "more finding") + ")";
  return Status(report.findings.front().code, message,
                "damage in a segment: restore the file from a copy; a difference in the index: "
                "pitr index rebuild");
}

void Print(const std::string& source, const VerifyReport& report) {
  Say("source        {}\n", source);
  Say("read          {}, {}, {} of binlog from {}\n", Counted(report.segments, "segment"),
      Counted(report.transactions, "transaction"), FormatBytes(report.raw_bytes),
      FormatBytes(report.stored_bytes));
  Say("gtids         {}\n", ShortSet(report.gtids));
  for (const GapRecord& gap : report.gaps)
    Say("gap           {}: {}\n", ShortSet(gap.missing), gap.reason);
  if (report.not_indexed_yet > 0)
    Say("import        {} of it not in the index yet: pitr import runs, or was ended; import "
        "again, or start tidemarkd\n",
        Counted(report.not_indexed_yet, "segment"));
  for (const VerifyFinding& finding : report.findings) Say("DAMAGE        {}\n", Text(finding));
  Say("result        {}\n",
      report.findings.empty() ? "all is well" : Counted(report.findings.size(), "finding"));
}

Status Run(const Context& context) {
  TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, archive->SourceNames());
  Json list = Json::array();
  Status worst;
  for (const std::string& name : names) {
    TM_ASSIGN_OR_RETURN(const VerifyReport report, Verify(context, *archive, name));
    if (!context.json) Print(name, report);
    Json json = ToJson(report);
    json["source"] = name;
    list.push_back(std::move(json));
    if (worst.ok()) worst = Verdict(name, report);
  }
  return context.json ? PrintJsonWith({{"archive", archive->name()}, {"sources", list}}, worst)
                      : worst;
}

}  // namespace

void AddVerify(CLI::App& app, Context& context, Action* action) {
  auto* command = app.add_subcommand(
      "verify", "re-read everything: checksums, boundaries, continuity, footers, index");
  command->callback([&context, action] { *action = [&context] { return Run(context); }; });
}

}  // namespace tidemark::cli
