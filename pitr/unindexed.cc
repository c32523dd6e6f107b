#include "pitr/unindexed.h"

#include <algorithm>
#include <string>
#include <vector>

#include "pitr/abridged.h"
#include "replication/archive/segment_reader.h"
#include "replication/archive/segment_recovery.h"

namespace tidemark {
namespace {

// Of a segment of which the index knows `known`, nullptr: nothing.
Result<GtidSet> Unknown(const ArchiveView& view, uint64_t number, const SegmentRecord* known,
                        int64_t* commit_high_us) {
  const auto reader = OpenSegmentFile(view.archive(), view.source(), number);
  // Its creation was interrupted: it holds nothing.
  if (!reader.ok() && reader.error().code() == Code::kTruncated) return GtidSet();
  if (!reader.ok()) return reader.error();
  if ((*reader)->header().imported) return GtidSet();  // counts when the import is whole
  const bool as_known = known != nullptr && known->sealed == (*reader)->sealed() &&
                        (known->sealed || known->stored_bytes == (*reader)->frames_end());
  if (as_known) return GtidSet();
  TM_ASSIGN_OR_RETURN(
      const SegmentContents contents,
      ScanSegment(view.archive().files(), view.archive().SegmentPath(view.source(), number),
                  view.source(), *commit_high_us));
  *commit_high_us = contents.segment.commit_high_us;
  return known == nullptr ? contents.segment.gtids : contents.segment.gtids.Minus(known->gtids);
}

}  // namespace

Status CheckIndexKnowsTheEnd(const ArchiveView& view) {
  const ArchiveDirectory& archive = view.archive();
  if (archive.files().LockHolder(JoinPath(archive.root(), "LOCK")) != 0) return OkStatus();
  const std::vector<SegmentRecord>& segments = view.segments();
  const SegmentRecord* last = segments.empty() ? nullptr : &segments.back();
  int64_t commit_high_us = segments.size() < 2 ? 0 : segments[segments.size() - 2].commit_high_us;
  GtidSet unknown;
  TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, view.SegmentsOnDisk(nullptr));
  for (const uint64_t number : numbers) {
    if (last != nullptr && number < last->header.number) continue;
    const bool is_last = last != nullptr && number == last->header.number;
    TM_ASSIGN_OR_RETURN(const GtidSet more,
                        Unknown(view, number, is_last ? last : nullptr, &commit_high_us));
    if (is_last) commit_high_us = std::max(commit_high_us, last->commit_high_us);
    unknown.Add(more);
  }
  if (unknown.empty()) return OkStatus();
  return Status(Code::kCorruption,
                "the index does not know " + Abridged(unknown) +
                    ", which the archive's last segment has, and no tidemarkd is running",
                "start tidemarkd, which brings the index up to it, or: pitr index rebuild; to go "
                "without: --through-gtid");
}

}  // namespace tidemark
