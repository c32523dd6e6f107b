// A base backup: where it is, and at which GTID set it was taken.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "replication/base/file_system.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

struct BaseBackup {
  std::string path;           // of a mysqldump file: plain, or gzip, or zstd
  bool has_gtid_set = false;  // false: only source_file and source_position tell where it was taken
  GtidSet gtid_set;  // SET @@GLOBAL.GTID_PURGED=… of the dump; may be empty, if the dump says so
  bool sets_gtid_purged =
      false;  // loading it sets gtid_purged; false: the statement is commented out
  std::string
      source_file;  // CHANGE REPLICATION SOURCE TO …, if the dump has it, commented out or not
  uint64_t source_position = 0;
  bool configures_replication = false;  // … and it is not commented out
  std::string server_version;           // of the dump's header, if it has one
  uint64_t bytes = 0;                   // of the file as it is stored
  uint64_t text_bytes = 0;              // uncompressed
  bool compressed = false;
  std::vector<std::string> warnings;  // whole sentences
};

// Reads a mysqldump for its coordinate (dump_coordinate.h lists the forms). A plain file with the
// coordinate at its head is read there and at its end only; others whole, in bounded memory.
// kBadBackup with a hint if there is neither a GTID set nor a position of the dumped server, if the
// file is empty, cut short (no "-- Dump completed" at its end), damaged, or no mysqldump at all.
// Opens and reads, changes nothing.
Result<BaseBackup> ReadMysqldump(FileSystem& files, const std::string& path);

}  // namespace tidemark
