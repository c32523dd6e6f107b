#include "replication/base/secret_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tidemark {
namespace {

Status Usage(std::string message, std::string hint = {}) {
  return Status(Code::kUsage, std::move(message), std::move(hint));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Judged on the open descriptor, so that the file judged is the file read.
Status CheckFile(int fd, const std::string& name, const std::string& path) {
  struct stat found {};
  if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode))
    return Usage(name + " is not a regular file");
  if ((found.st_mode & (S_IROTH | S_IWOTH)) != 0)
    return Usage(name + " is accessible by every user of this machine", "chmod 600 " + path);
  if (static_cast<uint64_t>(found.st_size) > kSecretFileBytesMax)
    return Usage(name + " is longer than " + std::to_string(kSecretFileBytesMax) + " bytes");
  return OkStatus();
}

}  // namespace

Result<std::string> ReadSecretLine(const std::string& what, const std::string& path) {
  const std::string name = what + " " + path;
  // O_NONBLOCK: a FIFO put in the file's place must not hang us; it does not matter to regular
  // files.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return Usage("cannot open " + name + ": " + std::strerror(errno));
  TM_RETURN_IF_ERROR(CheckFile(file.get(), name, path));
  std::string text(kSecretFileBytesMax, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(file.get(), text.data() + size, text.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Usage("cannot read " + name + ": " + std::strerror(errno));
    if (got == 0) break;
    size += static_cast<size_t>(got);
  }
  text.resize(size);
  text.resize(std::min(size, text.find('\n')));
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

}  // namespace tidemark
