#include "pitr/restore/restore.h"

#include "pitr/restore/client_access.h"
#include "pitr/restore/dump_loader.h"
#include "pitr/restore/pipe_applier.h"
#include "pitr/restore/running_target.h"
#include "pitr/restore/server_instance.h"

namespace tidemark {
namespace {

// Ours while we restore: root may get the source's password with the dump, or lose its rights on
// the way.
constexpr char kRestoreUser[] = "tidemark_restore";
constexpr uint32_t kReadTimeoutSeconds = 600;

class RestoreRun {
 public:
  RestoreRun(FileSystem& files, Clock& clock, ArchiveView& view, const RestoreOptions& options,
             const OnRestoreProgress& progress)
      : files_(files), clock_(clock), view_(view), options_(options), progress_(progress) {}

  Result<Receipt> Run();

 private:
  Status Act();
  Status Provision();
  Status LoadBase();
  Status SetBaseGtids(Connection& root);
  Status CreateRestoreUser(Connection& root);
  Status Apply();
  Status Assert();
  Status StartDurably();
  Status HandOver(Connection& connection);
  Status DropRestoreUser(Connection& connection);
  Status Finish(Status outcome);
  Status WithFate(const Status& error);
  void AskWhereItIs();

  bool Report(RestorePhase phase, uint64_t done = 0, uint64_t total = 0) {
    return progress_({phase, done, total});
  }
  ServerInstance::GoOn GoOn(RestorePhase phase) {
    return [this, phase] { return Report(phase); };
  }
  ConnectionOptions Login(const std::string& user, const std::string& password_file) const;

