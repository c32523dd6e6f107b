// Which of several servers is the one to archive: a pure choice over what each says of itself.
//
// A primary among them is one that may be written to and does not itself replicate from another one
// that may be, or that does not answer. Chosen is, if they are not all one server, in this order:
//   1. refused (kDivergence), if two primaries each have transactions that the other lacks;
//   2. the primary that has all that the others have; of equals the one we archive already;
//   3. but the one we archive already, although it is no primary any more, as long as it has
//      transactions for us that the primary lacks or has purged, or that the primary still fetches;
//   4. without a primary: the one we archive already, if it has all that we have: one that was set
//      read-only before a planned switch still has transactions;
//   5. else nobody yet (kSourceUnavailable), saying what each of them lacks.
// That the chosen one lacks transactions that the archive has is for who connects to it to refuse.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "replication/base/status.h"
#include "replication/event/gtid_set.h"
#include "replication/source/event_source.h"

namespace tidemark {

// One server as it was found at one moment; a value.
struct Candidate {
  std::string name;    // "db1:3306"
  Status unreachable;  // not OK: it did not answer, and nothing below is known
  Uuid server_uuid;
  bool writable = false;  // neither read_only nor super_read_only
  GtidSet executed;
  GtidSet owned;  // being committed: read before `executed`, and part of it soon
  GtidSet purged;
  // Of each channel that runs or tries to.
  struct Upstream {
    std::string server;               // "db2:3306"
    std::optional<Uuid> server_uuid;  // nullopt: it never got through
  };
  std::vector<Upstream> upstreams;

  bool answers() const { return unreachable.ok(); }
  GtidSet Lacks(const GtidSet& of) const { return of.Minus(executed).Minus(owned); }
};

// The index of the chosen one. Two candidates of one server UUID are one server.
Result<size_t> ChooseSource(const std::vector<Candidate>& candidates,
                            const ArchivedSoFar& archived);

// For messages: at most about `bytes_max` characters of it, and how many transactions it is.
std::string BriefSet(const GtidSet& set, size_t bytes_max = 300);

}  // namespace tidemark
