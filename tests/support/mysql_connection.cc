#include "tests/support/mysql_connection.h"

#include <mysql.h>

namespace tidemark::testing {
namespace {

Status LastError(MYSQL* mysql) {
  return Status(Code::kIo,
                "MySQL error " + std::to_string(mysql_errno(mysql)) + ": " + mysql_error(mysql));
}

Connection::Rows FetchAll(MYSQL_RES* result) {
  Connection::Rows rows;
  const unsigned columns = mysql_num_fields(result);
  while (MYSQL_ROW row = mysql_fetch_row(result)) {
    const unsigned long* lengths = mysql_fetch_lengths(result);
    std::vector<std::string>& values = rows.emplace_back();
    for (unsigned i = 0; i < columns; ++i) {
      values.push_back(row[i] != nullptr ? std::string(row[i], lengths[i]) : "NULL");
    }
  }
  return rows;
}

}  // namespace

Result<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options) {
  static const int kInitialized = mysql_library_init(0, nullptr, nullptr);  // not safe in threads
  TM_CHECK(kInitialized == 0);
  MYSQL* mysql = mysql_init(nullptr);
  TM_CHECK(mysql != nullptr);
  std::unique_ptr<Connection> connection(new Connection(mysql));
  const bool tcp = options.socket.empty();  // the client takes a socket only without a host
  const unsigned protocol = tcp ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
  const bool get_public_key = true;
  mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
  mysql_options(mysql, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &get_public_key);
  mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  if (mysql_real_connect(
          mysql, tcp ? options.host.c_str() : nullptr, options.user.c_str(),
          options.password.c_str(), options.database.empty() ? nullptr : options.database.c_str(),
          static_cast<unsigned>(options.port), tcp ? nullptr : options.socket.c_str(),
          CLIENT_MULTI_STATEMENTS) == nullptr) {
    return LastError(mysql);
  }
  return connection;
}

Connection::~Connection() { mysql_close(mysql_); }

Result<Connection::Rows> Connection::Query(const std::string& sql) {
  if (mysql_real_query(mysql_, sql.data(), sql.size()) != 0) return LastError(mysql_);
  Rows rows;
  int next = 0;
  do {
    if (MYSQL_RES* result = mysql_store_result(mysql_)) {
      rows = FetchAll(result);
      mysql_free_result(result);
    } else if (mysql_field_count(mysql_) != 0) {
      return LastError(mysql_);
    }
    next = mysql_next_result(mysql_);
  } while (next == 0);
  if (next > 0) return LastError(mysql_);
  return rows;
}

Status Connection::Execute(const std::string& sql) {
  Result<Rows> rows = Query(sql);
  return rows.ok() ? OkStatus() : rows.error();
}

Result<std::string> Connection::QueryValue(const std::string& sql) {
  TM_ASSIGN_OR_RETURN(const Rows rows, Query(sql));
  if (rows.size() != 1 || rows[0].size() != 1) {
    return Status(Code::kUsage, "not one row of one column: " + sql);
  }
  return rows[0][0];
}

unsigned Connection::last_error() const { return mysql_errno(mysql_); }

}  // namespace tidemark::testing
