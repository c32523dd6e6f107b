// What a segment file holds besides zstd frames: a header in front and, once sealed, a footer
// behind; both inside zstd skippable frames, so that `zstd -dc SEGMENT` gives the raw binlog alone.
// Byte diagrams: FORMAT.md.
//
// The raw binlog of a segment is a prefix followed by one contiguous range of one file of the
// source:
//   native        prefix_bytes == 0, source_start == 0: the range begins with the file's own magic,
//   format description
//                 and Previous_gtids;
//   continuation  prefix_bytes > 0: magic, a copy of the file's format description and a
//   Previous_gtids event made
//                 by us, then the source's bytes from position source_start on.
// So in every segment: source position = source_start + (raw offset - prefix_bytes).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replication/base/bytes.h"
#include "replication/base/checksum.h"
#include "replication/base/status.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

inline constexpr uint16_t kSegmentFormatVersion = 1;
inline constexpr uint32_t kSkippableMagic = 0x184D2A50;  // RFC 8878 §3.1.2
inline constexpr uint64_t kSegmentHeaderBytesMax = 64u
                                                   << 20;  // of a header or footer: more is damage

// What is missing right before this segment, on purpose or by accident (invariant 6). Empty set:
// nothing is.
struct GapRecord {
  GtidSet missing;
  std::string reason;  // e.g. "adopted gtid_purged of the source at first contact, as configured"
  int64_t noticed_us = 0;
};

struct SegmentHeader {
  uint16_t format_version = kSegmentFormatVersion;
  uint64_t number = 0;        // of this segment within its source, from 1
  std::string source_name;    // as configured
  Uuid server_uuid;           // of the server the bytes came from
  std::string source_file;    // e.g. "binlog.000042"
  uint64_t source_start = 0;  // position in source_file of the first byte behind the prefix
  uint32_t prefix_bytes = 0;
  int64_t created_us = 0;
  GtidSet previous;       // everything before this segment: what its Previous_gtids event says
  GapRecord gap;          // part of `previous` that the archive did not have when this was begun
  bool imported = false;  // later than what is behind it, from binlog files: not from a source
};

// Persisted: do not change values.
enum class SealReason : uint8_t {
  kRotation = 1,
  kSize = 2,
  kAge = 3,
  kStop = 4,
  kRecovery = 5,
  kSourceChange = 6,
  kRequest = 7
};
const char* SealReasonName(SealReason reason);

struct FramePlace {
  uint64_t raw_offset = 0;     // of its first byte in the segment's raw binlog
  uint64_t stored_offset = 0;  // of its zstd frame header in the file
  bool operator==(const FramePlace&) const = default;
};

struct SegmentFooter {
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;  // header and frames, without the footer
  uint64_t transactions = 0;
  GtidSet gtids;  // of the transactions in this segment
  int64_t first_commit_us =
      0;  // immediate_commit_timestamp of the first and last transaction; 0 if none
  int64_t last_commit_us = 0;
  int64_t commit_high_us =
      0;  // the highest commit time in the archive up to here, in archive order
  int64_t sealed_us = 0;
  SealReason reason = SealReason::kStop;
  bool ends_source_file = false;  // the last event is the file's own Rotate or Stop
  Sha256Digest raw_sha256{};
  uint64_t stored_xxh64 =
      0;  // of the file's first stored_bytes bytes: several encodings decode to the same bytes
  std::vector<FramePlace> frames;
};

std::string EncodeSegmentHeader(const SegmentHeader& header);  // a whole skippable frame
std::string EncodeSegmentFooter(const SegmentFooter& footer);
// `bytes` begins at the skippable frame. kTruncated if it ends early, kUnsupportedFormat for a
// newer version or (header) a foreign file, kCorruption if the checksum does not hold.
// `frame_bytes` (may be null) gets the skippable frame's size.
Result<SegmentHeader> DecodeSegmentHeader(Bytes bytes, size_t* frame_bytes);
Result<SegmentFooter> DecodeSegmentFooter(Bytes bytes);
// A footer ends in a fixed trailer, so that it is found from the end of the file: given the file's
// last kFooterTrailerBytes bytes, the size of the whole footer frame, or 0 if these bytes end no
// footer.
inline constexpr size_t kFooterTrailerBytes = 16;
uint64_t FooterFrameBytes(Bytes trailer);

}  // namespace tidemark
