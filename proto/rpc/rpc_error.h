// Errors as the Connect protocol has them, and the way between them and our own Status.
//
// A Status becomes an RpcError with the nearest of Connect's sixteen codes, and carries a
// tidemark.v1.ErrorDetail, so that the other side gets the very same Status back. What the
// transport itself refuses (a token, a length) has no such detail: there Connect's code says all.
// Text that is not UTF-8 (a file's name) has U+FFFD in place of what is not. Pure functions; input
// is hostile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "replication/base/status.h"

namespace tidemark::rpc {

// Connect's codes, numbered as gRPC's (connectrpc.com, "Connect Protocol Reference", Error Codes).
enum class RpcCode : uint8_t {
  kCanceled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

const char* RpcCodeName(RpcCode code);  // "invalid_argument"
std::optional<RpcCode> RpcCodeByName(std::string_view name);
int HttpStatusOf(RpcCode code);  // of a unary call's answer
// What an answer means that is not Connect's: a proxy's, say.
RpcCode RpcCodeOfHttpStatus(int status);

struct RpcError {
  struct Detail {
    std::string type;   // a message's full name, "tidemark.v1.ErrorDetail"
    std::string value;  // that message, serialized
  };
  RpcCode code = RpcCode::kUnknown;
  std::string message;
  std::vector<Detail> details;
};

// `error` must not be OK. kInterrupted is canceled, or deadline_exceeded if that is what it was.
RpcError ToRpcError(const Status& error, bool deadline_passed = false);
// Never OK. Without an ErrorDetail that we know, the class nearest to Connect's code.
Status ToStatus(const RpcError& error);
// For errors of envelope.h, compression.h and message_codec.h: what the other side sent was too
// long (kUsage there: resource_exhausted), of a kind that we do not take (kUnsupportedFormat:
// unimplemented), or is not what it should be (invalid_argument).
RpcError PeerError(const Status& error);

// {"code":"not_found","message":"…","details":[{"type":"…","value":"<base64>"}]}
std::string EncodeErrorJson(const RpcError& error);
// kCorruption: not an object, or without a code. A code that is not Connect's is kUnknown; details
// that cannot be read are left out: the error itself must get through.
Result<RpcError> DecodeErrorJson(std::string_view json);

// The message in a stream's last envelope: {} or {"error":{…}}.
std::string EncodeEndStream(const std::optional<RpcError>& error);
Result<std::optional<RpcError>> DecodeEndStream(std::string_view json);

// `text` with U+FFFD in place of each byte that is not part of valid UTF-8.
std::string ValidUtf8(std::string_view text);

}  // namespace tidemark::rpc
