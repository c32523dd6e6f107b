// What a server's HTTP answer to a call means: the response message, or the error that the server
// (or whatever else it was that answered) gives. Pure: bytes and heads in, messages and Status out.
//
// Hostile input throughout: lengths and what is expanded have limits, and text that goes to a
// terminal is cleaned of control characters. One thread.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/rpc/compression.h"
#include "proto/rpc/envelope.h"
#include "proto/rpc/http_response.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

inline constexpr size_t kErrorBodyBytesMax = 1 << 20;  // of an error, or of a stream's end
inline constexpr size_t kErrorTextBytesMax = 16 << 10;

struct AnswerContext {
  std::string where;   // "127.0.0.1:8443"
  std::string method;  // "tidemark.v1.ArchiveService/GetStatus"
  uint32_t message_bytes_max = 0;
};

// A call's end. `retryable`: the same call may well succeed in a moment.
struct Verdict {
  Status status;
  bool retryable = false;
};

// How many bytes of body an answer may have: what is longer need not be read. Of an error's body
// the front is enough (JudgeUnary and RefusedStream take it as it is).
uint64_t BodyBytesMax(const HttpHead& head, const AnswerContext& context);
// kCorruption if the head already says that the body is longer than that.
Status CheckBodyLength(const HttpHead& head, const AnswerContext& context);
// Of a message, or of anything else, that is too long.
Status TooLong(const AnswerContext& context);

// A unary call's whole answer. Fills `response` if the status is OK.
Verdict JudgeUnary(const HttpHead& head, std::string_view body, const AnswerContext& context,
                   google::protobuf::Message* response);

// Whether the head is that of a stream. If not, the call is over, and RefusedStream says why.
bool IsStream(const HttpHead& head);
Verdict RefusedStream(const HttpHead& head, std::string_view body, const AnswerContext& context);

// A stream's body, in the order in which it comes.
class StreamAnswer {
 public:
  using Metadata = std::vector<std::pair<std::string, std::string>>;
  enum class State : uint8_t { kMessage, kNeedsBytes, kEnd };

  StreamAnswer(const HttpHead& head, AnswerContext context);

  void Append(std::string_view bytes) { envelopes_.Append(bytes); }
  // kEnd: the server said so; nothing is missing. Its error, if it ended with one, and errors of
  // the stream itself stay.
  Result<State> Next(google::protobuf::Message* message);
  const Metadata& metadata() const {
    return metadata_;
  }  // once kEnd or the server's error is there
  bool ended() const { return ended_; }

 private:
  Result<State> Take(Envelope envelope, google::protobuf::Message* message);
  Result<State> TakeEnd(std::string_view json);
  Status Malformed(const Status& why) const;

  AnswerContext context_;
  EnvelopeReader envelopes_;
  std::string encoding_;
  Metadata metadata_;
  bool ended_ = false;
  Status failed_;
};

}  // namespace tidemark::rpc
