#include "replication/source/connection.h"

#include <mysql.h>
#include <strings.h>

#include <algorithm>
#include <chrono>
#include <mutex>

#include "replication/event/binlog_format.h"
#include "replication/source/login_deadline.h"

namespace tidemark {
namespace {

// One event, the protocol's leading OK byte and semi-sync's two bytes. A limit, not an allocation.
constexpr unsigned long kPacketBytesMax = kEventBytesMax + 16;

mysql_ssl_mode NativeTlsMode(TlsMode mode) {
  switch (mode) {
    case TlsMode::kDisabled: return SSL_MODE_DISABLED;
    case TlsMode::kPreferred: return SSL_MODE_PREFERRED;
    case TlsMode::kRequired: return SSL_MODE_REQUIRED;
    case TlsMode::kVerifyCa: return SSL_MODE_VERIFY_CA;
    case TlsMode::kVerifyIdentity: return SSL_MODE_VERIFY_IDENTITY;
  }
  return SSL_MODE_VERIFY_IDENTITY;
}

// libmysqlclient's option calls fail only for an unknown option number or exhausted memory, hence
// no Status here; an unusable TLS version list is the exception, and is refused when the connection
// is made.
void SetText(MYSQL* handle, mysql_option option, const std::string& value) {
  if (!value.empty()) mysql_options(handle, option, value.c_str());
}

void SetTls(MYSQL* handle, const TlsOptions& tls) {
  mysql_ssl_mode mode = NativeTlsMode(tls.mode);
  mysql_options(handle, MYSQL_OPT_SSL_MODE, &mode);
  SetText(handle, MYSQL_OPT_SSL_CA, tls.ca_file);
  SetText(handle, MYSQL_OPT_SSL_CERT, tls.certificate_file);
  SetText(handle, MYSQL_OPT_SSL_KEY, tls.key_file);
  SetText(handle, MYSQL_OPT_TLS_VERSION, tls.versions);
}

void SetOptions(MYSQL* handle, const ConnectionOptions& options) {
  unsigned protocol = options.socket.empty() ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET;
  mysql_options(handle, MYSQL_OPT_PROTOCOL, &protocol);
  // To begin with; a server that wants another plugin for our account says so. Without it, a
  // greeting that names none (an ancient server's, or one that was damaged on its way) makes
  // libmysqlclient compare with a null pointer (sql-common/client.cc, authsm_begin_plugin_auth).
  mysql_options(handle, MYSQL_DEFAULT_AUTH, "caching_sha2_password");
  mysql_options(handle, MYSQL_OPT_CONNECT_TIMEOUT, &options.connect_timeout_s);
  mysql_options(handle, MYSQL_OPT_READ_TIMEOUT, &options.read_timeout_s);
  mysql_options(handle, MYSQL_OPT_WRITE_TIMEOUT, &options.read_timeout_s);
  mysql_options(handle, MYSQL_OPT_MAX_ALLOWED_PACKET, &kPacketBytesMax);
  mysql_options(handle, MYSQL_SET_CHARSET_NAME, "utf8mb4");
  unsigned no_local_infile = 0;  // a hostile server could ask for our files with it
  mysql_options(handle, MYSQL_OPT_LOCAL_INFILE, &no_local_infile);
  bool fetch_key = MayFetchServerPublicKey(options);
  mysql_options(handle, MYSQL_OPT_GET_SERVER_PUBLIC_KEY, &fetch_key);
  mysql_options4(handle, MYSQL_OPT_CONNECT_ATTR_ADD, "program_name", "tidemark");
  SetTls(handle, options.tls);
}

QueryResult::Row CopyRow(MYSQL_ROW values, const unsigned long* lengths, unsigned count) {
  QueryResult::Row row(count);
  for (unsigned i = 0; i < count; ++i) {
    if (values[i] != nullptr) row[i] = std::string(values[i], lengths[i]);
  }
  return row;
}

struct FreeResult {
  void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
};

}  // namespace

std::optional<size_t> QueryResult::Column(std::string_view name) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].size() == name.size() &&
        strncasecmp(columns[i].data(), name.data(), name.size()) == 0) {
      return i;
    }
  }
  return std::nullopt;
}

std::string QueryResult::Text(const Row& row, std::string_view column) const {
  std::optional<size_t> index = Column(column);
  return index ? row[*index].value_or("") : "";
}

