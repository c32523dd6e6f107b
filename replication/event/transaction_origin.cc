#include "replication/event/transaction_origin.h"

#include "replication/event/gtid_event.h"

namespace tidemark {

TransactionOrigin OriginOf(const Transaction& transaction) {
  return {transaction.gtid, transaction.original_commit_us, transaction.size(),
          transaction.kind == TransactionKind::kEmpty};
}

std::optional<TransactionOrigin> OriginOf(Bytes event, ChecksumAlgorithm checksum) {
  if (event.size() < kEventHeaderSize) return std::nullopt;
  const EventType type = ReadEventHeader(event.data()).type;
  GtidEvent begin;
  if (type != EventType::kGtid && type != EventType::kGtidTagged) return std::nullopt;
  if (!ParseGtidEvent(type, EventBody(event, checksum), &begin)) return std::nullopt;
  return TransactionOrigin{begin.gtid, begin.original_commit_us, begin.transaction_length, false};
}

}  // namespace tidemark
