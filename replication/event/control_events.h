// Events about the stream itself: Format_description, Rotate, Previous_gtids, Heartbeat; and the
// making of events.
//
// Pure functions over spans; results own their bytes. Parsers take an event's body (EventBody)
// unless they say so, and answer kCorruption for malformed bytes. Source of facts: MySQL 9.7
// libs/mysql/binlog/event/control_events.{h,cpp}, codecs/binary.cpp, sql/rpl_binlog_sender.cc.
#pragma once

#include <cstdint>
#include <string>

#include "replication/base/bytes.h"
#include "replication/base/status.h"
#include "replication/event/binlog_format.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

inline size_t ChecksumSizeOf(ChecksumAlgorithm algorithm) {
  return algorithm == ChecksumAlgorithm::kCrc32 ? kChecksumSize : 0;
}
// What lies between header and checksum; empty if the event is too short for both.
Bytes EventBody(Bytes event, ChecksumAlgorithm checksum);
// Whether the last four bytes are the CRC32 of those before them. A format description's "in use"
// flag does not count (the server sets and clears it in place, without touching the checksum).
bool EventChecksumMatches(Bytes event);

struct FormatDescription {
  uint16_t binlog_version = 0;
  std::string server_version;
  uint32_t created = 0;  // seconds since the epoch; 0 in all but the first file after a start, and
                         // when sent mid-file
  ChecksumAlgorithm checksum =
      ChecksumAlgorithm::kOff;  // this event itself has four checksum bytes whatever it says
};
// kUnsupportedFormat for servers older than 5.6.1, which knew neither checksums nor GTIDs, and for
// other log versions.
Result<FormatDescription> ParseFormatDescription(
    Bytes event);  // the whole event, header to checksum

struct Rotate {
  uint64_t position = 0;
  std::string next_file;
};
Result<Rotate> ParseRotate(Bytes body);

Result<GtidSet> ParsePreviousGtids(Bytes body);

struct Heartbeat {
  std::string file;
  uint64_t position = 0;
};
Result<Heartbeat> ParseHeartbeat(const EventHeader& header, Bytes body);  // both versions

// The header fields that an event's maker chooses.
struct EventStamp {
  uint32_t timestamp = 0;
  uint32_t server_id = 0;
  uint32_t log_pos = 0;
  uint16_t flags = 0;
};
// A whole event: header, body, and a checksum if asked for.
std::string EncodeEvent(EventType type, const EventStamp& stamp, std::string_view body,
                        ChecksumAlgorithm checksum);
// `event` holds header and body: appends room for the checksum, sets the size, computes the
// checksum.
void FinishEvent(std::string* event, ChecksumAlgorithm checksum);
std::string EncodePreviousGtids(const GtidSet& set, const EventStamp& stamp,
                                ChecksumAlgorithm checksum);
std::string EncodeRotate(const Rotate& rotate, const EventStamp& stamp, ChecksumAlgorithm checksum);
// Version 1: the position is the header's log_pos, so it must be below 4 GiB.
std::string EncodeHeartbeat(const Heartbeat& heartbeat, uint32_t server_id,
                            ChecksumAlgorithm checksum);

}  // namespace tidemark
