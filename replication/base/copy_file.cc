#include "replication/base/copy_file.h"

#include <vector>

namespace tidemark {
namespace {

constexpr size_t kCopyBytes = 256u << 10;

}  // namespace

Status CopyDurably(FileSystem& files, const std::string& from, const std::string& to,
                   const std::function<bool()>& give_up) {
  TM_ASSIGN_OR_RETURN(auto old_file, files.Open(from, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(auto new_file, files.Open(to, OpenMode::kCreateNew));
  std::vector<uint8_t> buffer(kCopyBytes);
  for (uint64_t offset = 0;;) {
    if (give_up && give_up())
      return Status(Code::kInterrupted, "interrupted while copying " + from);
    TM_ASSIGN_OR_RETURN(const size_t got, old_file->ReadAt(offset, buffer));
    if (got == 0) return new_file->DataSync();
    TM_RETURN_IF_ERROR(new_file->Append(Bytes(buffer).first(got)));
    offset += got;
  }
}

}  // namespace tidemark
