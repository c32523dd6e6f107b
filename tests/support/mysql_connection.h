// One client connection to a server under test. One thread at a time; many connections may be used
// side by side.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "replication/base/status.h"

struct MYSQL;

namespace tidemark::testing {

struct ConnectionOptions {
  std::string socket;  // if empty, TCP to host and port
  std::string host = "127.0.0.1";
  int port = 0;
  std::string user = "root";
  std::string password;
  std::string database;
};

class Connection {
 public:
  using Rows = std::vector<std::vector<std::string>>;

  static Result<std::unique_ptr<Connection>> Open(const ConnectionOptions& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One or more statements separated by ';'. Rows of the last statement that returned a result set;
  // NULL is "NULL". Stops at the first error: "MySQL error NUMBER: TEXT"; last_error() has the
  // number.
  Result<Rows> Query(const std::string& sql);
  Status Execute(const std::string& sql);
  // The only column of the only row; an error if the result has another shape.
  Result<std::string> QueryValue(const std::string& sql);
  unsigned last_error() const;
  MYSQL* mysql() { return mysql_; }

 private:
  explicit Connection(MYSQL* mysql) : mysql_(mysql) {}

  MYSQL* mysql_;
};

}  // namespace tidemark::testing
