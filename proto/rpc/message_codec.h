// Messages as bytes, in the form that a content type names: protobuf's own, or JSON.
//
// JSON is protobuf's mapping (protobuf.dev, "ProtoJSON Format"). Unknown fields are let pass in
// both forms, as connect-go and connect-es do: a newer client may talk to an older server.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark::rpc {

enum class Codec : uint8_t { kProto, kJson };

struct ContentType {
  Codec codec = Codec::kProto;
  bool stream = false;
  friend bool operator==(const ContentType&, const ContentType&) = default;
};

// application/proto, application/json, application/connect+proto, application/connect+json; case
// does not matter, parameters may follow ("; charset=utf-8", the only charset).
std::optional<ContentType> ParseContentType(std::string_view header);
const char* ContentTypeName(ContentType type);

// kIo: cannot be written (longer than 2 GiB). Strings must be UTF-8: in JSON, what is not is left
// out; in protobuf's form it is written as it is, and the other side refuses the message.
Result<std::string> EncodeMessage(Codec codec, const google::protobuf::Message& message);
// Replaces what is in `message`. kCorruption: not such a message.
Status DecodeMessage(Codec codec, std::string_view bytes, google::protobuf::Message* message);

}  // namespace tidemark::rpc
