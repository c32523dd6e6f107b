// Keys of the index: which column family holds what, and how its keys are written. Byte layouts and
// worked examples: KEYS.md. Pure functions over values; integers are big-endian, so that keys sort
// as their fields do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "replication/base/status.h"
#include "replication/event/gtid.h"

namespace tidemark {

inline constexpr uint32_t kIndexFormatVersion = 1;
inline constexpr size_t kSourceNameBytesMax = 64;  // as ArchiveDirectory::CheckSourceName

// In memory only; on disk a family is known by its name (FamilyName).
enum class Family : uint8_t {
  kMeta = 0,  // RocksDB's "default"
  kSegment,
  kFrame,
  kGtid,
  kTime,
  kPosition,
  kDdl,
  kOversize,
};
inline constexpr size_t kFamilyCount = 8;
const char* FamilyName(Family family);

// One key and value of one family: the unit in which the index is written, compared and dumped.
struct IndexEntry {
  Family family = Family::kMeta;
  std::string key;
  std::string value;

  bool operator==(const IndexEntry&) const = default;
  bool KeyLess(const IndexEntry& other) const {
    return family != other.family ? family < other.family : key < other.key;
  }
};

// Persisted: do not change values. The two records a segment has (value_codec.h says why two).
enum class SegmentPart : uint8_t { kHeader = 0, kExtent = 1 };

inline constexpr std::string_view kMetaFormatKey = "format";

// What all keys of one source begin with. A name that no source can have (empty, too long) gives
// the prefix 00, which no record has: look-ups with it find nothing.
std::string SourcePrefix(std::string_view source);
std::string SegmentPrefix(std::string_view source,
                          uint64_t segment);  // of segment, frame, ddl, oversize keys
std::string SegmentKey(std::string_view source, uint64_t segment, SegmentPart part);
std::string FrameKey(std::string_view source, uint64_t segment, uint32_t frame);
std::string GtidPrefix(std::string_view source, const Tsid& tsid);
std::string GtidKey(std::string_view source, const Tsid& tsid, int64_t first);
std::string TimeKey(std::string_view source, int64_t commit_high_us, uint64_t segment,
                    uint32_t frame);
std::string PositionPrefix(std::string_view source, std::string_view file);
std::string PositionKey(std::string_view source, std::string_view file, uint64_t segment);
std::string DdlKey(std::string_view source, uint64_t segment, uint64_t raw_offset);
std::string OversizeKey(std::string_view source, uint64_t segment, uint64_t raw_begin);

struct SegmentKeyFields {
  std::string source;
  uint64_t segment = 0;
  SegmentPart part = SegmentPart::kHeader;
};
struct FrameKeyFields {
  std::string source;
  uint64_t segment = 0;
  uint32_t frame = 0;
};
struct GtidKeyFields {
  std::string source;
  Tsid tsid;
  int64_t first = 0;
};
struct TimeKeyFields {
  std::string source;
  int64_t commit_high_us = 0;
  uint64_t segment = 0;
  uint32_t frame = 0;
};
struct PositionKeyFields {
  std::string source;
  std::string file;
  uint64_t segment = 0;
};
struct OffsetKeyFields {  // of ddl and oversize keys
  std::string source;
  uint64_t segment = 0;
  uint64_t raw_offset = 0;
};

// kCorruption unless the key is one of ours, whole and nothing behind it.
Result<SegmentKeyFields> DecodeSegmentKey(std::string_view key);
Result<FrameKeyFields> DecodeFrameKey(std::string_view key);
Result<GtidKeyFields> DecodeGtidKey(std::string_view key);
Result<TimeKeyFields> DecodeTimeKey(std::string_view key);
Result<PositionKeyFields> DecodePositionKey(std::string_view key);
Result<OffsetKeyFields> DecodeOffsetKey(std::string_view key);

}  // namespace tidemark
