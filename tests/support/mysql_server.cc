#include "tests/support/mysql_server.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <random>

#include "tests/support/mysql_paths.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLogTailBytesMax = 3000;
constexpr int kInitializeTimeoutMs = 300'000;

std::string Tail(const std::string& text) {
  return text.size() > kLogTailBytesMax ? "…" + text.substr(text.size() - kLogTailBytesMax) : text;
}

std::vector<std::string> BaseCommand() {
  std::vector<std::string> command = {MySqlProgram("mysqld"), "--no-defaults"};
  if (::geteuid() == 0) command.push_back("--user=root");
  return command;
}

// "…/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))" -> "9.7.4-2"
Result<std::string> ServerVersion() {
  TM_ASSIGN_OR_RETURN(const ProgramResult result,
                      RunProgram({MySqlProgram("mysqld"), "--no-defaults", "--version"}));
  const size_t at = result.out.find("Ver ");
  if (result.exit_code != 0 || at == std::string::npos) {
    return Status(Code::kNotFound, "no usable mysqld: " + result.out + result.err,
                  "run tools/bootstrap, or set TIDEMARK_MYSQL_BIN");
  }
  const std::string version = result.out.substr(at + 4);
  return version.substr(0, version.find(' '));
}

Status InitializeTemplate(const std::string& path) {
  const std::string unfinished = path + ".unfinished";  // ours alone: we hold the lock
  std::error_code error;
  fs::remove_all(unfinished, error);
  std::vector<std::string> command = BaseCommand();
  // The redo log is part of what each server copies: keep it small.
  command.insert(command.end(), {"--initialize-insecure", "--innodb-redo-log-capacity=8M",
                                 "--datadir=" + unfinished});
  ProgramOptions options;
  options.timeout_ms = kInitializeTimeoutMs;
  TM_ASSIGN_OR_RETURN(const ProgramResult result, RunProgram(command, options));
  if (result.exit_code != 0) {
    return Status(Code::kIo, "mysqld --initialize-insecure failed: " + Tail(result.err));
  }
  fs::remove(unfinished + "/auto.cnf", error);  // so that each copy makes a server UUID of its own
  if (!error) fs::rename(unfinished, path, error);
  return error ? Status(Code::kIo, "cannot finish " + path + ": " + error.message()) : OkStatus();
}

// The template's path; makes it if it is not there. Processes that come at the same time wait for
// the first.
Result<std::string> Template() {
  TM_ASSIGN_OR_RETURN(const std::string version, ServerVersion());
  const std::string path = CacheDirectory() + "/test-datadir-" + version;
  std::error_code error;
  fs::create_directories(CacheDirectory(), error);
  const std::string lock_path = path + ".lock";
  const int lock = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0 || ::flock(lock, LOCK_EX) != 0) {
    return Status(Code::kIo, "cannot lock " + lock_path + ": " + std::strerror(errno));
  }
  const Status status = fs::exists(path) ? OkStatus() : InitializeTemplate(path);
  ::close(lock);
  if (!status.ok()) return status;
  return path;
}

// Below the range from which the kernel takes ports for outgoing connections, so that none of those
// takes it while a server is down between two starts.
int FreePort() {
  static std::minstd_rand random{std::random_device{}()};
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const int port = std::uniform_int_distribution<int>(20'000, 32'000)(random);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool free =
        ::bind(descriptor, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(descriptor);
    if (free) return port;
  }
  TM_CHECK(!"a free port");
  return 0;
}

}  // namespace

Result<std::unique_ptr<MySqlServer>> MySqlServer::Start(const MySqlServerOptions& options) {
  static std::atomic<uint32_t> next_server_id{1001};
  TM_ASSIGN_OR_RETURN(const std::string pristine, Template());
  std::unique_ptr<MySqlServer> server(new MySqlServer());
  server->options_ = options;
  server->server_id_ = options.server_id ? *options.server_id : next_server_id++;
  std::error_code error;
  fs::copy(pristine, server->data_directory(), fs::copy_options::recursive, error);
  if (error) return Status(Code::kIo, "cannot copy " + pristine + ": " + error.message());
  Status status;
  for (int attempt = 0; attempt < 3; ++attempt) {
    server->port_ = FreePort();
    status = server->Launch();
    if (status.ok()) return server;
    // Somebody else may have taken the port between our look and the server's.
    if (server->ErrorLogTail().find("Do you already have another mysqld server running on port") ==
        std::string::npos) {
      break;
    }
  }
  return status;
}

