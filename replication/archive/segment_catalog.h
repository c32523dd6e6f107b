// Turns one segment's scanned events and frame cuts into the records of records.h. The writer's
// side decides where frames end by asking FrameMayEnd; a reader's side tells where they did end.
// Both therefore produce the same records. Pure; one thread.
#pragma once

#include <cstdint>

#include "replication/archive/records.h"
#include "replication/event/stream_scanner.h"

namespace tidemark {

class SegmentCatalog {
 public:
  // `commit_high_us`: the highest commit time of the archive before this segment (0 for the first).
  SegmentCatalog(SegmentHeader header, int64_t commit_high_us);

  // Each event of the segment in order, prefix included; offsets are raw offsets within the
  // segment.
  void OnEvent(const ScannedEvent& event);
  // The writer's rule: may (so: must) the current frame end behind the event just given?
  bool FrameMayEnd() const;
  // The current frame ends at raw offset `raw_end`; the next one is stored at a place given later
  // (see SetStored).
  void EndFrame(uint64_t raw_end);

  // Raw offset up to which everything is whole (outside any transaction).
  uint64_t whole_until() const;
  bool in_transaction() const;
  uint64_t transactions() const;

  // Takes what changed since the last call: records of frames touched (the current, unfinished one
  // included, if it got a transaction or whole event), DDL and oversize records, and the segment's
  // totals up to whole_until(). Frames' stored offsets and the segment's stored_bytes are filled in
  // by the caller, who knows the file.
  DurableBatch TakeBatch();
  // The footer's facts that the catalog knows: all but raw_sha256, stored_xxh64, stored_bytes,
  // frames, sealed_us, reason.
  SegmentFooter FooterSoFar() const;

 private:
  // A frame whose record may still change, or changed since the last TakeBatch.
  struct LiveFrame {
    FrameRecord record;
    uint64_t raw_end = 0;  // 0: the current one
    bool changed = false;
  };

  void StartFrame(uint64_t raw_offset);
  void EndTransaction(const Transaction& transaction);
  void AddTables(const Transaction& transaction, FrameRecord* record);
  void AddDdl(const Transaction& transaction);

  SegmentRecord segment_;
  std::vector<LiveFrame> live_;  // consecutive numbers; the current frame is the last
  std::vector<DdlRecord> ddl_;
  std::vector<OversizeRecord> oversize_;
  uint64_t whole_until_ = 0;
  uint64_t event_end_ = 0;
  uint32_t transaction_frame_ = 0;  // in which the transaction under way began
  bool in_transaction_ = false;
  size_t table_hint_ = 0;  // where the next table of a frame's list is probably found
};

}  // namespace tidemark
