// How the stock client programs log in to the restore target: an option file (mode 0600) in a
// directory that only we can enter, so that no secret is on a command line. The directory also
// takes the programs' temporary files. It is removed with everything in it when the object goes; a
// killed `pitr` leaves it behind.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pitr/restore/process.h"
#include "replication/base/file_system.h"
#include "replication/source/connection.h"

namespace tidemark {

class PrivateDirectory {
 public:
  static Result<std::unique_ptr<PrivateDirectory>> Make(
      const std::string& parent);  // exists already
  ~PrivateDirectory();
  PrivateDirectory(const PrivateDirectory&) = delete;
  PrivateDirectory& operator=(const PrivateDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  explicit PrivateDirectory(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

std::string TemporaryDirectory();                // $TMPDIR, else /tmp
std::string RandomSecret();                      // 48 characters that satisfy any password policy
uint32_t RandomServerId(uint32_t not_this = 0);  // not 0 either

class ClientAccess {
 public:
  static Result<std::unique_ptr<ClientAccess>> Make(FileSystem& files,
                                                    const std::string& parent_directory);

  // Writes a new file with one secret; for ConnectionOptions::password.
  Result<std::string> KeepSecret(const std::string& name, const std::string& secret);
  // Who the programs log in as from now on; reads the password.
  Status LogInAs(const ConnectionOptions& connection);
  const ConnectionOptions& connection() const { return connection_; }
  // kTargetRefused. `read_timeout_s`: 0 is that of the login.
  Result<std::unique_ptr<Connection>> Connect(uint32_t read_timeout_s = 0) const;

  // `mysql`, reading statements from its input as they are, with `extra` options. Its temporary
  // files, and those that mysqlbinlog leaves for it, are in files_directory().
  ProcessOptions MysqlClient(const std::string& program,
                             const std::vector<std::string>& extra) const;
  std::string files_directory() const { return directory_->path() + "/files"; }
  std::vector<std::pair<std::string, std::string>> Environment() const;

 private:
  ClientAccess(FileSystem& files, std::unique_ptr<PrivateDirectory> directory)
      : files_(files), directory_(std::move(directory)) {}
  std::string option_file() const { return directory_->path() + "/client.cnf"; }

  FileSystem& files_;
  std::unique_ptr<PrivateDirectory> directory_;
  ConnectionOptions connection_;
};

// A value for an option file, in quotes: my_default.cc takes quotes and backslashes out again.
std::string QuotedOption(std::string_view value);

// The same error as one of the restore target.
Status TargetError(const Status& error);

}  // namespace tidemark
