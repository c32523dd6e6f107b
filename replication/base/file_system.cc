#include "replication/base/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace tidemark {
namespace {

Status ErrnoStatus(int error, const std::string& what, const std::string& path) {
  Code code = Code::kIo;
  if (error == ENOSPC || error == EDQUOT) code = Code::kDiskFull;
  if (error == ENOENT) code = Code::kNotFound;
  Status status(code, "cannot " + what + " " + path + ": " + std::strerror(error));
  if (code == Code::kDiskFull)
    return std::move(status).WithHint("free space on the file system that holds " + path);
  if (error == EROFS)
    return std::move(status).WithHint(
        "the file system has become read-only, as after an error of the disk (dmesg): make it "
        "writable again");
  return status;
}

// Repeats a system call that a signal interrupted.
template <typename Call>
auto Retried(Call call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

constexpr size_t kCompareBytes = 1 << 20;
constexpr size_t kDirectAlignment = 4096;
constexpr size_t kCannotTell = SIZE_MAX;

class PosixFile : public File {
 public:
  PosixFile(int descriptor, std::string path, uint64_t end)
      : descriptor_(descriptor), path_(std::move(path)), end_(end) {}
  ~PosixFile() override { ::close(descriptor_); }

  Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> buffer) override {
    size_t done = 0;
    while (done < buffer.size()) {
      ssize_t got = Retried([&] {
        return ::pread(descriptor_, buffer.data() + done, buffer.size() - done,
                       static_cast<off_t>(offset + done));
      });
      if (got < 0) return ErrnoStatus(errno, "read", path_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Status Append(Bytes bytes) override {
    while (!bytes.empty()) {
      ssize_t put = Retried([&] {
        return ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(end_));
      });
      if (put < 0) return ErrnoStatus(errno, "write to", path_);
      bytes = bytes.subspan(static_cast<size_t>(put));
      end_ += static_cast<uint64_t>(put);
    }
    return OkStatus();
  }

  Status Allocate(uint64_t size) override {
    if (size <= end_) return OkStatus();
    int error = 0;
    do {
      error =
          ::posix_fallocate(descriptor_, static_cast<off_t>(end_), static_cast<off_t>(size - end_));
    } while (error == EINTR);
    if (error != 0) return ErrnoStatus(error, "allocate space for", path_);
    end_ = size;
    return OkStatus();
  }

  Status Truncate(uint64_t size) override {
    if (Retried([&] { return ::ftruncate(descriptor_, static_cast<off_t>(size)); }) != 0)
      return ErrnoStatus(errno, "truncate", path_);
    end_ = size;
    return OkStatus();
  }

  Status DataSync() override {
    if (Retried([&] { return ::fdatasync(descriptor_); }) != 0)
      return ErrnoStatus(errno, "make durable", path_);
    return OkStatus();
  }

  Result<bool> OnDisk() override {
    const std::string self = "/proc/self/fd/" + std::to_string(descriptor_);
    const int direct =
        Retried([&] { return ::open(self.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT); });
    if (direct < 0) return true;
    PosixFile disk(direct, path_, 0);
    const std::unique_ptr<uint8_t, decltype(&std::free)> aligned(
        static_cast<uint8_t*>(std::aligned_alloc(kDirectAlignment, kCompareBytes)), std::free);
    TM_CHECK(aligned != nullptr);
    std::vector<uint8_t> cached(kCompareBytes);
    for (uint64_t offset = 0;; offset += kCompareBytes) {
      // A disk that wants another alignment says EINVAL: nobody can tell.
      const Result<size_t> written = disk.ReadAligned(offset, {aligned.get(), kCompareBytes});
      if (!written.ok()) return written.error();
      if (*written == kCannotTell) return true;
      TM_ASSIGN_OR_RETURN(const size_t read, ReadAt(offset, cached));
      if (read != *written || std::memcmp(cached.data(), aligned.get(), read) != 0) return false;
      if (read < kCompareBytes) return true;
    }
  }

  Result<uint64_t> Size() override {
    struct stat info {};
    if (::fstat(descriptor_, &info) != 0) return ErrnoStatus(errno, "stat", path_);
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  // Of a file opened with O_DIRECT: a short read is the file's end, since no other one can be gone
  // on from.
  Result<size_t> ReadAligned(uint64_t offset, std::span<uint8_t> buffer) {
    const ssize_t got = Retried([&] {
      return ::pread(descriptor_, buffer.data(), buffer.size(), static_cast<off_t>(offset));
    });
    if (got >= 0) return static_cast<size_t>(got);
    if (errno == EINVAL) return kCannotTell;
    return ErrnoStatus(errno, "read", path_);
  }

  const int descriptor_;
  const std::string path_;
  uint64_t end_;
};

class PosixLock : public FileLock {
 public:
  explicit PosixLock(int descriptor) : descriptor_(descriptor) {}
  ~PosixLock() override { ::close(descriptor_); }

 private:
  const int descriptor_;
};

class Posix : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    // O_NONBLOCK: a FIFO in a file's place must not hang us; it does not matter to regular files.
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    if (mode == OpenMode::kRead) flags |= O_RDONLY;
    if (mode == OpenMode::kCreateNew) flags |= O_RDWR | O_CREAT | O_EXCL;
    if (mode == OpenMode::kReadWrite) flags |= O_RDWR;
    int descriptor = Retried([&] { return ::open(path.c_str(), flags, 0600); });
    if (descriptor < 0) return ErrnoStatus(errno, "open", path);
    struct stat info {};
    if (::fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
      ::close(descriptor);
      return Status(Code::kIo, "cannot open " + path + ": not a regular file");
    }
    return std::unique_ptr<File>(std::make_unique<PosixFile>(descriptor, path, info.st_size));
  }

  Result<std::vector<std::string>> List(const std::string& directory) override {
    DIR* stream = ::opendir(directory.c_str());
    if (stream == nullptr) return ErrnoStatus(errno, "list", directory);
    std::vector<std::string> names;
    while (const dirent* entry = ::readdir(stream)) {
      std::string name = entry->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
    }
    ::closedir(stream);
    std::sort(names.begin(), names.end());
    return names;
  }

  bool Exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }

  bool IsDirectory(const std::string& path) override {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }

  Status CreateDirectories(const std::string& path) override {
    if (path.empty() || IsDirectory(path)) return OkStatus();
    std::string parent = ParentPath(path);
    if (parent != path) TM_RETURN_IF_ERROR(CreateDirectories(parent));
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST)
      return ErrnoStatus(errno, "create", path);
    if (!IsDirectory(path))
      return Status(Code::kIo, "cannot create " + path + ": something else has that name");
    return SyncDirectory(parent);
  }

