#include "pitr/event_stream.h"

#include <algorithm>

#include "pitr/frame_scan.h"
#include "pitr/segment_cache.h"

namespace tidemark {
namespace {

// Damage is the segment's; whatever else went wrong names its own place, or is the sink's.
Status InSegment(Status error, const OpenSegment& segment) {
  const bool damage = error.code() == Code::kCorruption || error.code() == Code::kTruncated ||
                      error.code() == Code::kUnsupportedFormat;
  return damage ? std::move(error).WithContext(segment.reader->path()) : error;
}

bool IsGiven(const StreamRange& range, const Gtid& gtid) {
  return !range.exclude.Contains(gtid) && (range.include.empty() || range.include.Contains(gtid));
}

GtidSet GivenOf(const StreamRange& range, const GtidSet& gtids) {
  GtidSet given = gtids.Minus(range.exclude);
  return range.include.empty() ? given : given.Intersection(range.include);
}

// Frames of one segment that are read in one go.
struct FrameRun {
  FramePlace place;
  uint64_t from = 0;
  uint64_t to = 0;
  GtidSet promised;  // by the index, for the frames that are read to their ends
};

// What the caller gets: magic first, then a format description whenever it changes, then
// transactions.
class Output {
 public:
  Output(const EventStream::Sink& sink, StreamProgress* progress)
      : sink_(sink), progress_(progress) {}

  Status Give(Bytes bytes) {
    if (bytes.empty()) return OkStatus();
    progress_->raw_bytes_given += bytes.size();
    return sink_(bytes);
  }
  // To be called before any transaction of the segment is given.
  Status Enter(const OpenSegment& segment) {
    if (!begun_) TM_RETURN_IF_ERROR(Give(Bytes(kBinlogMagic)));
    const SegmentHeader& header = segment.record.header;
    bool same = begun_ && header.source_file == file_ && header.server_uuid == server_ &&
                segment.format_description == format_description_;
    begun_ = true;
    if (same) return OkStatus();
    file_ = header.source_file;
    server_ = header.server_uuid;
    format_description_ = segment.format_description;
    return Give(AsBytes(format_description_));
  }
  bool begun() const { return begun_; }
  StreamProgress& progress() { return *progress_; }

 private:
  const EventStream::Sink& sink_;
  StreamProgress* progress_;
  bool begun_ = false;
  std::string file_;
  Uuid server_;
  std::string format_description_;
};

// Passes the wanted transactions of one run on. Whether a transaction is wanted is known when its
// Gtid event is whole; from then on its bytes flow in the pieces they come in, so that an event's
// size does not matter.
class RunFilter {
 public:
  RunFilter(const StreamRange& range, const OpenSegment& segment, uint64_t from, Output* output)
      : range_(range),
        segment_(segment),
        output_(output),
        seeker_(OptionsFor(segment, from)),
        piece_begin_(from) {}

  Status OnPiece(Bytes piece) {
    output_->progress().raw_bytes_read += piece.size();
    piece_ = piece;
    from_ = to_ = 0;
    TM_RETURN_IF_ERROR(
        seeker_.FeedBytes(piece, [this](const ScannedEvent& event) { return OnEvent(event); }));
    if (giving_) to_ = piece.size();
    TM_RETURN_IF_ERROR(Flush());
    piece_begin_ += piece.size();
    return OkStatus();
  }
  Status Finish() const { return seeker_.Finish(); }
  const GtidSet& given() const { return given_; }

 private:
  static ScannerOptions OptionsFor(const OpenSegment& segment, uint64_t from) {
    ScannerOptions options;
    options.count_rows = false;
    options.start_offset = from;
    options.checksum = segment.checksum;
    options.checksum_known = true;
    return options;
  }

  // [from_, to_) of the piece is wanted and not given yet; while giving_, to_ is open.
  Status Flush() {
    Bytes wanted = piece_.subspan(from_, to_ - from_);
    from_ = to_;
    return output_->Give(wanted);
  }

