// The binary log's fixed facts: magic, event header, event types, flags, limits.
// Source of facts: MySQL 9.7
// libs/mysql/binlog/event/{binlog_event.h,control_events.h,rows_event.h}.
#pragma once

#include <cstdint>

#include "replication/base/bytes.h"

namespace tidemark {

inline constexpr uint8_t kBinlogMagic[4] = {0xFE, 'b', 'i', 'n'};
inline constexpr size_t kBinlogMagicSize = 4;
inline constexpr size_t kEventHeaderSize = 19;
inline constexpr size_t kChecksumSize = 4;
// The server's own limit for one event (max_allowed_packet's maximum is 1 GiB) plus its header.
inline constexpr uint64_t kEventBytesMax = (uint64_t{1} << 30) + 65536;

// Values are MySQL's. Any other value is an event we pass through unread.
enum class EventType : uint8_t {
  kUnknown = 0,
  kQuery = 2,
  kStop = 3,
  kRotate = 4,
  kIntvar = 5,
  kRand = 13,
  kUserVar = 14,
  kFormatDescription = 15,
  kXid = 16,
  kBeginLoadQuery = 17,
  kExecuteLoadQuery = 18,
  kTableMap = 19,
  kWriteRowsV1 = 23,
  kUpdateRowsV1 = 24,
  kDeleteRowsV1 = 25,
  kIncident = 26,
  kHeartbeat = 27,
  kIgnorable = 28,
  kRowsQuery = 29,
  kWriteRows = 30,
  kUpdateRows = 31,
  kDeleteRows = 32,
  kGtid = 33,
  kAnonymousGtid = 34,
  kPreviousGtids = 35,
  kTransactionContext = 36,
  kViewChange = 37,
  kXaPrepare = 38,
  kPartialUpdateRows = 39,
  kTransactionPayload = 40,
  kHeartbeatV2 = 41,
  kGtidTagged = 42,
};

inline constexpr uint16_t kEventFlagBinlogInUse = 0x1;
inline constexpr uint16_t kEventFlagArtificial =
    0x20;  // made up by the sender, not in the source's file
inline constexpr uint16_t kEventFlagIgnorable = 0x80;

enum class ChecksumAlgorithm : uint8_t { kOff = 0, kCrc32 = 1 };

// Layout: timestamp u32 | type u8 | server_id u32 | event size u32 | log_pos u32 | flags u16.
struct EventHeader {
  uint32_t timestamp = 0;  // seconds since the epoch
  EventType type = EventType::kUnknown;
  uint32_t server_id = 0;
  uint32_t size = 0;     // bytes, header and checksum included
  uint32_t log_pos = 0;  // end position in the source's file; 0 for artificial events
  uint16_t flags = 0;

  bool artificial() const { return (flags & kEventFlagArtificial) != 0; }
};

// `bytes` holds at least kEventHeaderSize bytes (checked by the caller). Does not judge the values.
inline EventHeader ReadEventHeader(const uint8_t* bytes) {
  EventHeader header;
  header.timestamp = static_cast<uint32_t>(LoadLittleEndian(bytes, 4));
  header.type = static_cast<EventType>(bytes[4]);
  header.server_id = static_cast<uint32_t>(LoadLittleEndian(bytes + 5, 4));
  header.size = static_cast<uint32_t>(LoadLittleEndian(bytes + 9, 4));
  header.log_pos = static_cast<uint32_t>(LoadLittleEndian(bytes + 13, 4));
  header.flags = static_cast<uint16_t>(LoadLittleEndian(bytes + 17, 2));
  return header;
}

}  // namespace tidemark
