#include "replication/sink/resume.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "replication/archive/gap_room.h"
#include "replication/archive/segment_reader.h"
#include "replication/base/copy_file.h"

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

// Every segment begins with magic and format description, its own or a copy. Nullopt if that is
// damaged: then it is `pitr verify` that has to tell, and archiving goes on. A disk that gives an
// error may read well a moment later, and the next source may be another one: kIo.
Result<std::optional<uint32_t>> FileCreated(ArchiveDirectory& archive, const std::string& path) {
  constexpr std::optional<uint32_t> kUnknown;
  auto reader = SegmentReader::Open(archive.files(), path);
  if (!reader.ok() && reader.error().code() == Code::kIo) return reader.error();
  if (!reader.ok()) return kUnknown;
  std::string header;
  const Status read = (*reader)->ReadRaw({0, (*reader)->frames_begin()}, kBinlogMagicSize,
                                         kBinlogMagicSize + kEventHeaderSize, [&](Bytes bytes) {
                                           header.append(AsText(bytes));
                                           return OkStatus();
                                         });
  if (read.code() == Code::kIo) return read;
  if (!read.ok() || header.size() != kEventHeaderSize) return kUnknown;
  const EventHeader description = ReadEventHeader(AsBytes(header).data());
  if (description.type != EventType::kFormatDescription) return kUnknown;
  return std::optional<uint32_t>(description.timestamp);
}

// Likewise nullopt if it does not read.
Result<std::optional<ArchivedOrigin>> LastTransaction(ArchiveDirectory& archive,
                                                      const std::string& source) {
  Result<std::optional<ArchivedOrigin>> last = LastOrigin(archive, source);
  if (!last.ok() && last.error().code() != Code::kIo) return std::optional<ArchivedOrigin>();
  return last;
}

Result<SegmentFooter> FooterOf(ArchiveDirectory& archive, const std::string& source,
                               uint64_t number) {
  TM_ASSIGN_OR_RETURN(auto reader, OpenSegmentFile(archive, source, number));
  if (!reader->sealed())
    return Status(
        Code::kCorruption,
        archive.SegmentPath(source, number) + " is not sealed, although another segment follows it",
        "pitr verify tells what is in it; restore the file from a copy if its footer was damaged");
  return reader->footer();
}

// What a source shares with the one that it continues came from a history that was given up: the
// server that it has now, although it may have the same UUID and files of the same names, is asked
// by GTID alone.
void ForgetPlaceOfParent(const std::vector<SourceFork>& forks, ResumePoint* resume) {
  if (forks.empty() || resume->next_segment > forks.back().segment + 1) return;
  resume->place = {};
  resume->finished = {};
  resume->file_created.reset();
}

Result<Recovery> Recover(ArchiveDirectory& archive, Clock& clock, const std::string& source) {
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
      recovery.resume = After((*reader)->header(), footer.gtids, footer.raw_bytes,
                              footer.commit_high_us, footer.ends_source_file);
      TM_ASSIGN_OR_RETURN(recovery.resume.file_created, FileCreated(archive, path));
      return recovery;
    }
    int64_t commit_high_us = 0;
    if (!numbers.empty()) {
      TM_ASSIGN_OR_RETURN(SegmentFooter before, FooterOf(archive, source, numbers.back()));
      TM_ASSIGN_OR_RETURN(const RoomContents rooms, ReadRooms(archive, source, numbers));
      commit_high_us = std::max(before.commit_high_us, rooms.commit_high_us);
    }
    TM_ASSIGN_OR_RETURN(RecoveredSegment recovered, RecoverSegment(archive.files(), clock, path,
                                                                   source, number, commit_high_us));
    recovery.cut_bytes += recovered.cut_bytes;
    if (recovered.removed) continue;
    const SegmentRecord& segment = recovered.contents.segment;
    recovery.resume = After(segment.header, segment.gtids, segment.raw_bytes,
                            segment.commit_high_us, segment.ends_source_file);
    TM_ASSIGN_OR_RETURN(recovery.resume.file_created, FileCreated(archive, path));
    recovery.sealed = std::move(recovered.contents);
    return recovery;
  }
  return recovery;
}

}  // namespace

Result<bool> LastSegmentIsOnDisk(ArchiveDirectory& archive, const std::string& source) {
  TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, archive.Segments(source));
  if (numbers.empty()) return true;
  TM_ASSIGN_OR_RETURN(auto file, archive.files().Open(archive.SegmentPath(source, numbers.back()),
                                                      OpenMode::kReadWrite));
  TM_RETURN_IF_ERROR(file->DataSync());
  return file->OnDisk();
}

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

Result<Recovery> RecoverSource(ArchiveDirectory& archive, Clock& clock, const std::string& source,
                               const std::vector<SourceFork>& forks) {
  TM_ASSIGN_OR_RETURN(Recovery recovery, Recover(archive, clock, source));
  ForgetPlaceOfParent(forks, &recovery.resume);
  TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, archive.Segments(source));
  TM_ASSIGN_OR_RETURN(RoomContents rooms, ReadRooms(archive, source, numbers));
  recovery.resume.missing = std::move(rooms.missing);
  TM_ASSIGN_OR_RETURN(recovery.resume.last, LastTransaction(archive, source));
  // Likewise asked for by GTID alone.
  if (recovery.resume.last && !forks.empty() &&
      recovery.resume.last->segment <= forks.back().segment)
    recovery.resume.last->source_file.clear();
  recovery.resume.commit_high_us = std::max(recovery.resume.commit_high_us, rooms.commit_high_us);
  return recovery;
}

}  // namespace tidemark
