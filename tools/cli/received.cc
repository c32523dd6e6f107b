#include "tools/cli/received.h"

#include <algorithm>

namespace tidemark::cli {

Result<Bytes> ReceivedEvents::OnMessage(const v1::StreamEventsResponse& message) {
  const Bytes data = AsBytes(message.data());
  const uint64_t known = given_ > at_ ? std::min<uint64_t>(given_ - at_, data.size()) : 0;
  at_ += data.size();
  given_ = std::max(given_, at_);
  if (message.whole_bytes() > data.size())
    return Status(Code::kCorruption, "the server's stream names an end behind its data");
  if (message.whole_bytes() == 0) return data.subspan(known);
  Result<GtidSet> ended = GtidSet::Parse(message.gtids());
  if (!ended.ok() || ended->empty() || ended->Intersects(gtids_))
    return Status(Code::kCorruption,
                  "the server's stream does not say which new transactions end in it");
  gtids_.Add(*ended);
  transactions_ += ended->Count();
  at_ = data.size() - message.whole_bytes();
  given_ = at_;
  return data.subspan(known);
}

Result<Bytes> ReceivedTransactions::OnPart(const v1::TransactionPart& part) {
  const Bytes data = AsBytes(part.data());
  if (!open_) {
    open_ = part.gtid();
    given_ = 0;
  }
  if (*open_ != part.gtid() || part.offset() > given_)
    return Status(Code::kCorruption, "the server's stream goes on with byte " +
                                         std::to_string(part.offset()) + " of transaction " +
                                         part.gtid() + ", but is in byte " +
                                         std::to_string(given_) + " of " + *open_);
  const uint64_t known = std::min<uint64_t>(given_ - part.offset(), data.size());
  given_ = std::max(given_, part.offset() + data.size());
  if (!part.last()) return data.subspan(known);
  Result<Gtid> gtid = Gtid::Parse(part.gtid());
  if (!gtid.ok() || gtids_.Contains(*gtid))
    return Status(Code::kCorruption,
                  "the server's stream has '" + part.gtid() + "' for a new transaction");
  gtids_.Add(*gtid);
  open_.reset();
  return data.subspan(known);
}

}  // namespace tidemark::cli
