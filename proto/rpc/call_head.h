// What the head of a request asks for, by the Connect protocol; or why it is refused. Pure.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "proto/rpc/compression.h"
#include "proto/rpc/http_answer.h"
#include "proto/rpc/http_request.h"
#include "proto/rpc/message_codec.h"
#include "proto/rpc/rpc_error.h"
#include "proto/rpc/service_registry.h"

namespace tidemark::rpc {

struct CallHead {
  const ServiceRegistry::Method* method = nullptr;
  ContentType type;
  Compression request_compression = Compression::kIdentity;
  Compression answer_compression = Compression::kIdentity;  // of what is worth it
  std::optional<std::chrono::milliseconds> timeout;
  // What makes the call fail, in the form that the method's answers have.
  std::optional<RpcError> refused;
};

// An HttpAnswer where there is no call to speak of: no such method (404), not POST (405), not one
// of the method's content types (415).
std::variant<CallHead, HttpAnswer> ReadCallHead(const HttpRequest& request,
                                                const ServiceRegistry& registry);

// The one message of a stream's request body. kUsage: too long; kCorruption: malformed;
// kUnsupportedFormat: not exactly one (unimplemented, by the conformance suite).
Result<std::string> SoleMessage(std::string_view body, Compression compression, size_t bytes_max);

// Whether `host`, a Host header, means this machine itself: an address in numbers or localhost. A
// page that a browser got elsewhere cannot have that.
bool IsLocalHostName(std::string_view host);

}  // namespace tidemark::rpc