  Status SyncDirectory(const std::string& path) override {
    int descriptor =
        Retried([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    if (descriptor < 0) return ErrnoStatus(errno, "open", path);
    int result = Retried([&] { return ::fsync(descriptor); });
    int error = errno;
    ::close(descriptor);
    if (result != 0) return ErrnoStatus(error, "make durable", path);
    return OkStatus();
  }

  Status Rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return ErrnoStatus(errno, "rename", from);
    return OkStatus();
  }

  Status Remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return ErrnoStatus(errno, "remove", path);
    return OkStatus();
  }

  Status Link(const std::string& from, const std::string& to) override {
    if (::link(from.c_str(), to.c_str()) != 0) return ErrnoStatus(errno, "link", from);
    return OkStatus();
  }

  Result<uint64_t> FreeBytes(const std::string& path) override {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0)
      return ErrnoStatus(errno, "stat the file system of", path);
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    int descriptor = Retried([&] {
      return ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    });
    if (descriptor < 0) return ErrnoStatus(errno, "open", path);
    auto lock = std::make_unique<PosixLock>(descriptor);
    // Locks of the open file description: they end with the process, exclude our own other openings
    // too, and can be asked for without being taken.
    struct flock whole = WholeFile(F_WRLCK);
    if (::fcntl(descriptor, F_OFD_SETLK, &whole) != 0) {
      if (errno != EAGAIN && errno != EACCES) return ErrnoStatus(errno, "lock", path);
      return Status(
          Code::kLocked,
          path + " is held by another process (pid " + std::to_string(PidIn(descriptor)) + ")",
          "one tidemarkd writes an archive; stop the other one, or give this one a directory of "
          "its own");
    }
    // Over what stands there, and then cut: a full disk may not give a freed block back.
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::pwrite(descriptor, pid.data(), pid.size(), 0) < 0 ||
        ::ftruncate(descriptor, static_cast<off_t>(pid.size())) != 0)
      return ErrnoStatus(errno, "write to", path);
    return std::unique_ptr<FileLock>(std::move(lock));
  }

  int64_t LockHolder(const std::string& path) override {
    int descriptor = Retried(
        [&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); });
    if (descriptor < 0) return 0;
    struct flock whole = WholeFile(F_RDLCK);
    const bool held = ::fcntl(descriptor, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    const int64_t pid = held ? PidIn(descriptor) : 0;
    ::close(descriptor);
    return pid;
  }

 private:
  static struct flock WholeFile(int16_t type) {
    struct flock whole {};
    whole.l_type = type;
    whole.l_whence = SEEK_SET;
    return whole;
  }

  static int64_t PidIn(int descriptor) {
    char text[32] = {};
    if (::pread(descriptor, text, sizeof(text) - 1, 0) <= 0) return 0;
    return std::strtoll(text, nullptr, 10);
  }
};

}  // namespace

