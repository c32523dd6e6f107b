// pitr index rebuild: the index made anew from the segments.
#include "index/index.h"

#include <fmt/format.h>

#include "tools/cli/command.h"
#include "tools/cli/remote_methods.h"

namespace tidemark::cli {
namespace {

// The daemon says something after each segment, but not while it waits for a disk.
constexpr std::chrono::minutes kSilenceMax{10};

Status Print(const Context& context, uint64_t segments, uint64_t raw_bytes) {
  if (context.json)
    PrintJson({{"segments", segments}, {"raw_bytes", raw_bytes}});
  else
    Say("index rebuilt from {} segments, {} of binlog\n", segments, FormatBytes(raw_bytes));
  return OkStatus();
}

Status RebuildHere(const Context& context) {
  TM_ASSIGN_OR_RETURN(std::string path, context.ArchivePath());
  ArchiveDirectory archive(PosixFileSystem(), path);
  TM_RETURN_IF_ERROR(archive.CheckExists());
  Result<std::unique_ptr<FileLock>> lock = archive.LockForWriting();
  if (!lock.ok() && lock.error().code() == Code::kLocked)
    return Status(lock.error()).WithHint("a running tidemarkd does it itself: --server ADDRESS");
  if (!lock.ok()) return lock.error();
  Progress progress(context, "index rebuild", "bytes");
  TM_ASSIGN_OR_RETURN(HealReport report, RebuildIndex(archive, [&](const HealReport& so_far) {
                        progress.Update(so_far.raw_bytes_scanned, 0);
                      }));
  progress.Finish();
  return Print(context, report.segments_scanned, report.raw_bytes_scanned);
}

Status RebuildThere(const Context& context) {
  TM_ASSIGN_OR_RETURN(const rpc::RpcClientOptions options, context.server.Parse());
  TM_ASSIGN_OR_RETURN(const auto client, rpc::RpcClient::Create(options));
  rpc::CallOptions call;
  call.silence_max = kSilenceMax;
  call.interrupted = Interrupted;
  TM_ASSIGN_OR_RETURN(const auto stream, client->OpenStream(AdminMethod("RebuildIndex"),
                                                            v1::RebuildIndexRequest(), call));
  Progress progress(context, "index rebuild", "bytes");
  for (v1::RebuildIndexResponse answer;;) {
    TM_ASSIGN_OR_RETURN(const bool more, stream->Next(&answer));
    if (!more)
      return Status(Code::kCorruption, "the server ended without saying that the index is there");
    progress.Update(answer.raw_bytes(), 0);
    if (!answer.done()) continue;
    progress.Finish();
    return Print(context, answer.segments(), answer.raw_bytes());
  }
}

Status Rebuild(const Context& context) {
  TM_ASSIGN_OR_RETURN(const bool asks_server, AsksServer(context.archive, context.server));
  return asks_server ? RebuildThere(context) : RebuildHere(context);
}

}  // namespace

void AddIndex(CLI::App& app, Context& context, Action* action) {
  auto* command = app.add_subcommand("index", "the index, which is derived from the segments");
  command->require_subcommand(1);
  auto* rebuild = command->add_subcommand(
      "rebuild", "make it anew: on the files of a daemon that does not run, or by one that does");
  rebuild->callback([&context, action] { *action = [&context] { return Rebuild(context); }; });
}

}  // namespace tidemark::cli
