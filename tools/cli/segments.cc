// pitr segments: the files, one line each.
#include <fmt/format.h>

#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

Status Run(const Context& context) {
  TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
  TM_ASSIGN_OR_RETURN(const auto source, archive->OpenSource());
  TM_ASSIGN_OR_RETURN(const std::vector<SegmentFile> segments, source->ListSegments());
  Json list = Json::array();
  for (const auto& [segment, path] : segments) {
    Json json = ToJson(segment);
    json["path"] = path;
    list.push_back(std::move(json));
  }
  if (context.json) {
    PrintJson({{"source", source->source()}, {"segments", list}});
    return OkStatus();
  }
  Say("{:>8}  {:<18} {:>12} {:>10} {:>10}  {:<9} {:<27}  {}\n", "SEGMENT", "SOURCE FILE",
      "TRANSACTIONS", "BINLOG", "STORED", "STATE", "LAST COMMIT", "GTIDS");
  for (const auto& [segment, path] : segments)
    Say("{:>8}  {:<18} {:>12} {:>10} {:>10}  {:<9} {:<27}  {}\n", segment.header.number,
        segment.header.source_file, FormatCount(segment.transactions),
        FormatBytes(segment.raw_bytes), FormatBytes(segment.stored_bytes),
        segment.sealed ? SealReasonName(segment.reason) : "open",
        segment.transactions == 0 ? "-" : FormatTime(segment.last_commit_us),
        segment.transactions == 0 ? "-" : ShortSet(segment.gtids, 100));
  return OkStatus();
}

}  // namespace

void AddSegments(CLI::App& app, Context& context, Action* action) {
  auto* command = app.add_subcommand("segments", "the segment files and what is in them");
  command->callback([&context, action] { *action = [&context] { return Run(context); }; });
}

}  // namespace tidemark::cli
