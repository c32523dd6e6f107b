#include "replication/sink/resume.h"

#include <utility>
#include <vector>

#include "replication/archive/segment_reader.h"

namespace tidemark {
namespace {

ResumePoint After(const SegmentHeader& header, const GtidSet& gtids, uint64_t raw_bytes,
                  int64_t commit_high_us, bool ends_source_file) {
  ResumePoint resume;
  resume.executed = header.previous.Union(gtids);
  resume.place = {header.server_uuid, header.source_file,
                  header.source_start + raw_bytes - header.prefix_bytes};
  resume.next_segment = header.number + 1;
  resume.commit_high_us = commit_high_us;
  if (ends_source_file) resume.finished = resume.place;
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

// A process that was killed while it sealed may have left a footer that is written and not durable.
// What we read is then the page cache's, and nobody else will sync it before it is published.
Status MakeDurable(ArchiveDirectory& archive, const std::string& path) {
  TM_ASSIGN_OR_RETURN(auto file, archive.files().Open(path, OpenMode::kReadWrite));
  return file->DataSync();
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

constexpr size_t kCopyBytes = 256u << 10;

Status CopyDurably(FileSystem& files, const std::string& from, const std::string& to) {
  TM_ASSIGN_OR_RETURN(auto old_file, files.Open(from, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(auto new_file, files.Open(to, OpenMode::kCreateNew));
  std::vector<uint8_t> buffer(kCopyBytes);
  for (uint64_t offset = 0;;) {
    TM_ASSIGN_OR_RETURN(const size_t got, old_file->ReadAt(offset, buffer));
    if (got == 0) return new_file->DataSync();
    TM_RETURN_IF_ERROR(new_file->Append(Bytes(buffer).first(got)));
    offset += got;
  }
}

}  // namespace

Status RewriteLastSegment(ArchiveDirectory& archive, const std::string& source) {
  TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, archive.Segments(source));
  if (numbers.empty()) return OkStatus();
  FileSystem& files = archive.files();
  const std::string path = archive.SegmentPath(source, numbers.back());
  const std::string copy = path + ".new";
  if (files.Exists(copy)) TM_RETURN_IF_ERROR(files.Remove(copy));
  TM_RETURN_IF_ERROR(CopyDurably(files, path, copy));
  TM_RETURN_IF_ERROR(files.Rename(copy, path));
  return files.SyncDirectory(archive.SegmentsPath(source));
}

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
      TM_RETURN_IF_ERROR(MakeDurable(archive, path));
      const SegmentFooter& footer = (*reader)->footer();
      recovery.resume = After((*reader)->header(), footer.gtids, footer.raw_bytes,
                              footer.commit_high_us, footer.ends_source_file);
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
    recovery.resume = After(segment.header, segment.gtids, segment.raw_bytes,
                            segment.commit_high_us, segment.ends_source_file);
    recovery.resume.file_created = FileCreated(archive, path);
    recovery.sealed = std::move(recovered.contents);
    return recovery;
  }
  return recovery;
}

}  // namespace tidemark
