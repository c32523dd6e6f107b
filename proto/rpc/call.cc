#include "proto/rpc/call.h"

namespace tidemark::rpc {

void SetContext(Call& call) {
  const auto& descriptor = *call.head.method->descriptor;
  CallContext& context = call.context;
  context.method = descriptor.service()->full_name() + "/" + descriptor.name();
  context.peer = call.link.peer();
  context.identity = call.caller.identity;
  context.role = call.caller.role;
  if (call.head.timeout) context.deadline = call.started + *call.head.timeout;
  context.cancelled = [gone = call.gone, deadline = context.deadline] {
    return *gone ||
           (deadline != HttpLink::Time::max() && std::chrono::steady_clock::now() >= deadline);
  };
}

std::unique_ptr<Message> NewMessage(const google::protobuf::Descriptor* type) {
  const Message* prototype =
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type);
  TM_CHECK(prototype != nullptr);
  return std::unique_ptr<Message>(prototype->New());
}

Status DecodeRequest(const CallHead& head, std::string body, size_t bytes_max, Message* request) {
  if (head.type.stream) {
    TM_ASSIGN_OR_RETURN(body, SoleMessage(body, head.request_compression, bytes_max));
  } else if (head.request_compression != Compression::kIdentity && !body.empty()) {
    TM_ASSIGN_OR_RETURN(body, Decompress(head.request_compression, body, bytes_max));
  }
  return DecodeMessage(head.type.codec, body, request);
}

RpcError AsTold(RpcError error, const ServerState& server) {
  if (error.code != RpcCode::kCanceled || !server.stopping) return error;
  return {RpcCode::kUnavailable, "the server stops", {}};
}

}  // namespace tidemark::rpc
