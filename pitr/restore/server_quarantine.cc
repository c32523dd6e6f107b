// How a data directory is kept from being started by anybody but us while a restore is not
// finished.
//
// mysqld reads DATADIR/mysqld-auto.cnf before anything else and refuses to start if it is not valid
// JSON, naming the file (persisted_variable.cc: read_persist_file). Neither --no-defaults nor
// --persisted-globals-load=OFF gets past that (tried with 9.7.4), so that we, too, have to move it
// away while we start a server. A file there that is not ours is the server's (SET PERSIST): it is
// kept beside the data directory, back in place while our servers start, and handed over.
// DIR/my.cnf holds an option that no server knows, behind our data directory, so that no other one
// is touched.
#include <filesystem>

#include "pitr/restore/server_instance.h"

namespace tidemark {
namespace {

constexpr uint64_t kOptionFileBytesMax = 16 << 20;
constexpr std::string_view kFirstLine = "# tidemark: a restore is not finished\n";
constexpr char kKeptPersisted[] = "mysqld-auto.cnf.kept";
constexpr char kKeptOptionFile[] = "my.cnf.kept";

std::string Explained(const std::string& directory) {
  return std::string(kFirstLine) +
         "# What is in this data directory is not yet what was asked for: do not use it.\n"
         "# Run the same `pitr restore` again to finish it, or remove " +
         directory + " and begin again.\n";
}

Result<bool> IsOurs(FileSystem& files, const std::string& path) {
  TM_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(files, path, kOptionFileBytesMax));
  return text.starts_with(kFirstLine);
}

Status KeepIfNotOurs(FileSystem& files, const std::string& path, const std::string& kept) {
  if (!files.Exists(path)) return OkStatus();
  TM_ASSIGN_OR_RETURN(const bool ours, IsOurs(files, path));
  return ours ? OkStatus() : files.Rename(path, kept);
}

}  // namespace

// One that says what we would say is not worth keeping.
Status ServerInstance::QuarantineOptionFile() {
  const Result<std::string> text = ReadSmallFile(files_, path(kOptionFile), kOptionFileBytesMax);
  if (!text.ok() || *text != OptionFileText())
    TM_RETURN_IF_ERROR(KeepIfNotOurs(files_, path(kOptionFile), path(kKeptOptionFile)));
  return WriteSmallFileDurably(files_, path(kOptionFile),
                               Explained(options_.directory) + "[mysqld]\ndatadir=" +
                                   data_directory() + "\ntidemark-restore-is-not-finished\n");
}

std::string ServerInstance::KeptOptionFile() const {
  return files_.Exists(path(kKeptOptionFile)) ? path(kKeptOptionFile) : "";
}

Status ServerInstance::Quarantine() {
  TM_RETURN_IF_ERROR(QuarantineOptionFile());
  in_quarantine_ = true;
  if (!files_.Exists(JoinPath(data_directory(), "mysql.ibd")))
    return OkStatus();  // no server's yet
  const std::string persisted = JoinPath(data_directory(), "mysqld-auto.cnf");
  // mysqld would prefer a SET PERSIST that was cut short by a crash to what is here.
  if (files_.Exists(persisted + ".backup"))
    TM_RETURN_IF_ERROR(files_.Remove(persisted + ".backup"));
  TM_RETURN_IF_ERROR(KeepIfNotOurs(files_, persisted, path(kKeptPersisted)));
  return WriteSmallFileDurably(files_, persisted, Explained(options_.directory));
}

Status ServerInstance::LiftQuarantine() {
  const std::string persisted = JoinPath(data_directory(), "mysqld-auto.cnf");
  if (files_.Exists(path(kKeptPersisted))) {
    TM_RETURN_IF_ERROR(files_.Rename(path(kKeptPersisted), persisted));
  } else if (files_.Exists(persisted)) {
    TM_ASSIGN_OR_RETURN(const bool ours, IsOurs(files_, persisted));
    if (ours) TM_RETURN_IF_ERROR(files_.Remove(persisted));
  }
  return files_.SyncDirectory(data_directory());
}

}  // namespace tidemark
