// What must be true of the segments on the disk, told by comparing them with the model servers:
// bytes are some server's, whole transactions in that server's order, none twice, none missing
// without a recorded gap, all of one history; headers, footers and records tell the truth.
//
// Looks at sealed segments; those that have not changed since the last look are not read again.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "index/index.h"
#include "tests/sim/primary.h"
#include "tests/support/simulated_disk.h"

namespace tidemark::sim {

inline constexpr char kArchive[] = "/archive";
inline constexpr char kSource[] = "main";

struct Violation {
  std::string oracle;
  std::string message;
};
using Verdict = std::optional<Violation>;

class ArchiveOracle {
 public:
  // `servers`: all that there ever were, the run adds to them.
  ArchiveOracle(Disk& disk, const std::vector<std::shared_ptr<Server>>& servers)
      : disk_(disk), servers_(servers) {}

  // `index`, if not nullptr, must hold what a rebuild would. The disk must not fail meanwhile.
  Verdict Check(Index* index, bool gaps_allowed);

  // As of the last Check.
  const GtidSet& archived() const { return archived_; }
  const GtidSet& missing() const { return missing_; }  // recorded gaps
  uint64_t segments() const { return seen_.size(); }
  // Whether the archive has a transaction that this server's history has not, or has another one of
  // that name.
  bool DivergesFrom(const Server& server) const;
  // It has lost the end of a file that is archived, or all of it, or made it anew: also if it has
  // all transactions, for example because another server has given them back to it.
  bool HasOtherFilesThan(const Server& server) const;
  // Whether the archive has another transaction of that name.
  bool HasAnother(const Placed& transaction) const {
    const auto found = ids_.find(transaction.gtid);
    return found != ids_.end() && found->second != transaction.id;
  }
  // The server that the newest segment came from (of several incarnations any that fits): nullptr
  // if there is none.
  std::shared_ptr<Server> LastServer() const;

 private:
  struct Seen {
    std::string stored;  // the file
    SegmentHeader header;
    uint64_t source_end = 0;  // in the server's file
    size_t source_hash = 0;   // of its bytes up to there, from source_start on
    std::vector<Placed> transactions;
    std::shared_ptr<Server> server;
    std::vector<IndexEntry> entries;  // what an index must hold of it
    int64_t commit_high_us = 0;
  };

  Verdict CheckSegment(uint64_t number, bool gaps_allowed, Seen* seen);
  Verdict CheckHeader(const Seen& seen, bool gaps_allowed) const;
  Verdict CheckBytes(uint64_t number, const std::string& raw, Seen* seen) const;
  Verdict CheckRange(const LogFile& file, uint64_t begin, uint64_t end, Seen* seen) const;
  Verdict CheckIndex(Index& index, uint64_t number, const Seen& seen) const;
  void Take(const Seen& seen);
  void Forget(size_t count);

  Disk& disk_;
  const std::vector<std::shared_ptr<Server>>& servers_;
  std::vector<Seen> seen_;  // segment 1, 2, …
  GtidSet archived_;
  GtidSet missing_;
  std::map<Gtid, uint64_t> ids_;  // of archived_
};

}  // namespace tidemark::sim
