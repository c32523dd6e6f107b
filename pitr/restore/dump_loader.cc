#include "pitr/restore/dump_loader.h"

#include "pitr/restore/backup_reader.h"

namespace tidemark {
namespace {

constexpr size_t kReadBytes = 256 << 10;

}  // namespace

Status LoadDump(FileSystem& files, const BaseBackup& backup, const ClientAccess& access,
                const std::string& mysql,
                const std::function<bool(uint64_t, uint64_t)>& on_progress) {
  TM_ASSIGN_OR_RETURN(auto reader, OpenBackup(files, backup.path));
  ProcessOptions options =
      access.MysqlClient(mysql, {"--init-command=SET @@SESSION.SQL_LOG_BIN=0"});
  options.feed_input = true;
  TM_ASSIGN_OR_RETURN(auto client, ChildProcess::Start(std::move(options)));
  const auto go_on = [&] { return on_progress(reader->stored_offset(), reader->stored_size()); };
  std::vector<uint8_t> buffer(kReadBytes);
  while (true) {
    TM_ASSIGN_OR_RETURN(const size_t got, reader->Read(buffer));
    if (got == 0) break;
    const Status written = client->WriteInput(Bytes(buffer).first(got), go_on);
    if (written.code() == Code::kEndOfData) break;  // its exit code tells why
    TM_RETURN_IF_ERROR(Status(written));
    if (!go_on()) return Status(Code::kInterrupted, "interrupted while loading " + backup.path);
  }
  client->CloseInput();
  TM_ASSIGN_OR_RETURN(const int code, WaitForExit(*client, go_on));
  if (code == 0) return OkStatus();
  return Status(Code::kTargetRefused,
                "loading " + backup.path + " failed; mysql said: " + client->Errors(),
                "if the dump is of another version or configuration (lower_case_table_names, "
                "plugins, SQL modes), give "
                "the new server the same, with --mysqld-option");
}

}  // namespace tidemark
