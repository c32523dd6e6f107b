// Locator::Resolve: from what the DBA said to the boundary it means.
#include <algorithm>

#include "pitr/locator.h"

namespace tidemark {
namespace {

std::string Described(const Located& located) {
  return located.transaction.gtid.ToString() + " of " +
         FormatTime(located.transaction.immediate_commit_us);
}

Status PastTheEnd(const Target& target, const std::optional<Located>& last) {
  if (!last) {
    return Status(Code::kUnreachableTarget,
                  "target " + target.ToString() + ": the archive holds no transaction yet",
                  "pitr status shows whether the daemon is connected");
  }
  return Status(Code::kUnreachableTarget,
                "target " + target.ToString() +
                    " lies past the archive's end: its last transaction is " + Described(*last) +
                    ", and nothing proves that no other one was committed up to the target",
                "use --latest (or --through-gtid " + last->transaction.gtid.ToString() +
                    ") to take what is there, or wait until a later transaction is archived");
}

std::string Noted(uint64_t late, bool late_is_all, const Gtid& first_late, int64_t time_us) {
  std::string note =
      "commit times near the boundary are not in archive order (the source's clock was set back, "
      "or "
      "several servers wrote)";
  if (late == 0) return note;
  return note + ": " + (late_is_all ? "" : "at least ") + std::to_string(late) +
         (late == 1 ? " transaction" : " transactions") + " committed at or before " +
         FormatTime(time_us) + (late == 1 ? " comes" : " come") +
         " after the boundary and will not be included, the first is " + first_late.ToString();
}

}  // namespace

Result<Boundary> Locator::Resolve(const Target& target) {
  switch (target.kind) {
    case TargetKind::kGtid: return ResolveGtid(target);
    case TargetKind::kTime: return ResolveTime(target);
    case TargetKind::kLatest: break;
  }
  return ResolveLatest();
}

Result<Boundary> Locator::ResolveLatest() {
  if (view_.segments().empty()) return PastTheEnd(Target{}, std::nullopt);
  Boundary boundary;
  TM_ASSIGN_OR_RETURN(boundary.last_included, Last());
  const SegmentRecord& last = view_.segments().back();
  boundary.set = last.header.previous.Union(last.gtids);
  return boundary;
}

Result<Boundary> Locator::ResolveGtid(const Target& target) {
  Result<Located> found = FindGtid(target.gtid);
  if (!found.ok()) {
    const Status& error = found.error();
    if (error.code() != Code::kNotFound) return error;
    return Status(Code::kUnreachableTarget, error.message(), error.hint());
  }
  Boundary boundary;
  TM_ASSIGN_OR_RETURN(boundary.set, SetBefore(*found));
  if (target.edge == Edge::kBefore) {
    TM_ASSIGN_OR_RETURN(boundary.last_included, Previous(*found));
    boundary.first_excluded = std::move(*found);
  } else {
    boundary.set.Add(target.gtid);
    TM_ASSIGN_OR_RETURN(boundary.first_excluded, Next(*found));
    boundary.last_included = std::move(*found);
  }
  return boundary;
}

Result<Boundary> Locator::ResolveTime(const Target& target) {
  Boundary boundary;
  TM_ASSIGN_OR_RETURN(boundary.first_excluded, FindFirstPast(target.last_included_us()));
  if (!boundary.first_excluded) {
    TM_ASSIGN_OR_RETURN(std::optional<Located> last, Last());
    return PastTheEnd(target, last);
  }
  TM_ASSIGN_OR_RETURN(boundary.set, SetBefore(*boundary.first_excluded));
  TM_ASSIGN_OR_RETURN(boundary.last_included, Previous(*boundary.first_excluded));
  TM_ASSIGN_OR_RETURN(boundary.clock_note,
                      ClockNote(target.last_included_us(), *boundary.first_excluded));
  return boundary;
}

// The source's gtid_executed right before `located`, in archive order.
Result<GtidSet> Locator::SetBefore(const Located& located) {
  const SegmentRecord* segment = view_.segment(located.segment);
  TM_CHECK(segment != nullptr);
  GtidSet set = segment->header.previous;
  TM_RETURN_IF_ERROR(
      view_.index().EachFrame(view_.source(), located.segment, 0, [&](const IndexedFrame& frame) {
        if (frame.record.frame >= located.frame) return false;
        set.Add(frame.record.gtids);
        return true;
      }));
  size_t at = 0;
  TM_ASSIGN_OR_RETURN(FrameContents * contents, ContentsOf(located, &at));
  for (size_t i = 0; i < at; ++i) set.Add(contents->transactions[i].transaction.gtid);
  return set;
}

// Looks at the frame before the boundary, its own, and kClockNoteFramesMax behind it.
Result<std::string> Locator::ClockNote(int64_t last_included_us, const Located& first_excluded) {
  size_t at = 0;
  TM_ASSIGN_OR_RETURN(FrameContents * contents, ContentsOf(first_excluded, &at));
  bool stepped = contents->record.clock_stepped_back;
  uint64_t late = 0;
  Gtid first_late;
  auto count = [&](const FrameContents& frame, size_t from) {
    for (size_t i = from; i < frame.transactions.size(); ++i) {
      const Transaction& transaction = frame.transactions[i].transaction;
      if (transaction.immediate_commit_us > last_included_us) continue;
      if (late++ == 0) first_late = transaction.gtid;
    }
  };
  count(*contents, at + 1);
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> frame,
                      FrameBefore(first_excluded.segment, first_excluded.frame));
  stepped = stepped || (frame && frame->record.clock_stepped_back);
  uint64_t segment = first_excluded.segment;
  uint32_t number = first_excluded.frame;
  bool more_late = false;
  for (size_t i = 0; i < kClockNoteFramesMax; ++i) {
    TM_ASSIGN_OR_RETURN(frame, FrameBehind(segment, number));
    if (!frame) break;
    stepped = stepped || (i == 0 && frame->record.clock_stepped_back);
    int64_t lowest = std::min(frame->record.first_commit_us, frame->record.last_commit_us);
    if (lowest <= last_included_us || (i == 0 && frame->record.clock_stepped_back)) {
      TM_ASSIGN_OR_RETURN(contents, Contents(*frame));
      count(*contents, 0);
      more_late = i + 1 == kClockNoteFramesMax;
    }
    segment = frame->segment;
    number = frame->record.frame;
  }
  if (late == 0 && !stepped) return std::string();
  return Noted(late, !more_late, first_late, last_included_us);
}

}  // namespace tidemark
