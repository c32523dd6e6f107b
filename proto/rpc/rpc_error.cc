#include "proto/rpc/rpc_error.h"

#include <openssl/evp.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "tidemark/v1/error.pb.h"

namespace tidemark::rpc {
namespace {

using nlohmann::json;

struct CodeFacts {
  RpcCode code;
  const char* name;
  int http_status;
};

// connectrpc.com, "Connect Protocol Reference", Error Codes.
constexpr std::array<CodeFacts, 16> kCodes{{
    {RpcCode::kCanceled, "canceled", 499},
    {RpcCode::kUnknown, "unknown", 500},
    {RpcCode::kInvalidArgument, "invalid_argument", 400},
    {RpcCode::kDeadlineExceeded, "deadline_exceeded", 504},
    {RpcCode::kNotFound, "not_found", 404},
    {RpcCode::kAlreadyExists, "already_exists", 409},
    {RpcCode::kPermissionDenied, "permission_denied", 403},
    {RpcCode::kResourceExhausted, "resource_exhausted", 429},
    {RpcCode::kFailedPrecondition, "failed_precondition", 400},
    {RpcCode::kAborted, "aborted", 409},
    {RpcCode::kOutOfRange, "out_of_range", 400},
    {RpcCode::kUnimplemented, "unimplemented", 501},
    {RpcCode::kInternal, "internal", 500},
    {RpcCode::kUnavailable, "unavailable", 503},
    {RpcCode::kDataLoss, "data_loss", 500},
    {RpcCode::kUnauthenticated, "unauthenticated", 401},
}};

const CodeFacts& FactsOf(RpcCode code) {
  const size_t at = static_cast<size_t>(code) - 1;
  TM_CHECK(at < kCodes.size());
  return kCodes[at];
}

// There: Code -> RpcCode.
RpcCode NearestRpcCode(Code code, bool deadline_passed) {
  switch (code) {
    case Code::kUsage: return RpcCode::kInvalidArgument;
    case Code::kNotFound: return RpcCode::kNotFound;
    case Code::kUnreachableTarget:
    case Code::kGap:
    case Code::kDivergence:
    case Code::kTargetRefused:
    case Code::kBadBackup:
    case Code::kEndStateNotReached:
    case Code::kSourceRefused: return RpcCode::kFailedPrecondition;
    case Code::kCorruption:
    case Code::kTruncated: return RpcCode::kDataLoss;
    case Code::kUnsupportedFormat: return RpcCode::kUnimplemented;
    case Code::kLocked: return RpcCode::kAborted;
    case Code::kSourceUnavailable: return RpcCode::kUnavailable;
    case Code::kInterrupted:
      return deadline_passed ? RpcCode::kDeadlineExceeded : RpcCode::kCanceled;
    case Code::kDiskFull: return RpcCode::kResourceExhausted;
    case Code::kEndOfData: return RpcCode::kOutOfRange;
    case Code::kIo:
    case Code::kOk: break;
  }
  return RpcCode::kInternal;
}

// And back, for errors without a detail of ours.
Code NearestCode(RpcCode code) {
  switch (code) {
    case RpcCode::kInvalidArgument:
    case RpcCode::kAlreadyExists: return Code::kUsage;
    case RpcCode::kNotFound:
    case RpcCode::kOutOfRange: return Code::kNotFound;
    case RpcCode::kCanceled:
    case RpcCode::kDeadlineExceeded: return Code::kInterrupted;
    case RpcCode::kUnauthenticated:
    case RpcCode::kPermissionDenied:
    case RpcCode::kFailedPrecondition: return Code::kSourceRefused;
    case RpcCode::kUnimplemented: return Code::kUnsupportedFormat;
    case RpcCode::kAborted: return Code::kLocked;
    case RpcCode::kUnavailable:
    case RpcCode::kResourceExhausted: return Code::kSourceUnavailable;
    case RpcCode::kDataLoss: return Code::kCorruption;
    case RpcCode::kInternal:
    case RpcCode::kUnknown: break;
  }
  return Code::kIo;
}

std::optional<Code> CodeByName(std::string_view name) {
  for (uint8_t value = 1; value <= static_cast<uint8_t>(Code::kIo); ++value) {
    if (name == CodeName(static_cast<Code>(value))) return static_cast<Code>(value);
  }
  return std::nullopt;
}

// Connect's details have no padding.
std::string ToBase64(std::string_view bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<size_t>(size));
  while (text.ends_with('=')) text.pop_back();
  return text;
}

std::optional<std::string> FromBase64(std::string text) {
  while (text.ends_with('=')) text.pop_back();
  const size_t size = text.size() / 4 * 3 + (text.size() % 4 ? text.size() % 4 - 1 : 0);
  if (text.size() % 4 == 1) return std::nullopt;
  if (text.empty()) return std::string();
  text.resize((text.size() + 3) / 4 * 4, 'A');
  // OpenSSL lets white space and padding pass, which would put the lengths above in the wrong.
  if (text.find_first_of(" \t\r\n\v\f=-") != std::string::npos) return std::nullopt;
  std::string bytes(text.size() / 4 * 3, '\0');
  const int decoded = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                      reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size()));
  if (decoded < 0 || static_cast<size_t>(decoded) < size) return std::nullopt;
  bytes.resize(size);
  return bytes;
}

