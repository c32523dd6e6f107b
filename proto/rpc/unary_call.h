// A unary call, from its request's bytes to its answer's.
//
// The handler runs in the pool, and the client is not kept waiting for one that does not heed its
// deadline: it is answered in time, and what the handler says later goes to the audit log and the
// counters only. Until it returns it takes its place among RpcLimits::calls_max.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "proto/rpc/call.h"
#include "proto/rpc/http_answer.h"

namespace tidemark::rpc {

// The answer to send; it never fails otherwise.
boost::asio::awaitable<HttpAnswer> ServeUnary(Call call);

}  // namespace tidemark::rpc
