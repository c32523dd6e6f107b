#include "pitr/run_filter.h"

#include <utility>

namespace tidemark {
namespace {

ScannerOptions OptionsFor(const OpenSegment& segment, uint64_t from) {
  ScannerOptions options;
  options.count_rows = false;
  options.start_offset = from;
  options.checksum = segment.checksum;
  options.checksum_known = true;
  return options;
}

}  // namespace

bool IsGiven(const StreamRange& range, const Gtid& gtid) {
  return !range.exclude.Contains(gtid) && (range.include.empty() || range.include.Contains(gtid));
}

GtidSet GivenOf(const StreamRange& range, const GtidSet& gtids) {
  GtidSet given = gtids.Minus(range.exclude);
  return range.include.empty() ? given : given.Intersection(range.include);
}

RunFilter::RunFilter(const StreamRange& range, const OpenSegment& segment, uint64_t from)
    : range_(range), seeker_(OptionsFor(segment, from)), piece_begin_(from) {}

Status RunFilter::OnPiece(Bytes piece, std::vector<WantedBytes>* wanted) {
  piece_ = piece;
  from_ = to_ = 0;
  wanted_ = wanted;
  TM_RETURN_IF_ERROR(
      seeker_.FeedBytes(piece, [this](const ScannedEvent& event) { return OnEvent(event); }));
  if (giving_) to_ = piece.size();
  Flush();
  piece_begin_ += piece.size();
  return OkStatus();
}

void RunFilter::Give(Bytes bytes) {
  if (bytes.empty()) return;
  given_.Add(ended_);
  const size_t whole_bytes = transactions_ == 0 ? 0 : ended_at_ - from_;
  wanted_->push_back({bytes, std::exchange(transactions_, 0), whole_until_,
                      std::exchange(ended_, {}), whole_bytes});
}

void RunFilter::Flush() {
  Give(piece_.subspan(from_, to_ - from_));
  from_ = to_;
}

Status RunFilter::OnEvent(const ScannedEvent& event) {
  if (event.begins_transaction) TM_RETURN_IF_ERROR(Begin(event));
  if (event.finished == nullptr) return OkStatus();
  whole_until_ = event.offset + event.header.size;
  if (!giving_) return OkStatus();
  giving_ = false;
  to_ = whole_until_ - piece_begin_;
  ended_at_ = to_;
  ended_.Add(event.finished->gtid);
  ++transactions_;
  return OkStatus();
}

Status RunFilter::Begin(const ScannedEvent& event) {
  const Gtid* gtid = seeker_.scanner()->open_gtid();
  if (gtid == nullptr) {
    return Status(Code::kCorruption, "a transaction without a GTID begins at raw offset " +
                                         std::to_string(event.offset));
  }
  giving_ = IsGiven(range_, *gtid);
  if (!giving_) {
    Flush();  // so that what is given says how far it goes
    return OkStatus();
  }
  if (event.offset >= piece_begin_) {
    const size_t begin = event.offset - piece_begin_;
    if (begin == to_) return OkStatus();  // goes on where the transaction before it ended
    Flush();
    from_ = to_ = begin;
    return OkStatus();
  }
  // Its Gtid event began in an earlier piece, and is short enough to be in `head` whole.
  TM_CHECK(event.head.size() == event.header.size);
  head_ = AsText(event.head);
  Give(AsBytes(head_));
  from_ = to_ = event.offset + event.header.size - piece_begin_;
  return OkStatus();
}

}  // namespace tidemark
