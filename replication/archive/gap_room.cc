#include "replication/archive/gap_room.h"

#include <algorithm>
#include <set>

#include "replication/archive/segment_reader.h"

namespace tidemark {
namespace {

Status Missing(const ArchiveDirectory& archive, const std::string& source, uint64_t number,
               const std::string& more = {}) {
  return Status(Code::kGap,
                "segment " + std::to_string(number) +
                    " is missing: " + archive.SegmentPath(source, number) + more,
                "restore the file from a copy; what comes behind it cannot be reached from "
                "what is before");
}

class RoomReader {
 public:
  RoomReader(const ArchiveDirectory& archive, const std::string& source,
             const std::vector<uint64_t>& numbers)
      : archive_(archive), source_(source), numbers_(numbers) {}

  // Imported segments stand beside the room that is left of theirs, on either side.
  Result<RoomContents> Run() {
    for (size_t i = 0; i < numbers_.size(); ++i) {
      if (numbers_[i] == (i == 0 ? 1 : numbers_[i - 1] + 1)) continue;
      bool more = true;
      for (size_t behind = i; more && behind < numbers_.size(); ++behind) {
        TM_ASSIGN_OR_RETURN(more, Take(behind));
      }
      more = true;
      for (size_t before = i; more && before-- > 0;) {
        TM_ASSIGN_OR_RETURN(more, Take(before));
      }
    }
    contents_.missing.Subtract(imported_);
    return std::move(contents_);
  }

 private:
  // Whether there may be an imported one beside it.
  Result<bool> Take(size_t at) {
    if (!taken_.insert(at).second) return false;
    auto reader = OpenSegmentFile(archive_, source_, numbers_[at]);
    if (!reader.ok()) return reader.error();
    const SegmentHeader& header = (*reader)->header();
    contents_.missing.Add(header.gap.missing);
    if (!header.imported || !(*reader)->sealed()) return !header.gap.missing.empty();
    imported_.Add((*reader)->footer().gtids);
    contents_.commit_high_us =
        std::max(contents_.commit_high_us, (*reader)->footer().commit_high_us);
    return true;
  }

  const ArchiveDirectory& archive_;
  const std::string& source_;
  const std::vector<uint64_t>& numbers_;
  std::set<size_t> taken_;
  GtidSet imported_;
  RoomContents contents_;
};

}  // namespace

Status RemoveUnfinishedImport(ArchiveDirectory& archive, const std::string& source) {
  const std::string directory = archive.SegmentsPath(source);
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, archive.files().List(directory));
  bool any = false;
  for (const std::string& name : names) {
    // Its header is made durable under another name still (WriteSmallFileDurably).
    if (name.find(kImportSuffix) == std::string::npos) continue;
    TM_RETURN_IF_ERROR(archive.files().Remove(JoinPath(directory, name)));
    any = true;
  }
  return any ? archive.files().SyncDirectory(directory) : OkStatus();
}

Status CheckRoom(const ArchiveDirectory& archive, const std::string& source, uint64_t before,
                 uint64_t behind) {
  auto next = OpenSegmentFile(archive, source, behind);
  if (!next.ok() && next.error().code() == Code::kIo) return next.error();
  if (!next.ok() || (*next)->header().gap.missing.empty())
    return Missing(archive, source, before + 1);
  auto previous = OpenSegmentFile(archive, source, before);
  if (!previous.ok() && previous.error().code() == Code::kIo) return previous.error();
  // What is wrong with that one is for who reads it to say.
  if (!previous.ok() || !(*previous)->sealed()) return OkStatus();
  const GtidSet lost = (*next)
                           ->header()
                           .previous.Minus((*next)->header().gap.missing)
                           .Minus((*previous)->header().previous)
                           .Minus((*previous)->footer().gtids);
  if (lost.empty()) return OkStatus();
  return Missing(archive, source, before + 1, ", or one behind it, with " + lost.ToString());
}

std::vector<GapRecord> RemainingGaps(std::vector<GapRecord> recorded, const GtidSet& archived) {
  std::vector<GapRecord> remaining;
  GtidSet told = archived;
  for (GapRecord& gap : recorded) {
    gap.missing.Subtract(told);
    if (gap.missing.empty()) continue;
    told.Add(gap.missing);
    remaining.push_back(std::move(gap));
  }
  return remaining;
}

Result<RoomContents> ReadRooms(const ArchiveDirectory& archive, const std::string& source,
                               const std::vector<uint64_t>& numbers) {
  return RoomReader(archive, source, numbers).Run();
}

}  // namespace tidemark
