// Where a binlog goes that a command writes.
#pragma once

#include <memory>
#include <string>

#include "replication/base/file_system.h"

namespace tidemark::cli {

// Standard output, or a new file that appears under its name only when it is complete and durable.
class EventOutput {
 public:
  // "" and "-": standard output, if it is no terminal. kUsage.
  Status Open(const std::string& path);
  Status Write(Bytes bytes);  // kInterrupted
  // The file stays only if `status` is OK; gives that back, or what went wrong then.
  Status Finish(const Status& status);

 private:
  std::string path_;
  std::unique_ptr<File> file_;
};

}  // namespace tidemark::cli
