// Reading transactions from the middle of a segment: from a frame's first byte on, which is an
// event's first byte but maybe inside a transaction that began in an earlier frame. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pitr/segment_cache.h"
#include "replication/event/stream_scanner.h"

namespace tidemark {

// A longer transaction is not read to learn its identity and place: its Gtid event says both.
inline constexpr uint64_t kTransactionReadBytesMax = 4u << 20;
// A decoded frame's bytes are kept for showing tables if they are not more than this.
inline constexpr uint64_t kFrameKeptBytesMax = 4u << 20;

// A StreamScanner that first passes by everything up to the first Gtid event: magic is not
// expected, a transaction under way and events between transactions are skipped unread.
class TransactionSeeker {
 public:
  // `options.start_offset` is that of the first byte fed; `options.checksum` holds.
  explicit TransactionSeeker(ScannerOptions options);
  Status FeedBytes(Bytes piece, const StreamScanner::OnEvent& on_event);
  // As StreamScanner::Finish; also OK if no transaction was met and the stream ends at an event's
  // end.
  Status Finish() const;
  const StreamScanner* scanner() const { return scanner_ ? &*scanner_ : nullptr; }

 private:
  Status SkipEvents(Bytes* piece);

  ScannerOptions options_;
  std::optional<StreamScanner> scanner_;  // from the first Gtid event on
  std::string header_;                    // of the event under way, while skipping
  uint64_t offset_;
  uint64_t skip_left_ = 0;
};

struct FrameTransaction {
  Transaction transaction;
  bool details_known = true;  // false: only what its Gtid event says, and where it ends
};

// One frame's transactions: those that begin in it.
struct FrameContents {
  uint64_t segment = 0;
  FrameRecord record;
  uint64_t raw_begin = 0;
  uint64_t raw_end = 0;
  bool at_views_end = false;  // and so the index, which may be written, may know of more
  std::vector<FrameTransaction> transactions;
  std::string raw;  // [raw_begin, …), empty if the frame is not kept
};

// Where the next frame begins, or the segment's published end.
Result<uint64_t> FrameEnd(ArchiveView& view, const SegmentRecord& segment, uint32_t frame);
// Tables are not counted. kCorruption (hint: pitr verify) if the frame does not hold as many
// transactions as the index says.
Result<FrameContents> ReadFrame(ArchiveView& view, OpenSegment& segment, const FrameRecord& record);
// The one transaction in raw bytes [begin, end) of the segment, with its tables. `frame` begins at
// or before it; `kept` (may be null) saves the decompression if it holds the range.
Result<Transaction> ReadTransaction(OpenSegment& segment, FramePlace frame, uint64_t begin,
                                    uint64_t end, const FrameContents* kept);

}  // namespace tidemark
