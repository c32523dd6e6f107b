// How a source begins that continues another one: a primary was promoted that lacks the last
// transactions of the archive, they are given up, and the archive goes on under a new name with all
// that the two histories share.
//
// The new directory gets everything up to the fork, so that nobody who reads it later needs the old
// one: segments that lie wholly before it are second names of the same files (or copies, where the
// file system has no links), the one with the fork in it is written anew up to there. Sealed
// segments are never written to again, so that a second name is safe: what replaces one
// (RewriteLastSegment) makes a new file. The old source is only read, and may be archived
// meanwhile.
//
// Crash: a mark says first that the directory holds nothing of its own, then come the segments,
// then the identity, which makes it a source; at any moment in between the next beginning starts
// over. One thread; the caller holds the archive's lock.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "replication/archive/archive_directory.h"
#include "replication/archive/segment_writer.h"
#include "replication/base/clock.h"

namespace tidemark {

// What the keeper of the index says and does: this layer does not know it.
struct LineageHooks {
  // How much of a segment of the parent's that is not sealed has been published, in raw bytes; 0:
  // nothing. What is behind that may be cut back.
  std::function<Result<uint64_t>(const std::string& parent, uint64_t segment)> published = {};
  // These sealed segments are now in both directories. Comes before the source is there, so that
  // whoever sees it may find it indexed. May be empty.
  std::function<Status(const std::string& parent, const std::vector<uint64_t>& segments)> shared =
      {};
};

struct LineageBeginning {
  std::string source;  // the new name
  std::string parent;  // the source that it continues
  GtidSet executed;    // gtid_executed of the server that is archived from now on
  std::string server;  // which one that is, for messages
  SegmentWriterOptions writer = {};
  LineageHooks hooks = {};
  std::function<bool()> give_up = {};  // asked now and then; kInterrupted if so
};

// Whether `source` is there and continues `parent`. kUsage if it is there and does not.
Result<bool> LineageIsBegun(ArchiveDirectory& archive, const std::string& source,
                            const std::string& parent);

// The fork is behind the longest prefix, in archive order, of which `executed` has everything:
// transactions, gaps, and what the archive builds on. kDivergence: there is no transaction in it.
// kNotFound: there is no such parent.
Result<SourceFork> BeginLineage(ArchiveDirectory& archive, Clock& clock,
                                const LineageBeginning& beginning);

}  // namespace tidemark
