// What a peer of the RPC port may send: an HTTP request, whole and byte by byte; messages in both
// forms (what was read can be written, and read again); and errors, as a server sends them.
#include <google/protobuf/struct.pb.h>
#include <google/protobuf/type.pb.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "proto/rpc/auth.h"
#include "proto/rpc/call_head.h"
#include "proto/rpc/http_request.h"
#include "proto/rpc/message_codec.h"
#include "proto/rpc/rpc_error.h"

namespace {

using tidemark::rpc::Codec;
using tidemark::rpc::HttpRequest;

std::string ReadRequest(std::string_view bytes, size_t step) {
  static const tidemark::rpc::ServiceRegistry registry;
  HttpRequest request(1024);
  std::string input;
  std::string seen;
  for (size_t at = 0; at < bytes.size() && !request.done(); at += step) {
    input.append(bytes.substr(at, step));
    for (;;) {
      const auto put = request.Put(&input);
      if (!put.ok()) return seen + "error";
      if (*put == HttpRequest::Step::kMore) break;
      if (*put == HttpRequest::Step::kHead) {
        (void)tidemark::rpc::ReadCallHead(request, registry);
        seen = std::string(request.method()) + " " + std::string(request.path()) + " " +
               request.Header("Content-Type").value_or("") + (request.keep_alive() ? " k" : " c");
      }
      if (request.done()) break;
    }
  }
  return seen + (request.done() ? " done " + request.TakeBody() : " more");
}

void ReadMessage(std::string_view bytes, Codec codec, google::protobuf::Message* message) {
  if (!tidemark::rpc::DecodeMessage(codec, bytes, message).ok()) return;
  const auto written = tidemark::rpc::EncodeMessage(Codec::kProto, *message);
  TM_CHECK(written.ok());
  const auto json = tidemark::rpc::EncodeMessage(Codec::kJson, *message);
  TM_CHECK(!json.ok() || tidemark::rpc::ValidUtf8(*json) == *json);
}

void ReadError(std::string_view text) {
  const auto error = tidemark::rpc::DecodeErrorJson(text);
  if (!error.ok()) return;
  TM_CHECK(!ToStatus(*error).ok());
  const auto again = tidemark::rpc::DecodeErrorJson(tidemark::rpc::EncodeErrorJson(*error));
  TM_CHECK(again.ok() && again->code == error->code && again->message == error->message);
  TM_CHECK(again->details.size() == error->details.size());
  for (size_t at = 0; at < error->details.size(); ++at) {
    TM_CHECK(again->details[at].value == error->details[at].value);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // However it arrives, it is the same request; only an error may show earlier or later.
  const std::string whole = ReadRequest(bytes, size + 1);
  const std::string cut = ReadRequest(bytes, 1);
  if (whole.find(" done ") != std::string::npos) TM_CHECK(whole == cut);
  static const bool quiet = [] {
    google::protobuf::SetLogHandler(nullptr);
    return true;
  }();
  (void)quiet;
  google::protobuf::Type type;    // nested, repeated, enums, maps' cousins
  google::protobuf::Struct open;  // whatever JSON may hold
  for (const Codec codec : {Codec::kProto, Codec::kJson}) {
    ReadMessage(bytes, codec, &type);
    ReadMessage(bytes, codec, &open);
  }
  ReadError(bytes);
  (void)tidemark::rpc::DecodeEndStream(bytes);
  (void)tidemark::rpc::ParseContentType(bytes);
  (void)tidemark::rpc::ChooseCompression(bytes);
  (void)tidemark::rpc::IsLocalHostName(bytes);
  const auto list = tidemark::rpc::AccessList::Parse(bytes, "fuzzed");
  if (list.ok()) (void)list->Identify({std::string(bytes), "", tidemark::rpc::Role::kNone});
  return 0;
}