  FileSystem& files_;
  Clock& clock_;
  ArchiveView& view_;
  const RestoreOptions& options_;
  const OnRestoreProgress& progress_;
  PreparedRestore prepared_;
  Receipt receipt_;
  std::unique_ptr<ServerInstance> server_;  // outlives who talks to it
  std::unique_ptr<ClientAccess> access_;
};

Result<Receipt> RestoreRun::Run() {
  receipt_.started_us = clock_.WallMicroseconds();
  if (!Report(RestorePhase::kPlan)) return Status(Code::kInterrupted, "interrupted");
  if (options_.target.provision && options_.target.directory.empty())
    return Status(Code::kUsage, "no directory is named for the new server");
  TM_ASSIGN_OR_RETURN(prepared_, PrepareRestore(files_, view_, options_));
  receipt_.plan = prepared_.plan;
  receipt_.base = prepared_.base;
  receipt_.warnings = prepared_.warnings;
  receipt_.warnings.insert(receipt_.warnings.end(), prepared_.plan.warnings.begin(),
                           prepared_.plan.warnings.end());
  receipt_.provisioned = options_.target.provision;
  TM_RETURN_IF_ERROR(Finish(Act()));
  Report(RestorePhase::kDone);
  return std::move(receipt_);
}

Status RestoreRun::Act() {
  if (options_.target.provision) {
    TM_RETURN_IF_ERROR(Provision());
    TM_RETURN_IF_ERROR(LoadBase());
  } else {
    TM_ASSIGN_OR_RETURN(access_, ClientAccess::Make(files_, TemporaryDirectory()));
    TM_RETURN_IF_ERROR(access_->LogInAs(options_.target.connection));
    receipt_.socket = options_.target.connection.socket;
    receipt_.host = options_.target.connection.host;
    receipt_.port = receipt_.socket.empty() ? options_.target.connection.port : uint16_t{0};
  }
  TM_RETURN_IF_ERROR(Apply());
  TM_RETURN_IF_ERROR(Assert());
  if (server_) TM_RETURN_IF_ERROR(StartDurably());
  TM_ASSIGN_OR_RETURN(auto connection, access_->Connect());
  TM_ASSIGN_OR_RETURN(const auto undecided, UndecidedXaWarnings(*connection));
  receipt_.warnings.insert(receipt_.warnings.end(), undecided.begin(), undecided.end());
  return server_ ? HandOver(*connection) : OkStatus();
}

ConnectionOptions RestoreRun::Login(const std::string& user,
                                    const std::string& password_file) const {
  ConnectionOptions login;
  login.socket = server_->socket();
  login.user = user;
  login.password.file = password_file;
  login.read_timeout_s = kReadTimeoutSeconds;
  return login;
}

Status RestoreRun::Provision() {
  if (!Report(RestorePhase::kProvision)) return Status(Code::kInterrupted, "interrupted");
  ServerOptions options;
  options.directory = options_.target.directory;
  options.mysqld = prepared_.mysqld;
  options.options = options_.target.mysqld_options;
  options.port = options_.target.port;
  TM_ASSIGN_OR_RETURN(server_, ServerInstance::Claim(files_, options));
  // From here on the directory is ours, and what goes wrong is told by a receipt in it.
  receipt_.directory = server_->directory();
  TM_RETURN_IF_ERROR(server_->Initialize(GoOn(RestorePhase::kProvision)));
  receipt_.socket = server_->socket();
  receipt_.start_command = server_->Command(ServerInstance::Mode::kHandedOver);
  TM_ASSIGN_OR_RETURN(access_, ClientAccess::Make(files_, receipt_.directory));
  return server_->Start(ServerInstance::Mode::kRestoring, GoOn(RestorePhase::kProvision));
}

Status RestoreRun::LoadBase() {
  TM_RETURN_IF_ERROR(access_->LogInAs(Login("root", {})));
  // Logged in before the load: afterwards root may be somebody else. It may take longer than
  // wait_timeout.
  TM_ASSIGN_OR_RETURN(auto root, access_->Connect());
  TM_RETURN_IF_ERROR(
      ExecuteOnTarget(*root, "SET @@SESSION.wait_timeout=31536000, @@SESSION.sql_log_bin=0"));
  TM_RETURN_IF_ERROR(LoadDump(files_, prepared_.base, *access_, prepared_.mysql,
                              [this](uint64_t done, uint64_t total) {
                                return Report(RestorePhase::kLoadBase, done, total);
                              }));
  TM_RETURN_IF_ERROR(SetBaseGtids(*root));
  return CreateRestoreUser(*root);
}

Status RestoreRun::SetBaseGtids(Connection& root) {
  const bool old_names = root.VersionNumber() < 80200;
  if (prepared_.base.configures_replication)  // a dump taken with --source-data=1
    TM_RETURN_IF_ERROR(ExecuteOnTarget(
        root, root.VersionNumber() < 80022 ? "RESET SLAVE ALL" : "RESET REPLICA ALL"));
  if (!prepared_.base.sets_gtid_purged) {
    TM_RETURN_IF_ERROR(
        ExecuteOnTarget(root, old_names ? "RESET MASTER" : "RESET BINARY LOGS AND GTIDS"));
    TM_RETURN_IF_ERROR(ExecuteOnTarget(
        root, "SET @@GLOBAL.gtid_purged=" + root.Quoted(prepared_.base.gtid_set.ToString())));
  }
  TM_ASSIGN_OR_RETURN(const GtidSet executed, ReadGtidExecuted(root));
  if (executed == prepared_.base.gtid_set) return OkStatus();
  return Status(Code::kBadBackup,
                "after loading " + prepared_.base.path + " the server is at \"" +
                    Abridged(executed) + "\", not at the dump's \"" +
                    Abridged(prepared_.base.gtid_set) + "\"",
                "the dump holds statements of its own that change gtid_executed; take one with "
                "mysqldump alone");
}

Status RestoreRun::CreateRestoreUser(Connection& root) {
  const std::string password = RandomSecret();
  TM_ASSIGN_OR_RETURN(const std::string password_file, access_->KeepSecret("password", password));
  const std::string user = std::string("'") + kRestoreUser + "'@'localhost'";
  for (const std::string& statement :
       {std::string("FLUSH LOCAL PRIVILEGES"),  // the loaded accounts count from here on, as they
                                                // did on the source
        "DROP USER IF EXISTS " + user,
        "CREATE USER " + user + " IDENTIFIED BY " + root.Quoted(password),
        "GRANT ALL ON *.* TO " + user + " WITH GRANT OPTION"}) {
    if (Status status = ExecuteOnTarget(root, statement); !status.ok())
      return std::move(status)
          .WithContext("preparing the loaded server's accounts")
          .WithHint(
              "a dump of the mysql schema loads only into a server of its own version; restore "
              "with the same one, "
              "or take the dump without that schema");
  }
  return access_->LogInAs(Login(kRestoreUser, password_file));
}

Status RestoreRun::Apply() {
  const uint64_t total = prepared_.plan.transactions;
  if (!Report(RestorePhase::kApply, 0, total)) return Status(Code::kInterrupted, "interrupted");
  PipeApplier applier(*access_, {prepared_.mysqlbinlog, prepared_.mysql});
  receipt_.applier = applier.name();
  TM_RETURN_IF_ERROR(applier.Apply(view_, prepared_.plan, [this](const ApplyProgress& at) {
    return Report(RestorePhase::kApply, at.transactions_done, at.transactions);
  }));
  return Report(RestorePhase::kApply, total, total) ? OkStatus()
                                                    : Status(Code::kInterrupted, "interrupted");
}

Status RestoreRun::Assert() {
  if (!Report(RestorePhase::kAssert)) return Status(Code::kInterrupted, "interrupted");
  TM_ASSIGN_OR_RETURN(auto connection, access_->Connect());
  receipt_.server_version = connection->ServerVersion();
  TM_ASSIGN_OR_RETURN(receipt_.gtid_executed, ReadGtidExecuted(*connection));
  receipt_.end_state_reached = receipt_.gtid_executed == prepared_.plan.end_set;
  if (receipt_.end_state_reached) return OkStatus();
  const GtidSet missing = prepared_.plan.end_set.Minus(receipt_.gtid_executed);
  const GtidSet extra = receipt_.gtid_executed.Minus(prepared_.plan.end_set);
  std::string message = "the restore did not end where it was planned to:";
  if (!missing.empty()) message += " it lacks " + Abridged(missing);
  if (!extra.empty())
    message += std::string(missing.empty() ? "" : ", and") + " it has in excess " + Abridged(extra);
  return Status(Code::kEndStateNotReached, message,
                "do not use this server; somebody else wrote to it, or this is a bug");
}

// A clean shutdown, then the durable configuration it will live with: what is handed over has been
// started once with it.
Status RestoreRun::StartDurably() {
  TM_RETURN_IF_ERROR(server_->Stop());
  TM_RETURN_IF_ERROR(
      server_->Start(ServerInstance::Mode::kHandedOver, GoOn(RestorePhase::kAssert)));
  return Assert();
}

Status RestoreRun::HandOver(Connection& connection) {
  TM_RETURN_IF_ERROR(DropRestoreUser(connection));
  TM_RETURN_IF_ERROR(server_->WriteOptionFile());
  if (!options_.keep_running) TM_RETURN_IF_ERROR(server_->Stop());
  receipt_.mysqld_pid = server_->pid();
  receipt_.port = options_.target.port;
  return OkStatus();
}

Status RestoreRun::DropRestoreUser(Connection& connection) {
  TM_RETURN_IF_ERROR(ExecuteOnTarget(connection, "SET @@SESSION.sql_log_bin=0"));
  TM_ASSIGN_OR_RETURN(
      const std::string open,
      QueryTargetValue(
          connection,
          "SELECT COUNT(*) FROM mysql.user WHERE user='root' AND authentication_string='' AND "
          "account_locked='N' AND plugin='caching_sha2_password'"));
  if (open != "0")
    receipt_.warnings.push_back(
        "the restored server's root has no password (the backup brought none): only the "
        "directory's permissions protect its socket");
  return ExecuteOnTarget(connection, std::string("DROP USER '") + kRestoreUser + "'@'localhost'");
}

void RestoreRun::AskWhereItIs() {
  if (!access_ || access_->connection().user.empty() || (server_ && server_->pid() == 0)) return;
  Result<std::unique_ptr<Connection>> connection = access_->Connect();
  if (!connection.ok()) return;
  if (Result<GtidSet> executed = ReadGtidExecuted(**connection); executed.ok())
    receipt_.gtid_executed = *executed;
}

Status RestoreRun::WithFate(const Status& error) {
  AskWhereItIs();
  std::string message = error.message(), hint = error.hint();
  const GtidSet missing = prepared_.plan.end_set.Minus(receipt_.gtid_executed);
  if (error.code() == Code::kTargetRefused && !receipt_.applier.empty() &&
      !receipt_.gtid_executed.empty() && !missing.empty())
    message += "; not applied from " + missing.map().begin()->first.ToString() + ":" +
               std::to_string(missing.map().begin()->second.front().first) + " on";
  if (server_) {
    server_->Kill();
    message += "; " + receipt_.directory + " is not usable and can be removed";
  } else {
    message += "; the target stands at " + (receipt_.gtid_executed.empty()
                                                ? std::string("an unknown GTID set")
                                                : Abridged(receipt_.gtid_executed));
    if (hint.empty()) hint = "run the same restore again without a dump, to go on from there";
  }
  return Status(error.code(), message, hint);
}

// Writes the receipt, and makes the error say what became of the target.
Status RestoreRun::Finish(Status outcome) {
  // Refused before anything was touched: there is nothing to put a receipt into.
  if (options_.target.provision && !server_) return outcome;
  if (!outcome.ok()) outcome = WithFate(outcome);
  receipt_.outcome = outcome.ok() ? "restored" : CodeName(outcome.code());
  receipt_.error = outcome;
  receipt_.finished_us = clock_.WallMicroseconds();
  std::string path = options_.receipt_path;
  if (path.empty() && options_.target.provision)
    path = JoinPath(receipt_.directory, "receipt.json");
  if (!path.empty()) {
    const Status written = WriteSmallFileDurably(files_, path, receipt_.ToJson());
    if (outcome.ok() && !written.ok()) return written;
  }
  access_.reset();  // its directory goes before the marker does
  if (!outcome.ok() || !server_) return outcome;
  TM_RETURN_IF_ERROR(server_->RemoveMarker());
  if (options_.keep_running) server_->Release();
  return outcome;
}

}  // namespace

const char* RestorePhaseName(RestorePhase phase) {
  switch (phase) {
    case RestorePhase::kPlan: return "plan";
    case RestorePhase::kProvision: return "provision";
    case RestorePhase::kLoadBase: return "load base";
    case RestorePhase::kApply: return "apply";
    case RestorePhase::kAssert: return "assert";
    case RestorePhase::kDone: return "done";
  }
  return "?";
}

Result<Receipt> RunRestore(FileSystem& files, Clock& clock, ArchiveView& view,
                           const RestoreOptions& options, const OnRestoreProgress& progress) {
  return RestoreRun(files, clock, view, options, progress).Run();
}

}  // namespace tidemark
