#include "pitr/event_cursor.h"

#include <algorithm>
#include <vector>

#include "pitr/abridged.h"
#include "pitr/run_filter.h"

namespace tidemark {
namespace {

// What one call of Next may do without giving anything.
constexpr uint64_t kBytesPerCallMax = 4u << 20;
constexpr size_t kStepsPerCallMax = 4096;  // segments and frames passed over
// How many frames are looked up at a time.
constexpr size_t kFramesPerPlanMax = 64;
constexpr size_t kSkippedShownBytesMax = 200;

// Damage is the segment's; whatever else went wrong names its own place.
Status InSegment(Status error, const OpenSegment& segment) {
  const bool damage = error.code() == Code::kCorruption || error.code() == Code::kTruncated ||
                      error.code() == Code::kUnsupportedFormat;
  return damage ? std::move(error).WithContext(segment.reader->path()) : error;
}

struct Output {
  StreamPiece::Kind kind = StreamPiece::Kind::kTransactions;
  WantedBytes wanted;
};

// Consecutive frames, or rests of frames, of which something is wanted.
struct Stretch {
  std::optional<FramePlace> begins =
      {};  // a new run does, here; otherwise the one under way goes on
  uint64_t from = 0;
  uint64_t to = 0;
  bool ends_run = false;  // what follows is not wanted
  bool at_limit = false;  // what follows is not there yet, or beyond stop_before
  GtidSet promised = {};  // by the index, for the frames that are read to their ends
};

}  // namespace

struct EventCursor::State {
  State(ArchiveView& the_view, StreamRange the_range)
      : view(the_view), range(std::move(the_range)) {}

  Result<StreamPiece> Next();
  StreamPiece Pop();
  void SayPosition(uint64_t whole_until);
  void PassOver(const SegmentRecord& record, uint64_t limit);
  Status ReadPiece();
  Status Enter();
  Status EndStretch();
  Result<bool> GoOn();
  Result<bool> EnterNextSegment();
  Status CheckNothingSkipped(const SegmentRecord& next) const;
  Status Plan(const SegmentRecord& record, uint64_t limit);
  Status BeginRun(const SegmentRecord& record, const Stretch& planned);
  uint64_t LimitOf(const SegmentRecord& record) const;
  Status Vanished() const;

  ArchiveView& view;
  const StreamRange range;

  // Where it stands: everything before is given or passed over.
  uint64_t number = 0;          // of the segment; 0 before the first
  bool was_sealed = false;      // as of the last look
  GtidSet behind;               // the source's set at its end, if it was sealed
  bool in_source_file = false;  // it is of that file
  uint64_t source_offset = 0;   // from its raw offsets to positions in its file, modulo 2^64
  uint64_t done_to = 0;         // raw offset in it
  uint32_t frame = 0;  // the first of its frames that may still have something behind done_to
  bool at_stop = false;
  std::optional<OpenSegment> segment;  // once something of it is wanted
  std::optional<RunFilter> run;        // the reader and this stand at done_to
  bool entered = false;                // the stream knows the segment's format description
  std::optional<Stretch> stretch;      // being read
  GtidSet promised;                    // by the index, and not seen to have been given

  std::vector<WantedBytes> wanted;  // of the piece decoded last
  std::vector<Output> outputs;      // made of it
  size_t outputs_given = 0;
  uint64_t bytes_this_call = 0;
  size_t steps_this_call = 0;

