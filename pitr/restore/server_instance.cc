#include "pitr/restore/server_instance.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>

#include "pitr/restore/client_access.h"
#include "pitr/restore/continuation.h"
#include "pitr/restore/restore_state.h"
#include "pitr/restore/running_mysqld.h"

namespace tidemark {
namespace {

constexpr int kPollMilliseconds = 50;
constexpr size_t kLogReadBytes = 64 << 10;
constexpr size_t kLogLinesMax = 12;
constexpr size_t kSocketPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;
constexpr char kInitFile[] = "init.sql";
constexpr char kLockFile[] = "restore.lock";
constexpr char kSocketDirectory[] = "/tmp/tidemark-socket-";
constexpr std::string_view kInitFileFailed = "[MY-000061]";
// ER_IB_ERR_RECOVERY_REDO_DISABLED: "Server was killed when InnoDB redo logging was disabled."
constexpr std::string_view kKilledWithoutRedo = "[MY-013598]";
// Said at a start, it tells how the server was stopped.
constexpr std::string_view kRedoIsOff = "InnoDB redo logging is disabled";

std::string ExitCodeText(int code) {
  return code == kExitCodeUnknown ? std::string() : " with exit code " + std::to_string(code);
}

// Ours in /tmp, "" if the socket is not in one.
std::string SocketDirectory(const std::string& socket) {
  return socket.starts_with(kSocketDirectory) ? socket.substr(0, socket.rfind('/')) : "";
}

// A directory that nobody but we can have put anything into.
bool IsPrivate(const std::string& directory) {
  struct stat found {};
  return !directory.empty() && ::lstat(directory.c_str(), &found) == 0 && S_ISDIR(found.st_mode) &&
         found.st_uid == ::geteuid() && (found.st_mode & 077) == 0;
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
  server->options_.directory = AbsolutePath(options.directory);
  server->server_id_ = RandomServerId();
  TM_RETURN_IF_ERROR(server->ClaimDirectory());
  TM_RETURN_IF_ERROR(server->QuarantineOptionFile());
  TM_RETURN_IF_ERROR(server->ChooseSocket());
  return server;
}

Result<std::unique_ptr<ServerInstance>> ServerInstance::Reclaim(FileSystem& files,
                                                                const ServerOptions& options,
                                                                const Earlier& earlier) {
  std::unique_ptr<ServerInstance> server(new ServerInstance(files, options));
  server->options_.directory = AbsolutePath(options.directory);
  server->server_id_ = earlier.server_id;
  if (!files.IsDirectory(server->directory()))
    return Status(Code::kNotFound, "there is no directory " + server->directory());
  TM_RETURN_IF_ERROR(server->TakeLock());
  TM_RETURN_IF_ERROR(earlier.still_so());
  server->Adopt();  // what is to be in my.cnf tells whether it was edited
  if (server->socket_.empty()) TM_RETURN_IF_ERROR(server->ChooseSocket(earlier.socket));
  if (!files.Exists(server->path(kRestoringMarker))) TM_RETURN_IF_ERROR(server->WriteMarker());
  TM_RETURN_IF_ERROR(server->Quarantine());
  return server;
}

ServerInstance::~ServerInstance() {
  (void)Stop();
  if (socket_is_in_my_cnf_ || socket_directory_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(socket_directory_, ignored);
}

void ServerInstance::Kill() { process_.reset(); }

Status ServerInstance::CheckDirectory(FileSystem& files, const std::string& directory) {
  if (!files.Exists(directory)) return OkStatus();
  if (!files.IsDirectory(directory))
    return Status(Code::kTargetRefused, directory + " is not a directory",
                  "name one that is empty or not there yet");
  TM_ASSIGN_OR_RETURN(std::vector<std::string> names, files.List(directory));
  if (std::find(names.begin(), names.end(), kRestoringMarker) != names.end())
    return Status(Code::kTargetRefused,
                  directory + " is not empty: a restore was begun there and did not finish",
                  "make sure that no other restore runs, and remove the directory");
  std::erase(names, kLockFile);  // all that a Claim which died at once has left
  if (names.empty()) return OkStatus();
  return Status(
      Code::kTargetRefused, directory + " is not empty: it has \"" + names.front() + "\"",
      "name a directory that is empty or not there yet; nothing is ever restored over something");
}

Status ServerInstance::TakeLock() {
  Result<std::unique_ptr<FileLock>> lock = files_.Lock(path(kLockFile));
  if (lock.ok()) {
    lock_ = std::move(*lock);
    return OkStatus();
  }
  if (lock.error().code() != Code::kLocked) return lock.error();
  return Status(Code::kLocked,
                "another pitr is at work on " + options_.directory + " (pid " +
                    std::to_string(files_.LockHolder(path(kLockFile))) + ")",
                "wait until it is done, or stop it");
}

Status ServerInstance::WriteMarker() {
  return WriteSmallFileDurably(files_, path(kRestoringMarker),
                               "A restore is under way here, or did not finish. While this file "
                               "is here, do not use the data directory.\n");
}

Status ServerInstance::ClaimDirectory() {
  const std::string& directory = options_.directory;
  TM_RETURN_IF_ERROR(CheckDirectory(files_, directory));
  TM_RETURN_IF_ERROR(files_.CreateDirectories(directory));
  // The new server's root has no password unless the dump brings one: nobody else may reach the
  // socket.
  std::error_code ignored;
  std::filesystem::permissions(directory, std::filesystem::perms::owner_all, ignored);
  TM_RETURN_IF_ERROR(TakeLock());
  // Another one may have claimed it, and be gone again, since we looked.
  TM_RETURN_IF_ERROR(CheckDirectory(files_, directory));
  return WriteMarker();
}

// Its socket is where it is, not where we would have put it.
void ServerInstance::Adopt() {
  std::optional<RunningMysqld> running = FindMysqld(data_directory(), path("mysqld.pid"));
  if (!running) return;
  process_ = std::move(running->process);
  mode_ = running->Option("persisted-globals-load") == "OFF" ? Mode::kRestoring : Mode::kHandedOver;
  socket_ = running->Option("socket");
  socket_directory_ = SocketDirectory(socket_);
}

Status ServerInstance::ChooseSocket(const std::string& earlier) {
  socket_ = path("mysqld.sock");
  if (socket_.size() <= kSocketPathBytesMax) return OkStatus();
  if (IsPrivate(SocketDirectory(earlier))) {
    socket_ = earlier;
    socket_directory_ = SocketDirectory(earlier);
    return OkStatus();
  }
  std::string directory = std::string(kSocketDirectory) + "XXXXXX";
  if (::mkdtemp(directory.data()) == nullptr)
    return Status(Code::kIo, std::string("cannot make a directory for the socket in /tmp: ") +
                                 std::strerror(errno));
  socket_directory_ = directory;
  socket_ = socket_directory_ + "/mysqld.sock";
  return OkStatus();
}

Status ServerInstance::Wipe() {
  Kill();
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(options_.directory));
  for (const std::string& name : names) {
    if (name == kRestoringMarker || name == kLockFile || name == kRestoreStateFile) continue;
    std::error_code error;
    std::filesystem::remove_all(path(name.c_str()), error);
    if (error)
      return Status(Code::kIo, "cannot remove " + path(name.c_str()) + ": " + error.message());
  }
  in_quarantine_ = data_is_lost_ = false;
  log_start_bytes_ = 0;
  return QuarantineOptionFile();
}

Status ServerInstance::Initialize(const GoOn& go_on) {
  ProcessOptions run;
  run.argv = {options_.mysqld,         "--no-defaults",
              "--initialize-insecure", "--datadir=" + data_directory(),
              "--loose-mysqlx=OFF",    "--innodb-doublewrite=OFF"};
  if (::geteuid() == 0) run.argv.push_back("--user=root");
  run.argv.insert(run.argv.end(), options_.options.begin(), options_.options.end());
  run.error_file = log_path();
  TM_ASSIGN_OR_RETURN(auto child, ChildProcess::Start(std::move(run)));
  TM_ASSIGN_OR_RETURN(const int code, WaitForExit(*child, go_on));
  if (code == 0) return Quarantine();
  return Status(Code::kTargetRefused,
                "mysqld --initialize-insecure ended with exit code " + std::to_string(code) +
                    " in " + options_.directory + ":\n" + LogTail(),
                "its whole log is " + log_path());
}

Status ServerInstance::Start(Mode mode, const GoOn& go_on,
                             const std::vector<std::string>& init_sql) {
  // Whether it stopped well is what the next start tells.
  if (running() && (mode_ != mode || !init_sql.empty())) (void)Stop();
  if (running()) {
    const Status up = AwaitUp(go_on);
    if (up.ok()) return Settle();
    if (process_) return up;  // else it was on its way down
  }
  process_.reset();
  if (in_quarantine_) TM_RETURN_IF_ERROR(LiftQuarantine());
  Status up = Launch(mode, init_sql);
  if (up.ok()) up = AwaitUp(go_on);
  // mysqld gives up the file at its first error, says so, and goes on.
  if (up.ok() && !init_sql.empty() && NewLog().find(kInitFileFailed) != std::string::npos) {
    up = Failed("could not run its first statements");
    (void)Stop();
  }
  if (up.ok()) up = CheckStoppedWithRedo();
  if (!up.ok() && process_) return up;  // it may not have read its files yet; Stop settles
  const Status settled = Settle();
  return up.ok() ? settled : up;
}

// Once it takes connections, or has ended, it has read what it reads at its start.
Status ServerInstance::Settle() {
  if (files_.Exists(path(kInitFile))) TM_RETURN_IF_ERROR(files_.Remove(path(kInitFile)));
  return in_quarantine_ ? Quarantine() : OkStatus();
}

Status ServerInstance::Launch(Mode mode, const std::vector<std::string>& init_sql) {
  ProcessOptions run;
  run.argv = Command(mode);
  run.error_file = log_path();
  run.dies_with_us = false;
  if (!init_sql.empty()) {
    std::string text = "SET SESSION sql_log_bin = 0;\n";
    for (const std::string& statement : init_sql) text += statement + ";\n";
    TM_RETURN_IF_ERROR(WriteSmallFileDurably(files_, path(kInitFile), text));
    run.argv.push_back("--init-file=" + path(kInitFile));
  }
  data_is_lost_ = false;
  log_start_bytes_ = 0;
  // Of a mysqld that was killed: its pid may be another's by now, and mysqld would believe that one
  // to have the socket. That none of ours runs is known.
  if (const std::string stale = socket_ + ".lock"; files_.Exists(stale))
    TM_RETURN_IF_ERROR(files_.Remove(stale));
  if (files_.Exists(log_path())) {
    TM_ASSIGN_OR_RETURN(const auto log, files_.Open(log_path(), OpenMode::kRead));
    TM_ASSIGN_OR_RETURN(log_start_bytes_, log->Size());
  }
  TM_ASSIGN_OR_RETURN(process_, ChildProcess::Start(std::move(run)));
  mode_ = mode;
  return OkStatus();
}

Status ServerInstance::AwaitUp(const GoOn& go_on) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(kServerStartSecondsMax);
  while (true) {
    if (const std::optional<int> code = process_->Wait(kPollMilliseconds)) {
      process_.reset();
      return Failed("ended while starting" + ExitCodeText(*code));
    }
    if (files_.Exists(socket_) && TakesConnections(socket_)) return OkStatus();
    if (!go_on()) return Status(Code::kInterrupted, "interrupted while mysqld was starting");
    if (std::chrono::steady_clock::now() > deadline)
      return Failed("takes no connections after " + std::to_string(kServerStartSecondsMax) +
                    " seconds");
  }
}

// Nobody can have switched it off since the start.
Status ServerInstance::CheckStoppedWithRedo() {
  data_is_lost_ = NewLog().find(kRedoIsOff) != std::string::npos;
  if (!data_is_lost_) return OkStatus();
  return Status(Code::kTargetRefused,
                "mysqld in " + options_.directory +
                    " was stopped while its redo log was off: its data cannot be relied upon",
                "begin the restore again");
}

Status ServerInstance::Failed(const std::string& what) {
  const std::string tail = LogTail();
  data_is_lost_ = tail.find(kKilledWithoutRedo) != std::string::npos;
  if (data_is_lost_)
    return Status(Code::kTargetRefused,
                  "mysqld in " + options_.directory +
                      " was killed while its redo log was off: its data is lost",
                  "begin the restore again");
  return Status(Code::kTargetRefused, "mysqld in " + options_.directory + " " + what + ":\n" + tail,
                "its whole log is " + log_path());
}

pid_t ServerInstance::pid() const { return running() ? process_->pid() : 0; }

bool ServerInstance::running() const { return process_ && !process_->Wait(0); }

Status ServerInstance::Alive() const {
  if (!process_) return OkStatus();
  const std::optional<int> code = process_->Wait(0);
  if (!code) return OkStatus();
  return Status(Code::kTargetRefused,
                "mysqld in " + options_.directory + " ended by itself" + ExitCodeText(*code) +
                    ":\n" + LogTail(),
                "its whole log is " + log_path());
}

Status ServerInstance::Stop() {
  if (!process_) return OkStatus();
  process_->Signal(SIGTERM);
  // A large buffer pool takes its time on a slow disk, and all is lost if that is cut short.
  const std::optional<int> code =
      WaitWhileItWrites(*process_, std::chrono::seconds(kServerStopSecondsMax));
  process_.reset();  // kills it if it still runs
  // Of one that was adopted we only know that it removes its pid file when all else is done.
  const bool orderly =
      code && (*code == 0 || (*code == kExitCodeUnknown && !files_.Exists(path("mysqld.pid"))));
  // It may have been told to SET PERSIST, or be stopped while it was still starting.
  TM_RETURN_IF_ERROR(Settle());
  if (orderly) return OkStatus();
  return Failed(code ? "ended" + ExitCodeText(*code) : "did not stop and was killed");
}

Status ServerInstance::RemoveMarker() {
  TM_RETURN_IF_ERROR(files_.Remove(path(kRestoringMarker)));
  return files_.SyncDirectory(options_.directory);
}

void ServerInstance::Release() {
  TM_CHECK(process_ != nullptr);
  process_->Release();
  process_.reset();
}

std::string ServerInstance::NewLog() const {
  Result<std::unique_ptr<File>> file = files_.Open(log_path(), OpenMode::kRead);
  if (!file.ok()) return "(it wrote no log)";
  const Result<uint64_t> size = (*file)->Size();
  if (!size.ok()) return size.error().message();
  const uint64_t bytes = *size - std::min(*size, log_start_bytes_);
  std::string text(std::min<uint64_t>(bytes, kLogReadBytes), '\0');
  const Result<size_t> got =
      (*file)->ReadAt(*size - text.size(), {reinterpret_cast<uint8_t*>(text.data()), text.size()});
  text.resize(got.ok() ? *got : 0);
  return text;
}

std::string ServerInstance::LogTail() const {
  const std::string text = NewLog();
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
