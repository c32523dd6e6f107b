#include "replication/sink/announcer.h"

#include <vector>

#include "replication/archive/segment_recovery.h"

namespace tidemark {

void Announcer::StartBehind(uint64_t number, int64_t commit_high_us) {
  sealed_number_ = number;
  commit_high_us_ = commit_high_us;
}

Status Announcer::OnDurable(const DurableBatch& batch) {
  TM_RETURN_IF_ERROR(listener_.OnDurable(batch));
  open_number_ = batch.segment.header.number;
  open_stored_bytes_ = batch.segment.stored_bytes;
  if (batch.segment.sealed) StartBehind(batch.segment.header.number, batch.segment.commit_high_us);
  return OkStatus();
}

Status Announcer::DropUnannounced(ArchiveDirectory& archive, const std::string& source) {
  TM_ASSIGN_OR_RETURN(std::vector<uint64_t> numbers, archive.Segments(source));
  // The last one first: a segment that is not sealed must never have another one behind it.
  for (; !numbers.empty() && numbers.back() > sealed_number_; numbers.pop_back()) {
    const std::string path = archive.SegmentPath(source, numbers.back());
    if (numbers.back() != open_number_) {
      TM_RETURN_IF_ERROR(archive.files().Remove(path));
      TM_RETURN_IF_ERROR(archive.files().SyncDirectory(archive.SegmentsPath(source)));
      continue;
    }
    TM_ASSIGN_OR_RETURN(auto file, archive.files().Open(path, OpenMode::kReadWrite));
    TM_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
    if (size <= open_stored_bytes_) continue;
    // What an earlier attempt removed, and could not sync, must not come back behind it.
    TM_RETURN_IF_ERROR(archive.files().SyncDirectory(archive.SegmentsPath(source)));
    TM_RETURN_IF_ERROR(file->Truncate(open_stored_bytes_));
    TM_RETURN_IF_ERROR(file->DataSync());
  }
  return OkStatus();
}

Status Announcer::CatchUp(ArchiveDirectory& archive, const std::string& source,
                          const Recovery& recovery) {
  TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, archive.Segments(source));
  for (const uint64_t number : numbers) {
    if (number <= sealed_number_ || number >= recovery.resume.next_segment) continue;
    if (recovery.sealed && recovery.sealed->segment.header.number == number) {
      TM_RETURN_IF_ERROR(OnDurable(*recovery.sealed));
      continue;
    }
    TM_ASSIGN_OR_RETURN(
        const SegmentContents contents,
        ScanSegment(archive.files(), archive.SegmentPath(source, number), source, commit_high_us_));
    TM_RETURN_IF_ERROR(OnDurable(contents));
    TM_CHECK(sealed_number_ == number);  // RecoverSource leaves only sealed segments
  }
  return OkStatus();
}

}  // namespace tidemark
