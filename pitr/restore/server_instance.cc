#include "pitr/restore/server_instance.h"

#include <stdlib.h>
#include <sys/random.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "pitr/restore/client_access.h"

namespace tidemark {
namespace {

constexpr int kPollMilliseconds = 50;
constexpr size_t kLogReadBytes = 64 << 10;
constexpr size_t kLogLinesMax = 12;
constexpr size_t kSocketPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

uint32_t RandomServerId() {
  uint32_t id = 0;
  TM_CHECK(::getentropy(&id, sizeof id) == 0);
  return std::max(id, 1U);
}

std::string Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error).lexically_normal();
  std::string text = error ? path : absolute.string();
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text;
}

// True if a server answers on the socket, even if only to refuse.
bool TakesConnections(const std::string& socket) {
  ConnectionOptions options;
  options.socket = socket;
  options.user = "root";
  options.connect_timeout_s = 5;
  const Result<std::unique_ptr<Connection>> connection = Connection::Open(options);
  return connection.ok() || connection.error().code() == Code::kSourceRefused;
}

}  // namespace

Result<std::unique_ptr<ServerInstance>> ServerInstance::Claim(FileSystem& files,
                                                              const ServerOptions& options) {
  std::unique_ptr<ServerInstance> server(new ServerInstance(files, options));
  server->options_.directory = Absolute(options.directory);
  server->server_id_ = RandomServerId();
  TM_RETURN_IF_ERROR(server->ClaimDirectory());
  TM_RETURN_IF_ERROR(server->ChooseSocket());
  return server;
}

ServerInstance::~ServerInstance() {
  Kill();
  if (released_ || socket_directory_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(socket_directory_, ignored);
}

void ServerInstance::Kill() { process_.reset(); }

Status ServerInstance::CheckDirectory(FileSystem& files, const std::string& directory) {
  if (!files.Exists(directory)) return OkStatus();
  if (!files.IsDirectory(directory))
    return Status(Code::kTargetRefused, directory + " is not a directory",
                  "name one that is empty or not there yet");
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, files.List(directory));
  if (std::find(names.begin(), names.end(), kRestoringMarker) != names.end())
    return Status(Code::kTargetRefused,
                  directory + " is not empty: a restore was begun there and did not finish",
                  "make sure that no other restore runs, and remove the directory");
  if (names.empty()) return OkStatus();
  return Status(
      Code::kTargetRefused, directory + " is not empty: it has \"" + names.front() + "\"",
      "name a directory that is empty or not there yet; nothing is ever restored over something");
}

Status ServerInstance::ClaimDirectory() {
  const std::string& directory = options_.directory;
  TM_RETURN_IF_ERROR(CheckDirectory(files_, directory));
  TM_RETURN_IF_ERROR(files_.CreateDirectories(directory));
  // The new server's root has no password unless the dump brings one: nobody else may reach the
  // socket.
  std::error_code ignored;
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all, ignored);
  TM_ASSIGN_OR_RETURN(auto marker, files_.Open(path(kRestoringMarker), OpenMode::kCreateNew));
  TM_RETURN_IF_ERROR(
      marker->Append(AsBytes("A restore is under way here, or did not finish. While this file is "
                             "here, do not use the data directory.\n")));
  TM_RETURN_IF_ERROR(marker->DataSync());
  return files_.SyncDirectory(directory);
}

Status ServerInstance::ChooseSocket() {
  socket_ = path("mysqld.sock");
  if (socket_.size() <= kSocketPathBytesMax) return OkStatus();
  char directory[] = "/tmp/tidemark-socket-XXXXXX";
  if (::mkdtemp(directory) == nullptr)
    return Status(Code::kIo, std::string("cannot make a directory for the socket in /tmp: ") +
                                 std::strerror(errno));
  socket_directory_ = directory;
  socket_ = socket_directory_ + "/mysqld.sock";
  return OkStatus();
}

Status ServerInstance::Initialize(const GoOn& go_on) {
  ProcessOptions run;
  run.argv = {options_.mysqld, "--no-defaults", "--initialize-insecure",
              "--datadir=" + data_directory(), "--loose-mysqlx=OFF"};
  if (::geteuid() == 0) run.argv.push_back("--user=root");
  run.argv.insert(run.argv.end(), options_.options.begin(), options_.options.end());
  run.error_file = log_path();
  TM_ASSIGN_OR_RETURN(auto child, ChildProcess::Start(std::move(run)));
  TM_ASSIGN_OR_RETURN(const int code, WaitForExit(*child, go_on));
  if (code == 0) return OkStatus();
  return Status(Code::kTargetRefused,
                "mysqld --initialize-insecure ended with exit code " + std::to_string(code) +
                    " in " + options_.directory + ":\n" + LogTail(),
                "its whole log is " + log_path());
}

