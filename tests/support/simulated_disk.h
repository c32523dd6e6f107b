// A disk and the page cache in front of it, as bad as POSIX allows them to be.
//
// What is promised: bytes that a successful DataSync found written are on the platter; names that a
// successful SyncDirectory found are there after a power cut, if their directories are. Nothing
// else. Of unsynced pages each is kept, lost (zeros, what was there before, garbage) or half
// written; sizes, new names, renames and removals may have happened or not, in any order. After a
// failed DataSync pages count as clean, whether they reached the platter or not, and what is read
// of them may change. Reads, writes, syncs and names fail as the dice say; a write stops half-way;
// the disk is full at its capacity.
//
// Every operation first calls the run's `turn`: there other parties go on, and there power fails.
// Not modelled: platters that change what they hold; EINTR, which PosixFileSystem deals with below
// this interface; Exists and IsDirectory that fail (they would have to lie).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "replication/base/file_system.h"
#include "tests/support/dice.h"

namespace tidemark::sim {

// One operation in so many fails; 0: none. After a failed change others often fail as well.
struct DiskFaults {
  uint64_t read = 0;
  uint64_t write = 0;
  uint64_t sync = 0;
  uint64_t name = 0;  // create, rename, remove, make a directory, sync a directory
  uint64_t capacity_bytes = UINT64_MAX;
};

class Disk : public FileSystem {
 public:
  // `turn` is called with the operation's name in front of each operation.
  Disk(Dice& dice, std::function<void(const char* operation)> turn);
  ~Disk() override;

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Result<std::vector<std::string>> List(const std::string& directory) override;
  bool Exists(const std::string& path) override;
  bool IsDirectory(const std::string& path) override;
  Status CreateDirectories(const std::string& path) override;
  Status SyncDirectory(const std::string& path) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Result<uint64_t> FreeBytes(const std::string& path) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;

  // Several threads use it: one operation at a time. (Fibers take turns anyway.)
  void set_shared() { shared_ = true; }
  void SetFaults(const DiskFaults& faults) {
    faults_ = faults;
    trouble_ = 0;
  }
  const DiskFaults& faults() const { return faults_; }
  // Whether a page that a failed DataSync lost reads as it is on the platter from then on.
  void set_failed_sync_shows(bool shows) { failed_sync_shows_ = shows; }
  // The process is gone: its open files and locks fail from now on, whatever it still tries. What
  // the page cache holds stays, or, PowerCut, becomes what the platter holds.
  void Kill();
  void PowerCut();
  void Revive() { dead_ = false; }  // a new process begins

  // For oracles; these never fail and take no turn.
  bool Durable(const std::string& path, uint64_t from, uint64_t to) const;
  const std::string* Contents(const std::string& path) const;  // nullptr: no such file
  uint64_t used_bytes() const;
  uint64_t room() const;
  uint64_t failed() const { return failed_; }

  static constexpr uint64_t kPageBytesMin = 64;

 private:
  friend class DiskFile;
  friend class DiskLock;
  // A file's page cache and platter.
  struct Inode {
    std::string cache;
    std::string platter;
    std::vector<bool> dirty;  // by page
    bool size_dirty = false;
    bool directory = false;
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;
  // A change of a directory that is not durable yet.
  struct NameChange {
    std::string gone;     // empty: none
    std::string present;  // empty: none
    std::shared_ptr<Inode> inode;
  };

  Status Enter(const char* operation, const std::string& path, uint64_t one_in);
  void Turn(const char* operation);
  bool Fails(uint64_t one_in);
  Status Failure(const char* operation, const std::string& path);
  void Write(Inode& inode, uint64_t offset, Bytes bytes);
  void SetSize(Inode& inode, uint64_t size);
  void MarkDirty(Inode& inode, uint64_t begin, uint64_t end);
  void FailSync(Inode& inode, const std::vector<bool>& pages);
  void Sync(Inode& inode, const std::vector<bool>& pages, uint64_t size);
  void Tear(Inode& inode);
  std::string TornPage(const Inode& inode, size_t page, uint64_t mood);
  void Apply(const NameChange& change);
  void Note(NameChange change);

  std::unique_lock<std::recursive_mutex> Alone() const {
    return shared_ ? std::unique_lock(mutex_) : std::unique_lock<std::recursive_mutex>();
  }

  bool shared_ = false;
  mutable std::recursive_mutex mutex_;
  Dice& dice_;
  const std::function<void(const char*)> turn_;
  const uint64_t page_bytes_;
  DiskFaults faults_;
  uint64_t trouble_ = 0;  // for so many operations each second one fails
  bool failed_sync_shows_ = false;
  bool dead_ = false;
  uint64_t process_ = 1;  // files and locks of an earlier one are dead
  Names names_;
  Names durable_names_;
  std::vector<NameChange> pending_;
  std::set<std::string> locked_;
  uint64_t failed_ = 0;
};

}  // namespace tidemark::sim