json ToJson(const RpcError& error) {
  json object = {{"code", RpcCodeName(error.code)}};
  if (!error.message.empty()) object["message"] = ValidUtf8(error.message);
  for (const RpcError::Detail& detail : error.details) {
    object["details"].push_back({{"type", detail.type}, {"value", ToBase64(detail.value)}});
  }
  return object;
}

std::string Text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string StringAt(const json& object, const char* key) {
  const auto at = object.find(key);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::optional<RpcError> FromJson(const json& object) {
  if (!object.is_object() || !object.contains("code")) return std::nullopt;
  RpcError error;
  error.code = RpcCodeByName(StringAt(object, "code")).value_or(RpcCode::kUnknown);
  error.message = StringAt(object, "message");
  const auto details = object.find("details");
  if (details == object.end() || !details->is_array()) return error;
  for (const json& detail : *details) {
    if (!detail.is_object()) continue;
    std::optional<std::string> value = FromBase64(StringAt(detail, "value"));
    if (value) error.details.push_back({StringAt(detail, "type"), std::move(*value)});
  }
  return error;
}

json Parse(std::string_view text) {
  return json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

// How many bytes of valid UTF-8 stand at the front of `text` as one character; 0: none.
// Unicode 15, table 3-7.
size_t CharacterBytes(std::string_view text) {
  const auto byte = [&](size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
  const unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t at = 2; at < size; ++at) {
    if (byte(at) < 0x80 || byte(at) > 0xbf) return 0;
  }
  return size;
}

}  // namespace

const char* RpcCodeName(RpcCode code) { return FactsOf(code).name; }
int HttpStatusOf(RpcCode code) { return FactsOf(code).http_status; }

std::optional<RpcCode> RpcCodeByName(std::string_view name) {
  for (const CodeFacts& facts : kCodes) {
    if (name == facts.name) return facts.code;
  }
  return std::nullopt;
}

// "HTTP to Error Code" of the reference.
RpcCode RpcCodeOfHttpStatus(int status) {
  switch (status) {
    case 400: return RpcCode::kInternal;
    case 401: return RpcCode::kUnauthenticated;
    case 403: return RpcCode::kPermissionDenied;
    case 404: return RpcCode::kUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504: return RpcCode::kUnavailable;
    default: return RpcCode::kUnknown;
  }
}

RpcError ToRpcError(const Status& error, bool deadline_passed) {
  TM_CHECK(!error.ok());
  tidemark::v1::ErrorDetail detail;
  detail.set_code(CodeName(error.code()));
  detail.set_hint(ValidUtf8(error.hint()));
  RpcError result;
  result.code = NearestRpcCode(error.code(), deadline_passed);
  result.message = error.message();
  result.details.push_back({detail.GetDescriptor()->full_name(), detail.SerializeAsString()});
  return result;
}

Status ToStatus(const RpcError& error) {
  Code code = NearestCode(error.code);
  std::string hint;
  for (const RpcError::Detail& detail : error.details) {
    if (detail.type != tidemark::v1::ErrorDetail::descriptor()->full_name()) continue;
    tidemark::v1::ErrorDetail ours;
    if (!ours.ParseFromString(detail.value)) continue;
    code = CodeByName(ours.code()).value_or(code);
    hint = ours.hint();
    break;
  }
  std::string message = error.message;
  if (message.empty()) message = std::string("the server says ") + RpcCodeName(error.code);
  return Status(code, std::move(message), std::move(hint));
}

RpcError PeerError(const Status& error) {
  RpcCode code = RpcCode::kInvalidArgument;
  if (error.code() == Code::kUsage) code = RpcCode::kResourceExhausted;
  if (error.code() == Code::kUnsupportedFormat) code = RpcCode::kUnimplemented;
  return {code, error.message(), {}};
}

std::string EncodeErrorJson(const RpcError& error) { return Text(ToJson(error)); }

Result<RpcError> DecodeErrorJson(std::string_view text) {
  std::optional<RpcError> error = FromJson(Parse(text));
  if (!error) return Status(Code::kCorruption, "an error that is not Connect's JSON");
  return std::move(*error);
}

std::string EncodeEndStream(const std::optional<RpcError>& error) {
  return error ? Text({{"error", ToJson(*error)}}) : "{}";
}

Result<std::optional<RpcError>> DecodeEndStream(std::string_view text) {
  const json object = Parse(text);
  if (!object.is_object()) return Status(Code::kCorruption, "a stream's end is not a JSON object");
  const auto at = object.find("error");
  if (at == object.end() || at->is_null()) return std::optional<RpcError>();
  std::optional<RpcError> error = FromJson(*at);
  if (!error) return Status(Code::kCorruption, "a stream's end has an error without a code");
  return error;
}

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  while (!text.empty()) {
    const size_t size = CharacterBytes(text);
    valid.append(size ? text.substr(0, size) : "\xef\xbf\xbd");
    text.remove_prefix(size ? size : 1);
  }
  return valid;
}

}  // namespace tidemark::rpc
