#include "tools/cli/event_output.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tools/cli/command.h"

namespace tidemark::cli {

Status EventOutput::Open(const std::string& path) {
  if (path.empty() || path == "-") {
    if (::isatty(STDOUT_FILENO) != 0)
      return Status(Code::kUsage, "a binlog is not for the terminal",
                    "use --output FILE, or pipe it: pitr export … | mysqlbinlog -");
    return OkStatus();
  }
  path_ = path;
  if (PosixFileSystem().Exists(path_))
    return Status(Code::kUsage, path_ + " exists already", "name a new file");
  const std::string partial = path_ + ".partial";
  if (PosixFileSystem().Exists(partial)) TM_RETURN_IF_ERROR(PosixFileSystem().Remove(partial));
  TM_ASSIGN_OR_RETURN(file_, PosixFileSystem().Open(partial, OpenMode::kCreateNew));
  return OkStatus();
}

Status EventOutput::Write(Bytes bytes) {
  if (Interrupted()) return Status(Code::kInterrupted, "interrupted");
  if (file_ != nullptr) return file_->Append(bytes);
  while (!bytes.empty()) {
    const ssize_t put = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put < 0)
      return Status(errno == ENOSPC || errno == EDQUOT ? Code::kDiskFull : Code::kIo,
                    std::string("cannot write to standard output: ") + std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return OkStatus();
}

Status EventOutput::Finish(const Status& status) {
  if (file_ == nullptr) return status;
  const std::string partial = path_ + ".partial";
  if (!status.ok()) {
    file_.reset();
    (void)PosixFileSystem().Remove(partial);
    return status;
  }
  if (Status synced = file_->DataSync(); !synced.ok()) {
    (void)PosixFileSystem().Remove(partial);
    return synced;
  }
  TM_RETURN_IF_ERROR(PosixFileSystem().Rename(partial, path_));
  return PosixFileSystem().SyncDirectory(ParentPath(path_));
}

}  // namespace tidemark::cli
