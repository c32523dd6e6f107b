#include "pitr/restore/pipe_applier.h"

#include <chrono>
#include <optional>

#include "pitr/event_stream.h"
#include "replication/event/event_framer.h"
#include "replication/event/rows_event.h"

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
        "set max_allowed_packet of the target to 1G; a row change over 757 MiB cannot go through "
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

// The size of the first rows event in the stream that is too long for the pipe.
class OversizeRowsEvent {
 public:
  void Take(Bytes piece) {
    const size_t magic = std::min(magic_left_, piece.size());
    piece = piece.subspan(magic);
    magic_left_ -= magic;
    while (!found_) {
      const EventFramer::Step step = framer_.Next(&piece);
      if (step == EventFramer::Step::kNeedMore || step == EventFramer::Step::kBadSize) return;
      if (IsRowsEvent(framer_.header().type) && framer_.header().size > kPipeRowsEventBytesMax)
        found_ = framer_.header().size;
    }
  }
  const std::optional<uint32_t>& found() const { return found_; }

 private:
  static constexpr size_t kMagicBytes = 4;
  EventFramer framer_;
  size_t magic_left_ = kMagicBytes;
  std::optional<uint32_t> found_;
};

Status CheckTransaction(ArchiveView& view, const Plan& plan, const Gtid& gtid) {
  StreamRange range;
  range.include.Add(gtid);
  range.stop_before = plan.boundary.first_excluded;
  OversizeRowsEvent oversize;
  StreamProgress progress;
  TM_RETURN_IF_ERROR(EventStream(view).WriteRange(
      range,
      [&](Bytes bytes) {
        oversize.Take(bytes);
        return OkStatus();
      },
      &progress));
  if (!oversize.found()) return OkStatus();
  return Status(Code::kUnreachableTarget,
                "transaction " + gtid.ToString() + " holds a row change of " +
                    std::to_string(*oversize.found()) +
                    " bytes, and mysqlbinlog | mysql carries none of more than " +
                    std::to_string(kPipeRowsEventBytesMax),
                "restore to before it (--before-gtid " + gtid.ToString() +
                    "), or apply it as a replica of the source would: pitr export gives its bytes");
}

}  // namespace

Status CheckPipeCarries(ArchiveView& view, const Plan& plan) {
  TM_ASSIGN_OR_RETURN(const auto oversize, view.index().ListOversize(view.source()));
  for (const IndexedOversize& transaction : oversize) {
    const OversizeRecord& record = transaction.record;
    if (record.raw_end - record.raw_begin <= kPipeRowsEventBytesMax ||
        !plan.to_apply.Contains(record.gtid))
      continue;
    TM_RETURN_IF_ERROR(CheckTransaction(view, plan, record.gtid));
  }
  return OkStatus();
}

Status PipeApplier::Apply(SourceAccess& archive, const Plan& plan, const OnProgress& on_progress) {
  if (plan.to_apply.empty()) return OkStatus();
  return ApplyStream(
      [&](const EventStream::Sink& sink, StreamProgress* progress) {
        return archive.WriteEvents(plan.boundary, plan.base, {}, sink, progress);
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