std::vector<std::string> ServerInstance::Arguments(Mode mode) const {
  const bool restoring = mode == Mode::kRestoring;
  std::vector<std::string> arguments = {"--datadir=" + data_directory(),
                                        "--socket=" + socket_,
                                        "--pid-file=" + path("mysqld.pid"),
                                        "--log-error=" + log_path(),
                                        "--server-id=" + std::to_string(server_id_),
                                        "--log-bin=binlog",
                                        "--gtid-mode=ON",
                                        "--enforce-gtid-consistency=ON",
                                        "--max-allowed-packet=1G",
                                        "--event-scheduler=OFF",
                                        "--skip-replica-start",
                                        "--loose-mysqlx=OFF"};
  if (::geteuid() == 0) arguments.push_back("--user=root");
  if (!restoring && options_.port != 0) {
    arguments.push_back("--port=" + std::to_string(options_.port));
    arguments.push_back("--bind-address=127.0.0.1");
  }
  arguments.insert(arguments.end(), options_.options.begin(), options_.options.end());
  if (restoring || options_.port == 0) arguments.push_back("--skip-networking");
  if (restoring) {
    // Nobody but us, nothing durable, nothing of its own accord; behind the user's options, so that
    // they hold.
    for (const char* option :
         {"--event-scheduler=OFF", "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0",
          "--local-infile=ON", "--read-only=OFF", "--super-read-only=OFF"})
      arguments.push_back(option);
  } else {
    arguments.push_back("--sync-binlog=1");
    arguments.push_back("--innodb-flush-log-at-trx-commit=1");
  }
  return arguments;
}

std::vector<std::string> ServerInstance::Command(Mode mode) const {
  std::vector<std::string> command = {options_.mysqld, "--no-defaults"};
  const std::vector<std::string> arguments = Arguments(mode);
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

Status ServerInstance::Start(Mode mode, const GoOn& go_on) {
  TM_CHECK(!process_);
  ProcessOptions run;
  run.argv = Command(mode);
  run.error_file = log_path();
  run.dies_with_us = mode == Mode::kRestoring;
  TM_ASSIGN_OR_RETURN(process_, ChildProcess::Start(std::move(run)));
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(kServerStartSecondsMax);
  while (true) {
    if (const std::optional<int> code = process_->Wait(kPollMilliseconds)) {
      process_.reset();
      return Status(Code::kTargetRefused,
                    "mysqld ended while starting, with exit code " + std::to_string(*code) +
                        ", in " + options_.directory + ":\n" + LogTail(),
                    "its whole log is " + log_path());
    }
    if (files_.Exists(socket_) && TakesConnections(socket_)) return OkStatus();
    if (!go_on()) return Status(Code::kInterrupted, "interrupted while mysqld was starting");
    if (std::chrono::steady_clock::now() > deadline)
      return Status(Code::kTargetRefused,
                    "mysqld in " + options_.directory + " takes no connections after " +
                        std::to_string(kServerStartSecondsMax) + " seconds:\n" + LogTail(),
                    "its whole log is " + log_path());
  }
}

Status ServerInstance::Stop() {
  if (!process_) return OkStatus();
  process_->Signal(SIGTERM);
  const std::optional<int> code = process_->Wait(kServerStopSecondsMax * 1000);
  process_.reset();  // kills it if it still runs
  if (code && *code == 0) return OkStatus();
  return Status(Code::kTargetRefused,
                "mysqld in " + options_.directory +
                    (code ? " ended with exit code " + std::to_string(*code)
                          : std::string(" did not stop and was killed")) +
                    ":\n" + LogTail(),
                "its whole log is " + log_path());
}

Status ServerInstance::WriteOptionFile() {
  std::string text =
      "# Written by pitr restore: what the restored server was handed over with. Start it again "
      "with\n#   " +
      options_.mysqld + " --defaults-file=" + path("my.cnf") +
      "\n# The event scheduler is off, so that the events of the restored data do not change it: "
      "turn it on when this\n"
      "# server takes over.\n[mysqld]\n";
  for (const std::string& argument : Arguments(Mode::kHandedOver)) {
    const size_t equals = argument.find('=');
    text += argument.substr(2, equals - 2);
    if (equals != std::string::npos) text += "=" + QuotedOption(argument.substr(equals + 1));
    text += "\n";
  }
  return WriteSmallFileDurably(files_, path("my.cnf"), text);
}

Status ServerInstance::RemoveMarker() {
  TM_RETURN_IF_ERROR(files_.Remove(path(kRestoringMarker)));
  return files_.SyncDirectory(options_.directory);
}

void ServerInstance::Release() {
  TM_CHECK(process_ != nullptr);
  process_->Release();
  process_.reset();
  released_ = true;
}

std::string ServerInstance::LogTail() const {
  Result<std::unique_ptr<File>> file = files_.Open(log_path(), OpenMode::kRead);
  if (!file.ok()) return "(it wrote no log)";
  const Result<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.error().message();
  std::string text(std::min<uint64_t>(*size, kLogReadBytes), '\0');
  const Result<size_t> got =
      (*file)->ReadAt(*size - text.size(), {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  text.resize(got.ok() ? *got : 0);
  std::vector<std::string> errors, all;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.find("[ERROR]") != std::string::npos) errors.push_back(line);
    all.push_back(std::move(line));
    at = end + 1;
  }
  const std::vector<std::string>& shown = errors.empty() ? all : errors;
  std::string tail;
  for (size_t i = shown.size() - std::min(shown.size(), kLogLinesMax); i < shown.size(); ++i)
    tail += "  " + shown[i] + "\n";
  if (!tail.empty()) tail.pop_back();
  return tail;
}

}  // namespace tidemark
