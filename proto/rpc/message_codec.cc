#include "proto/rpc/message_codec.h"

#include <google/protobuf/util/json_util.h>

#include <cctype>
#include <limits>

namespace tidemark::rpc {
namespace {

using google::protobuf::Message;
namespace json = google::protobuf::util;

bool SameText(std::string_view a, std::string_view lower) {
  if (a.size() != lower.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(a[i])) != lower[i]) return false;
  }
  return true;
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// "; charset=utf-8" or nothing: another charset would be another text.
bool AcceptableParameters(std::string_view parameters) {
  while (!parameters.empty()) {
    const size_t end = std::min(parameters.find(';'), parameters.size());
    const std::string_view one = Trimmed(parameters.substr(0, end));
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
    const size_t equals = std::min(one.find('='), one.size());
    if (!SameText(one.substr(0, equals), "charset")) continue;
    const std::string_view charset = one.substr(std::min(equals + 1, one.size()));
    if (!SameText(charset, "utf-8") && !SameText(charset, "\"utf-8\"")) return false;
  }
  return true;
}

constexpr ContentType kContentTypes[] = {
    {Codec::kProto, false}, {Codec::kJson, false}, {Codec::kProto, true}, {Codec::kJson, true}};

}  // namespace

const char* ContentTypeName(ContentType type) {
  if (type.stream)
    return type.codec == Codec::kProto ? "application/connect+proto" : "application/connect+json";
  return type.codec == Codec::kProto ? "application/proto" : "application/json";
}

std::optional<ContentType> ParseContentType(std::string_view header) {
  const size_t semicolon = std::min(header.find(';'), header.size());
  const std::string_view name = Trimmed(header.substr(0, semicolon));
  const std::string_view parameters = header.substr(std::min(semicolon + 1, header.size()));
  for (const ContentType type : kContentTypes) {
    if (!SameText(name, ContentTypeName(type))) continue;
    if (!AcceptableParameters(parameters)) return std::nullopt;
    return type;
  }
  return std::nullopt;
}

Result<std::string> EncodeMessage(Codec codec, const Message& message) {
  std::string bytes;
  const std::string name = message.GetDescriptor()->full_name();
  if (message.ByteSizeLong() > std::numeric_limits<int>::max())
    return Status(Code::kIo, "a " + name + " is longer than a message may be");
  if (codec == Codec::kProto) {
    if (!message.SerializeToString(&bytes)) return Status(Code::kIo, "cannot write a " + name);
    return bytes;
  }
  const auto written = json::MessageToJsonString(message, &bytes);
  if (!written.ok())
    return Status(Code::kIo, "cannot write a " + name + " as JSON: " + written.ToString());
  return bytes;
}

Status DecodeMessage(Codec codec, std::string_view bytes, Message* message) {
  const std::string name = message->GetDescriptor()->full_name();
  message->Clear();
  if (bytes.size() > std::numeric_limits<int>::max())
    return Status(Code::kUsage, "a " + name + " is longer than a message may be");
  if (codec == Codec::kProto) {
    if (message->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return OkStatus();
    return Status(Code::kCorruption, "not a " + name + " in protobuf's form");
  }
  json::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  const auto read = json::JsonStringToMessage({bytes.data(), bytes.size()}, message, options);
  if (read.ok()) return OkStatus();
  return Status(Code::kCorruption, "not a " + name + " in JSON: " + read.ToString());
}

}  // namespace tidemark::rpc