Connection::Connection(MYSQL* handle, ConnectionOptions options)
    : handle_(handle), options_(std::move(options)) {}

Connection::~Connection() { mysql_close(handle_); }

Result<std::unique_ptr<Connection>> Connection::Open(const ConnectionOptions& options) {
  TM_RETURN_IF_ERROR(ValidateOptions(options));
  static std::once_flag once;
  std::call_once(once, [] { TM_CHECK(mysql_library_init(0, nullptr, nullptr) == 0); });
  MYSQL* handle = mysql_init(nullptr);
  TM_CHECK(handle != nullptr);
  std::unique_ptr<Connection> connection(new Connection(handle, options));
  TM_RETURN_IF_ERROR(connection->LogIn());
  return connection;
}

Status Connection::LogIn() {
  TM_ASSIGN_OR_RETURN(std::string password, ReadPassword(options_.password));
  SetOptions(handle_, options_);
  const char* host = options_.socket.empty() ? options_.host.c_str() : nullptr;
  const char* socket = options_.socket.empty() ? nullptr : options_.socket.c_str();
  const std::chrono::seconds limit(options_.connect_timeout_s + options_.read_timeout_s);
  MYSQL* connected = nullptr;
  bool in_time = true;
  {
    LoginDeadline deadline(handle_, limit);
    connected = mysql_real_connect(handle_, host, options_.user.c_str(), password.c_str(), nullptr,
                                   options_.port, socket, 0);
    in_time = !deadline.passed();
  }
  std::fill(password.begin(), password.end(), '\0');
  if (!in_time)
    return {Code::kSourceUnavailable, "source " + options_.Endpoint() +
                                          " did not finish the login within " +
                                          std::to_string(limit.count()) + " s"};
  if (connected == nullptr) return LastError(SourcePhase::kLogin);
  version_ = mysql_get_server_info(handle_);
  version_number_ = static_cast<uint32_t>(mysql_get_server_version(handle_));
  return OkStatus();
}

Result<QueryResult> Connection::Query(const std::string& sql) {
  if (mysql_real_query(handle_, sql.data(), sql.size()) != 0) return LastError(SourcePhase::kQuery);
  std::unique_ptr<MYSQL_RES, FreeResult> answer(mysql_use_result(handle_));
  QueryResult result;
  if (answer == nullptr) {
    if (mysql_field_count(handle_) == 0) return result;
    return LastError(SourcePhase::kQuery);
  }
  unsigned count = mysql_num_fields(answer.get());
  const MYSQL_FIELD* fields = mysql_fetch_fields(answer.get());
  for (unsigned i = 0; i < count; ++i) result.columns.emplace_back(fields[i].name);
  while (MYSQL_ROW row = mysql_fetch_row(answer.get())) {
    if (result.rows.size() == kQueryRowsMax) {
      return Status(Code::kSourceRefused, "source " + options_.Endpoint() + " answered with over " +
                                              std::to_string(kQueryRowsMax) + " rows to: " + sql);
    }
    result.rows.push_back(CopyRow(row, mysql_fetch_lengths(answer.get()), count));
  }
  if (mysql_errno(handle_) != 0 || *mysql_error(handle_) != '\0')
    return LastError(SourcePhase::kQuery);
  return result;
}

std::string Connection::Quoted(std::string_view text) {
  std::string quoted(2 * text.size() + 3,
                     '\0');  // worst case of escaping, two quotes, the library's final NUL
  quoted[0] = '\'';
  unsigned long size =
      mysql_real_escape_string_quote(handle_, quoted.data() + 1, text.data(), text.size(), '\'');
  quoted[size + 1] = '\'';
  quoted.resize(size + 2);
  return quoted;
}

bool Connection::IsMariaDb() const { return version_.find("MariaDB") != std::string::npos; }

std::string Connection::TlsCipher() const {
  const char* cipher = mysql_get_ssl_cipher(handle_);
  return cipher == nullptr ? "" : cipher;
}

Status Connection::LastError(SourcePhase phase, std::string identity) const {
  unsigned number = mysql_errno(handle_);
  if (number == 0)  // as the packet says: damaged on its way, or from nobody's server
    return {Code::kSourceUnavailable,
            "source " + options_.Endpoint() + " gave an error without a number"};
  return StatusFromMysqlError(number, mysql_error(handle_),
                              {options_.Endpoint(), options_.user, phase, std::move(identity)});
}

}  // namespace tidemark
