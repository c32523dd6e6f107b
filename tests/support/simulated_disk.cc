#include "tests/support/simulated_disk.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace tidemark::sim {

class DiskFile : public File {
 public:
  DiskFile(Disk& disk, std::string path, std::shared_ptr<Disk::Inode> inode, bool writable)
      : disk_(disk),
        path_(std::move(path)),
        inode_(std::move(inode)),
        process_(disk.process_),
        writable_(writable),
        end_(inode_->cache.size()) {}

  Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> buffer) override {
    const auto alone = disk_.Alone();
    TM_RETURN_IF_ERROR(Enter("read", disk_.faults_.read));
    if (offset >= inode_->cache.size()) return size_t{0};
    const size_t size = std::min<uint64_t>(buffer.size(), inode_->cache.size() - offset);
    if (size > 0) std::memcpy(buffer.data(), inode_->cache.data() + offset, size);
    return size;
  }

  Status Append(Bytes bytes) override {
    const auto alone = disk_.Alone();
    Status status = Enter("write", disk_.faults_.write);
    if (Gone()) return status;
    const uint64_t room = disk_.room();
    size_t size = bytes.size();
    if (!status.ok()) size = disk_.dice_.Below(size + 1);
    if (size > room) {
      size = static_cast<size_t>(room);
      status = Status(Code::kDiskFull, "cannot write to " + path_ + ": No space left on device");
    }
    disk_.Write(*inode_, end_, bytes.first(size));
    end_ += size;
    return status;
  }

  Status Truncate(uint64_t size) override {
    const auto alone = disk_.Alone();
    TM_RETURN_IF_ERROR(Enter("truncate", disk_.faults_.write));
    disk_.SetSize(*inode_, size);
    end_ = size;
    return OkStatus();
  }

  // Takes its time: only what was written when it began is promised.
  Status DataSync() override {
    const auto alone = disk_.Alone();
    TM_RETURN_IF_ERROR(Enter("sync", 0));
    const std::vector<bool> pages = inode_->dirty;
    const uint64_t size = inode_->cache.size();
    for (uint64_t turns = disk_.dice_.Small(3); turns > 0; --turns) disk_.Turn("syncing");
    if (Gone()) return disk_.Failure("sync", path_);
    if (!writable_) return Status(Code::kIo, "cannot sync " + path_ + ": open for reading");
    if (disk_.Fails(disk_.faults_.sync)) {
      disk_.FailSync(*inode_, pages);
      if (disk_.dice_.OneIn(4))  // blocks are found when pages are written out
        return Status(Code::kDiskFull, "cannot sync " + path_ + ": No space left on device");
      return disk_.Failure("sync", path_);
    }
    disk_.Sync(*inode_, pages, size);
    return OkStatus();
  }

  Result<bool> OnDisk() override {
    const auto alone = disk_.Alone();
    TM_RETURN_IF_ERROR(Enter("compare", disk_.faults_.read));
    return inode_->cache == inode_->platter;
  }

  Result<uint64_t> Size() override {
    const auto alone = disk_.Alone();
    TM_RETURN_IF_ERROR(Enter("stat", disk_.faults_.read));
    return uint64_t{inode_->cache.size()};
  }

 private:
  bool Gone() const { return disk_.dead_ || process_ != disk_.process_; }
  Status Enter(const char* operation, uint64_t one_in) {
    TM_RETURN_IF_ERROR(disk_.Enter(operation, path_, one_in));
    return Gone() ? disk_.Failure(operation, path_) : OkStatus();
  }

  Disk& disk_;
  const std::string path_;
  const std::shared_ptr<Disk::Inode> inode_;
  const uint64_t process_;
  const bool writable_;
  uint64_t end_;  // as PosixFile: its own idea of where the file ends
};

class DiskLock : public FileLock {
 public:
  DiskLock(Disk& disk, std::string path)
      : disk_(disk), path_(std::move(path)), process_(disk.process_) {}
  ~DiskLock() override {
    if (process_ == disk_.process_) disk_.locked_.erase(path_);
  }

 private:
  Disk& disk_;
  const std::string path_;
  const uint64_t process_;
};

Disk::Disk(Dice& dice, std::function<void(const char*)> turn)
    : dice_(dice), turn_(std::move(turn)), page_bytes_(kPageBytesMin << (2 * dice.Below(4))) {
  for (const char* path : {"/", "."}) {
    names_[path] = durable_names_[path] = std::make_shared<Inode>();
    names_[path]->directory = true;
  }
}

Disk::~Disk() = default;

