// Stands between the pipeline and the listener: passes durable batches on, remembers how far they
// were taken, and after a failure announces from the disk what the listener has not heard. What is
// durable may be ahead of what was announced: an index that refuses a batch does not undo the
// fdatasync, and recovery seals a segment without asking anybody.
//
// OnDurable is called by the pipeline's thread, CatchUp by the archiver's while no pipeline is
// alive. Nothing persists: at start-up the index heals itself.
#pragma once

#include <cstdint>
#include <string>

#include "replication/archive/archive_directory.h"
#include "replication/sink/durable_listener.h"
#include "replication/sink/resume.h"

namespace tidemark {

class Announcer : public DurableListener {
 public:
  explicit Announcer(DurableListener& listener) : listener_(listener) {}

  // The listener knows, or finds out by itself, everything up to the end of segment `number`.
  void StartBehind(uint64_t number, int64_t commit_high_us);
  Status OnDurable(const DurableBatch& batch) override;
  // Announces, whole, every segment that is not known to have been announced to its end. All of
  // them are sealed: `recovery` is what RecoverSource has just done.
  Status CatchUp(ArchiveDirectory& archive, const std::string& source, const Recovery& recovery);
  // Throws away what is in the files behind the last announced batch; the source sends it again.
  // For when an fdatasync failed: the kernel then takes the pages for clean, what it shows of them
  // may never have reached the disk, and a later fdatasync that succeeds proves nothing.
  Status DropUnannounced(ArchiveDirectory& archive, const std::string& source);

 private:
  DurableListener& listener_;
  uint64_t sealed_number_ = 0;  // announced to its end, and all before it
  int64_t commit_high_us_ = 0;  // as of that end
  uint64_t open_number_ = 0;    // announced in part: this much of the file
  uint64_t open_stored_bytes_ = 0;
};

}  // namespace tidemark
