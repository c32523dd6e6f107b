#include "pitr/segment_cache.h"

#include <algorithm>

#include "replication/event/control_events.h"

namespace tidemark {
namespace {

// A format description has about 120 bytes.
constexpr uint32_t kFormatDescriptionBytesMax = 4096;

Result<std::string> ReadPiece(SegmentReader& reader, uint64_t from, uint64_t to) {
  std::string bytes;
  TM_RETURN_IF_ERROR(reader.ReadRaw({0, reader.frames_begin()}, from, to, [&bytes](Bytes piece) {
    bytes.append(AsText(piece));
    return OkStatus();
  }));
  return bytes;
}

Status NoFormatDescription(const SegmentReader& reader) {
  return Status(Code::kCorruption,
                "segment " + reader.path() + " does not begin with a format description event",
                "pitr verify tells what else is damaged");
}

Status ReadFormatDescription(OpenSegment* segment) {
  SegmentReader& reader = *segment->reader;
  uint64_t header_end = kBinlogMagicSize + kEventHeaderSize;
  if (segment->record.raw_bytes < header_end) return NoFormatDescription(reader);
  TM_ASSIGN_OR_RETURN(std::string head, ReadPiece(reader, kBinlogMagicSize, header_end));
  if (head.size() != kEventHeaderSize) return NoFormatDescription(reader);
  EventHeader header = ReadEventHeader(AsBytes(head).data());
  if (header.type != EventType::kFormatDescription || header.size < kEventHeaderSize ||
      header.size > kFormatDescriptionBytesMax) {
    return NoFormatDescription(reader);
  }
  TM_ASSIGN_OR_RETURN(segment->format_description,
                      ReadPiece(reader, kBinlogMagicSize, kBinlogMagicSize + header.size));
  auto parsed = ParseFormatDescription(AsBytes(segment->format_description));
  if (!parsed.ok()) return Status(parsed.error()).WithContext("segment " + reader.path());
  segment->checksum = parsed->checksum;
  return OkStatus();
}

}  // namespace

Result<OpenSegment> OpenSegmentFile(ArchiveView& view, const SegmentRecord& record) {
  OpenSegment segment;
  segment.record = record;
  uint64_t number = record.header.number;
  std::string path = view.archive().SegmentPath(view.source(), number);
  TM_ASSIGN_OR_RETURN(segment.reader, SegmentReader::Open(view.archive().files(), path));
  const SegmentHeader& header = segment.reader->header();
  TM_RETURN_IF_ERROR(CheckSegmentIsOf(view.source(), view.forks(), number, path, header));
  TM_RETURN_IF_ERROR(ReadFormatDescription(&segment));
  return segment;
}

Result<OpenSegment*> SegmentCache::Get(uint64_t number) {
  const SegmentRecord* record = view_.segment(number);
  if (record == nullptr) {
    return Status(Code::kNotFound,
                  "source " + view_.source() + " has no segment " + std::to_string(number));
  }
  auto at = std::find_if(open_.begin(), open_.end(),
                         [&](const OpenSegment& segment) { return segment.number() == number; });
  // One that has grown since is opened again: its reader may know only the file's old end.
  if (at != open_.end() &&
      (at->record.raw_bytes != record->raw_bytes || at->record.sealed != record->sealed)) {
    open_.erase(at);
    at = open_.end();
  }
  if (at != open_.end()) {
    open_.splice(open_.begin(), open_, at);
    return &open_.front();
  }
  TM_ASSIGN_OR_RETURN(OpenSegment opened, OpenSegmentFile(view_, *record));
  open_.push_front(std::move(opened));
  if (open_.size() > kOpenSegmentsMax) open_.pop_back();
  return &open_.front();
}

}  // namespace tidemark
