#include "pitr/frame_scan.h"

#include <algorithm>

#include "replication/event/control_events.h"
#include "replication/event/gtid_event.h"

namespace tidemark {
namespace {

bool BeginsTransaction(EventType type) {
  return type == EventType::kGtid || type == EventType::kGtidTagged ||
         type == EventType::kAnonymousGtid;
}

ScannerOptions MidSegment(const OpenSegment& segment, uint64_t offset, bool count_rows) {
  ScannerOptions options;
  options.count_rows = count_rows;
  options.start_offset = offset;
  options.checksum = segment.checksum;
  options.checksum_known = true;
  return options;
}

Status NotAsIndexed(const OpenSegment& segment, const std::string& what) {
  return Status(Code::kCorruption, "segment " + segment.reader->path() + ": " + what,
                "pitr verify tells whether the segment or the index is damaged");
}

// Gathers the transactions that begin before the frame's end; knows when no more bytes are needed.
class FrameReading {
 public:
  FrameReading(const OpenSegment& segment, FrameContents* contents)
      : segment_(segment),
        contents_(contents),
        seeker_(MidSegment(segment, contents->raw_begin, false)),
        keep_(contents->raw_end - contents->raw_begin <= kFrameKeptBytesMax) {}

  bool enough() const { return enough_; }

  Status OnPiece(Bytes piece) {
    if (keep_ && contents_->raw.size() < kFrameKeptBytesMax) contents_->raw.append(AsText(piece));
    taken_to_ += piece.size();
    TM_RETURN_IF_ERROR(
        seeker_.FeedBytes(piece, [this](const ScannedEvent& event) { return OnEvent(event); }));
    bool whole = seeker_.Finish().ok();
    if (whole && contents_->raw_begin + taken_to_ >= contents_->raw_end) return Enough();
    return OkStatus();
  }

 private:
  Status Enough() {
    enough_ = true;
    return Status(Code::kInterrupted, "enough of the frame has been read");
  }

  Status OnEvent(const ScannedEvent& event) {
    if (event.begins_transaction && event.offset >= contents_->raw_end) return Enough();
    if (event.finished != nullptr) contents_->transactions.push_back({*event.finished, true});
    return event.begins_transaction ? StopBeforeLongTransaction(event) : OkStatus();
  }

  // A transaction that leaves the frame, or is long, is the frame's last one (records.h: a frame
  // ends at the first transaction end past kFrameRawBytes).
  Status StopBeforeLongTransaction(const ScannedEvent& event) {
    GtidEvent begin;
    if (!ParseGtidEvent(event.header.type, EventBody(event.head, segment_.checksum), &begin) ||
        begin.transaction_length == 0) {
      return OkStatus();  // the scanner judges the event; without a length it is read to its end
    }
    uint64_t end = event.offset + begin.transaction_length;
    if (end <= contents_->raw_end && begin.transaction_length <= kTransactionReadBytesMax) {
      return OkStatus();
    }
    FrameTransaction last;
    last.details_known = false;
    last.transaction.gtid = begin.gtid;
    last.transaction.immediate_commit_us = begin.immediate_commit_us;
    last.transaction.original_commit_us = begin.original_commit_us;
    last.transaction.last_committed = begin.last_committed;
    last.transaction.sequence_number = begin.sequence_number;
    last.transaction.begin_offset = event.offset;
    last.transaction.end_offset = end;
    last.transaction.source_end_pos = static_cast<uint32_t>(segment_.SourcePosition(end));
    contents_->transactions.push_back(std::move(last));
    return Enough();
  }