  // The format description given last, and where it is from.
  std::string format_description;
  std::string source_file;
  Uuid server;
  uint64_t source_position = 0;
  StreamProgress progress;
};

Result<StreamPiece> EventCursor::State::Next() {
  bytes_this_call = 0;
  steps_this_call = 0;
  for (;;) {
    if (outputs_given < outputs.size()) return Pop();
    if (run) SayPosition(run->whole_until());
    if (bytes_this_call >= kBytesPerCallMax || steps_this_call >= kStepsPerCallMax) {
      return StreamPiece{.kind = StreamPiece::Kind::kNothingYet};
    }
    if (stretch) {
      Status read = ReadPiece();
      if (!read.ok()) return InSegment(std::move(read), *segment);
      continue;
    }
    TM_ASSIGN_OR_RETURN(bool more, GoOn());
    if (!more) return StreamPiece{.kind = StreamPiece::Kind::kEnd};
  }
}

StreamPiece EventCursor::State::Pop() {
  const Output& output = outputs[outputs_given++];
  if (output.kind == StreamPiece::Kind::kFormatDescription) {
    source_file = segment->record.header.source_file;
    source_position = 0;
    in_source_file = true;
  }
  SayPosition(output.wanted.whole_until);
  progress.raw_bytes_given += output.wanted.bytes.size();
  progress.transactions_given += output.wanted.transactions;
  return {.kind = output.kind,
          .bytes = output.wanted.bytes,
          .ended = output.wanted.ended,
          .whole_bytes = output.wanted.whole_bytes};
}

// Only in the file that the receiver knows of.
void EventCursor::State::SayPosition(uint64_t whole_until) {
  if (!in_source_file || whole_until == 0) return;
  source_position = std::max(source_position, whole_until + source_offset);
}

// Everything up to the limit is passed over. Behind a segment's last transaction there may be the
// source's Rotate, which is none.
void EventCursor::State::PassOver(const SegmentRecord& record, uint64_t limit) {
  done_to = limit;
  if (record.transactions > 0 && !record.ends_source_file) SayPosition(limit);
}

// Decodes a piece of the stretch, or finds that it was read.
Status EventCursor::State::ReadPiece() {
  TM_ASSIGN_OR_RETURN(Bytes piece, segment->reader->NextRaw(stretch->to));
  if (piece.empty()) return EndStretch();
  done_to += piece.size();
  bytes_this_call += piece.size();
  progress.raw_bytes_read += piece.size();
  outputs.clear();
  wanted.clear();
  outputs_given = 0;
  TM_RETURN_IF_ERROR(run->OnPiece(piece, &wanted));
  if (wanted.empty()) return OkStatus();
  if (!entered) TM_RETURN_IF_ERROR(Enter());
  for (const WantedBytes& bytes : wanted) {
    outputs.push_back({StreamPiece::Kind::kTransactions, bytes});
  }
  return OkStatus();
}

// The segment's first transaction is about to be given: does the receiver know how to read it?
Status EventCursor::State::Enter() {
  entered = true;
  const SegmentHeader& header = segment->record.header;
  const bool same = header.source_file == source_file && header.server_uuid == server &&
                    segment->format_description == format_description;
  if (same) return OkStatus();
  server = header.server_uuid;
  format_description = segment->format_description;
  outputs.push_back(
      {StreamPiece::Kind::kFormatDescription, {.bytes = AsBytes(format_description)}});
  return OkStatus();
}

// Of the frames read to their ends, everything that the index promises must have been given. A
// frame that may still grow is asked about again when it has.
Status EventCursor::State::EndStretch() {
  const Stretch ended = std::move(*stretch);
  stretch.reset();
  promised.Add(ended.promised);
  const Status between = run->Finish();
  if (!between.ok()) return ended.ends_run || ended.at_limit ? between : OkStatus();
  const GtidSet lost = promised.Minus(run->given());
  if (!lost.empty()) {
    return Status(Code::kCorruption,
                  "the index promises transactions that are not before raw offset " +
                      std::to_string(ended.to) + ": " + lost.ToString(),
                  "pitr verify tells whether the segment or the index is damaged");
  }
  promised = {};
  if (!ended.at_limit) run->ForgetGiven();
  if (ended.ends_run) run.reset();
  return OkStatus();
}

// Finds what to read next, or passes something over; false if there is nothing.
Result<bool> EventCursor::State::GoOn() {
  if (at_stop) return false;
  ++steps_this_call;
  if (number == 0) return EnterNextSegment();
  // The view may have been refreshed: what is known of the segment is asked anew each time.
  const SegmentRecord* record = view.segment(number);
  if (record == nullptr && !was_sealed) return Vanished();
  if (record == nullptr) return EnterNextSegment();
  const uint64_t limit = LimitOf(*record);
  if (done_to < limit) {
    was_sealed = false;
    if (!run && GivenOf(range, record->gtids).empty()) {
      PassOver(*record, limit);
      return true;
    }
    TM_RETURN_IF_ERROR(Plan(*record, limit));
    return true;
  }
  was_sealed = record->sealed;
  if (was_sealed) behind = record->header.previous.Union(record->gtids);
  at_stop = range.stop_before && range.stop_before->segment == number &&
            range.stop_before->transaction.begin_offset <= record->raw_bytes;
  if (at_stop) return false;
  return EnterNextSegment();
}

Result<bool> EventCursor::State::EnterNextSegment() {
  const std::vector<SegmentRecord>& segments = view.segments();
  const auto next = std::upper_bound(
      segments.begin(), segments.end(), number,
      [](uint64_t done, const SegmentRecord& record) { return done < record.header.number; });
  if (next == segments.end()) return false;
  TM_RETURN_IF_ERROR(CheckNothingSkipped(*next));
  at_stop = range.stop_before && next->header.number > range.stop_before->segment;
  if (at_stop) return false;
  number = next->header.number;
  was_sealed = false;
  in_source_file = next->header.source_file == source_file && next->header.server_uuid == server;
  source_offset = next->header.source_start - next->header.prefix_bytes;
  done_to = 0;
  frame = 0;
  run.reset();
  segment.reset();
  entered = false;
  return true;
}

// Segments that were removed before they were read leave a hole in the numbers.
Status EventCursor::State::CheckNothingSkipped(const SegmentRecord& next) const {
  const SegmentHeader& header = next.header;
  if (number == 0 || header.number == number + 1) return OkStatus();
  const GtidSet skipped = GivenOf(range, header.previous.Minus(behind).Minus(header.gap.missing));
  if (skipped.empty()) return OkStatus();
  return Status(
      Code::kNotFound,
      "between segments " + std::to_string(number) + " and " + std::to_string(header.number) +
          " of source " + view.source() +
          " transactions are gone from the archive: " + Abridged(skipped, kSkippedShownBytesMax),
      "segments were removed before they were read");
}

uint64_t EventCursor::State::LimitOf(const SegmentRecord& record) const {
  const bool stops_here = range.stop_before && range.stop_before->segment == number;
  return stops_here ? std::min(record.raw_bytes, range.stop_before->transaction.begin_offset)
                    : record.raw_bytes;
}

Status EventCursor::State::Vanished() const {
  return Status(Code::kNotFound,
                "segment " + std::to_string(number) + " of source " + view.source() +
                    " is gone from the archive, read up to raw offset " + std::to_string(done_to),
                "it was removed while it was being read");
}

// Looks some frames up, from `frame` on: passes over those of which nothing is wanted, and takes
// the following wanted ones for the next stretch. The index may know more than the view already: a
// frame that goes past the limit promises nothing yet.
Status EventCursor::State::Plan(const SegmentRecord& record, uint64_t limit) {
  Stretch planned{.from = done_to, .to = limit, .at_limit = true};
  bool reading = run.has_value();
  size_t looked_at = 0;
  TM_RETURN_IF_ERROR(
      view.index().EachFrame(view.source(), number, frame, [&](const IndexedFrame& indexed) {
        const FrameRecord& found = indexed.record;
        const uint64_t begin = found.place.raw_offset;
        if (begin >= limit) return false;
        const GtidSet given = GivenOf(range, found.gtids);
        const bool needed = !given.empty() || (reading && found.starts_in_transaction);
        if ((reading && !needed) || looked_at == kFramesPerPlanMax) {
          planned.ends_run = reading && !needed;
          planned.at_limit = false;
          planned.to = begin;
          frame = found.frame;
          return false;
        }
        if (needed && !reading) {
          planned.begins = found.place;
          planned.from = std::max<uint64_t>(begin, kBinlogMagicSize);
          reading = true;
        }
        if (found.raw_end <= limit) planned.promised.Add(given);
        frame = found.frame;
        ++looked_at;
        return true;
      }));
  steps_this_call += looked_at;
  if (!reading) {
    if (planned.at_limit) PassOver(record, limit);
    done_to = planned.to;
    return OkStatus();
  }
  if (planned.begins) TM_RETURN_IF_ERROR(BeginRun(record, planned));
  stretch = std::move(planned);
  return OkStatus();
}

Status EventCursor::State::BeginRun(const SegmentRecord& record, const Stretch& planned) {
  if (!segment) {
    TM_ASSIGN_OR_RETURN(segment, OpenSegmentFile(view, record));
  }
  segment->reader->SeekRaw(*planned.begins, planned.from);
  run.emplace(range, *segment, planned.from);
  done_to = planned.from;
  return OkStatus();
}

EventCursor::EventCursor(ArchiveView& view, StreamRange range)
    : state_(std::make_unique<State>(view, std::move(range))) {}
EventCursor::~EventCursor() = default;

Result<StreamPiece> EventCursor::Next() { return state_->Next(); }
bool EventCursor::at_stop() const { return state_->at_stop; }
const std::string& EventCursor::source_file() const { return state_->source_file; }
const Uuid& EventCursor::server_uuid() const { return state_->server; }
uint64_t EventCursor::source_position() const { return state_->source_position; }
const StreamProgress& EventCursor::progress() const { return state_->progress; }

}  // namespace tidemark
