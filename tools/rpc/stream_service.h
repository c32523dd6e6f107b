// tidemark.v1.StreamService over the daemon's archive. `archive` must outlive the registry and the
// streams it gave. A stream's topic is its source's name: RpcServer::Notify it after each durable
// batch. One that is told of nothing answers kWaiting only if, in that very call, it saw nothing
// new: a notification that comes while Next runs must make it be asked again.
#pragma once

#include "proto/rpc/service_registry.h"
#include "tools/rpc/shared_archive.h"

namespace tidemark::rpc {

// Of the source's bytes in one message (a longer event is cut).
inline constexpr size_t kStreamChunkBytesMax = 256 << 10;

void AddStreamService(SharedArchive& archive, ServiceRegistry* registry);

}  // namespace tidemark::rpc
