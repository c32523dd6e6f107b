// Files as Tidemark needs them: append, read at an offset, make durable. An interface, so that the
// simulator can lose unsynced data, tear writes and fill disks; `PosixFileSystem()` is the real
// one.
//
// Every error is a Status that names the path: kDiskFull for ENOSPC and EDQUOT, kNotFound for
// ENOENT, kLocked for a lock somebody else holds, kIo for the rest. EINTR is retried inside. A File
// is used by one thread at a time, except that DataSync may run beside Append. After a failed
// DataSync the file's unsynced contents are unknown: reopen and recover.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "replication/base/bytes.h"
#include "replication/base/status.h"

namespace tidemark {

class File {
 public:
  virtual ~File() = default;
  // Reads up to buffer.size() bytes at `offset`; fewer (even 0) only at the end of the file.
  virtual Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> buffer) = 0;
  virtual Status Append(Bytes bytes) = 0;
  // Grows the file to `size` with bytes that really occupy the disk; what they say is nobody's
  // business. Here: by appending zeros.
  virtual Status Allocate(uint64_t size);
  virtual Status Truncate(uint64_t size) = 0;  // later appends go to the new end
  virtual Status DataSync() = 0;               // fdatasync
  // Whether the disk itself holds what ReadAt gives, after a DataSync that succeeded. When one
  // fails, in whatever process, the kernel counts the pages as written, and gives what they said
  // until it drops them (fsync(2), "Notes"; ext4, XFS). true where nobody can tell (no direct I/O:
  // tmpfs).
  virtual Result<bool> OnDisk() { return true; }
  virtual Result<uint64_t> Size() = 0;
};

class FileLock {
 public:
  virtual ~FileLock() = default;  // releases
};

enum class OpenMode { kRead, kCreateNew, kReadWrite };  // kCreateNew fails if the file is there

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  virtual Result<std::vector<std::string>> List(const std::string& directory) = 0;  // names, sorted
  virtual bool Exists(const std::string& path) = 0;
  virtual bool IsDirectory(const std::string& path) = 0;
  virtual Status CreateDirectories(
      const std::string& path) = 0;  // with parents, mode 0700; fsyncs the parents
  virtual Status SyncDirectory(
      const std::string& path) = 0;  // makes created, renamed and removed names durable
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;
  // A second name for the same file; `to` must not be there. Not every file system can: then copy.
  virtual Status Link(const std::string& from, const std::string& to) {
    return Status(Code::kIo, "cannot link " + from + " to " + to + ": not supported");
  }
  virtual Result<uint64_t> FreeBytes(const std::string& path) = 0;
  // Takes an exclusive advisory lock on `path` (created if absent) without waiting; writes our pid
  // into it.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
  // The process that holds that lock, 0 if none does. Takes nothing.
  virtual int64_t LockHolder(const std::string& path) {
    (void)path;
    return 0;
  }
};

FileSystem& PosixFileSystem();

// Whole small files (identity, receipts, credentials): at most `bytes_max`, else an error.
Result<std::string> ReadSmallFile(FileSystem& files, const std::string& path, uint64_t bytes_max);
// Replaces `path` atomically and durably: temporary name, fdatasync, rename, directory sync.
Status WriteSmallFileDurably(FileSystem& files, const std::string& path, std::string_view contents);

std::string JoinPath(std::string_view directory, std::string_view name);
// The directory that `path` is in: "/a/b" and "/a/b/" are in "/a", "b" is in ".", "/b" in "/".
std::string ParentPath(std::string_view path);

}  // namespace tidemark
