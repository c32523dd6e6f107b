// A server-streaming call, from its request's bytes to the end of its stream.
//
// Messages are made in the pool, a batch at a time, and only once the last batch has been taken by
// the socket: the client's pace is the stream's. While the stream waits it holds no message, no
// buffer and no thread.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "proto/rpc/call.h"

namespace tidemark::rpc {

// Sends everything, errors too. What went wrong is in the answer; false: the connection is of no
// more use.
boost::asio::awaitable<bool> ServeStream(Call call);
// The whole answer of a stream that ends before it begins.
std::string RefusedStream(const CallHead& head, const RpcError& error, bool chunked,
                          bool keep_alive);

}  // namespace tidemark::rpc
