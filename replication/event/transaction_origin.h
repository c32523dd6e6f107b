// Which transaction it is that bears a GTID. A server that lost its last transactions, in a crash
// or by being set back to an older state, gives their GTIDs to other ones as soon as it is written
// to again. Copies of one transaction, in whatever server's binary log, agree on when it was
// committed first; two transactions do not. But for empty ones: by an empty transaction of its GTID
// an operator has a server pass over another one.
//
// Pure. Source of facts: MySQL 9.7 sql/binlog.cc (write_transaction), sql/log_event.cc
// (Gtid_log_event).
#pragma once

#include <cstdint>
#include <optional>

#include "replication/base/bytes.h"
#include "replication/event/binlog_format.h"
#include "replication/event/control_events.h"
#include "replication/event/gtid.h"
#include "replication/event/transaction.h"

namespace tidemark {

// No empty transaction is as long.
inline constexpr uint64_t kEmptyTransactionBytesMax = 4096;

struct TransactionOrigin {
  Gtid gtid;
  // Microseconds since the epoch, on the server that committed it first; 0: not known (from servers
  // before 8.0.1, and what a replica makes up itself).
  int64_t original_commit_us = 0;
  uint64_t bytes = 0;  // of the whole transaction, as this event was stored; 0: not said
  bool empty = false;  // BEGIN, COMMIT and nothing between; not known from its Gtid event alone

  bool MayBeEmpty() const { return bytes != 0 && bytes <= kEmptyTransactionBytesMax; }
  // False if they are known to be two transactions, neither of them empty.
  bool MayBe(const TransactionOrigin& other) const {
    return gtid == other.gtid &&
           (empty || other.empty || original_commit_us == 0 || other.original_commit_us == 0 ||
            original_commit_us == other.original_commit_us);
  }
  // True if they are known to be one.
  bool Is(const TransactionOrigin& other) const {
    return MayBe(other) && !empty && !other.empty && original_commit_us != 0 &&
           original_commit_us == other.original_commit_us;
  }
};

TransactionOrigin OriginOf(const Transaction& transaction);
// What a Gtid event says, header to checksum; nullopt of any other event, and of a malformed one.
std::optional<TransactionOrigin> OriginOf(Bytes event, ChecksumAlgorithm checksum);

}  // namespace tidemark