Status File::Allocate(uint64_t size) {
  const std::string zeros(64 << 10, '\0');
  TM_ASSIGN_OR_RETURN(uint64_t end, Size());
  while (end < size) {
    const Bytes piece = AsBytes(zeros).first(std::min<uint64_t>(zeros.size(), size - end));
    TM_RETURN_IF_ERROR(Append(piece));
    end += piece.size();
  }
  return OkStatus();
}

FileSystem& PosixFileSystem() {
  static Posix files;
  return files;
}

Result<std::string> ReadSmallFile(FileSystem& files, const std::string& path, uint64_t bytes_max) {
  TM_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(uint64_t size, file->Size());
  if (size > bytes_max)
    return Status(Code::kCorruption, path + " has " + std::to_string(size) +
                                         " bytes, more than the " + std::to_string(bytes_max) +
                                         " it may have");
  std::string contents(size, '\0');
  TM_ASSIGN_OR_RETURN(
      size_t got, file->ReadAt(0, {reinterpret_cast<uint8_t*>(contents.data()), contents.size()}));
  contents.resize(got);
  return contents;
}

Status WriteSmallFileDurably(FileSystem& files, const std::string& path,
                             std::string_view contents) {
  std::string temporary = path + ".new";
  if (files.Exists(temporary)) TM_RETURN_IF_ERROR(files.Remove(temporary));
  const Status written = [&]() -> Status {
    TM_ASSIGN_OR_RETURN(auto file, files.Open(temporary, OpenMode::kCreateNew));
    TM_RETURN_IF_ERROR(file->Append(AsBytes(contents)));
    return file->DataSync();
  }();
  if (!written.ok()) {
    (void)files.Remove(temporary);
    return written;
  }
  TM_RETURN_IF_ERROR(files.Rename(temporary, path));
  return files.SyncDirectory(ParentPath(path));
}

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path += '/';
  return path.append(name);
}

std::string ParentPath(std::string_view path) {
  const size_t end = path.find_last_not_of('/');
  const size_t slash = end == std::string_view::npos ? end : path.rfind('/', end);
  if (slash == std::string_view::npos) return path.starts_with('/') ? "/" : ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

}  // namespace tidemark
