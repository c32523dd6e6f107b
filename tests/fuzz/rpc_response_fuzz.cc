// What a peer can send to a client: HTTP heads and bodies, error JSON, compressed messages,
// envelopes, cut anywhere. No crash, no memory beyond the limits, and: how the bytes of a
// whole answer are cut makes no difference to what is made of them.
//
// The input's first byte chooses how it is cut and what the call was, the rest is what comes.
#include <google/protobuf/wrappers.pb.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "proto/rpc/connect_answer.h"
#include "proto/rpc/http_response.h"

namespace tidemark::rpc {
namespace {

using google::protobuf::StringValue;

constexpr uint32_t kMessageBytesMax = 64 << 10;

struct Outcome {
  bool spoke_http = true;
  bool whole = false;
  HttpHead head;
  std::string body;
};

Outcome Read(std::string_view bytes, size_t piece_bytes) {
  HttpResponseReader reader;
  Outcome outcome;
  while (!bytes.empty() && outcome.spoke_http) {
    const std::string_view piece = bytes.substr(0, piece_bytes);
    bytes.remove_prefix(piece.size());
    outcome.spoke_http = reader.Feed(piece, &outcome.body).ok();
  }
  if (outcome.spoke_http) outcome.whole = reader.FeedEnd().ok();
  TM_CHECK(!reader.done() || reader.head_done());
  TM_CHECK(!reader.reusable() || reader.done());
  outcome.head = reader.head();
  TM_CHECK(outcome.head.fields.size() <= kHttpFieldsMax);
  return outcome;
}

// What goes to a terminal.
void CheckText(const Status& status) {
  for (const char c : status.message() + status.hint())
    TM_CHECK(static_cast<unsigned char>(c) >= 0x20 || c == '\n' || c == '\t');
}

void TryUnary(const Outcome& outcome, const AnswerContext& context) {
  StringValue message;
  if (!CheckBodyLength(outcome.head, context).ok()) return;
  CheckText(JudgeUnary(outcome.head, outcome.body, context, &message).status);
  TM_CHECK(message.value().size() <= kMessageBytesMax);
}

void TryStream(const Outcome& outcome, const AnswerContext& context, size_t piece_bytes) {
  if (!IsStream(outcome.head)) {
    const Verdict refused = RefusedStream(outcome.head, outcome.body, context);
    TM_CHECK(!refused.status.ok());
    CheckText(refused.status);
  }
  StreamAnswer stream(outcome.head, context);
  std::string_view body = outcome.body;
  StringValue message;
  for (;;) {
    const auto state = stream.Next(&message);
    if (!state.ok()) CheckText(state.error());
    if (!state.ok() || *state == StreamAnswer::State::kEnd) break;
    if (*state == StreamAnswer::State::kMessage) continue;
    if (body.empty()) return TM_CHECK(!stream.ended());
    stream.Append(body.substr(0, piece_bytes));
    body.remove_prefix(std::min(piece_bytes, body.size()));
  }
}

}  // namespace
}  // namespace tidemark::rpc

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tidemark::rpc;
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece_bytes = size_t{1} + (data[0] & 0x3f);
  const AnswerContext context{"peer:1", "test.v1.Echo/Get", kMessageBytesMax};
  const Outcome whole = Read(bytes, std::max<size_t>(bytes.size(), 1));
  const Outcome pieces = Read(bytes, piece_bytes);
  // (Beast may find a malformed head malformed at once or, in pieces, only when it ends.)
  TM_CHECK(whole.whole == pieces.whole);
  if (whole.whole) TM_CHECK(whole.body == pieces.body && whole.head.fields == pieces.head.fields);
  if (data[0] & 0x40) {
    TryUnary(whole, context);
  } else {
    TryStream(whole, context, piece_bytes);
  }
  // The same, without the HTTP in front: so that the fuzzer need not invent it.
  Outcome made;
  made.head.status = data[0] & 0x80 ? 200 : 503;
  const bool unary = data[0] & 0x40;
  made.head.fields = {
      {"content-type", made.head.status != 200 ? "application/json"
                       : unary                 ? "application/proto"
                                               : "application/connect+proto"},
      {unary ? "content-encoding" : "connect-content-encoding", data[0] & 1 ? "gzip" : "zstd"}};
  made.body = bytes;
  unary ? TryUnary(made, context) : TryStream(made, context, piece_bytes);
  return 0;
}
