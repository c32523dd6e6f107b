#include "pitr/restore/pipe_applier.h"

#include <chrono>

namespace tidemark {
namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(100);

// The two programs, and what each says when it fails.
struct Tools {
  std::unique_ptr<ChildProcess> client;  // first: it outlives what feeds it
  std::unique_ptr<ChildProcess> decoder;
};

Result<Tools> StartTools(const ClientAccess& access, const PipeTools& programs) {
  TM_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
  Tools tools;
  ProcessOptions client = access.MysqlClient(programs.mysql, {});
  client.input = std::move(pipe.read);
  TM_ASSIGN_OR_RETURN(tools.client, ChildProcess::Start(std::move(client)));
  ProcessOptions decoder;
  decoder.argv = {programs.mysqlbinlog, "--no-defaults", "--verify-binlog-checksum",
                  "--local-load=" + access.files_directory(), "-"};
  decoder.environment = access.Environment();
  decoder.feed_input = true;
  decoder.output = std::move(pipe.write);
  TM_ASSIGN_OR_RETURN(tools.decoder, ChildProcess::Start(std::move(decoder)));
  return tools;
}

Status ClientFailed(int code, const std::string& said) {
  std::string hint = "the transaction was rolled back; what was applied before it stays";
  if (said.find("max_allowed_packet") != std::string::npos ||
      said.find("packet bigger") != std::string::npos)
    hint =
        "set max_allowed_packet of the target to 1G; an event over about 750 MiB cannot go through "
        "this applier";
  if (said.find("local data is disabled") != std::string::npos)
    hint = "set local_infile=ON on the target";
  if (said.find("Access denied") != std::string::npos)
    hint =
        "the login needs REPLICATION_APPLIER (or BINLOG_ADMIN), SESSION_VARIABLES_ADMIN and all "
        "rights on the data";
  return Status(Code::kTargetRefused,
                said.empty()
                    ? "mysql ended with exit code " + std::to_string(code) + " and said nothing"
                    : "the restore target rejected a transaction: " + said,
                hint);
}

// The client's failure counts for more: the decoder's broken pipe is only its consequence.
Status Verdict(Tools& tools, int decoder_code, int client_code) {
  if (client_code != 0) return ClientFailed(client_code, tools.client->Errors());
  if (decoder_code == 0) return OkStatus();
  return Status(Code::kTargetRefused,
                "mysqlbinlog ended with exit code " + std::to_string(decoder_code) + ": " +
                    tools.decoder->Errors(),
                "a mysqlbinlog of at least the source's version is needed");
}

}  // namespace

Status PipeApplier::Apply(ArchiveView& view, const Plan& plan, const OnProgress& on_progress) {
  if (plan.to_apply.empty()) return OkStatus();
  EventStream stream(view);
  StreamRange range;
  range.exclude = plan.base;
  range.stop_before = plan.boundary.first_excluded;
  return ApplyStream(
      [&](const EventStream::Sink& sink, StreamProgress* progress) {
        return stream.WriteRange(range, sink, progress);
      },
      plan.transactions, on_progress);
}

Status PipeApplier::ApplyStream(const Events& events, uint64_t transactions,
                                const OnProgress& on_progress) {
  TM_ASSIGN_OR_RETURN(Tools tools, StartTools(access_, tools_));
  StreamProgress given;
  const auto go_on = [&] {
    return on_progress({given.transactions_given, transactions, given.raw_bytes_given});
  };
  auto asked = std::chrono::steady_clock::now();
  bool broken = false;
  const EventStream::Sink sink = [&](Bytes bytes) -> Status {
    const Status written = tools.decoder->WriteInput(bytes, go_on);
    broken = written.code() == Code::kEndOfData;
    TM_RETURN_IF_ERROR(Status(written));
    const auto now = std::chrono::steady_clock::now();
    if (now - asked < kProgressInterval) return OkStatus();
    asked = now;
    return go_on() ? OkStatus() : Status(Code::kInterrupted, "interrupted while applying");
  };
  const Status streamed = events(sink, &given);
  // On any error but a dead tool, returning kills both: the session's open transaction is rolled
  // back.
  if (!streamed.ok() && !broken) return streamed;
  tools.decoder->CloseInput();
  TM_ASSIGN_OR_RETURN(const int decoder_code, WaitForExit(*tools.decoder, go_on));
  TM_ASSIGN_OR_RETURN(const int client_code, WaitForExit(*tools.client, go_on));
  const Status verdict = Verdict(tools, decoder_code, client_code);
  if (verdict.ok() && broken)
    return Status(Code::kTargetRefused, "mysqlbinlog stopped reading before the end");
  return verdict;
}

}  // namespace tidemark
