#include "pitr/unindexed.h"

#include <algorithm>
#include <optional>
#include <thread>
#include <vector>

#include "pitr/abridged.h"
#include "replication/archive/segment_reader.h"
#include "replication/archive/segment_recovery.h"

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kLookInterval{20};

Result<GtidSet> UnindexedOf(const ArchiveDirectory& archive, const std::string& source,
                            uint64_t number, const std::optional<SegmentRecord>& known) {
  if (known && known->sealed) return GtidSet();  // it has not changed since
  const auto reader = OpenSegmentFile(archive, source, number);
  // Its creation was interrupted: it holds nothing.
  if (!reader.ok() && reader.error().code() == Code::kTruncated) return GtidSet();
  if (!reader.ok()) return reader.error();
  if ((*reader)->header().imported) return GtidSet();  // counts when the import is whole
  if (known && !(*reader)->sealed() && known->stored_bytes == (*reader)->frames_end())
    return GtidSet();
  TM_ASSIGN_OR_RETURN(const SegmentContents contents,
                      ScanSegment(archive.files(), archive.SegmentPath(source, number), source, 0));
  return known ? contents.segment.gtids.Minus(known->gtids) : contents.segment.gtids;
}

Result<GtidSet> KnownSince(Index& index, const std::string& source, uint64_t first) {
  GtidSet known;
  TM_ASSIGN_OR_RETURN(const std::optional<SegmentRecord> last, index.LastSegment(source));
  for (uint64_t number = first; last && number <= last->header.number; ++number) {
    TM_ASSIGN_OR_RETURN(const std::optional<SegmentRecord> one, index.Segment(source, number));
    if (one) known.Add(one->gtids);
  }
  return known;
}

Result<uint64_t> LastKnown(Index& index, const std::string& source) {
  TM_ASSIGN_OR_RETURN(const std::optional<SegmentRecord> last, index.LastSegment(source));
  return last ? last->header.number : 0;
}

}  // namespace

Result<GtidSet> UnindexedGtids(const ArchiveDirectory& archive, Index& index,
                               const std::string& source) {
  TM_ASSIGN_OR_RETURN(const uint64_t last, LastKnown(index, source));
  TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, archive.Segments(source));
  GtidSet unknown;
  for (const uint64_t number : numbers) {
    if (number < last) continue;
    TM_ASSIGN_OR_RETURN(const std::optional<SegmentRecord> known, index.Segment(source, number));
    TM_ASSIGN_OR_RETURN(const GtidSet more, UnindexedOf(archive, source, number, known));
    unknown.Add(more);
  }
  return unknown;
}

Status AwaitIndexedEnd(ArchiveView& view) {
  Index& index = view.index();
  const std::string& source = view.source();
  TM_RETURN_IF_ERROR(index.Refresh());
  TM_ASSIGN_OR_RETURN(const uint64_t first, LastKnown(index, source));
  TM_ASSIGN_OR_RETURN(GtidSet unknown, UnindexedGtids(view.archive(), index, source));
  const std::string lock = JoinPath(view.archive().root(), "LOCK");
  const bool held = view.archive().files().LockHolder(lock) != 0;
  const auto deadline =
      std::chrono::steady_clock::now() + (held ? kIndexPatience : kUnheldPatience);
  while (!unknown.empty() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kLookInterval);
    TM_RETURN_IF_ERROR(index.Refresh());
    TM_ASSIGN_OR_RETURN(const GtidSet known, KnownSince(index, source, first));
    unknown = unknown.Minus(known);
  }
  if (!unknown.empty()) {
    // What had not been acknowledged may have been cut off meanwhile.
    TM_ASSIGN_OR_RETURN(const GtidSet now, UnindexedGtids(view.archive(), index, source));
    unknown = unknown.Intersection(now);
  }
  if (unknown.empty()) return view.Refresh();
  return Status(Code::kCorruption,
                "the index does not know " + Abridged(unknown) +
                    ", which is at the archive's end on the disk",
                "if tidemarkd runs, pitr status says what it waits for; if not, start it, and it "
                "brings the index up to it (or: pitr index rebuild)");
}

}  // namespace tidemark
