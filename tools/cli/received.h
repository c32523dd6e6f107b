// What has come of a stream of events, so that the same call goes on where it broke, and gives no
// byte twice and loses none: servers resume behind the last whole transaction, and what came of the
// next one is passed over. Pure; input is another program's.
#pragma once

#include <optional>
#include <string>

#include "replication/base/bytes.h"
#include "replication/event/gtid_set.h"
#include "tidemark/v1/stream_service.pb.h"

namespace tidemark::cli {

// Of StreamEvents.
class ReceivedEvents {
 public:
  // A new call begins, with gtids() as its `received`.
  void OnCall() { at_ = 0; }
  // What of the message's data is new. kCorruption.
  Result<Bytes> OnMessage(const tidemark::v1::StreamEventsResponse& message);
  const GtidSet& gtids() const { return gtids_; }
  uint64_t transactions() const { return transactions_; }

 private:
  GtidSet gtids_;  // whole
  uint64_t transactions_ = 0;
  // Counted from behind the last whole transaction:
  uint64_t at_ = 0;     // what of it came in this call
  uint64_t given_ = 0;  // … and in any
};

// Of StreamTransactions. A new call has gtids() as its `received`.
class ReceivedTransactions {
 public:
  // What of the part's data is new. kCorruption: it does not follow what came before.
  Result<Bytes> OnPart(const tidemark::v1::TransactionPart& part);
  const GtidSet& gtids() const { return gtids_; }
  bool in_transaction() const { return open_.has_value(); }

 private:
  GtidSet gtids_;  // whole
  std::optional<std::string> open_;
  uint64_t given_ = 0;  // of the open one
};

}  // namespace tidemark::cli
