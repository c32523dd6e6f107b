// The one path by which a segment's tail is cut back to its last whole, checksummed transaction:
// after a crash, after a failed write, after a connection that broke in mid-transaction.
//
// Nothing that was ever acknowledged is rewritten: acknowledged data ends at a zstd block's end, so
// the file is truncated behind that block and the frame closed with an empty last block and its
// checksum (RFC 8878 §3.1.1.2). Then the footer is written: a recovered segment is a sealed one.
// Crash-safe: running it again gives the same result.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replication/archive/records.h"
#include "replication/base/clock.h"
#include "replication/base/file_system.h"

namespace tidemark {

// The complete records of one segment, as SegmentCatalog makes them, with stored offsets filled in.
using SegmentContents = DurableBatch;

struct RecoveredSegment {
  bool removed =
      false;  // it held nothing of the source (or not even a whole header) and was deleted
  uint64_t cut_bytes = 0;    // stored bytes thrown away: unacknowledged
  SegmentContents contents;  // unless removed
};

// `path` is an unsealed segment. Damage before the tail (a block that does not decode although more
// follows it, a bad event checksum inside durable data) is kCorruption and leaves the file
// untouched; so is a tail that begins before `durable_raw_bytes`, which is what the caller knows to
// have been acknowledged of this segment (0: it does not know).
Result<RecoveredSegment> RecoverSegment(FileSystem& files, Clock& clock, const std::string& path,
                                        const std::string& source_name, uint64_t number,
                                        int64_t commit_high_us, uint64_t durable_raw_bytes = 0);

// Reads a whole segment and recomputes its records (rebuild, verify). For a sealed segment also
// checks footer, SHA-256 and frame table against what was read: kCorruption on any difference. An
// unsealed one is read up to its last whole transaction; it is not changed.
Result<SegmentContents> ScanSegment(FileSystem& files, const std::string& path,
                                    const std::string& source_name, int64_t commit_high_us);

}  // namespace tidemark
