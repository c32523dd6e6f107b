#include "proto/rpc/connect_answer.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

#include "proto/rpc/message_codec.h"
#include "proto/rpc/rpc_error.h"

namespace tidemark::rpc {
namespace {

constexpr size_t kCompressionSlackBytes = 64 << 10;  // what does not compress grows a little
constexpr size_t kTitleBytesMax = 80;
constexpr size_t kTypeBytesMax = 60;
constexpr size_t kMetadataBytesMax = 64 << 10;
constexpr const char* kPortHint =
    "is it the address of a tidemarkd's RPC, without a proxy between?";
constexpr const char* kTokenHint =
    "give a token that it knows (--server-token-file, TIDEMARK_TOKEN)";

// For a terminal: no control characters (C0, DEL, and C1 as UTF-8 has them) but line ends and tabs.
std::string Clean(std::string_view text, size_t bytes_max = kErrorTextBytesMax) {
  std::string valid = ValidUtf8(text.substr(0, bytes_max));
  std::string clean;
  clean.reserve(valid.size());
  for (size_t i = 0; i < valid.size(); ++i) {
    const auto byte = static_cast<unsigned char>(valid[i]);
    const bool c1 = byte == 0xc2 && static_cast<unsigned char>(valid[i + 1]) < 0xa0;
    if (c1) ++i;
    const bool control = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f || c1;
    clean += control ? '?' : valid[i];
  }
  return clean;
}

std::string OneLine(std::string_view text, size_t bytes_max) {
  std::string line = Clean(text, bytes_max);
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

// Of an HTML page, which proxies like to send.
std::string Title(std::string_view body) {
  constexpr std::string_view kBegin = "<title>";
  const size_t begin = body.find(kBegin);
  if (begin == std::string_view::npos) return {};
  body.remove_prefix(begin + kBegin.size());
  return OneLine(body.substr(0, body.find('<')), kTitleBytesMax);
}

// The body as it was before its encoding.
Result<std::string> Decoded(std::string_view encoding, std::string_view body, size_t bytes_max) {
  const std::optional<Compression> compression = CompressionByName(encoding);
  if (!compression)
    return Status(Code::kCorruption, "it is in encoding '" + OneLine(encoding, kTypeBytesMax) +
                                         "', which nobody asked for");
  return Decompress(*compression, body, bytes_max);
}

// What the server's own error means to us.
Verdict FromServer(RpcError error, const AnswerContext& context) {
  const bool retryable = error.code == RpcCode::kUnavailable || error.code == RpcCode::kCanceled;
  // Interrupted is what *we* are by a signal; a server that gives up is one that does not answer.
  if (error.code == RpcCode::kDeadlineExceeded)
    return {Status(Code::kSourceUnavailable,
                   context.where + " did not finish " + context.method + " in time",
                   "allow more time, or ask for less at once")};
  const Status status = ToStatus(error);
  if (status.code() == Code::kInterrupted)
    return {Status(Code::kSourceUnavailable,
                   context.where + " gave up the call: " + Clean(status.message()),
                   "is it being stopped?"),
            retryable};
  std::string hint = Clean(status.hint());
  if (hint.empty() && error.code == RpcCode::kUnauthenticated) hint = kTokenHint;
  if (hint.empty() && error.code == RpcCode::kPermissionDenied)
    hint = "this needs a token of a higher role";
  if (hint.empty() && error.code == RpcCode::kUnimplemented && error.details.empty())
    hint = "the server may be older than this program";
  return {Status(status.code(), Clean(status.message()), std::move(hint)), retryable};
}

Verdict FromHttp(const HttpHead& head, std::string_view body, const AnswerContext& context) {
  const int status = head.status;
  const std::string title = Title(body);
  const std::string said = context.where + " answers with HTTP " + std::to_string(status) +
                           (title.empty() ? "" : " (" + title + ")");
  if (status / 100 == 3)
    return {
        Status(Code::kSourceRefused,
               said + ", a redirection to " + OneLine(head.Field("location"), kErrorTextBytesMax),
               "name that server instead, if it is the one")};
  if (status == 401)
    return {Status(Code::kSourceRefused, said + ": it wants to know who we are", kTokenHint)};
  if (status == 403) return {Status(Code::kSourceRefused, said + ": we may not", kTokenHint)};
  if (status == 400 && body.find("HTTPS") != std::string_view::npos)
    return {Status(Code::kSourceRefused, said + ": it wants TLS",
                   "do without plain text (--server-plaintext), or name its authority "
                   "(--server-ca-file)")};
  if (RpcCodeOfHttpStatus(status) == RpcCode::kUnavailable)
    return {Status(Code::kSourceUnavailable, said,
                   "a proxy that does not reach the server, or one that is busy"),
            true};
  if (status / 100 == 5) return {Status(Code::kSourceUnavailable, said, kPortHint)};
  return {Status(Code::kSourceRefused, said + ", not as a Tidemark server does", kPortHint)};
}

// An answer that is none: an error of the server, or of something before it.
Verdict Refused(const HttpHead& head, std::string_view body, const AnswerContext& context) {
  const auto type = ParseContentType(head.Field("content-type"));
  if (type != ContentType{Codec::kJson, false}) return FromHttp(head, body, context);
  const Result<std::string> text =
      Decoded(head.Field("content-encoding"), body, kErrorBodyBytesMax);
  if (!text.ok() || text->size() > kErrorBodyBytesMax) return FromHttp(head, {}, context);
  Result<RpcError> error = DecodeErrorJson(*text);
  if (!error.ok()) return FromHttp(head, *text, context);
  // A "code" of somebody else's: what HTTP says is clearer.
  if (error->code == RpcCode::kUnknown && error->details.empty() &&
      head.status != HttpStatusOf(RpcCode::kUnknown))
    error->code = RpcCodeOfHttpStatus(head.status);
  return FromServer(std::move(*error), context);
}

Status WrongType(const HttpHead& head, const AnswerContext& context) {
  const std::string type = OneLine(head.MediaType(), kTypeBytesMax);
  return Status(Code::kSourceRefused,
                context.where + " answers " + context.method + " with " +
                    (type.empty() ? "something without a type" : type) +
                    ", not as a Tidemark server does",
                kPortHint);
}

// Of the end-of-stream message; what is not as it should be is left out.
StreamAnswer::Metadata MetadataOf(std::string_view text) {
  StreamAnswer::Metadata metadata;
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  const auto at = json.is_object() ? json.find("metadata") : json.end();
  if (at == json.end() || !at->is_object()) return metadata;
  size_t bytes = 0;
  for (const auto& [name, values] : at->items()) {
    if (!values.is_array()) continue;
    for (const auto& value : values) {
      if (!value.is_string()) continue;
      metadata.emplace_back(name, value.get<std::string>());
      bytes += name.size() + metadata.back().second.size();
      if (bytes > kMetadataBytesMax) return {};
    }
  }
  return metadata;
}

}  // namespace

uint64_t BodyBytesMax(const HttpHead& head, const AnswerContext& context) {
  return head.status == 200 ? uint64_t{context.message_bytes_max} + kCompressionSlackBytes
                            : kErrorBodyBytesMax;
}

Status TooLong(const AnswerContext& context) {
  return Status(Code::kCorruption, context.where + " answers " + context.method +
                                       " with a message of more than " +
                                       std::to_string(context.message_bytes_max) + " bytes");
}

Status CheckBodyLength(const HttpHead& head, const AnswerContext& context) {
  const std::string_view text = head.Field("content-length");
  uint64_t length = 0;
  std::from_chars(text.data(), text.data() + text.size(), length);
  if (head.status != 200 || length <= BodyBytesMax(head, context)) return OkStatus();
  return TooLong(context);
}

Verdict JudgeUnary(const HttpHead& head, std::string_view body, const AnswerContext& context,
                   google::protobuf::Message* response) {
  if (head.status != 200) return Refused(head, body, context);
  if (ParseContentType(head.Field("content-type")) != ContentType{Codec::kProto, false})
    return {WrongType(head, context)};
  const Result<std::string> bytes =
      Decoded(head.Field("content-encoding"), body, context.message_bytes_max);
  if (!bytes.ok() && bytes.error().code() == Code::kUsage) return {TooLong(context)};
  Status decoded = bytes.ok() ? OkStatus() : bytes.error();
  if (decoded.ok() && bytes->size() > context.message_bytes_max) return {TooLong(context)};
  if (decoded.ok()) decoded = DecodeMessage(Codec::kProto, *bytes, response);
  if (decoded.ok()) return {};
  return {Status(Code::kCorruption, context.where + " answers " + context.method +
                                        " with what cannot be read: " + decoded.message())};
}

bool IsStream(const HttpHead& head) {
  return head.status == 200 &&
         ParseContentType(head.Field("content-type")) == ContentType{Codec::kProto, true};
}

Verdict RefusedStream(const HttpHead& head, std::string_view body, const AnswerContext& context) {
  if (head.status == 200) return {WrongType(head, context)};
  return Refused(head, body, context);
}

StreamAnswer::StreamAnswer(const HttpHead& head, AnswerContext context)
    : context_(std::move(context)),
      envelopes_(context_.message_bytes_max),
      encoding_(head.Field("connect-content-encoding")) {
  const auto compression = CompressionByName(head.Field("content-encoding"));
  if (compression != Compression::kIdentity)
    failed_ = Malformed(Status(Code::kCorruption, "it is compressed as a whole"));
}

Status StreamAnswer::Malformed(const Status& why) const {
  return Status(Code::kCorruption, "the stream of " + context_.method + " from " + context_.where +
                                       " cannot be read: " + why.message());
}

Result<StreamAnswer::State> StreamAnswer::Next(google::protobuf::Message* message) {
  if (!failed_.ok()) return failed_;
  Result<std::optional<Envelope>> envelope = envelopes_.Next();
  if (!envelope.ok()) return failed_ = Malformed(envelope.error());
  if (!*envelope) return ended_ ? State::kEnd : State::kNeedsBytes;
  Result<State> state = Take(std::move(**envelope), message);
  if (!state.ok()) failed_ = state.error();
  return state;
}

Result<StreamAnswer::State> StreamAnswer::Take(Envelope envelope,
                                               google::protobuf::Message* message) {
  const size_t bytes_max = envelope.end_stream() ? kErrorBodyBytesMax : context_.message_bytes_max;
  if (envelope.payload.size() > bytes_max)
    return Malformed(Status(Code::kCorruption, "its end is too long"));
  if (envelope.compressed()) {
    if (CompressionByName(encoding_).value_or(Compression::kIdentity) == Compression::kIdentity)
      return Malformed(Status(Code::kCorruption, "a message is compressed, and nothing says how"));
    Result<std::string> expanded = Decoded(encoding_, envelope.payload, bytes_max);
    if (!expanded.ok()) return Malformed(expanded.error());
    envelope.payload = std::move(*expanded);
  }
  if (envelope.end_stream()) return TakeEnd(envelope.payload);
  if (const Status decoded = DecodeMessage(Codec::kProto, envelope.payload, message); !decoded.ok())
    return Malformed(decoded);
  return State::kMessage;
}

Result<StreamAnswer::State> StreamAnswer::TakeEnd(std::string_view json) {
  Result<std::optional<RpcError>> end = DecodeEndStream(json);
  if (!end.ok()) return Malformed(end.error());
  ended_ = true;
  metadata_ = MetadataOf(json);
  if (*end) return FromServer(std::move(**end), context_).status;
  return State::kEnd;
}

}  // namespace tidemark::rpc
