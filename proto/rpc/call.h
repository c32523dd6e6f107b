// One call that was let in: what its way through unary_call or stream_call needs to know.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "proto/rpc/call_head.h"
#include "proto/rpc/server_state.h"

namespace tidemark::rpc {

struct Call {
  Call(ServerState& served, HttpLink& client) : server(served), link(client), share(served) {}

  ServerState& server;
  HttpLink& link;
  CallHead head;
  Caller caller;
  CallContext context;  // its `cancelled` looks at `gone`, the deadline and nothing else
  std::shared_ptr<std::atomic<bool>> gone = std::make_shared<std::atomic<bool>>(false);
  std::string body;
  BodyShare share;  // of body
  HttpLink::Time started = std::chrono::steady_clock::now();
  bool chunked = true;  // HTTP/1.1
  bool keep_alive = true;

  const std::string& method() const { return context.method; }
  bool audited() const { return head.method->audited; }
  bool Expired() const { return std::chrono::steady_clock::now() >= context.deadline; }
};

// Fills the context from the rest.
void SetContext(Call& call);

// Decodes the request, of a unary call or a stream, in the pool.
Status DecodeRequest(const CallHead& head, std::string body, size_t bytes_max, Message* request);
std::unique_ptr<Message> NewMessage(const google::protobuf::Descriptor* type);

// An error as the client is told it: a call that was given up because we stop is worth another try.
RpcError AsTold(RpcError error, const ServerState& server);

}  // namespace tidemark::rpc
