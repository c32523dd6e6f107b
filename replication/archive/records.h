// What the archive knows about its own contents, at frame granularity: what the index stores and a
// rebuild recomputes. Made in one place only, SegmentCatalog, from the scanned stream, whether at
// ingest, in recovery or in a rebuild.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "replication/archive/segment_format.h"
#include "replication/event/transaction.h"

namespace tidemark {

inline constexpr uint64_t kFrameRawBytes =
    1 << 20;  // a frame ends at the first transaction end past this
inline constexpr uint64_t kFrameRawBytesInTransaction =
    2 << 20;  // … or, inside a long transaction, event end past this
inline constexpr size_t kTablesPerFrameMax = 256;

// A transaction belongs to the frame in which it begins.
struct FrameRecord {
  uint32_t frame = 0;  // number within the segment, from 0
  FramePlace place;
  uint64_t raw_end =
      0;  // raw offset up to which the frame is durable and made of whole transactions
  bool starts_in_transaction = false;
  uint64_t transactions = 0;
  GtidSet gtids;
  int64_t first_commit_us = 0;  // of the first and last transaction in archive order; 0 if none
  int64_t last_commit_us = 0;
  int64_t commit_high_us = 0;  // highest commit time in the archive up to the end of this frame
  bool clock_stepped_back = false;  // some commit time in here is below one before it
  std::vector<TableTouch> tables;   // summed over the frame's transactions
  uint64_t tables_omitted = 0;
};

struct DdlRecord {
  Gtid gtid;
  int64_t commit_us = 0;
  uint32_t frame = 0;
  uint64_t raw_offset = 0;  // of its Gtid event
  std::string schema;
  std::string statement;  // at most kDdlStatementBytesMax bytes
};

// A transaction that does not fit a frame: begins in `frame`, ends in a later one.
struct OversizeRecord {
  Gtid gtid;
  int64_t commit_us = 0;
  uint32_t frame = 0;
  uint64_t raw_begin = 0;
  uint64_t raw_end = 0;
};

// One segment as far as it is durable.
struct SegmentRecord {
  SegmentHeader header;
  uint64_t raw_bytes = 0;     // up to the last durable transaction end
  uint64_t stored_bytes = 0;  // of the file, up to there; whole file (with footer) once sealed
  uint64_t transactions = 0;
  GtidSet gtids;
  int64_t first_commit_us = 0;
  int64_t last_commit_us = 0;
  int64_t commit_high_us = 0;
  bool sealed = false;
  SealReason reason = SealReason::kStop;  // if sealed
  bool ends_source_file = false;
};

// One durable step of one source's archive: what changed, all of it fdatasynced. The frames' and
// segment's records replace earlier ones of the same number. Announced in archive order.
struct DurableBatch {
  std::string source;
  SegmentRecord segment;
  std::vector<FrameRecord> frames;
  std::vector<DdlRecord> ddl;
  std::vector<OversizeRecord> oversize;
};

}  // namespace tidemark
