// The five bytes in front of each message of a Connect stream: flags, length (big-endian), payload.
//
// Worked example: 00 00000003 08 96 01 is an uncompressed message of three bytes.
// EnvelopeReader is a value of one thread; its memory is bounded by its limit and what is appended.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark::rpc {

inline constexpr size_t kEnvelopeHeaderSize = 5;
inline constexpr uint8_t kEnvelopeCompressed = 1;  // by the stream's Connect-Content-Encoding
inline constexpr uint8_t kEnvelopeEndStream = 2;   // the last one: EncodeEndStream of rpc_error.h

struct Envelope {
  uint8_t flags = 0;
  std::string payload;
  bool compressed() const { return flags & kEnvelopeCompressed; }
  bool end_stream() const { return flags & kEnvelopeEndStream; }
};

// `payload` must be shorter than 4 GiB.
void AppendEnvelope(uint8_t flags, std::string_view payload, std::string* to);

// Bytes in as they come, envelopes out. Append only when Next has nothing, and memory stays within
// one message and one append.
class EnvelopeReader {
 public:
  explicit EnvelopeReader(size_t message_bytes_max) : message_bytes_max_(message_bytes_max) {}

  void Append(std::string_view bytes);
  // Nothing: more bytes are needed. kUsage: longer than the limit, told as soon as the length is
  // there. kCorruption: unknown flags, or anything behind the end of the stream. An error stays.
  Result<std::optional<Envelope>> Next();
  // After the last byte: kTruncated in the middle of an envelope.
  Status Finish() const;

 private:
  const size_t message_bytes_max_;
  std::string buffer_;
  size_t taken_ = 0;  // of buffer_
  bool ended_ = false;
};

}  // namespace tidemark::rpc
