// Values of the index: records of replication/archive/records.h as bytes and back. Layouts,
// versions and worked examples: KEYS.md. Pure functions.
//
// A segment has two values, because its extent changes at every durable point while its header
// (with the set of everything before it) never does. Fields that stand in the key are not repeated
// in the value. Every Decode is bounded by the bytes it is given, whatever they claim: kCorruption
// for damage, kUnsupportedFormat for a version from the future.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "replication/archive/records.h"

namespace tidemark {

// Persisted in the first byte of every value but those of families meta and time.
inline constexpr uint8_t kIndexValueVersion = 1;
inline constexpr const char* kIndexRebuildHint = "rebuild it from the segments: pitr index rebuild";

struct GtidPlace {
  int64_t last = 0;  // of the interval that begins at the key's `first`
  uint64_t segment = 0;
  uint32_t frame = 0;
  bool operator==(const GtidPlace&) const = default;
};

struct PositionPlace {
  Uuid server_uuid;  // files of the same name on two servers are different files
  uint64_t source_start = 0;
  bool operator==(const PositionPlace&) const = default;
};

std::string EncodeMetaFormat(uint32_t version);
std::string EncodeHeaderValue(const SegmentHeader& header);   // without the number
std::string EncodeExtentValue(const SegmentRecord& segment);  // without the header
std::string EncodeFrameValue(const FrameRecord& frame);       // without the frame's number
std::string EncodeGtidValue(int64_t first, const GtidPlace& place);
std::string EncodePositionValue(const PositionPlace& place);
std::string EncodeDdlValue(const DdlRecord& ddl);                 // without raw_offset
std::string EncodeOversizeValue(const OversizeRecord& oversize);  // without raw_begin

Result<uint32_t> DecodeMetaFormat(std::string_view value);
Result<SegmentHeader> DecodeHeaderValue(uint64_t number, std::string_view value);
Status DecodeExtentValue(std::string_view value,
                         SegmentRecord* segment);  // leaves the header alone
Result<FrameRecord> DecodeFrameValue(uint32_t frame, std::string_view value);
Result<GtidPlace> DecodeGtidValue(int64_t first, std::string_view value);
Result<PositionPlace> DecodePositionValue(std::string_view value);
Result<DdlRecord> DecodeDdlValue(uint64_t raw_offset, std::string_view value);
Result<OversizeRecord> DecodeOversizeValue(uint64_t raw_begin, std::string_view value);

}  // namespace tidemark