  Status OnEvent(const ScannedEvent& event) {
    if (event.begins_transaction) TM_RETURN_IF_ERROR(Begin(event));
    if (event.finished == nullptr || !giving_) return OkStatus();
    giving_ = false;
    to_ = event.offset + event.header.size - piece_begin_;
    given_.Add(event.finished->gtid);
    ++output_->progress().transactions_given;
    return OkStatus();
  }

  Status Begin(const ScannedEvent& event) {
    const Gtid* gtid = seeker_.scanner()->open_gtid();
    if (gtid == nullptr) {
      return Status(Code::kCorruption, "a transaction without a GTID begins at raw offset " +
                                           std::to_string(event.offset));
    }
    giving_ = IsGiven(range_, *gtid);
    if (!giving_) return OkStatus();
    TM_RETURN_IF_ERROR(FlushAndEnter());
    if (event.offset >= piece_begin_) {
      size_t begin = event.offset - piece_begin_;
      if (begin == to_) return OkStatus();  // goes on where the transaction before it ended
      TM_RETURN_IF_ERROR(Flush());
      from_ = to_ = begin;
      return OkStatus();
    }
    // Its Gtid event began in an earlier piece, and is short enough to be in `head` whole.
    TM_CHECK(event.head.size() == event.header.size);
    TM_RETURN_IF_ERROR(output_->Give(event.head));
    from_ = to_ = event.offset + event.header.size - piece_begin_;
    return OkStatus();
  }

  Status FlushAndEnter() {
    if (entered_) return OkStatus();
    entered_ = true;
    return output_->Enter(segment_);
  }

  const StreamRange& range_;
  const OpenSegment& segment_;
  Output* output_;
  TransactionSeeker seeker_;
  Bytes piece_;
  uint64_t piece_begin_;
  size_t from_ = 0;
  size_t to_ = 0;
  bool giving_ = false;
  bool entered_ = false;
  GtidSet given_;
};

class RangeWriter {
 public:
  RangeWriter(ArchiveView& view, const StreamRange& range, Output* output)
      : view_(view), range_(range), output_(output), segments_(view) {}

  Status Write() {
    for (const SegmentRecord& segment : view_.segments()) {
      if (range_.stop_before && segment.header.number > range_.stop_before->segment) break;
      if (GivenOf(range_, segment.gtids).empty()) continue;
      TM_RETURN_IF_ERROR(WriteSegment(segment));
    }
    return output_->begun() || view_.segments().empty() ? OkStatus() : EmptyStream();
  }

 private:
  // Nothing to give: still a binlog that every reader takes.
  Status EmptyStream() {
    TM_ASSIGN_OR_RETURN(OpenSegment * segment,
                        segments_.Get(view_.segments().back().header.number));
    return output_->Enter(*segment);
  }

  Status WriteSegment(const SegmentRecord& record) {
    TM_ASSIGN_OR_RETURN(std::vector<FrameRun> runs, PlanRuns(record));
    if (runs.empty()) return OkStatus();
    TM_ASSIGN_OR_RETURN(OpenSegment * segment, segments_.Get(record.header.number));
    for (const FrameRun& run : runs) {
      Status written = WriteRun(*segment, run);
      if (!written.ok()) return InSegment(std::move(written), *segment);
    }
    return OkStatus();
  }

  // Runs of wanted frames, each with the frames over which its last transaction goes on.
  Result<std::vector<FrameRun>> PlanRuns(const SegmentRecord& record) {
    uint64_t limit = record.raw_bytes;
    if (range_.stop_before && range_.stop_before->segment == record.header.number) {
      limit = std::min(limit, range_.stop_before->transaction.begin_offset);
    }
    std::vector<FrameRun> runs;
    bool in_run = false;
    GtidSet pending;  // of the frame before, promised once it is known to end before the limit
    TM_RETURN_IF_ERROR(view_.index().EachFrame(
        view_.source(), record.header.number, 0, [&](const IndexedFrame& frame) {
          const FramePlace& place = frame.record.place;
          uint64_t begin = std::min(limit, place.raw_offset);
          if (in_run) runs.back().to = begin;
          if (in_run && begin < limit) runs.back().promised.Add(pending);
          pending = GivenOf(range_, frame.record.gtids);
          bool goes_on = in_run && frame.record.starts_in_transaction;
          if (begin == limit) return false;
          if (!in_run && !pending.empty()) {
            runs.push_back({place, std::max<uint64_t>(begin, kBinlogMagicSize), limit, {}});
          }
          in_run = goes_on || !pending.empty();
          if (in_run) runs.back().to = limit;
          return true;
        }));
    if (in_run && limit == record.raw_bytes && !runs.empty()) runs.back().promised.Add(pending);
    return runs;
  }

