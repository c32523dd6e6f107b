#include "replication/source/source_origins.h"

#include <utility>

#include "replication/event/stream_scanner.h"

namespace tidemark {
namespace {

Status ReadDump(EventSource& source, const GtidSet& wanted, const OnOrigin& each) {
  StreamScanner scanner({.count_rows = false, .checksum_from_start = true});
  std::optional<TransactionOrigin> begun;
  for (uint64_t left = wanted.Count(); left > 0;) {
    const Result<Bytes> bytes = source.Next();
    if (!bytes.ok() && bytes.error().code() == Code::kEndOfData) return OkStatus();
    if (!bytes.ok()) return bytes.error();
    ScannedEvent event;
    TM_RETURN_IF_ERROR(scanner.FeedEvent(*bytes, &event));
    if (event.begins_transaction) {
      begun = OriginOf(event.head, event.checksum);
      if (begun && !wanted.Contains(begun->gtid)) begun.reset();
    }
    if (!begun || (begun->MayBeEmpty() && event.finished == nullptr)) continue;
    begun->empty = begun->MayBeEmpty() && event.finished->kind == TransactionKind::kEmpty;
    TM_RETURN_IF_ERROR(each(*std::exchange(begun, std::nullopt)));
    --left;
  }
  return OkStatus();
}

Status ReadTogether(EventSource& source, const Uuid& server_uuid, const OriginsRequest& request,
                    const GtidSet& asked, const OnOrigin& each) {
  TM_ASSIGN_OR_RETURN(const SourceFacts facts, source.Connect());
  // What is being committed may be in the binary log before it counts as executed.
  const GtidSet has = facts.gtid_executed.Union(facts.gtid_owned).Minus(facts.gtid_purged);
  const GtidSet wanted = asked.Intersection(has);
  Status status;
  if (facts.server_uuid != server_uuid) {
    status = AnotherServerAnswers(facts);
  } else if (!wanted.empty()) {
    DumpRequest dump;
    dump.exclude = facts.gtid_executed.Minus(wanted);
    dump.non_blocking = true;
    dump.server_id = request.server_id;
    dump.our_uuid = request.our_uuid;
    dump.heartbeat_us = request.heartbeat_us;
    status = source.StartDump(dump);
    if (status.ok()) status = ReadDump(source, wanted, each);
  }
  source.Disconnect();
  return status;
}

}  // namespace

Status ReadOrigins(EventSource& source, const Uuid& server_uuid, const OriginsRequest& request,
                   const OnOrigin& each) {
  if (!request.apart) return ReadTogether(source, server_uuid, request, request.wanted, each);
  for (const auto& [tsid, intervals] : request.wanted.map())
    for (const GnoInterval& interval : intervals)
      for (int64_t gno = interval.first; gno <= interval.last; ++gno) {
        GtidSet one;
        one.Add({tsid, gno});
        TM_RETURN_IF_ERROR(ReadTogether(source, server_uuid, request, one, each));
      }
  return OkStatus();
}

}  // namespace tidemark
