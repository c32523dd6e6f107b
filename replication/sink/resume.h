// Where archiving goes on: read from the segments on disk alone (invariant 2), after cutting the
// last one's tail if a crash, a failed write or a broken connection left it unsealed. The one path
// for all three (invariant 3).
#pragma once

#include <optional>
#include <string>

#include "replication/archive/archive_directory.h"
#include "replication/archive/segment_recovery.h"
#include "replication/base/clock.h"
#include "replication/sink/session.h"

namespace tidemark {

struct Recovery {
  ResumePoint resume;
  std::optional<SegmentContents> sealed;  // the segment that had to be recovered and is sealed now
  uint64_t cut_bytes = 0;                 // unacknowledged stored bytes thrown away
};

// The caller holds the archive's lock, and no pipeline of this source is alive. `forks`: as the
// source's identity says.
// Should it fail with kIo or kDiskFull, an fdatasync may have: then RewriteLastSegment comes before
// the next attempt.
Result<Recovery> RecoverSource(ArchiveDirectory& archive, Clock& clock, const std::string& source,
                               const std::vector<SourceFork>& forks = {});

// False if the disk lacks some of the last segment, although it reads well: a process before us was
// killed behind a failed fdatasync. Makes the segment durable as far as the kernel knows. Then,
// too, RewriteLastSegment comes first.
Result<bool> LastSegmentIsOnDisk(ArchiveDirectory& archive, const std::string& source);

// Gives the last segment's bytes, as far as they can be read, to a new file of the same name,
// durably. After a failed fdatasync the kernel takes the old file's pages for clean, whether they
// reached the disk or not, and no later fdatasync would write them.
Status RewriteLastSegment(ArchiveDirectory& archive, const std::string& source);

}  // namespace tidemark
