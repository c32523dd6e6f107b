#include "pitr/unindexed.h"

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

}  // namespace

Result<GtidSet> UnindexedGtids(const ArchiveDirectory& archive, Index& index,
                               const std::string& source) {
  TM_ASSIGN_OR_RETURN(const std::optional<SegmentRecord> last, index.LastSegment(source));
  TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, archive.Segments(source));
  GtidSet unknown;
  for (const uint64_t number : numbers) {
    if (last && number < last->header.number) continue;
    TM_ASSIGN_OR_RETURN(const std::optional<SegmentRecord> known, index.Segment(source, number));
    TM_ASSIGN_OR_RETURN(const GtidSet more, UnindexedOf(archive, source, number, known));
    unknown.Add(more);
  }
  return unknown;
}

Status AwaitIndexedEnd(ArchiveView& view) {
  const auto look = [&view] { return UnindexedGtids(view.archive(), view.index(), view.source()); };
  TM_RETURN_IF_ERROR(view.Refresh());
  TM_ASSIGN_OR_RETURN(GtidSet unknown, look());
  const auto deadline = std::chrono::steady_clock::now() +
                        (view.archive().IsLockedForWriting() ? kIndexPatience : kUnheldPatience);
  while (!unknown.empty() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kLookInterval);
    TM_RETURN_IF_ERROR(view.Refresh());
    for (const SegmentRecord& known : view.segments()) unknown = unknown.Minus(known.gtids);
  }
  if (unknown.empty()) return OkStatus();
  // What had not been acknowledged may have been cut off meanwhile.
  TM_ASSIGN_OR_RETURN(const GtidSet now, look());
  unknown = unknown.Intersection(now);
  if (unknown.empty()) return OkStatus();
  return Status(Code::kCorruption,
                "the index does not know " + Abridged(unknown) +
                    ", which is at the archive's end on the disk",
                "if tidemarkd runs, pitr status says what it waits for; if not, start it, and it "
                "brings the index up to it (or: pitr index rebuild)");
}

}  // namespace tidemark
