// The events of a tidemarkd's archive for a port of our own that serves a restore's target: its
// StreamTransactions, read ahead by a thread, resumed where it breaks. Memory: kMessagesAheadMax
// messages of 256 KiB or so, and GTID sets.
#pragma once

#include <string>

#include "pitr/event_feed.h"
#include "proto/rpc/rpc_client_options.h"

namespace tidemark::cli {

inline constexpr size_t kMessagesAheadMax = 8;

// A range needs an end: stop_before, or transactions to be included. `source` is a name.
OpenFeed RemoteFeeds(rpc::RpcClientOptions options, std::string source);

}  // namespace tidemark::cli
