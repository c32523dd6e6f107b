#include "proto/rpc/envelope.h"

#include <limits>

namespace tidemark::rpc {
namespace {

constexpr uint8_t kKnownFlags = kEnvelopeCompressed | kEnvelopeEndStream;

uint32_t ReadLength(const char* bytes) {
  uint32_t length = 0;
  for (int i = 0; i < 4; ++i) length = length << 8 | static_cast<uint8_t>(bytes[i]);
  return length;
}

}  // namespace

void AppendEnvelope(uint8_t flags, std::string_view payload, std::string* to) {
  TM_CHECK(payload.size() <= std::numeric_limits<uint32_t>::max());
  to->push_back(static_cast<char>(flags));
  for (int shift = 24; shift >= 0; shift -= 8) {
    to->push_back(static_cast<char>(payload.size() >> shift & 0xff));
  }
  to->append(payload);
}

void EnvelopeReader::Append(std::string_view bytes) {
  if (taken_ == buffer_.size() && buffer_.capacity() > message_bytes_max_) buffer_ = {};
  buffer_.erase(0, taken_);
  taken_ = 0;
  buffer_.append(bytes);
}

Result<std::optional<Envelope>> EnvelopeReader::Next() {
  const std::string_view rest = std::string_view(buffer_).substr(taken_);
  if (rest.empty()) return std::optional<Envelope>();
  if (ended_) return Status(Code::kCorruption, "there are bytes behind the end of the stream");
  Envelope envelope;
  envelope.flags = static_cast<uint8_t>(rest.front());
  if (envelope.flags & ~kKnownFlags)
    return Status(Code::kCorruption,
                  "an envelope has unknown flags " + std::to_string(envelope.flags));
  if (rest.size() < kEnvelopeHeaderSize) return std::optional<Envelope>();
  const size_t length = ReadLength(rest.data() + 1);
  if (length > message_bytes_max_)
    return Status(Code::kUsage, "a message of " + std::to_string(length) +
                                    " bytes is longer than " + std::to_string(message_bytes_max_));
  if (rest.size() < kEnvelopeHeaderSize + length) return std::optional<Envelope>();
  envelope.payload = rest.substr(kEnvelopeHeaderSize, length);
  taken_ += kEnvelopeHeaderSize + length;
  ended_ = envelope.end_stream();
  return std::optional<Envelope>(std::move(envelope));
}

Status EnvelopeReader::Finish() const {
  if (taken_ == buffer_.size()) return OkStatus();
  return Status(Code::kTruncated, "the stream ends in the middle of an envelope");
}

}  // namespace tidemark::rpc
