#include "tools/archive_totals.h"

namespace tidemark {
namespace {

SegmentTotals NumbersOf(const SegmentRecord& segment) {
  return {1, segment.raw_bytes, segment.stored_bytes, segment.transactions};
}

void Add(const SegmentTotals& more, SegmentTotals* sum) {
  sum->segments += more.segments;
  sum->raw_bytes += more.raw_bytes;
  sum->stored_bytes += more.stored_bytes;
  sum->transactions += more.transactions;
}

}  // namespace

Result<bool> ArchiveCounter::StillThere() {
  if (first_ == 0) return true;
  TM_ASSIGN_OR_RETURN(const auto first, index_.Segment(source_, first_));
  TM_ASSIGN_OR_RETURN(const auto last, index_.Segment(source_, last_));
  return first.has_value() && last.has_value();
}

// Of its gap: what is in no segment in front of it, nor in a gap there.
GtidSet ArchiveCounter::StillMissing(const SegmentRecord& segment) const {
  return segment.header.gap.missing.Minus(archived_)
      .Minus(missing_at_start_)
      .Minus(missing_inside_);
}

void ArchiveCounter::Take(const SegmentRecord& segment) {
  GtidSet& missing = first_ == 0 ? missing_at_start_ : missing_inside_;
  missing.Add(StillMissing(segment));
  // Another server may have had it.
  missing_at_start_.Subtract(segment.gtids);
  missing_inside_.Subtract(segment.gtids);
  archived_.Add(segment.gtids);
  if (segment.transactions > 0) totals_.last_commit_us = segment.last_commit_us;
  Add(NumbersOf(segment), &totals_.sealed);
  if (first_ == 0) first_ = segment.header.number;
  last_ = segment.header.number;
  next_ = last_ + 1;
}

void ArchiveCounter::Forget() {
  totals_ = {};
  missing_at_start_ = missing_inside_ = archived_ = {};
  first_ = last_ = 0;
  next_ = 1;
}

// All before the newest one. Numbers may be missing in front of a gap, and many of them.
Status ArchiveCounter::TakeSealed(uint64_t newest) {
  while (next_ < newest) {
    TM_ASSIGN_OR_RETURN(const auto segment, index_.Segment(source_, next_));
    if (segment) {
      Take(*segment);
      continue;
    }
    TM_ASSIGN_OR_RETURN(const std::vector<SegmentRecord> all, index_.Segments(source_));
    for (const SegmentRecord& one : all)
      if (one.header.number >= next_ && one.header.number < newest) Take(one);
    next_ = newest;
  }
  return OkStatus();
}

Result<ArchiveTotals> ArchiveCounter::Count(const GtidSet& acknowledged) {
  TM_ASSIGN_OR_RETURN(const bool still_there, StillThere());
  if (!still_there) Forget();
  TM_ASSIGN_OR_RETURN(const auto newest, index_.LastSegment(source_));
  if (!newest) return ArchiveTotals();
  TM_RETURN_IF_ERROR(TakeSealed(newest->header.number));
  if (newest->sealed && next_ == newest->header.number) Take(*newest);
  ArchiveTotals totals = totals_;
  totals.gap_at_start = missing_at_start_.Count();
  totals.gap_inside = missing_inside_.Count();
  totals.acknowledged_at_start = missing_at_start_.Intersection(acknowledged).Count();
  totals.acknowledged_inside = missing_inside_.Intersection(acknowledged).Count();
  if (next_ > newest->header.number) return totals;
  totals.open = NumbersOf(*newest);
  if (newest->transactions > 0) totals.last_commit_us = newest->last_commit_us;
  const GtidSet missing = StillMissing(*newest);
  const uint64_t known = missing.Intersection(acknowledged).Count();
  (first_ == 0 ? totals.gap_at_start : totals.gap_inside) += missing.Count();
  (first_ == 0 ? totals.acknowledged_at_start : totals.acknowledged_inside) += known;
  return totals;
}

}  // namespace tidemark