void Disk::Turn(const char* operation) {
  if (turn_) turn_(operation);
}

Status Disk::Failure(const char* operation, const std::string& path) {
  ++failed_;
  return Status(Code::kIo,
                std::string("cannot ") + operation + " " + path + ": Input/output error");
}

Status Disk::Enter(const char* operation, const std::string& path, uint64_t one_in) {
  Turn(operation);
  if (dead_ || Fails(one_in)) return Failure(operation, path);
  return OkStatus();
}

bool Disk::Fails(uint64_t one_in) {
  if (trouble_ > 0) {
    --trouble_;
    return dice_.OneIn(2);
  }
  if (!dice_.OneIn(one_in)) return false;
  trouble_ = dice_.Small(4);
  return true;
}

Result<std::unique_ptr<File>> Disk::Open(const std::string& path, OpenMode mode) {
  const auto alone = Alone();
  const bool create = mode == OpenMode::kCreateNew;
  TM_RETURN_IF_ERROR(Enter("open", path, create ? faults_.name : faults_.read));
  auto found = names_.find(path);
  if (create) {
    if (found != names_.end())
      return Status(Code::kIo, "cannot open " + path + ": it is there already");
    if (!names_.contains(ParentPath(path)))
      return Status(Code::kNotFound, "cannot open " + path + ": its directory is not there");
    if (room() == 0)
      return Status(Code::kDiskFull, "cannot open " + path + ": No space left on device");
    Note({{}, path, std::make_shared<Inode>()});
    found = names_.find(path);
  }
  if (found == names_.end())
    return Status(Code::kNotFound, "cannot open " + path + ": no such file");
  if (found->second->directory)
    return Status(Code::kIo, "cannot open " + path + ": not a regular file");
  return std::unique_ptr<File>(
      std::make_unique<DiskFile>(*this, path, found->second, mode != OpenMode::kRead));
}

Result<std::vector<std::string>> Disk::List(const std::string& directory) {
  const auto alone = Alone();
  TM_RETURN_IF_ERROR(Enter("list", directory, faults_.read));
  if (!IsDirectory(directory))
    return Status(Code::kNotFound, "cannot list " + directory + ": not there");
  std::vector<std::string> names;
  for (const auto& [path, inode] : names_)
    if (path != directory && ParentPath(path) == directory)
      names.push_back(path.substr(path.rfind('/') + 1));
  std::sort(names.begin(), names.end());
  return names;
}

bool Disk::Exists(const std::string& path) {
  const auto alone = Alone();
  return names_.contains(path);
}

bool Disk::IsDirectory(const std::string& path) {
  const auto alone = Alone();
  const auto found = names_.find(path);
  return found != names_.end() && found->second->directory;
}

// As PosixFileSystem does it: the parent is synced if, and only if, a directory was made.
Status Disk::CreateDirectories(const std::string& path) {
  const auto alone = Alone();
  if (IsDirectory(path)) return OkStatus();
  const std::string parent = ParentPath(path);
  TM_RETURN_IF_ERROR(CreateDirectories(parent));
  TM_RETURN_IF_ERROR(Enter("mkdir", path, faults_.name));
  if (!Exists(path)) {
    auto inode = std::make_shared<Inode>();
    inode->directory = true;
    Note({{}, path, std::move(inode)});
  }
  return SyncDirectory(parent);
}

Status Disk::SyncDirectory(const std::string& path) {
  const auto alone = Alone();
  TM_RETURN_IF_ERROR(Enter("sync", path, faults_.name));
  if (!IsDirectory(path)) return Status(Code::kNotFound, "cannot sync " + path + ": not there");
  std::vector<NameChange> rest;
  for (NameChange& change : std::exchange(pending_, {})) {
    const std::string& name = change.present.empty() ? change.gone : change.present;
    if (ParentPath(name) == path)
      Apply(change);
    else
      rest.push_back(std::move(change));
  }
  pending_ = std::move(rest);
  return OkStatus();
}

Status Disk::Rename(const std::string& from, const std::string& to) {
  const auto alone = Alone();
  TM_RETURN_IF_ERROR(Enter("rename", from, faults_.name));
  const auto found = names_.find(from);
  if (found == names_.end())
    return Status(Code::kNotFound, "cannot rename " + from + ": no such file");
  Note({from, to, found->second});
  return OkStatus();
}

Status Disk::Remove(const std::string& path) {
  const auto alone = Alone();
  TM_RETURN_IF_ERROR(Enter("remove", path, faults_.name));
  const auto found = names_.find(path);
  if (found == names_.end())
    return Status(Code::kNotFound, "cannot remove " + path + ": no such file");
  Note({path, {}, found->second});
  return OkStatus();
}

