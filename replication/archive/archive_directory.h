// The archive's directory: names, identity, lock. Layout (ARCHITECTURE.md, "Archive layout"):
//   ARCHIVE/LOCK                              held by the one writer
//   ARCHIVE/index/                            RocksDB, derived
//   ARCHIVE/reserve                           allocated bytes, for when the disk is full
//   ARCHIVE/SOURCE/identity                   text: format version, server UUIDs seen, our own
//                                             replica UUID, lineage (FORMAT.md)
//   ARCHIVE/SOURCE/lineage.begun              a source that continues another one is being made
//   ARCHIVE/SOURCE/segments/NNNNNNNNNN.binlog.zst
// Readers take no lock. Names of sources: 1 to 64 of [A-Za-z0-9._-], not starting with '.', not
// "index", "LOCK" or "reserve".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "replication/archive/segment_format.h"
#include "replication/base/file_system.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

// Where a source begins that continues another one: up to here the two are one history, and what
// the other one has beyond it was given up. The shared segments are in both directories.
struct SourceFork {
  std::string parent;    // the source that is continued
  uint64_t segment = 0;  // number of the last segment that is shared
  GtidSet set;           // the history's whole set there
  GtidSet lost;          // what the parent had beyond it, and the new source lacked
  int64_t at_us = 0;     // when it was forked
  bool operator==(const SourceFork&) const = default;
};

// What ARCHIVE/SOURCE/identity holds; `key = value` lines.
struct SourceIdentity {
  uint16_t format_version = 1;     // as read; written is the lowest that can say it
  Uuid replica_uuid;               // ours, made once, so that the source knows us again
  std::vector<Uuid> server_uuids;  // of the servers archived from, in order of appearance
  // Oldest first, the last one is this source's own beginning; empty: it continues nothing.
  std::vector<SourceFork> forks = {};
};

// kCorruption: `path` is another segment than its name says, or one of a source that is neither
// this one nor, up to the fork, one that it continues.
Status CheckSegmentIsOf(const std::string& source, const std::vector<SourceFork>& forks,
                        uint64_t number, const std::string& path, const SegmentHeader& header);

class ArchiveDirectory {
 public:
  ArchiveDirectory(FileSystem& files, std::string root);

  // Creates ROOT if needed and takes ROOT/LOCK. kLocked if another process has it.
  Result<std::unique_ptr<FileLock>> LockForWriting();
  // Whether a process has it, as far as the file system tells. Takes nothing.
  bool IsLockedForWriting() const;
  // kNotFound (with a hint) if ROOT is no archive: neither LOCK nor any source in it.
  Status CheckExists() const;

  static Status CheckSourceName(const std::string& name);
  Result<std::vector<std::string>> Sources() const;  // sorted
  // Directories and identity; durable, also if they were there. kUsage: a lineage was begun there.
  Status CreateSource(const std::string& source);
  Status CreateDirectories(const std::string& source);  // all but the identity
  bool HasIdentity(const std::string& source) const;
  Result<SourceIdentity> ReadIdentity(const std::string& source) const;
  Status WriteIdentity(const std::string& source, const SourceIdentity& identity);
  // What the identity says, for who only reads segments. One that cannot be read counts as none:
  // segments of other names are then refused.
  std::vector<SourceFork> ForksOf(const std::string& source) const;
  static Uuid NewReplicaUuid();

  // Numbers of the segments, ascending. A name in segments/ that is not ours is kCorruption naming
  // it (leftover temporary files of ours excepted). A missing number in the middle is kGap naming
  // it, unless it is room in front of a segment that begins behind a gap (gap_room.h).
  Result<std::vector<uint64_t>> Segments(const std::string& source) const;
  std::string SegmentPath(const std::string& source, uint64_t number) const;
  std::string SegmentsPath(const std::string& source) const;
  // There from the moment in which a source that continues another one gets its first file until
  // its identity says so: with it and without an identity, all segments there may be thrown away.
  std::string LineageMarkPath(const std::string& source) const;
  std::string IndexPath() const;
  const std::string& root() const { return root_; }
  FileSystem& files() const { return files_; }

 private:
  Status RemoveLineageMark(const std::string& source);

  FileSystem& files_;
  std::string root_;
};

}  // namespace tidemark
