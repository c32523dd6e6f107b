// Where a server and the archive have different transactions under the same GTIDs: the server lost
// its last ones, and was written to since. Sets of GTIDs do not show it.
#pragma once

#include <functional>
#include <string>

#include "replication/archive/archive_directory.h"
#include "replication/source/source_origins.h"

namespace tidemark {

// ReadOrigins, with the two of OriginsRequest.
using AskServer = std::function<Status(const GtidSet& wanted, bool apart, const OnOrigin& each)>;

// Of `executed`, what the server has: the GTIDs that stand for other transactions there. Asks for
// the last ones that both have, each apart; where those are others, looks from the archive's end
// backwards, one segment at a time, until one has a transaction that is the same: what a server
// kept has lower numbers than what it made anew. What the server does not give (it is purged)
// counts as the same. Segments that do not read are passed over. Errors: of `ask`; kInterrupted:
// `give_up` said so.
Result<GtidSet> ReusedGtids(ArchiveDirectory& archive, const std::string& source,
                            const GtidSet& executed, const AskServer& ask,
                            const std::function<bool()>& give_up = {});

}  // namespace tidemark
