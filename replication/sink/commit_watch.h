// Whether a semi-synchronous source's commits wait for an acknowledgement: that it says it would is
// not enough. It may have believed a damaged one, of a later place than was said, and then neither
// waits nor asks, while its own counters look well.
//
// A source that waits wants the last transaction of each group acknowledged that commits together
// (plugin/semisync, after_flush). So one that it did not ask for says nothing, until nothing comes
// behind it or what comes was committed much later. What was committed before the dump began does
// not count: it may have been acknowledged then, or made up for by crash recovery.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "replication/event/gtid_set.h"
#include "replication/event/transaction.h"

namespace tidemark {

class CommitWatch {
 public:
  // Longer than it takes to write one group, and longer than anybody should not know.
  static constexpr int64_t kGroupUsMax = 30'000'000;

  // A dump from this server, which has executed `executed`.
  void BeginDump(const Uuid& server_uuid, GtidSet executed) {
    if (server_uuid != server_uuid_) did_not_wait_ = false;
    server_uuid_ = server_uuid;
    executed_ = std::move(executed);
    caught_up_ = false;
    not_asked_since_us_.reset();
  }
  // For the end of a transaction.
  void Asked() {
    not_asked_since_us_.reset();
    did_not_wait_ = false;
  }
  void NotAsked(const Transaction& transaction) {
    caught_up_ = caught_up_ || !executed_.Contains(transaction.gtid);
    if (!caught_up_) return;
    const int64_t committed_us = transaction.immediate_commit_us;
    if (!not_asked_since_us_) not_asked_since_us_ = committed_us;
    if (committed_us - *not_asked_since_us_ > kGroupUsMax) did_not_wait_ = true;
  }
  // All that the source has was sent.
  void Idle() { did_not_wait_ = did_not_wait_ || not_asked_since_us_.has_value(); }

  // As far as can be told: the source has not asked since, also over other connections to it.
  bool did_not_wait() const { return did_not_wait_; }

 private:
  Uuid server_uuid_;
  GtidSet executed_;
  bool caught_up_ = false;                     // something came that was not in it
  std::optional<int64_t> not_asked_since_us_;  // the commit time of the first one
  bool did_not_wait_ = false;
};

}  // namespace tidemark
