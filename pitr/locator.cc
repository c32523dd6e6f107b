#include "pitr/locator.h"

#include <algorithm>

#include "pitr/lineage.h"

namespace tidemark {
namespace {

std::string Counted(size_t number, const char* what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

// The highest number archived or skipped in the GTID's namespace; 0 if none ever was.
int64_t HighestNumber(const GtidSet& set, const Tsid& tsid) {
  auto at = set.map().find(tsid);
  return at == set.map().end() ? 0 : at->second.back().last;
}

Status Damaged(const std::string& what) {
  return Status(Code::kCorruption, what,
                "pitr verify tells what is damaged; pitr index rebuild renews the index");
}

}  // namespace

Locator::Locator(ArchiveView& view) : view_(view), segments_(view) {}

Result<FrameContents*> Locator::Contents(const IndexedFrame& frame) {
  auto at = std::find_if(frames_.begin(), frames_.end(), [&](const FrameContents& contents) {
    return contents.segment == frame.segment && contents.record.frame == frame.record.frame;
  });
  if (at != frames_.end()) {
    frames_.splice(frames_.begin(), frames_, at);
    return &frames_.front();
  }
  TM_ASSIGN_OR_RETURN(OpenSegment * segment, segments_.Get(frame.segment));
  TM_ASSIGN_OR_RETURN(FrameContents contents, ReadFrame(view_, *segment, frame.record));
  frames_.push_front(std::move(contents));
  if (frames_.size() > kFramesKeptMax) frames_.pop_back();
  return &frames_.front();
}

Result<Located> Locator::Present(const FrameContents& contents, size_t at) {
  TM_ASSIGN_OR_RETURN(OpenSegment * segment, segments_.Get(contents.segment));
  Located located;
  located.segment = contents.segment;
  located.frame = contents.record.frame;
  located.transaction = contents.transactions[at].transaction;
  located.details_known = false;
  located.source_file = segment->record.header.source_file;
  located.source_begin = segment->SourcePosition(located.transaction.begin_offset);
  if (contents.transactions[at].details_known &&
      located.transaction.size() <= kDetailsReadBytesMax) {
    TM_RETURN_IF_ERROR(FillDetails(&contents, &located));
  }
  return located;
}

Status Locator::FillDetails(const FrameContents* contents, Located* located) {
  TM_ASSIGN_OR_RETURN(OpenSegment * segment, segments_.Get(located->segment));
  FramePlace place = segment->FirstFrame();
  if (contents != nullptr) {
    place = contents->record.place;
  } else {
    TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> frame,
                        view_.index().Frame(view_.source(), located->segment, located->frame));
    if (frame) place = frame->record.place;
  }
  TM_ASSIGN_OR_RETURN(located->transaction,
                      ReadTransaction(*segment, place, located->transaction.begin_offset,
                                      located->transaction.end_offset, contents));
  located->details_known = true;
  return OkStatus();
}

Status Locator::ReadDetails(Located* located) {
  return located->details_known ? OkStatus() : FillDetails(nullptr, located);
}

bool Locator::InView(const IndexedFrame& frame) const {
  const SegmentRecord* segment = view_.segment(frame.segment);
  return segment != nullptr && frame.record.place.raw_offset < segment->raw_bytes;
}

Result<std::optional<Located>> Locator::FirstOf(const std::optional<IndexedFrame>& frame) {
  if (!frame) return std::optional<Located>();
  TM_ASSIGN_OR_RETURN(FrameContents * contents, Contents(*frame));
  if (contents->transactions.empty()) return std::optional<Located>();
  TM_ASSIGN_OR_RETURN(Located located, Present(*contents, 0));
  return std::optional<Located>(std::move(located));
}

Result<std::optional<Located>> Locator::LastOf(std::optional<IndexedFrame> frame) {
  while (frame) {
    TM_ASSIGN_OR_RETURN(FrameContents * contents, Contents(*frame));
    if (!contents->transactions.empty()) {
      TM_ASSIGN_OR_RETURN(Located located, Present(*contents, contents->transactions.size() - 1));
      return std::optional<Located>(std::move(located));
    }
    // The one at the view's end, of which the view has none.
    TM_ASSIGN_OR_RETURN(frame, FrameBefore(frame->segment, frame->record.frame));
  }
  return std::optional<Located>();
}

Result<std::optional<IndexedFrame>> Locator::LastFrameOf(const SegmentRecord& segment) {
  std::optional<IndexedFrame> last;
  if (segment.transactions == 0) return last;
  TM_RETURN_IF_ERROR(view_.index().EachFrame(view_.source(), segment.header.number, 0,
                                             [&](const IndexedFrame& frame) {
                                               if (!InView(frame)) return false;
                                               if (frame.record.transactions > 0) last = frame;
                                               return true;
                                             }));
  return last;
}

Result<std::optional<IndexedFrame>> Locator::FrameBefore(uint64_t segment, uint32_t frame) {
  while (frame-- > 0) {
    TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> found,
                        view_.index().Frame(view_.source(), segment, frame));
    if (found && found->record.transactions > 0) return found;
  }
  const std::vector<SegmentRecord>& all = view_.segments();
  for (auto at = all.rbegin(); at != all.rend(); ++at) {
    if (at->header.number >= segment || at->transactions == 0) continue;
    return LastFrameOf(*at);
  }
  return std::optional<IndexedFrame>();
}

