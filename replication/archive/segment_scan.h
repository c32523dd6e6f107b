// Reads a segment's frames through the scanner into a catalog. Internal to replication/archive:
// what ScanSegment and RecoverSegment have in common. Never writes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "replication/archive/parallel_sha256.h"
#include "replication/archive/records.h"
#include "replication/archive/segment_catalog.h"
#include "replication/archive/segment_reader.h"
#include "replication/event/stream_scanner.h"

namespace tidemark {

struct ScannedFrames {
  DurableBatch contents;    // up to the last whole transaction, stored offsets filled in
  SegmentFooter footer;     // what a footer would say, without stored_xxh64, sealed_us and reason
  bool whole = false;       // the last frame is finished, and so is the last transaction
  uint64_t frames_end = 0;  // stored offset behind the last finished frame
};

// One pass over the blocks of one segment, from its first frame on. One thread.
class FrameScan {
 public:
  FrameScan(SegmentHeader header, std::string path, uint64_t frames_begin, int64_t commit_high_us);

  // Of what does not check in the frame under way, only OnFrameEnd tells whether it is damage:
  // until then it may be the tail, and is remembered. kCorruption naming file and place.
  void OnBlock(Bytes raw, uint64_t stored_end);
  Status OnFrameEnd(uint64_t stored_end);

  bool between_transactions() const;  // nor inside an event; and all was good so far
  const Status& tail_error() const { return tail_error_; }
  ChecksumAlgorithm checksum() const { return scanner_.checksum(); }
  uint64_t raw_bytes() const { return raw_bytes_; }

  // Forgets what was read behind the last frame that ended between transactions, and says where the
  // next one begins: there the reading goes on.
  FramePlace GoBack();
  // The last call. `at_frame_end`: nothing of a further frame was read.
  ScannedFrames Finish(const std::string& source_name, bool at_frame_end);

 private:
  // All that GoBack needs, but for the hash.
  struct Checkpoint {
    SegmentCatalog catalog;
    FramePlace next_frame;
    std::optional<ChecksumAlgorithm> checksum;  // nullopt: at the segment's beginning
    size_t places = 0;
    size_t frames = 0;
    size_t ddl = 0;
    size_t oversize = 0;
  };

  void TakeRecords();

  const SegmentHeader header_;
  const std::string path_;
  StreamScanner scanner_;
  SegmentCatalog catalog_;
  ParallelSha256 sha256_;
  Status tail_error_;
  DurableBatch contents_;
  std::vector<FramePlace> places_;  // of the frames, and of the one that would come next
  uint64_t raw_bytes_ = 0;
  uint64_t whole_stored_ = 0;  // behind the block in which the last whole transaction ended
  Checkpoint checkpoint_;
};

// The whole of a segment. kCorruption for damage before the tail (in a sealed segment nothing is
// tail), naming file and place.
Result<ScannedFrames> ScanFrames(SegmentReader& reader, const std::string& source_name,
                                 int64_t commit_high_us);

// Is this event where the source had it? A file that lost a block in its middle may otherwise look
// whole. kCorruption.
Status CheckEventPlace(const SegmentHeader& header, const ScannedEvent& event);

// XXH64 of the file's first `size` bytes. kTruncated if it has fewer.
Result<uint64_t> HashStored(File& file, const std::string& path, uint64_t size);

}  // namespace tidemark