Result<uint64_t> Disk::FreeBytes(const std::string& path) {
  const auto alone = Alone();
  TM_RETURN_IF_ERROR(Enter("stat", path, faults_.read));
  return room();
}

Result<std::unique_ptr<FileLock>> Disk::Lock(const std::string& path) {
  const auto alone = Alone();
  TM_RETURN_IF_ERROR(Enter("lock", path, faults_.name));
  if (locked_.contains(path)) return Status(Code::kLocked, path + " is held by another process");
  if (!Exists(path)) Note({{}, path, std::make_shared<Inode>()});
  locked_.insert(path);
  return std::unique_ptr<FileLock>(std::make_unique<DiskLock>(*this, path));
}

void Disk::Note(NameChange change) {
  if (!change.gone.empty()) names_.erase(change.gone);
  if (!change.present.empty()) names_[change.present] = change.inode;
  pending_.push_back(std::move(change));
}

// To what is durable. A name that another change has taken since is not this one's to remove.
void Disk::Apply(const NameChange& change) {
  const auto gone = durable_names_.find(change.gone);
  if (gone != durable_names_.end() && gone->second == change.inode) durable_names_.erase(gone);
  if (!change.present.empty()) durable_names_[change.present] = change.inode;
}

void Disk::MarkDirty(Inode& inode, uint64_t begin, uint64_t end) {
  const size_t pages =
      (std::max(inode.cache.size(), inode.platter.size()) + page_bytes_ - 1) / page_bytes_;
  inode.dirty.resize(pages);
  for (size_t page = begin / page_bytes_; page < pages && page * page_bytes_ < end; ++page)
    inode.dirty[page] = true;
}

void Disk::Write(Inode& inode, uint64_t offset, Bytes bytes) {
  const uint64_t begin = std::min<uint64_t>(offset, inode.cache.size());
  const uint64_t end = offset + bytes.size();
  if (inode.cache.size() < end) SetSize(inode, end);
  if (!bytes.empty()) std::memcpy(inode.cache.data() + offset, bytes.data(), bytes.size());
  MarkDirty(inode, begin, end);
}

void Disk::SetSize(Inode& inode, uint64_t size) {
  const uint64_t before = inode.cache.size();
  inode.cache.resize(size);
  inode.size_dirty = true;
  MarkDirty(inode, std::min<uint64_t>(before, size),
            std::max<uint64_t>({before, size, inode.platter.size()}));
}

namespace {

void PutPage(std::string* to, size_t page, uint64_t page_bytes, std::string_view from) {
  const size_t begin = page * page_bytes;
  if (begin >= from.size() || begin >= to->size()) return;
  const size_t size = std::min<size_t>({page_bytes, from.size() - begin, to->size() - begin});
  std::memcpy(to->data() + begin, from.data() + begin, size);
}

}  // namespace

// A page that somebody else's failed sync has cleaned meanwhile is not written, and nobody says so.
void Disk::Sync(Inode& inode, const std::vector<bool>& pages, uint64_t size) {
  size = std::min<uint64_t>(size, inode.cache.size());
  inode.platter.resize(size);
  for (size_t page = 0; page < pages.size() && page < inode.dirty.size(); ++page) {
    if (!pages[page] || !inode.dirty[page]) continue;
    PutPage(&inode.platter, page, page_bytes_, std::string_view(inode.cache).substr(0, size));
    // What was appended meanwhile is not promised.
    inode.dirty[page] = inode.cache.size() > size && (page + 1) * page_bytes_ > size;
  }
  inode.size_dirty = inode.cache.size() > size;
}

void Disk::FailSync(Inode& inode, const std::vector<bool>& pages) {
  if (dice_.OneIn(2)) inode.platter.resize(inode.cache.size());
  for (size_t page = 0; page < pages.size() && page < inode.dirty.size(); ++page) {
    if (!pages[page]) continue;
    inode.dirty[page] = false;
    if (dice_.OneIn(2))
      PutPage(&inode.platter, page, page_bytes_, inode.cache);
    else if (failed_sync_shows_)
      PutPage(&inode.cache, page, page_bytes_, inode.platter);
  }
}

