// pitr index rebuild: the index made anew from the segments.
#include "index/index.h"

#include <fmt/format.h>

#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

Status Rebuild(const Context& context) {
  TM_ASSIGN_OR_RETURN(std::string path, context.ArchivePath());
  ArchiveDirectory archive(PosixFileSystem(), path);
  TM_RETURN_IF_ERROR(archive.CheckExists());
  TM_ASSIGN_OR_RETURN(auto lock, archive.LockForWriting());
  Progress progress(context, "index rebuild", "bytes");
  TM_ASSIGN_OR_RETURN(HealReport report, RebuildIndex(archive, [&](const HealReport& so_far) {
                        progress.Update(so_far.raw_bytes_scanned, 0);
                      }));
  progress.Finish();
  if (context.json)
    PrintJson({{"segments", report.segments_scanned}, {"raw_bytes", report.raw_bytes_scanned}});
  else
    fmt::print("index rebuilt from {} segments, {} of binlog\n", report.segments_scanned,
               FormatBytes(report.raw_bytes_scanned));
  return OkStatus();
}

}  // namespace

void AddIndex(CLI::App& app, Context& context, Action* action) {
  auto* command = app.add_subcommand("index", "the index, which is derived from the segments");
  command->require_subcommand(1);
  auto* rebuild =
      command->add_subcommand("rebuild", "make it anew (the daemon must not be running)");
  rebuild->callback([&context, action] { *action = [&context] { return Rebuild(context); }; });
}

}  // namespace tidemark::cli
