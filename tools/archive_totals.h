// What the archive of one source holds, in numbers, as the index knows it: for metrics. Asked
// again, it looks only at what has come since, so that a scrape costs the same for an archive of
// any age; memory does not grow with the archive either.
//
// One thread at a time. The index must outlive the object. A sealed segment never changes; if
// segments go at the archive's beginning or end, everything is counted anew.
#pragma once

#include <cstdint>
#include <string>

#include "index/index.h"

namespace tidemark {

struct SegmentTotals {
  uint64_t segments = 0;
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  uint64_t transactions = 0;
};

struct ArchiveTotals {
  SegmentTotals sealed;
  SegmentTotals open;
  int64_t last_commit_us = 0;  // of the last transaction in archive order; 0: none
  // Transactions that the archive does not have (GapRecord): skipped on purpose when
  // the first segment was begun, or between segments.
  uint64_t gap_at_start = 0;
  uint64_t gap_inside = 0;
  // How many of them somebody has acknowledged.
  uint64_t acknowledged_at_start = 0;
  uint64_t acknowledged_inside = 0;
};

class ArchiveCounter {
 public:
  ArchiveCounter(Index& index, std::string source) : index_(index), source_(std::move(source)) {}
  Result<ArchiveTotals> Count(const GtidSet& acknowledged = {});

 private:
  Result<bool> StillThere();
  void Forget();
  void Take(const SegmentRecord& segment);
  Status TakeSealed(uint64_t newest);
  GtidSet StillMissing(const SegmentRecord& segment) const;

  Index& index_;
  const std::string source_;
  // Of all sealed segments below next_.
  ArchiveTotals totals_;
  GtidSet missing_at_start_;
  GtidSet missing_inside_;
  GtidSet archived_;
  uint64_t first_ = 0;  // segment; 0: none yet
  uint64_t last_ = 0;
  uint64_t next_ = 1;
};

}  // namespace tidemark
