#include "tests/support/memory_file_system.h"

#include <algorithm>
#include <cstring>

namespace tidemark {

class MemoryFile : public File {
 public:
  MemoryFile(MemoryFileSystem& system, std::string path,
             std::shared_ptr<MemoryFileSystem::Node> node, bool writable)
      : system_(system), path_(std::move(path)), node_(std::move(node)), writable_(writable) {}

  Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> buffer) override {
    std::lock_guard lock(system_.mutex_);
    if (offset >= node_->contents.size()) return size_t{0};
    const size_t size = std::min<uint64_t>(buffer.size(), node_->contents.size() - offset);
    if (size > 0) std::memcpy(buffer.data(), node_->contents.data() + offset, size);
    return size;
  }
  Status Append(Bytes bytes) override {
    bool full = false;
    TM_RETURN_IF_ERROR(Change([&] {
      const uint64_t room = system_.Room();
      full = bytes.size() > room;
      node_->contents.append(AsText(full ? bytes.first(room) : bytes));
    }));
    return full ? Status(Code::kDiskFull, "cannot write to " + path_ + ": no room") : OkStatus();
  }
  Status Truncate(uint64_t size) override {
    return Change([&] { node_->contents.resize(size); });
  }
  Status DataSync() override {
    return Change([&] { node_->durable = node_->contents; });
  }
  Result<uint64_t> Size() override {
    std::lock_guard lock(system_.mutex_);
    return uint64_t{node_->contents.size()};
  }

 private:
  template <typename Do>
  Status Change(Do change) {
    std::lock_guard lock(system_.mutex_);
    if (!writable_) return Status(Code::kIo, "cannot change " + path_ + ": it is open for reading");
    TM_RETURN_IF_ERROR(system_.Change(path_));
    change();
    return OkStatus();
  }

  MemoryFileSystem& system_;
  const std::string path_;
  const std::shared_ptr<MemoryFileSystem::Node> node_;
  const bool writable_;
};

class MemoryLock : public FileLock {
 public:
  MemoryLock(MemoryFileSystem& system, std::string path)
      : system_(system), path_(std::move(path)) {}
  ~MemoryLock() override {
    std::lock_guard lock(system_.mutex_);
    system_.locked_.erase(path_);
  }

 private:
  MemoryFileSystem& system_;
  const std::string path_;
};

Result<std::unique_ptr<File>> MemoryFileSystem::Open(const std::string& path, OpenMode mode) {
  std::lock_guard lock(mutex_);
  auto found = names_.find(path);
  if (mode == OpenMode::kCreateNew) {
    if (found != names_.end())
      return Status(Code::kIo, "cannot open " + path + ": it is there already");
    if (!directories_.contains(ParentOf(path)))
      return Status(Code::kNotFound, "cannot open " + path + ": its directory is not there");
    TM_RETURN_IF_ERROR(Change(path));
    found = names_.emplace(path, std::make_shared<Node>()).first;
  }
  if (found == names_.end())
    return Status(Code::kNotFound, "cannot open " + path + ": no such file");
  return std::unique_ptr<File>(
      std::make_unique<MemoryFile>(*this, path, found->second, mode != OpenMode::kRead));
}

Result<std::vector<std::string>> MemoryFileSystem::List(const std::string& directory) {
  std::lock_guard lock(mutex_);
  if (!directories_.contains(directory))
    return Status(Code::kNotFound, "cannot list " + directory + ": not there");
  std::vector<std::string> names;
  const auto add = [&](const std::string& path) {
    if (path != directory && ParentOf(path) == directory)
      names.push_back(path.substr(path.rfind('/') + 1));
  };
  for (const auto& [path, node] : names_) add(path);
  for (const std::string& path : directories_) add(path);
  std::sort(names.begin(), names.end());
  return names;
}

bool MemoryFileSystem::Exists(const std::string& path) {
  std::lock_guard lock(mutex_);
  return names_.contains(path) || directories_.contains(path);
}

bool MemoryFileSystem::IsDirectory(const std::string& path) {
  std::lock_guard lock(mutex_);
  return directories_.contains(path);
}

Status MemoryFileSystem::CreateDirectories(const std::string& path) {
  std::lock_guard lock(mutex_);
  std::vector<std::string> missing;  // the parents last, which come first
  for (std::string at = path; !directories_.contains(at); at = ParentOf(at)) {
    missing.push_back(at);
    if (at == ParentOf(at)) break;
  }
  for (auto at = missing.rbegin(); at != missing.rend(); ++at) {
    if (names_.contains(*at))
      return Status(Code::kIo, "cannot create " + *at + ": something else has that name");
    TM_RETURN_IF_ERROR(Change(*at));
    directories_.insert(*at);
  }
  return OkStatus();
}

