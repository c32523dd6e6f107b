// Reads a segment's frames through the scanner into a catalog. Internal to replication/archive:
// what ScanSegment and RecoverSegment have in common. Never writes.
#pragma once

#include <cstdint>
#include <string>

#include "replication/archive/records.h"
#include "replication/archive/segment_reader.h"
#include "replication/event/stream_scanner.h"

namespace tidemark {

struct ScannedFrames {
  DurableBatch contents;    // up to the last whole transaction, stored offsets filled in
  SegmentFooter footer;     // what a footer would say, without stored_xxh64, sealed_us and reason
  bool whole = false;       // the last frame is finished, and so is the last transaction
  uint64_t frames_end = 0;  // stored offset behind the last finished frame
};

// kCorruption for damage before the tail (in a sealed segment nothing is tail), naming file and
// place.
Result<ScannedFrames> ScanFrames(SegmentReader& reader, const std::string& source_name,
                                 int64_t commit_high_us);

// Is this event where the source had it? A file that lost a block in its middle may otherwise look
// whole. kCorruption.
Status CheckEventPlace(const SegmentHeader& header, const ScannedEvent& event);

// XXH64 of the file's first `size` bytes. kTruncated if it has fewer.
Result<uint64_t> HashStored(File& file, const std::string& path, uint64_t size);

}  // namespace tidemark
