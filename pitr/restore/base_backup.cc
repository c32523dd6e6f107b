#include "pitr/restore/base_backup.h"

#include <algorithm>

#include "pitr/restore/backup_reader.h"
#include "pitr/restore/dump_coordinate.h"

namespace tidemark {
namespace {

constexpr size_t kReadBytes = 1 << 20;
constexpr size_t kTailBytes = 4096;
constexpr char kHowToDump[] =
    "take it with: mysqldump --all-databases --routines --events --triggers --single-transaction "
    "--set-gtid-purged=ON --source-data=2";

Status Bad(const std::string& path, const std::string& what, const std::string& hint = kHowToDump) {
  return Status(Code::kBadBackup, path + " " + what, hint);
}

// The last line that is not blank.
std::string_view LastLine(std::string_view text) {
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string_view::npos) return {};
  text = text.substr(0, end + 1);
  return text.substr(text.rfind('\n') + 1);
}

struct Scan {
  DumpCoordinate coordinate;
  std::string first_bytes;
  std::string tail;
  uint64_t text_bytes = 0;
};

void KeepTail(std::string_view text, std::string* tail) {
  tail->append(text.substr(text.size() - std::min(text.size(), kTailBytes)));
  if (tail->size() > kTailBytes) tail->erase(0, tail->size() - kTailBytes);
}

// What cannot be a dump is told from its first bytes, before a whole disk image is read.
bool LooksLikeText(std::string_view first) { return first.find('\0') == std::string_view::npos; }

Status ReadText(FileSystem& files, const std::string& path, BackupReader& reader, Scan* scan) {
  DumpLexer lexer([scan](const DumpItem& item) { return scan->coordinate.Take(item); });
  std::vector<uint8_t> buffer(kReadBytes);
  bool wanted = true;
  while (true) {
    TM_ASSIGN_OR_RETURN(const size_t got, reader.Read(buffer));
    if (got == 0) break;
    const std::string_view text = AsText(Bytes(buffer).first(got));
    if (scan->text_bytes == 0) {
      scan->first_bytes = text.substr(0, kTailBytes);
      if (!LooksLikeText(scan->first_bytes)) return OkStatus();
    }
    scan->text_bytes += got;
    KeepTail(text, &scan->tail);
    wanted = wanted && lexer.Feed(text);
    TM_RETURN_IF_ERROR(Status(scan->coordinate.status()));
    if (!wanted && !reader.compressed()) break;  // only the end is of interest now
  }
  if (wanted) {
    lexer.Finish();
    scan->coordinate.Finish();
    return scan->coordinate.status();
  }
  if (reader.compressed()) return OkStatus();
  TM_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kRead));
  buffer.resize(std::min<uint64_t>(kTailBytes, reader.stored_size()));
  TM_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(reader.stored_size() - buffer.size(), buffer));
  scan->tail = AsText(Bytes(buffer).first(got));
  return OkStatus();
}

Status CheckIsWholeDump(const std::string& path, const Scan& scan) {
  if (scan.text_bytes == 0 && scan.first_bytes.empty()) return Bad(path, "is empty");
  const DumpCoordinate& found = scan.coordinate;
  if (scan.first_bytes.starts_with("<?xml"))
    return Bad(path, "is a dump in XML, which cannot be loaded",
               std::string("leave out --xml; ") + kHowToDump);
  if (found.is_mariadb()) return Bad(path, "is a dump of MariaDB, whose GTIDs are of another kind");
  if (!LooksLikeText(scan.first_bytes) ||
      (!found.is_mysqldump() && !found.gtid_set() && !found.position()))
    return Bad(path, "is not a dump written by mysqldump");
  const std::string_view last = LastLine(scan.tail);
  if (last.starts_with("-- Dump completed")) return OkStatus();
  if (!found.is_mysqldump())
    return Bad(path,
               "has no comments, so that nothing tells whether it is whole (its last line should "
               "be \"-- Dump completed\")",
               std::string("leave out --skip-comments and --compact; ") + kHowToDump);
  return Bad(path, "is cut short: its last line is not \"-- Dump completed\"",
             "the dump did not finish or was not copied whole; take another one");
}

Status CheckHasCoordinate(const std::string& path, const DumpCoordinate& found) {
  if (found.gtid_set()) return OkStatus();
  if (found.position() && !found.position_of_upstream()) return OkStatus();
  if (found.position())
    return Bad(path,
               "has the position of its source's source only (--dump-replica), and no GTID set of "
               "its own");
  return Bad(path,
             "does not tell at which GTID set it was taken: it has no SET @@GLOBAL.GTID_PURGED");
}

}  // namespace

Result<BaseBackup> ReadMysqldump(FileSystem& files, const std::string& path) {
  TM_ASSIGN_OR_RETURN(auto reader, OpenBackup(files, path));
  Scan scan;
  if (Status status = ReadText(files, path, *reader, &scan); !status.ok()) {
    if (status.code() != Code::kBadBackup || !status.hint().empty()) return status;
    return std::move(status).WithContext(path).WithHint(kHowToDump);
  }
  const DumpCoordinate& found = scan.coordinate;
  TM_RETURN_IF_ERROR(CheckIsWholeDump(path, scan));
  TM_RETURN_IF_ERROR(CheckHasCoordinate(path, found));

  BaseBackup backup;
  backup.path = path;
  backup.bytes = reader->stored_size();
  backup.compressed = reader->compressed();
  backup.text_bytes = backup.compressed ? scan.text_bytes : backup.bytes;
  backup.server_version = found.server_version();
  backup.has_gtid_set = found.gtid_set().has_value();
  backup.sets_gtid_purged = found.gtid_set_active();
  if (backup.has_gtid_set) backup.gtid_set = *found.gtid_set();
  if (found.position() && !found.position_of_upstream()) {
    backup.source_file = found.position()->file;
    backup.source_position = found.position()->position;
  }
  backup.configures_replication = found.position_active();
  if (backup.has_gtid_set && backup.gtid_set.empty())
    backup.warnings.push_back(
        "the dump says that its server had executed nothing (GTID_PURGED is ''): everything will "
        "be "
        "applied from the archive's first transaction on");
  if (backup.has_gtid_set && !backup.sets_gtid_purged)
    backup.warnings.push_back(
        "the dump's GTID_PURGED is commented out; it is taken as the dump's coordinate");
  return backup;
}

}  // namespace tidemark
