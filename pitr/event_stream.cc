#include "pitr/event_stream.h"

#include <algorithm>

#include "pitr/segment_cache.h"

namespace tidemark {
namespace {

// Damage is the segment's; whatever else went wrong names its own place, or is the sink's.
Status InSegment(Status error, const OpenSegment& segment) {
  const bool damage = error.code() == Code::kCorruption || error.code() == Code::kTruncated ||
                      error.code() == Code::kUnsupportedFormat;
  return damage ? std::move(error).WithContext(segment.reader->path()) : error;
}

// What the receiver gets: the magic goes before the first piece.
class Output {
 public:
  Output(const EventStream::Sink& sink, StreamProgress* progress)
      : sink_(sink), progress_(progress) {}

  Status Give(Bytes bytes, const StreamProgress& so_far) {
    if (!begun_) {
      begun_ = true;
      TM_RETURN_IF_ERROR(GiveOwn(kBinlogMagic));
    }
    Note(so_far);
    return sink_(bytes);
  }
  // What the archive has no transaction for.
  Status GiveOwn(Bytes bytes) {
    own_bytes_ += bytes.size();
    progress_->raw_bytes_given += bytes.size();
    return sink_(bytes);
  }
  void Note(const StreamProgress& so_far) {
    *progress_ = so_far;
    progress_->raw_bytes_given += own_bytes_;
  }
  bool begun() const { return begun_; }

 private:
  const EventStream::Sink& sink_;
  StreamProgress* progress_;
  uint64_t own_bytes_ = 0;
  bool begun_ = false;
};

// Nothing to give: still a binlog that every reader takes.
Status GiveEmptyStream(ArchiveView& view, Output* output) {
  TM_ASSIGN_OR_RETURN(OpenSegment segment, OpenSegmentFile(view, view.segments().back()));
  TM_RETURN_IF_ERROR(output->GiveOwn(kBinlogMagic));
  return output->GiveOwn(AsBytes(segment.format_description));
}

uint64_t SourceEnd(const SegmentRecord& segment) {
  return segment.header.source_start + segment.raw_bytes - segment.header.prefix_bytes;
}

Status MissingPart(const std::string& file, uint64_t from, uint64_t to) {
  return Status(Code::kGap,
                "bytes " + std::to_string(from) + " to " + std::to_string(to) + " of " + file +
                    " are not archived",
                "its archived transactions can be had with pitr export without --source-file");
}

}  // namespace

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

EventStream::EventStream(ArchiveView& view) : view_(view) {}

Status EventStream::WriteRange(const StreamRange& range, const Sink& sink,
                               StreamProgress* progress) {
  StreamProgress unseen;
  Output output(sink, progress != nullptr ? progress : &unseen);
  EventCursor cursor(view_, range);
  for (;;) {
    Result<StreamPiece> piece = cursor.Next();
    output.Note(cursor.progress());
    if (!piece.ok()) return piece.error();
    if (piece->kind == StreamPiece::Kind::kEnd) break;
    if (piece->kind == StreamPiece::Kind::kNothingYet) continue;
    TM_RETURN_IF_ERROR(output.Give(piece->bytes, cursor.progress()));
  }
  return output.begun() || view_.segments().empty() ? OkStatus() : GiveEmptyStream(view_, &output);
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
