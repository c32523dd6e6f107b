// Brings transactions back to a server that lost them: a replica that was promoted before it had
// them, or a primary that lost its last ones in a crash. Which those are is a difference of two
// sets; they are read from the archive, byte for byte, and go to the server by the pipe of stock
// tools, under their own GTIDs.
//
// The server may have been written to since (Rescue::newer), and usually has. Then a transaction
// may fail: what was applied before it stays. Or, worse, it does not: MySQL finds the row of an
// update by its key, compares nothing else, and an old change overwrites a newer one. Whoever
// applies has to ask. One thread. A crash leaves whole transactions on the server; the same again
// goes on.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pitr/archive_access.h"
#include "pitr/json.h"
#include "pitr/restore/applier.h"
#include "pitr/restore/pipe_applier.h"

namespace tidemark {

struct Rescue {
  std::string source;
  GtidSet missing;  // archived, and not on the server
  // Of the archive's gaps or from before it, and not on the server either: out of reach.
  GtidSet out_of_reach;
  GtidSet own;  // on the server, and not archived: it has been written to since
  // If any is missing: on the server, and not known to be older than all that is missing: `own`,
  // and what is archived behind the first missing one.
  GtidSet newer;
  GtidSet last_shared;  // of each TSID the last one that both have
  Boundary until;       // the archive's end as it was
};

// Compares. kUsage if the server has nothing of what the archive has: that is a restore.
Result<Rescue> PlanRescue(SourceAccess& source, const GtidSet& executed);

// Of those, the ones that are other transactions on the server: it lost its last ones, and made
// these anew. What is missing then belongs on top of what it does not have any more. What it has
// purged is not among them. Reads its binary log: kSourceRefused if the account may not.
Result<GtidSet> MadeAnew(SourceAccess& source, const Rescue& rescue,
                         const ConnectionOptions& server);

// Each transaction in archive order; false: that is enough.
using OnRescued = std::function<bool(const Transaction&)>;
// Reads those of `only` (not empty); `sink`, which may be empty, gets them as a binlog.
Status ReadRescued(SourceAccess& source, const Rescue& rescue, const GtidSet& only,
                   const OnRescued& each, const EventStream::Sink& sink);

struct RescueTarget {
  ConnectionOptions connection;
  PipeTools tools;  // paths
};
// Applies them all, and asserts that the server has them. kTargetRefused naming the transaction
// that the server rejected, kEndStateNotReached.
Status ApplyRescue(FileSystem& files, SourceAccess& source, const Rescue& rescue,
                   const RescueTarget& target, const Applier::OnProgress& on_progress);

}  // namespace tidemark