Result<std::optional<IndexedFrame>> Locator::FrameBehind(uint64_t segment, uint32_t frame) {
  uint32_t from = frame + 1;
  for (const SegmentRecord& record : view_.segments()) {
    if (record.header.number < segment || record.transactions == 0) continue;
    if (record.header.number > segment) from = 0;
    std::optional<IndexedFrame> found;
    TM_RETURN_IF_ERROR(view_.index().EachFrame(view_.source(), record.header.number, from,
                                               [&](const IndexedFrame& next) {
                                                 if (!InView(next)) return false;
                                                 if (next.record.transactions > 0) found = next;
                                                 return !found;
                                               }));
    if (found) return found;
  }
  return std::optional<IndexedFrame>();
}

Result<FrameContents*> Locator::ContentsOf(const Located& located, size_t* at) {
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> frame,
                      view_.index().Frame(view_.source(), located.segment, located.frame));
  if (!frame) {
    return Damaged("the index has no frame " + std::to_string(located.frame) + " of segment " +
                   std::to_string(located.segment));
  }
  TM_ASSIGN_OR_RETURN(FrameContents * contents, Contents(*frame));
  for (*at = 0; *at < contents->transactions.size(); ++*at) {
    const Transaction& transaction = contents->transactions[*at].transaction;
    if (transaction.begin_offset == located.transaction.begin_offset) return contents;
  }
  return Damaged("segment " + std::to_string(located.segment) +
                 " has no transaction at raw offset " +
                 std::to_string(located.transaction.begin_offset));
}

Result<std::optional<Located>> Locator::Previous(const Located& located) {
  size_t at = 0;
  TM_ASSIGN_OR_RETURN(FrameContents * contents, ContentsOf(located, &at));
  if (at > 0) {
    TM_ASSIGN_OR_RETURN(Located previous, Present(*contents, at - 1));
    return std::optional<Located>(std::move(previous));
  }
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> frame,
                      FrameBefore(located.segment, located.frame));
  return LastOf(frame);
}

Result<std::optional<Located>> Locator::Next(const Located& located) {
  size_t at = 0;
  TM_ASSIGN_OR_RETURN(FrameContents * contents, ContentsOf(located, &at));
  if (at + 1 < contents->transactions.size()) {
    TM_ASSIGN_OR_RETURN(Located next, Present(*contents, at + 1));
    return std::optional<Located>(std::move(next));
  }
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> frame,
                      FrameBehind(located.segment, located.frame));
  return FirstOf(frame);
}

Result<std::optional<Located>> Locator::Last() {
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> frame, FrameBefore(UINT64_MAX, 0));
  return LastOf(frame);
}

Result<Located> Locator::FindGtid(const Gtid& gtid) {
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> frame,
                      view_.index().FindGtid(view_.source(), gtid));
  if (!frame || !InView(*frame)) return WhyNotArchived(gtid);
  TM_ASSIGN_OR_RETURN(FrameContents * contents, Contents(*frame));
  for (size_t at = 0; at < contents->transactions.size(); ++at) {
    if (contents->transactions[at].transaction.gtid == gtid) return Present(*contents, at);
  }
  if (contents->at_views_end) return WhyNotArchived(gtid);
  return Damaged("the index places GTID " + gtid.ToString() + " in frame " +
                 std::to_string(frame->record.frame) + " of segment " +
                 std::to_string(frame->segment) + ", which does not hold it");
}