bool Disk::Durable(const std::string& path, uint64_t from, uint64_t to) const {
  const auto alone = Alone();
  const auto found = durable_names_.find(path);
  const auto now = names_.find(path);
  if (found == durable_names_.end() || now == names_.end() || now->second != found->second)
    return false;
  for (std::string at = ParentPath(path); at != "/" && at != "."; at = ParentPath(at))
    if (!durable_names_.contains(at)) return false;
  // No change that is still to come may take the name away.
  for (const NameChange& change : pending_)
    if (change.gone == path) return false;
  const Inode& inode = *found->second;
  if (to > inode.platter.size() || to > inode.cache.size()) return false;
  return std::memcmp(inode.platter.data() + from, inode.cache.data() + from, to - from) == 0;
}

const std::string* Disk::Contents(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() || found->second->directory ? nullptr : &found->second->cache;
}

uint64_t Disk::used_bytes() const {
  const auto alone = Alone();
  uint64_t used = 0;
  for (const auto& [path, inode] : names_) used += inode->cache.size();
  return used;
}

uint64_t Disk::room() const {
  if (faults_.capacity_bytes == UINT64_MAX) return UINT64_MAX;
  const uint64_t used = used_bytes();
  return faults_.capacity_bytes > used ? faults_.capacity_bytes - used : 0;
}

void Disk::Kill() {
  const auto alone = Alone();
  dead_ = true;
  ++process_;
  locked_.clear();
}

void Disk::PowerCut() {
  const auto alone = Alone();
  dead_ = true;
  ++process_;
  locked_.clear();
  const uint64_t mood = dice_.Below(4);  // of the directories: nothing, all, a prefix, any
  const size_t prefix = dice_.Below(pending_.size() + 1);
  for (size_t i = 0; i < pending_.size(); ++i)
    if (mood == 1 || (mood == 2 && i < prefix) || (mood == 3 && dice_.OneIn(2))) Apply(pending_[i]);
  pending_.clear();
  std::erase_if(durable_names_, [this](const auto& entry) {
    for (std::string at = entry.first; at != "/" && at != "."; at = ParentPath(at))
      if (!durable_names_.contains(ParentPath(at))) return true;
    return false;
  });
  names_ = durable_names_;
  for (const auto& [path, inode] : names_) Tear(*inode);
}

// `mood`: how this file fares. Written: everything, nothing, up to some page, each as it comes.
std::string Disk::TornPage(const Inode& inode, size_t page, uint64_t mood) {
  std::string before(page_bytes_, '\0');
  std::string after(page_bytes_, '\0');
  const size_t begin = page * page_bytes_;
  const auto copy = [&](const std::string& from, std::string* to) {
    if (begin < from.size())
      std::memcpy(to->data(), from.data() + begin, std::min(page_bytes_, from.size() - begin));
  };
  copy(inode.platter, &before);
  copy(inode.cache, &after);
  if (mood == 0) return after;
  if (mood == 1) return before;
  const uint64_t fate = dice_.Below(8);
  if (fate < 3) return after;
  if (fate < 6) return before;
  const size_t half = dice_.Below(page_bytes_ + 1);
  std::string torn = after.substr(0, half) + before.substr(half);
  // A block that was given to the file and never written: whatever it held.
  if (fate == 7 && begin >= inode.platter.size())
    for (size_t i = half; i < torn.size(); ++i) torn[i] = static_cast<char>(dice_.Next());
  return torn;
}

void Disk::Tear(Inode& inode) {
  const uint64_t mood = dice_.Below(4);
  const size_t kept = dice_.Below(inode.dirty.size() + 1);
  std::string torn = inode.platter;
  const uint64_t longest = std::max(inode.platter.size(), inode.cache.size());
  uint64_t size = inode.platter.size();
  if (inode.size_dirty) {
    const uint64_t shortest = std::min(inode.platter.size(), inode.cache.size());
    const uint64_t fate = dice_.Below(3);
    size = fate == 0   ? inode.platter.size()
           : fate == 1 ? inode.cache.size()
                       : dice_.Between(shortest, longest);
  }
  torn.resize(longest);
  for (size_t page = 0; page < inode.dirty.size(); ++page) {
    if (!inode.dirty[page] || page * page_bytes_ >= longest) continue;
    const uint64_t page_mood = mood == 2 && page != kept ? (page < kept ? 0 : 1) : mood;
    const std::string bytes = TornPage(inode, page, page_mood);
    const size_t begin = page * page_bytes_;
    std::memcpy(torn.data() + begin, bytes.data(), std::min(page_bytes_, longest - begin));
  }
  torn.resize(size);
  inode.cache = inode.platter = std::move(torn);
  inode.dirty.assign(inode.dirty.size(), false);
  inode.size_dirty = false;
}

}  // namespace tidemark::sim
