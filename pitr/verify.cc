#include "pitr/verify.h"

#include <algorithm>
#include <optional>

#include "replication/archive/gap_room.h"
#include "replication/archive/segment_reader.h"
#include "replication/archive/segment_recovery.h"

namespace tidemark {
namespace {

constexpr size_t kDifferencesPerSegmentMax = 20;
constexpr std::string_view kTemporarySuffix = ".new";

}  // namespace

class Verification::Reading {
 public:
  explicit Reading(ArchiveView& view) : view_(view) {}

  Result<bool> Step() {
    if (!numbers_) {
      TM_ASSIGN_OR_RETURN(numbers_, SegmentsToRead());
    }
    if (done_ == numbers_->size()) {
      report_.gaps = RemainingGaps(std::move(recorded_), report_.gtids);
      recorded_.clear();
      return false;
    }
    ReadSegment((*numbers_)[done_++]);
    return true;
  }
  const VerifyReport& report() const { return report_; }
  uint64_t segment() const { return done_ == 0 ? 0 : (*numbers_)[done_ - 1]; }

 private:
  void Find(Code code, uint64_t segment, std::string message) {
    report_.findings.push_back({code, segment, std::move(message)});
  }
  std::string PathOf(uint64_t number) const {
    return view_.archive().SegmentPath(view_.source(), number);
  }

  // What is on disk and published; what does not belong there becomes a finding.
  Result<std::vector<uint64_t>> SegmentsToRead() {
    const Result<SourceIdentity> identity = view_.archive().ReadIdentity(view_.source());
    if (!identity.ok()) Find(identity.error().code(), 0, identity.error().message());
    std::vector<std::string> foreign;
    TM_ASSIGN_OR_RETURN(std::vector<uint64_t> numbers, view_.SegmentsOnDisk(&foreign));
    for (const std::string& name : foreign) {
      if (name.ends_with(kTemporarySuffix)) continue;
      Find(Code::kUnsupportedFormat, 0,
           JoinPath(view_.archive().SegmentsPath(view_.source()), name) + " is no segment of ours");
    }
    uint64_t last_known = 0;
    for (const SegmentRecord& segment : view_.segments()) {
      last_known = segment.header.number;
      if (!std::binary_search(numbers.begin(), numbers.end(), last_known)) {
        Find(Code::kIo, last_known,
             "segment file is lost: " + PathOf(last_known) + ", holding " +
                 segment.gtids.ToString());
      }
    }
    if (!numbers.empty() && numbers.back() > last_known) {
      CheckUnpublished(numbers.back());
      numbers.pop_back();
    }
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (i > 0) FindMissing(numbers[i - 1] + 1, numbers[i]);
      if (view_.segment(numbers[i]) != nullptr) continue;
      if (view_.IsOfAnImport(numbers[i])) {
        ++report_.not_indexed_yet;
      } else {
        Find(Code::kCorruption, numbers[i],
             "the index does not know " + PathOf(numbers[i]) + " (pitr index rebuild)");
      }
    }
    last_on_disk_ = numbers.empty() ? 0 : numbers.back();
    return numbers;
  }

  // The newest file may be one that a running daemon has not published anything of: its header, as
  // far as it is written, is all that can be judged.
  void CheckUnpublished(uint64_t number) {
    auto reader = OpenSegmentFile(view_.archive(), view_.source(), number);
    if (!reader.ok()) {
      const Status& error = reader.error();
      if (error.code() != Code::kTruncated && error.code() != Code::kNotFound)
        Find(error.code(), number, error.message());
      return;
    }
    const SegmentHeader& header = (*reader)->header();
    CheckName(number, header);
  }

  void CheckName(uint64_t number, const SegmentHeader& header) {
    const Status is =
        CheckSegmentIsOf(view_.source(), view_.forks(), number, PathOf(number), header);
    if (!is.ok()) Find(is.code(), number, is.message());
  }

  // Numbers nobody knows of; those that the index knows are found already.
  void FindMissing(uint64_t from, uint64_t to) {
    while (from < to && view_.segment(from) != nullptr) ++from;
    if (from >= to || IsRoom(to)) return;
    std::string which = from + 1 == to ? "segment " + std::to_string(from) + " is"
                                       : "segments " + std::to_string(from) + " to " +
                                             std::to_string(to - 1) + " are";
    Find(Code::kIo, from, which + " missing: " + PathOf(from));
  }

  // What is lost beside it shows in the sets, once they are read.
  bool IsRoom(uint64_t behind) const {
    auto reader = OpenSegmentFile(view_.archive(), view_.source(), behind);
    return reader.ok() && !(*reader)->header().gap.missing.empty();
  }

