#include "replication/sink/resume.h"

#include <utility>

#include "replication/archive/segment_reader.h"

namespace tidemark {
namespace {

ResumePoint After(const SegmentHeader& header, const GtidSet& gtids, uint64_t raw_bytes,
                  int64_t commit_high_us) {
  ResumePoint resume;
  resume.executed = header.previous.Union(gtids);
  resume.place = {header.server_uuid, header.source_file,
                  header.source_start + raw_bytes - header.prefix_bytes};
  resume.next_segment = header.number + 1;
  resume.commit_high_us = commit_high_us;
  return resume;
}

// Every segment begins with magic and format description, its own or a copy. Nullopt if that does
// not read: then it is `pitr verify` that has to tell, and archiving goes on.
std::optional<uint32_t> FileCreated(ArchiveDirectory& archive, const std::string& path) {
  auto reader = SegmentReader::Open(archive.files(), path);
  if (!reader.ok()) return std::nullopt;
  std::string header;
  const Status read = (*reader)->ReadRaw({0, (*reader)->frames_begin()}, kBinlogMagicSize,
                                         kBinlogMagicSize + kEventHeaderSize, [&](Bytes bytes) {
                                           header.append(AsText(bytes));
                                           return OkStatus();
                                         });
  if (!read.ok() || header.size() != kEventHeaderSize) return std::nullopt;
  const EventHeader description = ReadEventHeader(AsBytes(header).data());
  if (description.type != EventType::kFormatDescription) return std::nullopt;
  return description.timestamp;
}

Result<SegmentFooter> FooterOf(ArchiveDirectory& archive, const std::string& source,
                               uint64_t number) {
  TM_ASSIGN_OR_RETURN(auto reader,
                      SegmentReader::Open(archive.files(), archive.SegmentPath(source, number)));
  if (!reader->sealed())
    return Status(
        Code::kCorruption,
        archive.SegmentPath(source, number) + " is not sealed, although another segment follows it",
        "pitr verify tells what is in it; restore the file from a copy if its footer was damaged");
  return reader->footer();
}

}  // namespace

Result<Recovery> RecoverSource(ArchiveDirectory& archive, Clock& clock, const std::string& source) {
  Recovery recovery;
  TM_ASSIGN_OR_RETURN(std::vector<uint64_t> numbers, archive.Segments(source));
  while (!numbers.empty()) {
    const uint64_t number = numbers.back();
    numbers.pop_back();
    const std::string path = archive.SegmentPath(source, number);
    Result<std::unique_ptr<SegmentReader>> reader = SegmentReader::Open(archive.files(), path);
    // A header that does not read may be one that a crash tore: RecoverSegment tells.
    if (!reader.ok() && reader.error().code() == Code::kIo) return reader.error();
    if (reader.ok() && (*reader)->sealed()) {
      const SegmentFooter& footer = (*reader)->footer();
      recovery.resume =
          After((*reader)->header(), footer.gtids, footer.raw_bytes, footer.commit_high_us);
      recovery.resume.file_created = FileCreated(archive, path);
      return recovery;
    }
    int64_t commit_high_us = 0;
    if (!numbers.empty()) {
      TM_ASSIGN_OR_RETURN(SegmentFooter before, FooterOf(archive, source, numbers.back()));
      commit_high_us = before.commit_high_us;
    }
    TM_ASSIGN_OR_RETURN(RecoveredSegment recovered, RecoverSegment(archive.files(), clock, path,
                                                                   source, number, commit_high_us));
    recovery.cut_bytes += recovered.cut_bytes;
    if (recovered.removed) continue;
    const SegmentRecord& segment = recovered.contents.segment;
    recovery.resume =
        After(segment.header, segment.gtids, segment.raw_bytes, segment.commit_high_us);
    recovery.resume.file_created = FileCreated(archive, path);
    recovery.sealed = std::move(recovered.contents);
    return recovery;
  }
  return recovery;
}

}  // namespace tidemark
