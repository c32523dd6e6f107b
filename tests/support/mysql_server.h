// A real mysqld for one test: its own data directory, port and socket in a temporary directory;
// GTID mode and binary log on. Killed and removed by the destructor (the directory stays if
// TIDEMARK_KEEP is set), and by the kernel if the thread that started it ends first: start servers
// from the test's main thread.
//
// The first use initializes a data directory and keeps it as a template in
// CACHE/test-datadir-VERSION; every server starts from a copy, with a server UUID of its own. root
// has no password, over the socket and from 127.0.0.1.
//
// One thread at a time; other threads open connections of their own with Connect().
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replication/base/status.h"
#include "tests/support/mysql_connection.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark::testing {

struct MySqlServerOptions {
  std::vector<std::string> extra_args;  // behind ours, so they win
  std::optional<uint32_t> server_id;    // default: 1001, 1002, … in this process
  int start_timeout_ms = 60'000;
};

class MySqlServer {
 public:
  using Rows = Connection::Rows;

  static Result<std::unique_ptr<MySqlServer>> Start(const MySqlServerOptions& options = {});

  int port() const { return port_; }
  std::string socket() const { return directory_.Path("mysql.sock"); }
  const std::string& directory() const { return directory_.path(); }
  std::string data_directory() const { return directory_.Path("data"); }
  std::string error_log() const { return directory_.Path("error.log"); }
  std::string ErrorLogTail() const;  // for failure messages
  uint32_t server_id() const { return server_id_; }
  pid_t pid() const;  // 0 if it does not run

  void Kill9();                              // as a power cut, from the server's point of view
  Status Shutdown(int timeout_ms = 60'000);  // SIGTERM, and waits for the end; an error if it did
                                             // not exit with 0
  // Starts it again on the same data and port; shuts it down before if it runs. `extra_args`
  // replace the former ones.
  Status Restart();
  Status Restart(std::vector<std::string> extra_args);

  // On one connection that is opened at first use and dropped when the server ends: session state
  // persists.
  Result<Rows> Query(const std::string& sql);
  Result<std::string> QueryValue(const std::string& sql);
  Status Execute(const std::string& sql);
  // A new connection, over the socket; thread-safe.
  Result<std::unique_ptr<Connection>> Connect(const std::string& database = {},
                                              const std::string& user = "root",
                                              const std::string& password = {}) const;

 private:
  MySqlServer() : directory_("tidemark-mysql") {}
  Status Launch();
  Result<Connection*> Session();
  std::vector<std::string> Arguments() const;

  TempDir directory_;  // destroyed last: the server is dead before its files go
  MySqlServerOptions options_;
  uint32_t server_id_ = 0;
  int port_ = 0;
  std::unique_ptr<BackgroundProgram> process_;
  std::unique_ptr<Connection> session_;
};

}  // namespace tidemark::testing
