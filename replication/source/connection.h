// One client connection to a source, owned: logged in by Open, closed by the destructor.
//
// The wrapper at which libmysqlclient's errors become Status (mysql_error.h). A Connection belongs
// to one thread at a time; different threads may use different Connections. After
// kSourceUnavailable the link is gone: open a new one. Opening the first one makes the process
// ignore SIGPIPE (libmysqlclient does so; a TLS write needs it).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "replication/base/status.h"
#include "replication/source/connection_options.h"
#include "replication/source/mysql_error.h"

struct MYSQL;  // <mysql.h> stays inside this folder's .cc files

namespace tidemark {

inline constexpr size_t kQueryRowsMax =
    1'000'000;  // SHOW BINARY LOGS is the longest answer we ask for

struct QueryResult {
  using Row = std::vector<std::optional<std::string>>;  // SQL NULL is nullopt

  std::vector<std::string> columns;
  std::vector<Row> rows;

  // Case-insensitive, as column names are.
  std::optional<size_t> Column(std::string_view name) const;
  // Empty for SQL NULL and for a column that is not there.
  std::string Text(const Row& row, std::string_view column) const;
};

class Connection {
 public:
  // Validates the options, reads the password, connects and logs in. Once connected, which takes at
  // most connect_timeout_s for each address that the name has, the login has connect_timeout_s +
  // read_timeout_s.
  static Result<std::unique_ptr<Connection>> Open(const ConnectionOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One statement; a statement without a result set gives an empty result.
  Result<QueryResult> Query(const std::string& sql);
  // A string literal, quotes included, for this connection's character set and SQL mode.
  std::string Quoted(std::string_view text);

  const std::string& ServerVersion() const {
    return version_;
  }  // as the server says it: "9.7.4", "8.0.36-log"
  uint32_t VersionNumber() const { return version_number_; }  // 90704; meaningless for MariaDB
  bool IsMariaDb() const;
  std::string TlsCipher() const;  // empty: the connection is not encrypted
  const ConnectionOptions& options() const { return options_; }

  // For MySqlEventSource, which speaks commands that have no SQL. What libmysqlclient last
  // complained about; only to be called after one of its calls failed.
  MYSQL* handle() { return handle_; }
  Status LastError(SourcePhase phase, std::string identity = {}) const;

 private:
  Connection(MYSQL* handle, ConnectionOptions options);
  Status LogIn();

  MYSQL* handle_;
  ConnectionOptions options_;
  std::string version_;
  uint32_t version_number_ = 0;
};

}  // namespace tidemark