  void ReadSegment(uint64_t number) {
    const SegmentRecord* known = view_.segment(number);
    Result<SegmentContents> scanned =
        ScanSegment(view_.archive().files(), PathOf(number), view_.source(), commit_high_us_);
    if (!scanned.ok()) {
      Find(scanned.error().code(), number, scanned.error().message());
      // What it should have held is still what the next one builds on.
      if (known != nullptr) Advance(*known, true);
      return;
    }
    const SegmentRecord& segment = scanned->segment;
    ++report_.segments;
    report_.transactions += segment.transactions;
    report_.raw_bytes += segment.raw_bytes;
    report_.stored_bytes += segment.stored_bytes;
    CheckName(number, segment.header);
    CheckContinuity(number, segment);
    CheckUniqueness(number, segment);
    if (known != nullptr) CompareWithIndex(*known, *scanned);
    Advance(segment, known != nullptr || !segment.header.imported);
    report_.gtids.Add(segment.gtids);
  }

  // What the index does not know of yet has raised no time in it.
  void Advance(const SegmentRecord& segment, bool in_index) {
    reached_ = segment.header.previous.Union(segment.gtids);
    if (in_index) commit_high_us_ = segment.commit_high_us;
  }

  void CheckContinuity(uint64_t number, const SegmentRecord& segment) {
    const SegmentHeader& header = segment.header;
    if (!header.gap.missing.empty()) recorded_.push_back(header.gap);
    gaps_.Add(header.gap.missing);
    if (!header.gap.missing.IsSubsetOf(header.previous)) {
      Find(Code::kCorruption, number,
           "its header records a gap that is not part of what precedes it: " +
               header.gap.missing.Minus(header.previous).ToString());
    }
    if (!segment.sealed && number != last_on_disk_) {
      Find(Code::kTruncated, number, "it was never sealed, although later segments follow");
    }
    if (!reached_) return;
    GtidSet lost = header.previous.Minus(reached_->Union(header.gap.missing));
    if (!lost.empty())
      Find(Code::kGap, number,
           "transactions are missing before it, unrecorded: " + lost.ToString());
    GtidSet forgotten = reached_->Minus(header.previous);
    if (!forgotten.empty()) {
      Find(Code::kCorruption, number,
           "it does not build on transactions that the segment before it ends with: " +
               forgotten.ToString());
    }
  }

  void CheckUniqueness(uint64_t number, const SegmentRecord& segment) {
    if (segment.transactions != segment.gtids.Count()) {
      Find(Code::kCorruption, number,
           "it holds " + std::to_string(segment.transactions) + " transactions but " +
               std::to_string(segment.gtids.Count()) + " different GTIDs");
    }
    GtidSet before = segment.header.previous.Minus(gaps_).Union(report_.gtids);
    GtidSet twice = segment.gtids.Intersection(before);
    if (!twice.empty())
      Find(Code::kCorruption, number,
           "transactions are there for the second time: " + twice.ToString());
  }

  void CompareWithIndex(const SegmentRecord& known, const SegmentContents& scanned) {
    uint64_t number = known.header.number;
    const SegmentRecord& segment = scanned.segment;
    if (segment.raw_bytes < known.raw_bytes || !known.gtids.IsSubsetOf(segment.gtids)) {
      Find(Code::kTruncated, number,
           "the index knows of " + std::to_string(known.raw_bytes) +
               " raw bytes, the segment holds " + std::to_string(segment.raw_bytes) +
               "; lost: " + known.gtids.Minus(segment.gtids).ToString());
      return;
    }
    // A running daemon has gone on since the view was opened.
    bool grown = !known.sealed && (segment.sealed || segment.raw_bytes > known.raw_bytes);
    if (grown) return;
    Result<std::vector<std::string>> differences =
        VerifyIndexAgainst(view_.index(), scanned, kDifferencesPerSegmentMax);
    if (!differences.ok()) {
      Find(differences.error().code(), number, differences.error().message());
      return;
    }
    for (const std::string& difference : *differences) Find(Code::kCorruption, number, difference);
  }

  ArchiveView& view_;
  std::optional<std::vector<uint64_t>> numbers_;  // of the segments to read
  size_t done_ = 0;
  VerifyReport report_;
  std::optional<GtidSet> reached_;   // the source's set behind the last segment
  std::vector<GapRecord> recorded_;  // gaps, in headers
  GtidSet gaps_;
  int64_t commit_high_us_ = 0;
  uint64_t last_on_disk_ = 0;
};

Verification::Verification(ArchiveView& view) : reading_(std::make_unique<Reading>(view)) {}
Verification::~Verification() = default;

Result<bool> Verification::Step() { return reading_->Step(); }
const VerifyReport& Verification::report() const { return reading_->report(); }
uint64_t Verification::segment() const { return reading_->segment(); }

Result<VerifyReport> VerifyArchive(ArchiveView& view,
                                   const std::function<bool(const VerifyReport&)>& progress) {
  Verification verification(view);
  for (;;) {
    TM_ASSIGN_OR_RETURN(const bool more, verification.Step());
    if (!more) return verification.report();
    if (progress && !progress(verification.report())) {
      return Status(Code::kInterrupted,
                    "verify was stopped behind segment " + std::to_string(verification.segment()));
    }
  }
}

}  // namespace tidemark