std::vector<std::string> MySqlServer::Arguments() const {
  std::vector<std::string> arguments = BaseCommand();
  arguments.insert(
      arguments.end(),
      {"--datadir=" + data_directory(), "--socket=" + socket(), "--port=" + std::to_string(port_),
       "--bind-address=127.0.0.1", "--pid-file=" + directory_.Path("mysqld.pid"),
       "--log-error=" + error_log(), "--tmpdir=" + directory_.path(),
       "--server-id=" + std::to_string(server_id_), "--log-bin=binlog", "--gtid-mode=ON",
       "--enforce-gtid-consistency=ON", "--innodb-buffer-pool-size=64M",
       "--innodb-redo-log-capacity=64M", "--performance-schema=OFF"});
  arguments.insert(arguments.end(), options_.extra_args.begin(), options_.extra_args.end());
  return arguments;
}

Status MySqlServer::Launch() {
  std::error_code ignored;
  fs::remove(socket(), ignored);  // left behind by Kill9: connecting to it would fail anyway
  TM_ASSIGN_OR_RETURN(process_, BackgroundProgram::Start(Arguments(), directory_.Path("output")));
  Status last;
  const bool up = process_->WaitUntil(
      [&] {
        Result<std::unique_ptr<Connection>> connection = Connect();
        if (connection.ok()) return true;
        last = connection.error();
        return false;
      },
      options_.start_timeout_ms);
  if (up) return OkStatus();
  const std::string how = process_->Running()
                              ? "does not accept connections (" + last.message() + ")"
                              : "ended while starting";
  process_.reset();
  return Status(Code::kIo, "mysqld " + how + "; the end of its error log:\n" + ErrorLogTail());
}

std::string MySqlServer::ErrorLogTail() const {
  return Tail(ReadWholeFile(directory_.Path("output")) + ReadWholeFile(error_log()));
}

pid_t MySqlServer::pid() const { return process_ ? process_->pid() : 0; }

void MySqlServer::Kill9() {
  process_.reset();
  session_.reset();
}

Status MySqlServer::Shutdown(int timeout_ms) {
  session_.reset();
  if (!process_) return OkStatus();
  process_->Kill(SIGTERM);
  const Result<int> exit_code = process_->Wait(timeout_ms);
  process_.reset();
  if (!exit_code.ok()) return exit_code.error();
  if (*exit_code == 0) return OkStatus();
  return Status(Code::kIo, "mysqld ended with exit code " + std::to_string(*exit_code) +
                               "; the end of its error log:\n" + ErrorLogTail());
}

Status MySqlServer::Restart() {
  TM_RETURN_IF_ERROR(Shutdown());
  return Launch();
}

Status MySqlServer::Restart(std::vector<std::string> extra_args) {
  options_.extra_args = std::move(extra_args);
  return Restart();
}

Result<Connection*> MySqlServer::Session() {
  if (!session_) {
    TM_ASSIGN_OR_RETURN(session_, Connect());
  }
  return session_.get();
}

Result<MySqlServer::Rows> MySqlServer::Query(const std::string& sql) {
  TM_ASSIGN_OR_RETURN(Connection* const session, Session());
  return session->Query(sql);
}

Result<std::string> MySqlServer::QueryValue(const std::string& sql) {
  TM_ASSIGN_OR_RETURN(Connection* const session, Session());
  return session->QueryValue(sql);
}

Status MySqlServer::Execute(const std::string& sql) {
  TM_ASSIGN_OR_RETURN(Connection* const session, Session());
  return session->Execute(sql);
}

Result<std::unique_ptr<Connection>> MySqlServer::Connect(const std::string& database,
                                                         const std::string& user,
                                                         const std::string& password) const {
  ConnectionOptions options;
  options.socket = socket();
  options.user = user;
  options.password = password;
  options.database = database;
  return Connection::Open(options);
}

}  // namespace tidemark::testing
