// One source of an archive, opened for reading beside the daemon: segments on disk, index, and what
// together they cover. The start of every `pitr` command. Creates and locks nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "index/index.h"
#include "replication/archive/archive_directory.h"
#include "replication/archive/operator_record.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

struct Coverage {
  GtidSet archived;             // transactions the archive can give back
  GtidSet before;               // what the first segment builds on: must come from a base backup
  std::vector<GapRecord> gaps;  // transactions missing, with reason and time: in between, and those
                                // of `before` that were skipped on purpose at first contact
  GtidSet end;  // before ∪ archived ∪ gaps: the source's set at the archive's end
  // What of the gaps somebody has acknowledged, and who. It quiets alarms, and brings nothing back.
  GtidSet acknowledged = {};
  std::vector<GapAcknowledgement> acknowledgements = {};  // those that name any of it
  std::string acknowledgements_error = {};  // "", or why nobody knows what was acknowledged
  bool empty() const { return archived.empty(); }
};

// kStrict refuses an index that does not know the segments on disk. kEvenIfBehind takes it as it
// is: for `verify` and `status`, which report the difference instead of failing on it.
enum class OpenCheck : uint8_t { kStrict, kEvenIfBehind };

class ArchiveView {
 public:
  // `source` may be empty if the archive has exactly one. kNotFound / kUsage (naming the choices)
  // otherwise. kCorruption with the hint to rebuild if index and segments on disk do not belong
  // together; one newer segment than the index knows is a running daemon, not damage.
  static Result<std::unique_ptr<ArchiveView>> Open(FileSystem& files, const std::string& root,
                                                   const std::string& source,
                                                   OpenCheck check = OpenCheck::kStrict);

  // Over an index that somebody else has open, such as the daemon that writes it; the index must
  // outlive the view. Errors as of Open; directory and index are not compared.
  static Result<std::unique_ptr<ArchiveView>> Over(FileSystem& files, const std::string& root,
                                                   const std::string& source, Index& index);

  ArchiveDirectory& archive() { return archive_; }
  const ArchiveDirectory& archive() const { return archive_; }
  Index& index() { return index_; }
  const std::string& source() const { return source_; }
  // What it continues, as ArchiveDirectory::ForksOf.
  const std::vector<SourceFork>& forks() const { return forks_; }
  const std::vector<SegmentRecord>& segments() const {
    return segments_;
  }                                                     // as the index knows them, ascending
  const SegmentRecord* segment(uint64_t number) const;  // nullptr: no such segment
  Coverage ComputeCoverage() const;  // reads what was acknowledged, if there is a gap
  Status
  Refresh();  // sees what the daemon has published since; on an error the view stays as it was

  // Numbers of segment files on disk, ascending; names in segments/ that are none of ours go to
  // `foreign`.
  Result<std::vector<uint64_t>> SegmentsOnDisk(std::vector<std::string>* foreign) const;
  // Whether a segment on disk was imported, which the index does not say. An import that runs, or
  // was killed, is not in the index until it is whole; the archive then is what it was before.
  bool IsOfAnImport(uint64_t number) const;

 private:
  ArchiveView(ArchiveDirectory archive, std::unique_ptr<Index> owned, Index& index,
              std::string source);
  Status CompareWithDisk() const;
  Result<bool> FollowGrowth();

  ArchiveDirectory archive_;
  std::unique_ptr<Index> owned_;  // nullptr: somebody else's
  Index& index_;
  std::string source_;
  std::vector<SourceFork> forks_;
  std::vector<SegmentRecord> segments_;
};

}  // namespace tidemark
