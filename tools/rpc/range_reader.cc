#include "tools/rpc/range_reader.h"

#include "pitr/abridged.h"
#include "pitr/segment_cache.h"
#include "tools/rpc/convert.h"

namespace tidemark::rpc {
namespace {

Result<GtidSet> SetOfRequest(const std::string& text, const char* field) {
  Result<GtidSet> set = GtidSet::Parse(text);
  if (!set.ok()) return std::move(Status(set.error())).WithContext(field);
  return set;
}

Status MissingError(const GtidSet& missing, const std::string& why, Code code) {
  return Status(
      code, "transactions that are asked for are not archived: " + Abridged(missing) + ": " + why,
      "name what a base backup holds in `exclude`, or set allow_missing to go without");
}

}  // namespace

Result<std::unique_ptr<RangeReader>> RangeReader::Open(SharedArchive& archive,
                                                       const v1::StreamRange& range, Resume resume,
                                                       std::chrono::milliseconds hibernate_after) {
  std::unique_ptr<RangeReader> reader(new RangeReader(archive, hibernate_after));
  TM_RETURN_IF_ERROR(reader->Begin(range));
  if (resume == Resume::kInStream && reader->resumed_) {
    TM_ASSIGN_OR_RETURN(const GtidSet received, SetOfRequest(range.received(), "received"));
    TM_RETURN_IF_ERROR(reader->FindFormat(received));
  }
  reader->cursor_ = std::make_unique<EventCursor>(*reader->view_, reader->range_);
  return reader;
}

Status RangeReader::Begin(const v1::StreamRange& range) {
  TM_ASSIGN_OR_RETURN(range_.exclude, SetOfRequest(range.exclude(), "exclude"));
  TM_ASSIGN_OR_RETURN(range_.include, SetOfRequest(range.only(), "only"));
  TM_ASSIGN_OR_RETURN(const GtidSet received, SetOfRequest(range.received(), "received"));
  range_.exclude.Add(received);
  resumed_ = !received.empty();
  follow_ = range.follow();
  allow_missing_ = range.allow_missing();
  if (!follow_ && !range.has_target())
    return Status(Code::kUsage, "it is not said how far the stream goes",
                  "set range.target, or range.follow to true");
  TM_ASSIGN_OR_RETURN(view_, archive_.OpenView(range.source()));
  source_ = view_->source();
  if (!view_->segments().empty()) gaps_checked_to_ = view_->segments().back().header.number;
  if (follow_) return CheckNothingMissing(view_->ComputeCoverage().end);
  const Result<Target> target = FromMessage(range.target());
  if (!target.ok()) return AsUsage(target.error());
  TM_ASSIGN_OR_RETURN(Boundary boundary, Locator(*view_).Resolve(*target));
  range_.stop_before = std::move(boundary.first_excluded);
  return CheckNothingMissing(boundary.set);
}

Status RangeReader::CheckNothingMissing(const GtidSet& wanted) const {
  if (allow_missing_) return OkStatus();
  const Coverage coverage = view_->ComputeCoverage();
  GtidSet missing = wanted.Minus(coverage.archived).Minus(range_.exclude);
  if (!range_.include.empty()) missing = missing.Intersection(range_.include);
  if (missing.empty()) return OkStatus();
  for (const GapRecord& gap : coverage.gaps) {
    const GtidSet in_gap = gap.missing.Intersection(missing);
    if (!in_gap.empty()) return MissingError(in_gap, gap.reason, Code::kGap);
  }
  return MissingError(missing, "the archive of " + source_ + " begins behind them",
                      Code::kUnreachableTarget);
}

// Of segments that have come since the last look.
Status RangeReader::CheckNewGaps() {
  const uint64_t checked_to = gaps_checked_to_;
  const std::vector<SegmentRecord>& segments = view_->segments();
  for (auto at = segments.rbegin(); at != segments.rend() && at->header.number > checked_to; ++at) {
    gaps_checked_to_ = std::max(gaps_checked_to_, at->header.number);
    GtidSet missing = at->header.gap.missing.Minus(range_.exclude);
    if (!range_.include.empty()) missing = missing.Intersection(range_.include);
    if (!missing.empty() && !allow_missing_)
      return MissingError(missing, at->header.gap.reason, Code::kGap);
  }
  return OkStatus();
}

// The stream stands in the segment that holds the last transaction received, in archive order.
Status RangeReader::FindFormat(const GtidSet& received) {
  const std::vector<SegmentRecord>& segments = view_->segments();
  for (auto at = segments.rbegin(); at != segments.rend(); ++at) {
    if (!at->gtids.Intersects(received)) continue;
    TM_ASSIGN_OR_RETURN(OpenSegment segment, OpenSegmentFile(*view_, *at));
    format_ = {at->header.source_file, at->header.server_uuid,
               std::move(segment.format_description)};
    return OkStatus();
  }
  return OkStatus();
}

Result<RangeReader::State> RangeReader::Next(StreamPiece* piece) {
  bool looked_again = false;
  if (hibernating()) {
    TM_RETURN_IF_ERROR(WakeUp(&looked_again));
    if (!looked_again) return State::kWaiting;
  }
  for (;;) {
    TM_ASSIGN_OR_RETURN(*piece, cursor_->Next());
    switch (piece->kind) {
      case StreamPiece::Kind::kNothingYet: return State::kNothingYet;
      case StreamPiece::Kind::kEnd:
        if (!follow_) return State::kEnd;
        if (looked_again) {
          HibernateIfIdle();
          return State::kWaiting;
        }
        TM_RETURN_IF_ERROR(LookAgain());
        looked_again = true;
        break;
      case StreamPiece::Kind::kFormatDescription: {
        Format given{cursor_->source_file(), cursor_->server_uuid(),
                     std::string(AsText(piece->bytes))};
        if (given == format_) break;
        format_ = std::move(given);
        return State::kPiece;
      }
      case StreamPiece::Kind::kTransactions:
        range_.exclude.Add(piece->ended);
        given_at_ = std::chrono::steady_clock::now();
        return State::kPiece;
    }
  }
}

Status RangeReader::LookAgain() {
  TM_RETURN_IF_ERROR(view_->Refresh());
  return CheckNewGaps();
}

void RangeReader::HibernateIfIdle() {
  if (std::chrono::steady_clock::now() - given_at_ < hibernate_after_) return;
  seen_segment_ = view_->segments().empty() ? 0 : view_->segments().back().header.number;
  seen_raw_bytes_ = view_->segments().empty() ? 0 : view_->segments().back().raw_bytes;
  cursor_.reset();
  view_.reset();
}

Status RangeReader::WakeUp(bool* woken) {
  TM_ASSIGN_OR_RETURN(const std::optional<SegmentRecord> last,
                      archive_.index().LastSegment(source_));
  *woken = last && (last->header.number != seen_segment_ || last->raw_bytes != seen_raw_bytes_);
  if (!*woken) return OkStatus();
  given_at_ = std::chrono::steady_clock::now();
  TM_ASSIGN_OR_RETURN(view_, archive_.OpenView(source_));
  cursor_ = std::make_unique<EventCursor>(*view_, range_);
  return CheckNewGaps();
}

bool RangeReader::BeginsFile() const {
  bool begins = false;
  for (const SegmentRecord& segment : view_->segments()) {
    if (segment.header.source_file != source_file()) continue;
    begins = begins || segment.header.source_start == 0;
    if (segment.gtids.Intersects(range_.exclude)) return false;
  }
  return begins;
}

Result<std::string> RangeReader::LastFormatDescription() {
  if (view_->segments().empty()) return std::string();
  TM_ASSIGN_OR_RETURN(OpenSegment segment, OpenSegmentFile(*view_, view_->segments().back()));
  return std::move(segment.format_description);
}

}  // namespace tidemark::rpc
