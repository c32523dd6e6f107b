// Which transactions a source has under GTIDs that the archive has too: asked of its binary log
// itself, since GTID sets do not show it (transaction_origin.h).
#pragma once

#include <cstdint>
#include <functional>

#include "replication/event/transaction_origin.h"
#include "replication/source/event_source.h"

namespace tidemark {

struct OriginsRequest {
  GtidSet wanted;
  // Each by a connection and a dump of its own: for a few that may be far apart, between which a
  // source would read all its binary logs.
  bool apart = false;
  uint32_t server_id = 0;  // as in DumpRequest
  Uuid our_uuid;
  int64_t heartbeat_us = 0;
};

using OnOrigin = std::function<Status(const TransactionOrigin&)>;

// Connects, and gives those of `wanted` that are in the source's binary log, in its order: none of
// what it does not have or has purged. Ends disconnected. Errors as EventSource's;
// kSourceUnavailable if it is not `server_uuid`.
Status ReadOrigins(EventSource& source, const Uuid& server_uuid, const OriginsRequest& request,
                   const OnOrigin& each);

}  // namespace tidemark