  Status WriteRun(OpenSegment& segment, const FrameRun& run) {
    RunFilter filter(range_, segment, run.from, output_);
    TM_RETURN_IF_ERROR(segment.reader->ReadRaw(
        run.place, run.from, run.to, [&filter](Bytes piece) { return filter.OnPiece(piece); }));
    TM_RETURN_IF_ERROR(filter.Finish());
    GtidSet lost = run.promised.Minus(filter.given());
    if (lost.empty()) return OkStatus();
    return Status(Code::kCorruption,
                  "the index promises transactions that are not at raw offsets " +
                      std::to_string(run.from) + " to " + std::to_string(run.to) + ": " +
                      lost.ToString(),
                  "pitr verify tells whether the segment or the index is damaged");
  }

  ArchiveView& view_;
  const StreamRange& range_;
  Output* output_;
  SegmentCache segments_;
};

uint64_t SourceEnd(const SegmentRecord& segment) {
  return segment.header.source_start + segment.raw_bytes - segment.header.prefix_bytes;
}

Status MissingPart(const std::string& file, uint64_t from, uint64_t to) {
  return Status(Code::kGap,
                "bytes " + std::to_string(from) + " to " + std::to_string(to) + " of " + file +
                    " are not archived",
                "its archived transactions can be had with pitr export without --source-file");
}

// The segments of the latest file of that name, in order.
Result<std::vector<SegmentRecord>> SegmentsOfFile(const ArchiveView& view,
                                                  const std::string& file) {
  std::vector<SegmentRecord> parts;
  for (auto at = view.segments().rbegin(); at != view.segments().rend(); ++at) {
    const SegmentHeader& header = at->header;
    if (header.source_file != file) continue;
    if (!parts.empty() && header.server_uuid != parts.back().header.server_uuid) break;
    // Ends behind where the later part starts: an earlier file that had the same name.
    if (!parts.empty() && SourceEnd(*at) > parts.back().header.source_start) break;
    parts.push_back(*at);
    if (header.source_start == 0) break;
  }
  if (parts.empty()) {
    return Status(Code::kNotFound, "the archive of " + view.source() + " has nothing of " + file,
                  "pitr segments lists the source's files");
  }
  std::reverse(parts.begin(), parts.end());
  uint64_t reached = 0;
  for (const SegmentRecord& part : parts) {
    if (part.header.source_start != reached) {
      return MissingPart(file, reached, part.header.source_start);
    }
    reached = SourceEnd(part);
  }
  return parts;
}

}  // namespace

EventStream::EventStream(ArchiveView& view) : view_(view) {}

Status EventStream::WriteRange(const StreamRange& range, const Sink& sink,
                               StreamProgress* progress) {
  StreamProgress unseen;
  Output output(sink, progress != nullptr ? progress : &unseen);
  return RangeWriter(view_, range, &output).Write();
}

Status EventStream::WriteSourceFile(const std::string& file, const Sink& sink, bool* complete) {
  TM_ASSIGN_OR_RETURN(std::vector<SegmentRecord> parts, SegmentsOfFile(view_, file));
  SegmentCache segments(view_);
  for (const SegmentRecord& part : parts) {
    TM_ASSIGN_OR_RETURN(OpenSegment * segment, segments.Get(part.header.number));
    Status read = segment->reader->ReadRaw(segment->FirstFrame(), part.header.prefix_bytes,
                                           part.raw_bytes, sink);
    if (!read.ok()) return InSegment(std::move(read), *segment);
  }
  if (complete != nullptr) *complete = parts.back().ends_source_file;
  return OkStatus();
}

}  // namespace tidemark
