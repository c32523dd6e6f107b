#include "replication/event/control_events.h"

#include <array>
#include <charconv>

#include "replication/base/checksum.h"

namespace tidemark {
namespace {

constexpr size_t kServerVersionSize = 50;
constexpr size_t kFlagsOffset = 17;
constexpr size_t kSizeOffset = 9;
constexpr size_t kFileNameSizeMax = 512;  // FN_REFLEN
constexpr uint16_t kBinlogVersion = 4;

// Field numbers of Heartbeat_v2 (libs/mysql/binlog/event/codecs/binary.h).
constexpr uint64_t kHeartbeatEnd = 0;
constexpr uint64_t kHeartbeatFile = 1;
constexpr uint64_t kHeartbeatPosition = 2;

Status Malformed(const char* what) {
  return {Code::kCorruption, std::string("malformed ") + what + " event"};
}

// Checksums came with 5.6.1.
bool HasChecksums(std::string_view version) {
  std::array<int, 3> part{};
  const char* at = version.data();
  const char* end = at + version.size();
  for (int& number : part) {
    auto [next, error] = std::from_chars(at, end, number);
    if (error != std::errc()) return false;
    at = next;
    if (at != end && *at == '.') ++at;
  }
  return part >= std::array<int, 3>{5, 6, 1};
}

void Patch32(std::string* event, size_t offset, uint64_t value) {
  for (size_t i = 0; i < 4; ++i) (*event)[offset + i] = static_cast<char>(value >> (8 * i));
}

}  // namespace

Bytes EventBody(Bytes event, ChecksumAlgorithm checksum) {
  const size_t outside = kEventHeaderSize + ChecksumSizeOf(checksum);
  if (event.size() < outside) return {};
  return event.subspan(kEventHeaderSize, event.size() - outside);
}

bool EventChecksumMatches(Bytes event) {
  if (event.size() < kEventHeaderSize + kChecksumSize) return false;
  const Bytes covered = event.first(event.size() - kChecksumSize);
  uint32_t computed = 0;
  const bool in_use = ReadEventHeader(event.data()).type == EventType::kFormatDescription &&
                      (event[kFlagsOffset] & kEventFlagBinlogInUse) != 0;
  if (in_use) [[unlikely]] {
    const uint8_t flags = event[kFlagsOffset] & static_cast<uint8_t>(~kEventFlagBinlogInUse);
    computed = Crc32(0, covered.first(kFlagsOffset));
    computed = Crc32(computed, Bytes(&flags, 1));
    computed = Crc32(computed, covered.subspan(kFlagsOffset + 1));
  } else {
    computed = Crc32(0, covered);
  }
  return computed == LoadLittleEndian(event.data() + covered.size(), kChecksumSize);
}

Result<FormatDescription> ParseFormatDescription(Bytes event) {
  if (event.size() < kEventHeaderSize) return Malformed("format description");
  ByteReader reader(event.subspan(kEventHeaderSize));
  FormatDescription description;
  description.binlog_version = reader.U16();
  const std::string_view version = AsText(reader.Take(kServerVersionSize));
  description.server_version = version.substr(0, version.find('\0'));
  description.created = reader.U32();
  const uint8_t header_size = reader.U8();
  if (!reader.ok()) return Malformed("format description");
  if (description.binlog_version != kBinlogVersion || header_size != kEventHeaderSize) {
    return Status(Code::kUnsupportedFormat,
                  "binary log version " + std::to_string(description.binlog_version) +
                      " with headers of " + std::to_string(header_size) +
                      " bytes is not supported (wanted: version 4, 19 bytes)");
  }
  if (!HasChecksums(description.server_version)) {
    return Status(Code::kUnsupportedFormat, "binary logs of server version '" +
                                                description.server_version +
                                                "' are not supported (wanted: 5.6.1 on)");
  }
  if (reader.remaining() < 1 + kChecksumSize) return Malformed("format description");
  const uint8_t algorithm = event[event.size() - kChecksumSize - 1];
  if (algorithm > static_cast<uint8_t>(ChecksumAlgorithm::kCrc32)) {
    return Status(Code::kUnsupportedFormat, "unknown checksum algorithm " +
                                                std::to_string(algorithm) +
                                                " in a format description event");
  }
  description.checksum = static_cast<ChecksumAlgorithm>(algorithm);
  return description;
}

Result<Rotate> ParseRotate(Bytes body) {
  ByteReader reader(body);
  Rotate rotate;
  rotate.position = reader.U64();
  if (!reader.ok() || reader.remaining() == 0 || reader.remaining() > kFileNameSizeMax)
    return Malformed("rotate");
  rotate.next_file = AsText(reader.Rest());
  return rotate;
}

Result<GtidSet> ParsePreviousGtids(Bytes body) { return GtidSet::Decode(body); }

Result<Heartbeat> ParseHeartbeat(const EventHeader& header, Bytes body) {
  Heartbeat heartbeat;
  if (header.type == EventType::kHeartbeat) {
    if (body.empty() || body.size() > kFileNameSizeMax) return Malformed("heartbeat");
    return Heartbeat{std::string(AsText(body)), header.log_pos};
  }
  ByteReader reader(body);
  while (reader.remaining() > 0) {
    const uint64_t field = reader.PackedInteger();
    if (field == kHeartbeatEnd) break;
    const uint64_t size = reader.PackedInteger();
    const Bytes value = reader.Take(size);
    if (field == kHeartbeatFile) heartbeat.file = AsText(value);
    if (field == kHeartbeatPosition) {
      ByteReader number(value);
      heartbeat.position = number.PackedInteger();
      if (!number.ok()) return Malformed("heartbeat");
    }
    if (!reader.ok()) break;
  }
  if (!reader.ok() || heartbeat.file.empty() || heartbeat.file.size() > kFileNameSizeMax) {
    return Malformed("heartbeat");
  }
  return heartbeat;
}

void FinishEvent(std::string* event, ChecksumAlgorithm checksum) {
  TM_CHECK(event->size() >= kEventHeaderSize && event->size() < kEventBytesMax);
  const size_t covered = event->size();
  event->resize(covered + ChecksumSizeOf(checksum));
  Patch32(event, kSizeOffset, event->size());
  if (checksum == ChecksumAlgorithm::kCrc32)
    Patch32(event, covered, Crc32(0, AsBytes(*event).first(covered)));
}

std::string EncodeEvent(EventType type, const EventStamp& stamp, std::string_view body,
                        ChecksumAlgorithm checksum) {
  std::string event;
  event.reserve(kEventHeaderSize + body.size() + kChecksumSize);
  ByteWriter writer(&event);
  writer.U32(stamp.timestamp).U8(static_cast<uint8_t>(type)).U32(stamp.server_id).U32(0);
  writer.U32(stamp.log_pos).U16(stamp.flags).Text(body);
  FinishEvent(&event, checksum);
  return event;
}

std::string EncodePreviousGtids(const GtidSet& set, const EventStamp& stamp,
                                ChecksumAlgorithm checksum) {
  return EncodeEvent(EventType::kPreviousGtids, stamp, set.Encode(), checksum);
}

std::string EncodeRotate(const Rotate& rotate, const EventStamp& stamp,
                         ChecksumAlgorithm checksum) {
  std::string body;
  ByteWriter(&body).U64(rotate.position).Text(rotate.next_file);
  return EncodeEvent(EventType::kRotate, stamp, body, checksum);
}

std::string EncodeHeartbeat(const Heartbeat& heartbeat, uint32_t server_id,
                            ChecksumAlgorithm checksum) {
  TM_CHECK(heartbeat.position <= UINT32_MAX);
  const EventStamp stamp{0, server_id, static_cast<uint32_t>(heartbeat.position), 0};
  return EncodeEvent(EventType::kHeartbeat, stamp, heartbeat.file, checksum);
}

}  // namespace tidemark
