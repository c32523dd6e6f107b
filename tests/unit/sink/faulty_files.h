// A MemoryFileSystem behind one that fails like a real one: the n-th write stops half-way, an
// fdatasync that failed leaves bytes that no later fdatasync brings to the disk, and an fdatasync
// may take as long as the test likes.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <random>

#include "tests/support/memory_file_system.h"

namespace tidemark::testing {

class FaultyFiles : public FileSystem {
 public:
  struct Fault {
    uint64_t at = 0;     // this many more changes succeed
    uint64_t count = 1;  // then so many fail; UINT64_MAX: all until Heal
    Code code = Code::kIo;
  };

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    if (mode == OpenMode::kCreateNew) TM_RETURN_IF_ERROR(Change(path));
    TM_ASSIGN_OR_RETURN(auto file, memory_.Open(path, mode));
    return std::unique_ptr<File>(std::make_unique<FaultyFile>(*this, path, std::move(file)));
  }
  Result<std::vector<std::string>> List(const std::string& directory) override {
    return memory_.List(directory);
  }
  bool Exists(const std::string& path) override { return memory_.Exists(path); }
  bool IsDirectory(const std::string& path) override { return memory_.IsDirectory(path); }
  Status CreateDirectories(const std::string& path) override {
    return memory_.CreateDirectories(path);
  }
  Status SyncDirectory(const std::string& path) override {
    TM_RETURN_IF_ERROR(Change(path));
    return memory_.SyncDirectory(path);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    TM_RETURN_IF_ERROR(Change(to));
    return memory_.Rename(from, to);
  }
  Status Remove(const std::string& path) override {
    TM_RETURN_IF_ERROR(Change(path));
    std::lock_guard lock(mutex_);
    lost_.erase(path);
    return memory_.Remove(path);
  }
  Status Link(const std::string& from, const std::string& to) override {
    TM_RETURN_IF_ERROR(Change(to));
    return memory_.Link(from, to);
  }
  Result<uint64_t> FreeBytes(const std::string& path) override { return memory_.FreeBytes(path); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    return memory_.Lock(path);
  }

  void Break(const Fault& fault) {
    std::lock_guard lock(mutex_);
    fault_ = fault;
  }
  void Heal() {
    std::lock_guard lock(mutex_);
    fault_.reset();
  }
  uint64_t failures() const {
    std::lock_guard lock(mutex_);
    return failures_;
  }
  // While held, DataSync blocks.
  void HoldSyncs() {
    std::lock_guard lock(mutex_);
    held_ = true;
  }
  void ReleaseSyncs() {
    std::lock_guard lock(mutex_);
    held_ = false;
    released_.notify_all();
  }
  void WaitForBlockedSync() {
    std::unique_lock lock(mutex_);
    released_.wait(lock, [this] { return blocked_ > 0; });
  }

  // What a power failure would leave of the file: bytes that a failed fdatasync has lost are zeros.
  std::string OnDisk(const std::string& path) const {
    std::lock_guard lock(mutex_);
    std::string bytes = memory_.DurableContents(path);
    const auto found = lost_.find(path);
    if (found != lost_.end())
      for (uint64_t at = found->second.first;
           at < std::min<uint64_t>(found->second.second, bytes.size()); ++at)
        bytes[at] = 0;
    return bytes;
  }
  MemoryFileSystem& memory() { return memory_; }

 private:
  class FaultyFile : public File {
   public:
    FaultyFile(FaultyFiles& system, std::string path, std::unique_ptr<File> file)
        : system_(system), path_(std::move(path)), file_(std::move(file)) {}
    Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> buffer) override {
      return file_->ReadAt(offset, buffer);
    }
    Status Append(Bytes bytes) override {
      Status status = system_.Change(path_);
      if (!status.ok())
        (void)file_->Append(bytes.first(bytes.size() / 2));  // as write(2) on a full disk
      return status.ok() ? file_->Append(bytes) : status;
    }
    Status Truncate(uint64_t size) override {
      TM_RETURN_IF_ERROR(system_.Change(path_));
      std::lock_guard lock(system_.mutex_);
      const auto found = system_.lost_.find(path_);
      if (found != system_.lost_.end()) found->second.second = std::min(found->second.second, size);
      return file_->Truncate(size);
    }
    Status DataSync() override {
      system_.Blocked();
      Status status = system_.Change(path_);
      if (status.ok()) return file_->DataSync();
      std::lock_guard lock(system_.mutex_);
      auto& lost = system_.lost_[path_];
      const uint64_t durable = system_.memory_.DurableContents(path_).size();
      lost = {lost.second > lost.first ? std::min(lost.first, durable) : durable,
              system_.memory_.Contents(path_).size()};
      return status;
    }
    Result<bool> OnDisk() override {
      std::lock_guard lock(system_.mutex_);
      const auto found = system_.lost_.find(path_);
      return found == system_.lost_.end() || found->second.first >= found->second.second;
    }
    Result<uint64_t> Size() override { return file_->Size(); }

   private:
    FaultyFiles& system_;
    const std::string path_;
    const std::unique_ptr<File> file_;
  };

  Status Change(const std::string& path) {
    std::lock_guard lock(mutex_);
    if (!fault_) return OkStatus();
    if (fault_->at > 0) {
      --fault_->at;
      return OkStatus();
    }
    const Code code = fault_->code;
    if (fault_->count != UINT64_MAX && --fault_->count == 0) fault_.reset();
    ++failures_;
    return Status(code, "cannot change " + path + ": the test wants it so");
  }
  void Blocked() {
    std::unique_lock lock(mutex_);
    ++blocked_;
    released_.notify_all();
    released_.wait(lock, [this] { return !held_; });
    --blocked_;
  }

  MemoryFileSystem memory_;
  mutable std::mutex mutex_;
  std::condition_variable released_;
  std::optional<Fault> fault_;
  uint64_t failures_ = 0;
  bool held_ = false;
  int blocked_ = 0;
  std::map<std::string, std::pair<uint64_t, uint64_t>> lost_;  // [begin, end) of each file
};

}  // namespace tidemark::testing