Status MemoryFileSystem::SyncDirectory(const std::string& path) {
  std::lock_guard lock(mutex_);
  TM_RETURN_IF_ERROR(Change(path));
  std::erase_if(durable_names_, [&](const auto& entry) { return ParentOf(entry.first) == path; });
  for (const auto& [name, node] : names_)
    if (ParentOf(name) == path) durable_names_[name] = node;
  return OkStatus();
}

Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  const auto found = names_.find(from);
  if (found == names_.end())
    return Status(Code::kNotFound, "cannot rename " + from + ": no such file");
  TM_RETURN_IF_ERROR(Change(to));
  names_[to] = found->second;
  names_.erase(from);
  return OkStatus();
}

Status MemoryFileSystem::Remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (!names_.contains(path))
    return Status(Code::kNotFound, "cannot remove " + path + ": no such file");
  TM_RETURN_IF_ERROR(Change(path));
  names_.erase(path);
  return OkStatus();
}

Status MemoryFileSystem::Link(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  const auto found = names_.find(from);
  if (found == names_.end())
    return Status(Code::kNotFound, "cannot link " + from + ": no such file");
  if (links_refused_ || names_.contains(to))
    return Status(Code::kIo, "cannot link " + from + " to " + to);
  TM_RETURN_IF_ERROR(Change(to));
  names_[to] = found->second;
  return OkStatus();
}

Result<uint64_t> MemoryFileSystem::FreeBytes(const std::string&) {
  std::lock_guard lock(mutex_);
  return std::min(free_bytes_, Room());
}

uint64_t MemoryFileSystem::Room() const {
  if (capacity_bytes_ == UINT64_MAX) return UINT64_MAX;
  uint64_t used = 0;
  for (const auto& [path, node] : names_) used += node->contents.size();
  return capacity_bytes_ - std::min(used, capacity_bytes_);
}

uint64_t MemoryFileSystem::used_bytes() const {
  std::lock_guard lock(mutex_);
  uint64_t used = 0;
  for (const auto& [path, node] : names_) used += node->contents.size();
  return used;
}

void MemoryFileSystem::set_capacity_bytes(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  capacity_bytes_ = bytes;
}

Result<std::unique_ptr<FileLock>> MemoryFileSystem::Lock(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (locked_.contains(path)) return Status(Code::kLocked, path + " is held by another process");
  if (!names_.contains(path)) {
    TM_RETURN_IF_ERROR(Change(path));
    names_.emplace(path, std::make_shared<Node>());
  }
  locked_.insert(path);
  return std::unique_ptr<FileLock>(std::make_unique<MemoryLock>(*this, path));
}

void MemoryFileSystem::Put(const std::string& path, std::string_view contents) {
  std::lock_guard lock(mutex_);
  for (std::string at = ParentOf(path); directories_.insert(at).second && at != ParentOf(at);)
    at = ParentOf(at);
  auto node = std::make_shared<Node>();
  node->contents = node->durable = contents;
  names_[path] = durable_names_[path] = std::move(node);
}

std::string MemoryFileSystem::Contents(const std::string& path) const {
  std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  return found == names_.end() ? std::string() : found->second->contents;
}

std::string MemoryFileSystem::DurableContents(const std::string& path) const {
  std::lock_guard lock(mutex_);
  const auto found = durable_names_.find(path);
  return found == durable_names_.end() ? std::string() : found->second->durable;
}

void MemoryFileSystem::Crash() {
  std::lock_guard lock(mutex_);
  names_ = durable_names_;
  for (auto& [path, node] : names_) node->contents = node->durable;
  locked_.clear();
}

void MemoryFileSystem::FailAfter(uint64_t changes, Code code) {
  std::lock_guard lock(mutex_);
  changes_until_failure_ = changes;
  failure_ = code;
}

void MemoryFileSystem::StopFailing() {
  std::lock_guard lock(mutex_);
  changes_until_failure_.reset();
}

uint64_t MemoryFileSystem::changes() const {
  std::lock_guard lock(mutex_);
  return changes_;
}

Status MemoryFileSystem::Change(const std::string& path) {
  if (changes_until_failure_ == uint64_t{0})
    return Status(failure_, "cannot change " + path + ": so the test wants it");
  if (changes_until_failure_) --*changes_until_failure_;
  ++changes_;
  return OkStatus();
}

std::string MemoryFileSystem::ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace tidemark
