// Where a server and the archive have different transactions under the same GTIDs: the server lost
// its last ones, and was written to since. Sets of GTIDs do not show it.
#pragma once

#include <functional>
#include <string>

#include "replication/archive/archive_directory.h"
#include "replication/source/source_origins.h"

namespace tidemark {

// Gives what the server has of `wanted` (ReadOrigins).
using AskServer = std::function<Status(const GtidSet& wanted, const OnOrigin& each)>;

// Of `executed`, what the server has: the GTIDs that stand for other transactions there. Looks from
// the archive's end backwards, segment by segment, until one begins with a transaction that both
// have: what is in front of that they share. What the server does not give (it is purged) counts as
// the same. Asks once where nothing was reused. Errors: of `ask`, and of segments that do not read.
Result<GtidSet> ReusedGtids(ArchiveDirectory& archive, const std::string& source,
                            const GtidSet& executed, const AskServer& ask);

}  // namespace tidemark
