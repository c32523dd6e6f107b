// The archive's directory: names, identity, lock. Layout (ARCHITECTURE.md, "Archive layout"):
//   ARCHIVE/LOCK                              held by the one writer
//   ARCHIVE/index/                            RocksDB, derived
//   ARCHIVE/SOURCE/identity                   text: format version, server UUIDs seen, our own
//   replica UUID ARCHIVE/SOURCE/segments/NNNNNNNNNN.binlog.zst
// Readers take no lock. Names of sources: 1 to 64 of [A-Za-z0-9._-], not starting with '.', not
// "index" or "LOCK".
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "replication/base/file_system.h"
#include "replication/event/gtid.h"

namespace tidemark {

// What ARCHIVE/SOURCE/identity holds; `key = value` lines.
struct SourceIdentity {
  uint16_t format_version = 1;
  Uuid replica_uuid;               // ours, made once, so that the source knows us again
  std::vector<Uuid> server_uuids;  // of the servers archived from, in order of appearance
};

class ArchiveDirectory {
 public:
  ArchiveDirectory(FileSystem& files, std::string root);

  // Creates ROOT if needed and takes ROOT/LOCK. kLocked if another process has it.
  Result<std::unique_ptr<FileLock>> LockForWriting();
  // kNotFound (with a hint) if ROOT is no archive: neither LOCK nor any source in it.
  Status CheckExists() const;

  static Status CheckSourceName(const std::string& name);
  Result<std::vector<std::string>> Sources() const;  // sorted
  Status CreateSource(
      const std::string& source);  // directories and identity; durable, also if they were there
  Result<SourceIdentity> ReadIdentity(const std::string& source) const;
  Status WriteIdentity(const std::string& source, const SourceIdentity& identity);

  // Numbers of the segments, ascending. A name in segments/ that is not ours is kCorruption naming
  // it (leftover temporary files of ours excepted). A missing number in the middle is kGap naming
  // it.
  Result<std::vector<uint64_t>> Segments(const std::string& source) const;
  std::string SegmentPath(const std::string& source, uint64_t number) const;
  std::string SegmentsPath(const std::string& source) const;
  std::string IndexPath() const;
  const std::string& root() const { return root_; }
  FileSystem& files() const { return files_; }

 private:
  FileSystem& files_;
  std::string root_;
};

}  // namespace tidemark
