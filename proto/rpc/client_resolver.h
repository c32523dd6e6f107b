// A host's addresses, looked up in a way that can be given up: getaddrinfo() itself cannot.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <vector>

#include "proto/rpc/client_link.h"
#include "proto/rpc/rpc_client_options.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

using SocketAddress = boost::asio::generic::stream_protocol::endpoint;

// At least one. kSourceUnavailable if there is none or time is up, kInterrupted.
Result<std::vector<SocketAddress>> Resolve(const Endpoint& endpoint, const Patience& patience);

}  // namespace tidemark::rpc
