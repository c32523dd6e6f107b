#include "proto/rpc/call_head.h"

#include <algorithm>
#include <charconv>

#include "proto/rpc/envelope.h"

namespace tidemark::rpc {
namespace {

constexpr size_t kTimeoutDigitsMax = 10;

RpcError Invalid(std::string message) {
  return {RpcCode::kInvalidArgument, std::move(message), {}};
}

HttpAnswer Plain(int status, RpcCode code, std::string message, std::string headers) {
  HttpAnswer answer = ErrorAnswer({code, std::move(message), {}}, status);
  answer.more_headers += headers;
  return answer;
}

HttpAnswer WrongContentType(bool stream) {
  const ContentType proto{Codec::kProto, stream};
  const ContentType json{Codec::kJson, stream};
  const std::string accepted = std::string(ContentTypeName(proto)) + ", " + ContentTypeName(json);
  return Plain(415, RpcCode::kUnknown, "the content type must be one of " + accepted,
               "Accept-Post: " + accepted + "\r\n");
}

// At most ten digits, positive; 0 is a deadline that has passed already.
std::optional<RpcError> ReadTimeout(const HttpRequest& request, CallHead* head) {
  const std::optional<std::string> text = request.Header("Connect-Timeout-Ms");
  if (!text) return std::nullopt;
  int64_t milliseconds = -1;
  const auto read = std::from_chars(text->data(), text->data() + text->size(), milliseconds);
  if (text->empty() || text->size() > kTimeoutDigitsMax || text->front() == '-' ||
      read.ec != std::errc() || read.ptr != text->data() + text->size())
    return Invalid("Connect-Timeout-Ms is not a number of at most ten digits");
  head->timeout = std::chrono::milliseconds(milliseconds);
  return std::nullopt;
}

std::optional<RpcError> ReadCompressions(const HttpRequest& request, CallHead* head) {
  const std::string prefix = head->type.stream ? "Connect-" : "";
  const std::string encoding = request.Header(prefix + "Content-Encoding").value_or("");
  const std::optional<Compression> known = CompressionByName(encoding);
  if (!known)
    return RpcError{RpcCode::kUnimplemented,
                    "unknown compression: supported are " + std::string(kCompressionsOffered),
                    {}};
  head->request_compression = *known;
  const std::optional<std::string> accepted = request.Header(prefix + "Accept-Encoding");
  head->answer_compression = accepted ? ChooseCompression(*accepted) : *known;
  return std::nullopt;
}

}  // namespace

std::variant<CallHead, HttpAnswer> ReadCallHead(const HttpRequest& request,
                                                const ServiceRegistry& registry) {
  CallHead head;
  const std::string_view path = request.path();
  if (path.starts_with('/')) head.method = registry.Find(path.substr(1));
  if (!head.method) return Plain(404, RpcCode::kUnimplemented, "there is no such method here", "");
  if (request.method() != "POST")
    return Plain(405, RpcCode::kUnimplemented, "methods are called with POST", "Allow: POST\r\n");
  const bool stream = head.method->descriptor->server_streaming();
  const auto type = ParseContentType(request.Header("Content-Type").value_or(""));
  if (!type || type->stream != stream) return WrongContentType(stream);
  head.type = *type;
  if (request.Header("Connect-Protocol-Version").value_or("1") != "1")
    head.refused = Invalid("the Connect-Protocol-Version must be 1");
  if (!head.refused) head.refused = ReadTimeout(request, &head);
  if (!head.refused) head.refused = ReadCompressions(request, &head);
  return head;
}

Result<std::string> SoleMessage(std::string_view body, Compression compression, size_t bytes_max) {
  EnvelopeReader reader(bytes_max);
  reader.Append(body);
  TM_ASSIGN_OR_RETURN(std::optional<Envelope> first, reader.Next());
  TM_RETURN_IF_ERROR(first ? OkStatus() : reader.Finish());
  if (!first || first->end_stream())
    return Status(Code::kUnsupportedFormat, "the request has no message; it needs exactly one");
  TM_ASSIGN_OR_RETURN(const std::optional<Envelope> second, reader.Next());
  TM_RETURN_IF_ERROR(second ? OkStatus() : reader.Finish());
  if (second && !second->end_stream())
    return Status(Code::kUnsupportedFormat, "the request has two messages; it needs exactly one");
  if (!first->compressed() || first->payload.empty()) return std::move(first->payload);
  if (compression == Compression::kIdentity)
    return Status(Code::kCorruption, "a compressed message without a Connect-Content-Encoding");
  return Decompress(compression, first->payload, bytes_max);
}

bool IsLocalHostName(std::string_view host) {
  if (host.starts_with('[')) return true;  // numbers, whatever they are
  host = host.substr(0, host.find(':'));
  if (host == "localhost") return true;
  const auto numeric = [](char c) { return (c >= '0' && c <= '9') || c == '.'; };
  return !host.empty() && std::all_of(host.begin(), host.end(), numeric);
}

}  // namespace tidemark::rpc
