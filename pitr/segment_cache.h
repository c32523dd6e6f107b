// Segments opened for look-ups and streams, with the format description that their events are read
// by. At most kOpenSegmentsMax are open; the one used longest ago goes first. One thread; does not
// outlive its view.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "pitr/archive_view.h"
#include "replication/archive/segment_reader.h"
#include "replication/event/binlog_format.h"

namespace tidemark {

inline constexpr size_t kOpenSegmentsMax = 8;

struct OpenSegment {
  SegmentRecord record;  // as the view knew it when this was opened
  std::unique_ptr<SegmentReader> reader;
  std::string format_description;  // the whole event
  ChecksumAlgorithm checksum = ChecksumAlgorithm::kCrc32;

  uint64_t number() const { return record.header.number; }
  uint64_t SourcePosition(uint64_t raw_offset) const {
    return record.header.source_start + raw_offset - record.header.prefix_bytes;
  }
  FramePlace FirstFrame() const { return {0, reader->frames_begin()}; }
};

// As SegmentCache::Get, for who keeps one open for longer than a view stays as it is.
Result<OpenSegment> OpenSegmentFile(ArchiveView& view, const SegmentRecord& record);

class SegmentCache {
 public:
  explicit SegmentCache(ArchiveView& view) : view_(view) {}

  // Valid until kOpenSegmentsMax other segments have been asked for, or the view was refreshed.
  // kNotFound if the view has no such segment; kCorruption if the file says it is another one.
  Result<OpenSegment*> Get(uint64_t number);

 private:
  ArchiveView& view_;
  std::list<OpenSegment> open_;  // the last used first
};

}  // namespace tidemark