  const OpenSegment& segment_;
  FrameContents* contents_;
  TransactionSeeker seeker_;
  const bool keep_;
  uint64_t taken_to_ = 0;
  bool enough_ = false;
};

}  // namespace

TransactionSeeker::TransactionSeeker(ScannerOptions options)
    : options_(options), offset_(options.start_offset) {}

Status TransactionSeeker::FeedBytes(Bytes piece, const StreamScanner::OnEvent& on_event) {
  if (!scanner_) TM_RETURN_IF_ERROR(SkipEvents(&piece));
  if (!scanner_) return OkStatus();
  if (!header_.empty()) {
    std::string header = std::move(header_);
    header_.clear();
    TM_RETURN_IF_ERROR(scanner_->FeedBytes(AsBytes(header), on_event));
  }
  return scanner_->FeedBytes(piece, on_event);
}

// Leaves in `*piece` what follows the header of the first Gtid event, if it is met.
Status TransactionSeeker::SkipEvents(Bytes* piece) {
  while (!piece->empty()) {
    size_t wanted = skip_left_ > 0 ? skip_left_ : kEventHeaderSize - header_.size();
    Bytes taken = piece->first(std::min<size_t>(piece->size(), wanted));
    *piece = piece->subspan(taken.size());
    offset_ += taken.size();
    if (skip_left_ > 0) {
      skip_left_ -= taken.size();
      continue;
    }
    header_.append(AsText(taken));
    if (header_.size() < kEventHeaderSize) continue;
    EventHeader header = ReadEventHeader(AsBytes(header_).data());
    if (BeginsTransaction(header.type)) {
      options_.start_offset = offset_ - kEventHeaderSize;
      scanner_.emplace(options_);
      return OkStatus();
    }
    if (header.size < kEventHeaderSize || header.size > kEventBytesMax) {
      return Status(Code::kCorruption,
                    "event at raw offset " + std::to_string(offset_ - kEventHeaderSize) +
                        " has the impossible size " + std::to_string(header.size));
    }
    skip_left_ = header.size - kEventHeaderSize;
    header_.clear();
  }
  return OkStatus();
}

Status TransactionSeeker::Finish() const {
  if (scanner_) return scanner_->Finish();
  if (skip_left_ == 0 && header_.empty()) return OkStatus();
  return Status(Code::kTruncated,
                "the stream ends inside an event at raw offset " + std::to_string(offset_));
}

Result<uint64_t> FrameEnd(ArchiveView& view, const SegmentRecord& segment, uint32_t frame) {
  TM_ASSIGN_OR_RETURN(std::optional<IndexedFrame> next,
                      view.index().Frame(view.source(), segment.header.number, frame + 1));
  if (!next) return segment.raw_bytes;
  return std::min(segment.raw_bytes, next->record.place.raw_offset);
}

Result<FrameContents> ReadFrame(ArchiveView& view, OpenSegment& segment,
                                const FrameRecord& record) {
  FrameContents contents;
  contents.segment = segment.number();
  contents.record = record;
  contents.raw_begin = std::max<uint64_t>(record.place.raw_offset, kBinlogMagicSize);
  TM_ASSIGN_OR_RETURN(contents.raw_end, FrameEnd(view, segment.record, record.frame));
  contents.at_views_end = !segment.record.sealed && contents.raw_end == segment.record.raw_bytes;
  if (contents.raw_end <= contents.raw_begin || record.transactions == 0) return contents;
  FrameReading reading(segment, &contents);
  Status read = segment.reader->ReadRaw(record.place, contents.raw_begin, segment.record.raw_bytes,
                                        [&reading](Bytes piece) { return reading.OnPiece(piece); });
  if (!read.ok() && !reading.enough()) {
    return std::move(read).WithContext("segment " + segment.reader->path());
  }
  const size_t found = contents.transactions.size();
  if (contents.at_views_end ? found > record.transactions : found != record.transactions) {
    return NotAsIndexed(segment, "frame " + std::to_string(record.frame) + " at raw offset " +
                                     std::to_string(record.place.raw_offset) + " holds " +
                                     std::to_string(found) + " transactions, the index says " +
                                     std::to_string(record.transactions));
  }
  return contents;
}

Result<Transaction> ReadTransaction(OpenSegment& segment, FramePlace frame, uint64_t begin,
                                    uint64_t end, const FrameContents* kept) {
  StreamScanner scanner(MidSegment(segment, begin, true));
  std::optional<Transaction> found;
  auto on_event = [&found](const ScannedEvent& event) {
    if (event.finished != nullptr) found = *event.finished;
    return OkStatus();
  };
  Status read;
  if (kept != nullptr && kept->segment == segment.number() && begin >= kept->raw_begin &&
      end <= kept->raw_begin + kept->raw.size()) {
    Bytes bytes = AsBytes(kept->raw).subspan(begin - kept->raw_begin, end - begin);
    read = scanner.FeedBytes(bytes, on_event);
  } else {
    read = segment.reader->ReadRaw(frame, begin, end, [&scanner, &on_event](Bytes piece) {
      return scanner.FeedBytes(piece, on_event);
    });
  }
  if (!read.ok()) return std::move(read).WithContext("segment " + segment.reader->path());
  if (!found || found->begin_offset != begin || found->end_offset != end) {
    return NotAsIndexed(segment, "no whole transaction stands at raw offsets " +
                                     std::to_string(begin) + " to " + std::to_string(end));
  }
  return std::move(*found);
}

}  // namespace tidemark