Status Locator::WhyNotArchived(const Gtid& gtid) {
  std::string name = "GTID " + gtid.ToString();
  std::string source = "the archive of " + view_.source();
  Coverage coverage = view_.ComputeCoverage();
  if (coverage.before.Contains(gtid)) {
    return Status(Code::kNotFound, name + " lies before the start of " + source,
                  "only a base backup can hold it");
  }
  for (const GapRecord& gap : coverage.gaps) {
    if (!gap.missing.Contains(gtid)) continue;
    return Status(Code::kGap,
                  name + " lies in a gap of " + source + ": " + gap.reason + ", noticed " +
                      FormatTime(gap.noticed_us),
                  "the gap is " + gap.missing.ToString() + "; choose a target outside it");
  }
  for (const std::string& other : RelatedSources(view_.archive(), view_.source())) {
    TM_ASSIGN_OR_RETURN(const auto frame, view_.index().FindGtid(other, gtid));
    if (!frame) continue;
    return Status(Code::kNotFound,
                  name + " is not in the lineage of " + view_.source() + ", but in that of " +
                      other + ", with which it shares only an earlier past",
                  "--source " + other);
  }
  int64_t highest = HighestNumber(coverage.end, gtid.tsid);
  if (highest == 0) {
    return Status(Code::kNotFound,
                  name + " is not in " + source + ": it never saw a transaction of " +
                      gtid.tsid.ToString() + " (it knows of " +
                      Counted(coverage.end.map().size(), "other") + ")",
                  "check the UUID and tag: pitr status shows the archived set");
  }
  if (gtid.gno > highest) {
    return Status(Code::kNotFound,
                  name + " lies after the end of " + source + ", whose last of that origin is " +
                      Gtid{gtid.tsid, highest}.ToString(),
                  "if it was committed, wait until the archive has it: pitr status");
  }
  return Status(
      Code::kNotFound,
      name + " is not in " + source +
          ": the source had not committed it at the archive's end, although it had later numbers",
      "it may have been committed since, or its number was never used");
}

Result<Neighbourhood> Locator::FindGtidWithNeighbours(const Gtid& gtid) {
  Neighbourhood around;
  TM_ASSIGN_OR_RETURN(around.found, FindGtid(gtid));
  TM_ASSIGN_OR_RETURN(around.previous, Previous(around.found));
  TM_ASSIGN_OR_RETURN(around.next, Next(around.found));
  return around;
}

Result<std::optional<Located>> Locator::FindFirstPast(int64_t time_us) {
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> frame,
                      view_.index().FindFirstPast(view_.source(), time_us));
  if (!frame || !InView(*frame)) return std::optional<Located>();
  TM_ASSIGN_OR_RETURN(FrameContents * contents, Contents(*frame));
  for (size_t at = 0; at < contents->transactions.size(); ++at) {
    if (contents->transactions[at].transaction.immediate_commit_us <= time_us) continue;
    TM_ASSIGN_OR_RETURN(Located located, Present(*contents, at));
    return std::optional<Located>(std::move(located));
  }
  if (contents->at_views_end) return std::optional<Located>();
  return Damaged("the index places a commit past " + FormatTime(time_us) + " in frame " +
                 std::to_string(frame->record.frame) + " of segment " +
                 std::to_string(frame->segment) + ", which holds none");
}

Result<std::optional<Located>> Locator::FindPosition(const std::string& file, uint64_t position) {
  std::optional<Located> none;
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> frame,
                      view_.index().FindPosition(view_.source(), file, position));
  if (!frame || !InView(*frame)) return none;
  TM_ASSIGN_OR_RETURN(OpenSegment * segment, segments_.Get(frame->segment));
  const SegmentHeader& header = segment->record.header;
  if (position < header.source_start) return none;
  uint64_t raw = position - header.source_start + header.prefix_bytes;

  std::optional<Located> candidate;
  TM_ASSIGN_OR_RETURN(FrameContents * contents, Contents(*frame));
  for (size_t at = 0; at < contents->transactions.size() && !candidate; ++at) {
    if (contents->transactions[at].transaction.end_offset <= raw) continue;
    TM_ASSIGN_OR_RETURN(candidate, Present(*contents, at));
  }
  if (candidate && candidate->transaction.begin_offset <= raw) return candidate;
  // The byte may belong to a transaction that began in an earlier frame.
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> earlier,
                      FrameBefore(frame->segment, frame->record.frame));
  if (earlier && earlier->segment == frame->segment) {
    TM_ASSIGN_OR_RETURN(std::optional<Located> last, LastOf(earlier));
    if (last && last->transaction.end_offset > raw) return last;
  }
  if (candidate) return candidate;
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> later,
                      FrameBehind(frame->segment, frame->record.frame));
  TM_ASSIGN_OR_RETURN(std::optional<Located> next, FirstOf(later));
  return next && next->source_file == file ? next : none;
}

}  // namespace tidemark
