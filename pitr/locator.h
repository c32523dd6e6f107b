// Finds a transaction, or the boundary that a target means: one seek in the index, then at most one
// frame decoded (its neighbours' too where the answer lies across a frame's edge). One thread. Does
// not outlive its view; after ArchiveView::Refresh make a new one.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>

#include "pitr/archive_view.h"
#include "pitr/frame_scan.h"
#include "pitr/segment_cache.h"
#include "pitr/target.h"
#include "replication/event/transaction.h"

namespace tidemark {

// A transaction longer than this is located by its Gtid event alone: Locator::ReadDetails reads the
// rest when asked.
inline constexpr uint64_t kDetailsReadBytesMax = 1u << 20;
inline constexpr size_t kFramesKeptMax = 2;
// So many frames behind a time boundary are looked at for commit times that went back.
inline constexpr size_t kClockNoteFramesMax = 16;

// A transaction and its place in the archive.
struct Located {
  uint64_t segment = 0;
  uint32_t frame = 0;
  Transaction transaction;  // offsets are raw offsets in the segment
  bool details_known =
      true;  // false (see kDetailsReadBytesMax): kind, tables and statement are not filled in
  std::string source_file;
  uint64_t source_begin = 0;  // position of its Gtid event in source_file
};

// Between two transactions in archive order (ARCHITECTURE.md, invariant 8).
struct Boundary {
  std::optional<Located>
      last_included;  // nothing: the boundary is before the archive's first transaction
  std::optional<Located> first_excluded;  // nothing: the boundary is the archive's end
  GtidSet set;             // the source's gtid_executed at the boundary, in archive order
  std::string clock_note;  // not empty if commit times near the boundary are not monotonic
};

struct Neighbourhood {
  Located found;
  std::optional<Located> previous;
  std::optional<Located> next;
};

class Locator {
 public:
  explicit Locator(ArchiveView& view);

  // kNotFound if the archive does not hold it: the message tells whether it lies before the
  // archive's start, after its end, or was never seen; kGap if in a gap.
  Result<Located> FindGtid(const Gtid& gtid);
  Result<Neighbourhood> FindGtidWithNeighbours(const Gtid& gtid);
  // The first transaction in archive order committed after `time_us`; nullopt if there is none.
  Result<std::optional<Located>> FindFirstPast(int64_t time_us);
  // The transaction that holds byte `position` of the source's file, or if that lies between
  // transactions, the next one in that file. nullopt if there is neither.
  Result<std::optional<Located>> FindPosition(const std::string& file, uint64_t position);
  // kUnreachableTarget if the target is a GTID before the archive's start or not seen, or a time
  // that the archive does not reach: only a transaction past T proves that everything up to T is
  // there. kGap if in a gap. A time before the first archived transaction gives the boundary before
  // it.
  Result<Boundary> Resolve(const Target& target);

  Result<std::optional<Located>> Previous(const Located& located);
  Result<std::optional<Located>> Next(const Located& located);
  Result<std::optional<Located>> Last();  // of the archive

  // Reads a long transaction through, if its details are not known. Takes a second per GiB or so.
  Status ReadDetails(Located* located);

 private:
  // The index may be written while the view stays as it was made: frames behind its end are none,
  // and of the one at its end only what it had counts.
  bool InView(const IndexedFrame& frame) const;
  Result<FrameContents*> Contents(const IndexedFrame& frame);
  Result<Located> Present(const FrameContents& contents, size_t at);
  Status FillDetails(const FrameContents* contents, Located* located);
  Result<std::optional<Located>> FirstOf(const std::optional<IndexedFrame>& frame);
  Result<std::optional<Located>> LastOf(
      std::optional<IndexedFrame> frame);  // or of those before it
  // The nearest frame that way in which a transaction begins.
  Result<std::optional<IndexedFrame>> FrameBefore(uint64_t segment, uint32_t frame);
  Result<std::optional<IndexedFrame>> FrameBehind(uint64_t segment, uint32_t frame);
  Result<std::optional<IndexedFrame>> LastFrameOf(const SegmentRecord& segment);
  Result<FrameContents*> ContentsOf(const Located& located, size_t* at);
  Status WhyNotArchived(const Gtid& gtid);

  // boundary.cc
  Result<Boundary> ResolveGtid(const Target& target);
  Result<Boundary> ResolveTime(const Target& target);
  Result<Boundary> ResolveLatest();
  Result<GtidSet> SetBefore(const Located& located);
  Result<std::string> ClockNote(int64_t last_included_us, const Located& first_excluded);

  ArchiveView& view_;
  SegmentCache segments_;
  std::list<FrameContents> frames_;  // decoded, the last used first
};

}  // namespace tidemark
