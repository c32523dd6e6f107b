// A FileSystem in memory, for tests: files can be put and looked at, and every change can be made
// to fail. It knows which bytes were made durable, so that a test can crash it. One thread, except
// that DataSync may run beside Append.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "replication/base/file_system.h"

namespace tidemark {

class MemoryFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Result<std::vector<std::string>> List(const std::string& directory) override;
  bool Exists(const std::string& path) override;
  bool IsDirectory(const std::string& path) override;
  Status CreateDirectories(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status Link(const std::string& from, const std::string& to) override;
  Result<uint64_t> FreeBytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

  // Creates or replaces a file, durable at once; its directories come into being with it.
  void Put(const std::string& path, std::string_view contents);
  std::string Contents(const std::string& path) const;         // empty if it is not there
  std::string DurableContents(const std::string& path) const;  // as of the last DataSync
  // What a power failure leaves: names made durable by SyncDirectory, contents made durable by
  // DataSync.
  void Crash();
  // Link is refused, as by a file system that has no links.
  void RefuseLinks() { links_refused_ = true; }
  // After `changes` more changes (Append, Truncate, DataSync, Rename, Remove, new names) each one
  // fails with `code`.
  void FailAfter(uint64_t changes, Code code = Code::kIo);
  void StopFailing();
  uint64_t changes() const;  // so far: a test fails at each of them in turn
  void set_free_bytes(uint64_t bytes) { free_bytes_ = bytes; }
  // All files together have at most so many bytes: an Append stops there, with kDiskFull.
  void set_capacity_bytes(uint64_t bytes);
  uint64_t used_bytes() const;

 private:
  friend class MemoryFile;
  friend class MemoryLock;
  struct Node {
    std::string contents;
    std::string durable;
  };
  using Names = std::map<std::string, std::shared_ptr<Node>>;

  Status Change(const std::string& path);  // call with mutex_ held
  uint64_t Room() const;                   // likewise
  static std::string ParentOf(const std::string& path);

  mutable std::mutex mutex_;
  Names names_;
  Names durable_names_;
  std::set<std::string> directories_;
  std::set<std::string> locked_;
  std::optional<uint64_t> changes_until_failure_;
  Code failure_ = Code::kIo;
  uint64_t changes_ = 0;
  bool links_refused_ = false;
  uint64_t free_bytes_ = uint64_t{1} << 40;
  uint64_t capacity_bytes_ = UINT64_MAX;
};

}  // namespace tidemark
