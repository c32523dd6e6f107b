// Makes segments of what binlog files hold of one hole, by the sink's own session: what it is told
// to take is placed, split and described as if the source had sent it. Pure but for reading the
// files; who performs its actions writes, or only counts.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "pitr/import_holes.h"
#include "pitr/import_survey.h"
#include "replication/sink/session.h"

namespace tidemark {

class SegmentPerformer {
 public:
  virtual ~SegmentPerformer() = default;
  // `start.header.number` and `imported` are the performer's to set.
  virtual Status Begin(SegmentStart start, int64_t commit_high_us) = 0;
  virtual Status Append(Bytes bytes, const ScannedEvent& event) = 0;
  virtual Status Seal(SealReason reason) = 0;
};

class HoleFill {
 public:
  // `place`: where the segment in front of the hole ends, in a file made at `file_created`.
  HoleFill(const Hole& hole, const std::string& source, SourcePlace place,
           std::optional<uint32_t> file_created, SessionLimits limits, SegmentPerformer& performer);

  // Files in the order of their histories. `progress`: bytes of it read so far; false interrupts.
  // kDivergence: what it builds on is not in front of the hole, nor missing in it.
  Status TakeFile(FileSystem& files, const SurveyedFile& file,
                  const std::function<bool(uint64_t)>& progress);
  Status Finish();

  const GtidSet& taken() const { return taken_; }
  int64_t first_commit_us() const { return first_commit_us_; }
  int64_t last_commit_us() const { return last_commit_us_; }

 private:
  Status Enter(const SurveyedFile& file);
  Status AnnounceFile(const SurveyedFile& file);
  Status OnEvent(Bytes bytes, uint64_t begin);
  Status Archive(Bytes bytes, ScannedEvent event);
  bool IsTaken(const ScannedEvent& event);
  Status CheckOrder(const ScannedEvent& event) const;

  const Hole& hole_;
  SegmentPerformer& performer_;
  Session session_;
  std::optional<StreamScanner> scanner_;
  bool taking_ = false;         // the transaction under way
  uint64_t given_to_ = 0;       // of the file: where the session stands
  std::optional<Gtid> behind_;  // passed over in this file, and archived behind the hole
  uint64_t archived_to_ = 0;    // of the file, without a break; 0: nothing yet
  GtidSet taken_;
  int64_t first_commit_us_ = 0, last_commit_us_ = 0;
};

}  // namespace tidemark
