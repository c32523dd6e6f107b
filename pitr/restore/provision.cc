// A new server with the base in it; or the one that an earlier run began.
#include <filesystem>

#include "pitr/restore/continuation.h"
#include "pitr/restore/dump_loader.h"
#include "pitr/restore/prepare.h"
#include "pitr/restore/replica_applier.h"
#include "pitr/restore/restore_run.h"
#include "pitr/restore/running_target.h"
#include "replication/base/failpoint.h"

namespace tidemark {
namespace {

constexpr char kPrivateDirectoryPrefix[] = "tidemark-";  // PrivateDirectory's

std::string RestoreAccount() { return std::string("'") + kRestoreUser + "'@'localhost'"; }

}  // namespace

ServerOptions RestoreRun::NewServer() const {
  ServerOptions options;
  options.directory = options_.target.directory;
  options.mysqld = prepared_.mysqld;
  options.options = options_.target.mysqld_options;
  options.port = options_.target.port;
  options.workers = options_.workers;
  if (state_.step < RestoreStep::kLoaded) return options;  // begun anew: as this command has it
  if (options.options.empty()) options.options = state_.mysqld_options;
  if (options.port == 0) options.port = state_.port;
  return options;
}

// Another `pitr` may have worked here since we looked, and be done.
ServerInstance::Earlier RestoreRun::Earlier() const {
  const auto still_so = [this]() -> Status {
    const std::string directory = AbsolutePath(options_.target.directory);
    TM_ASSIGN_OR_RETURN(const auto now, FindEarlierRestore(files_, directory));
    if (now && EncodeRestoreState(*now) == EncodeRestoreState(*prepared_.found)) return OkStatus();
    return Status(Code::kLocked, "another pitr was at work on " + directory + " meanwhile",
                  "run the same command again: it sees what is there now");
  };
  return {state_.server_id, state_.socket, still_so};
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

Status RestoreRun::Remember(RestoreStep step) {
  state_.step = step;
  state_.socket = server_->socket();
  state_.server_id = server_->server_id();
  TM_RETURN_IF_ERROR(WriteRestoreState(files_, server_->directory(), state_));
  switch (step) {
    case RestoreStep::kClaimed: TM_FAILPOINT("restore.claimed"); break;
    case RestoreStep::kLoaded: TM_FAILPOINT("restore.loaded"); break;
    case RestoreStep::kApplying: TM_FAILPOINT("restore.applying"); break;
    case RestoreStep::kApplied: TM_FAILPOINT("restore.applied"); break;
    case RestoreStep::kDone: TM_FAILPOINT("restore.done"); break;
  }
  return OkStatus();
}

// What a killed run left of its private files.
void RestoreRun::RemoveLeftovers() {
  Result<std::vector<std::string>> names = files_.List(server_->directory());
  if (!names.ok()) return;
  std::error_code ignored;
  for (const std::string& name : *names)
    if (name.starts_with(kPrivateDirectoryPrefix))
      std::filesystem::remove_all(JoinPath(server_->directory(), name), ignored);
}

// Claims the directory, or empties it if it is ours already.
Status RestoreRun::BeginAnew() {
  if (!Report(RestorePhase::kProvision)) return Status(Code::kInterrupted, "interrupted");
  access_.reset();
  if (!server_) {
    new_server_ = NewServer();
    if (prepared_.found) {
      TM_ASSIGN_OR_RETURN(server_, ServerInstance::Reclaim(files_, new_server_, Earlier()));
    } else {
      TM_ASSIGN_OR_RETURN(server_, ServerInstance::Claim(files_, new_server_));
    }
  }
  receipt_.directory = server_->directory();
  // From here on the directory is ours, and what goes wrong is told by a receipt in it.
  state_.source = archive_.source();
  state_.dump_path = AbsolutePath(prepared_.base.path);
  state_.dump_bytes = prepared_.base.bytes;
  state_.point = options_.point;
  state_.surgery = prepared_.plan.surgery;
  state_.base = prepared_.base.gtid_set;
  state_.end_set = prepared_.plan.end_set;
  state_.secret_file.clear();
  state_.mysqld_options = new_server_.options;
  state_.port = new_server_.port;
  TM_RETURN_IF_ERROR(Remember(RestoreStep::kClaimed));
  if (prepared_.found) TM_RETURN_IF_ERROR(server_->Wipe());
  TM_RETURN_IF_ERROR(server_->Initialize(GoOnIn(RestorePhase::kProvision)));
  TM_ASSIGN_OR_RETURN(access_, ClientAccess::Make(files_, receipt_.directory));
  TM_RETURN_IF_ERROR(
      server_->Start(ServerInstance::Mode::kRestoring, GoOnIn(RestorePhase::kProvision)));
  TM_RETURN_IF_ERROR(LoadBase());
  return Remember(RestoreStep::kLoaded);
}

Status RestoreRun::LoadBase() {
  TM_RETURN_IF_ERROR(access_->LogInAs(Login("root", {})));
  // Logged in before the load: afterwards root may be somebody else. It may take longer than
  // wait_timeout.
  TM_ASSIGN_OR_RETURN(auto root, access_->Connect());
  TM_RETURN_IF_ERROR(
      ExecuteOnTarget(*root, "SET @@SESSION.wait_timeout=31536000, @@SESSION.sql_log_bin=0"));
  TM_RETURN_IF_ERROR(ServerInstance::DisableRedo(*root));
  const int64_t begun_us = clock_.MonotonicMicroseconds();
  TM_RETURN_IF_ERROR(LoadDump(files_, prepared_.base, *access_, prepared_.mysql,
                              [this](uint64_t done, uint64_t total) {
                                return Report(RestorePhase::kLoadBase, done, total);
                              }));
  receipt_.load = {prepared_.base.text_bytes,
                   1e-6 * static_cast<double>(clock_.MonotonicMicroseconds() - begun_us)};
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

// Makes a new secret, and gives the statements that make our account have it, there or not.
Result<std::vector<std::string>> RestoreRun::AccountStatements() {
  const std::string secret = RandomSecret();  // nothing in it needs to be escaped
  state_.secret_file = JoinPath(server_->directory(), kSecretFile);
  TM_RETURN_IF_ERROR(WriteSmallFileDurably(files_, state_.secret_file, secret + "\n"));
  return std::vector<std::string>{
      "SET @@SESSION.sql_log_bin=0",
      "CREATE USER IF NOT EXISTS " + RestoreAccount() + " IDENTIFIED BY '" + secret + "'",
      "ALTER USER " + RestoreAccount() + " IDENTIFIED BY '" + secret + "' ACCOUNT UNLOCK",
      "GRANT ALL ON *.* TO " + RestoreAccount() + " WITH GRANT OPTION"};
}

Status RestoreRun::CreateRestoreUser(Connection& root) {
  TM_ASSIGN_OR_RETURN(std::vector<std::string> statements, AccountStatements());
  // The loaded accounts count from here on, as they did on the source.
  statements.insert(statements.begin(), "FLUSH LOCAL PRIVILEGES");
  for (const std::string& statement : statements) {
    if (Status status = ExecuteOnTarget(root, statement); !status.ok())
      return std::move(status)
          .WithContext("preparing the loaded server's accounts")
          .WithHint(
              "a dump of the mysql schema loads only into a server of its own version; restore "
              "with the same one, "
              "or take the dump without that schema");
  }
  return access_->LogInAs(Login(kRestoreUser, state_.secret_file));
}

Status RestoreRun::GoOn() {
  if (!Report(RestorePhase::kProvision)) return Status(Code::kInterrupted, "interrupted");
  const bool was_done = prepared_.found->step == RestoreStep::kDone;
  const bool was_applied = prepared_.found->step >= RestoreStep::kApplied;
  new_server_ = NewServer();
  TM_ASSIGN_OR_RETURN(server_, ServerInstance::Reclaim(files_, new_server_, Earlier()));
  receipt_.directory = server_->directory();
  was_running_ = was_done && server_->pid() != 0;
  // From now on it is not finished any more, whatever happens to us.
  TM_RETURN_IF_ERROR(Remember(was_done ? RestoreStep::kApplied : state_.step));
  RemoveLeftovers();
  if (const Status up = BringUp(); !up.ok()) {
    if (!server_->DataIsLost()) return up;
    Warn(
        "the server had ended while it had no redo log, and its data was lost with it: this "
        "restore began anew");
    Result<PreparedRestore> anew =
        PrepareRestore(files_, archive_, options_, /*data_is_lost=*/true);
    if (anew.ok() && !anew->blockers.empty()) anew = Status(anew->blockers.front());
    if (!anew.ok())
      return Status(anew.error())
          .WithContext(
              "the server had ended while it had no redo log, and its data was lost with it; the "
              "restore cannot begin anew")
          .WithHint(anew.error().hint().empty() ? "name a base backup with --dump"
                                                : anew.error().hint());
    TakePrepared(std::move(*anew));
    return BeginAnew();
  }
  state_.mysqld_options = new_server_.options;  // it starts with them
  state_.port = new_server_.port;
  TM_ASSIGN_OR_RETURN(auto connection, access_->Connect());
  TM_RETURN_IF_ERROR(RemoveRestoreChannel(*connection));  // gtid_executed stands still now
  TM_ASSIGN_OR_RETURN(const GtidSet executed, ReadGtidExecuted(*connection));
  const Status place = TakeItsPlace(executed);
  // Only who has had it handed over can have put anything else into it.
  if (place.ok() || !was_applied) return place;
  const Status given_back = GiveBack();
  return given_back.ok() ? place : given_back;
}

// In restoring mode, with us logged in.
Status RestoreRun::BringUp() {
  TM_ASSIGN_OR_RETURN(access_, ClientAccess::Make(files_, receipt_.directory));
  const auto go_on = GoOnIn(RestorePhase::kProvision);
  if (server_->running() && LogInWithKeptSecret().ok())
    return server_->Start(ServerInstance::Mode::kRestoring, go_on);  // it may be in the other mode
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> account, AccountStatements());
  TM_RETURN_IF_ERROR(server_->Start(ServerInstance::Mode::kRestoring, go_on, account));
  TM_RETURN_IF_ERROR(access_->LogInAs(Login(kRestoreUser, state_.secret_file)));
  return Remember(state_.step);
}

Status RestoreRun::LogInWithKeptSecret() {
  if (state_.secret_file.empty() || !files_.Exists(state_.secret_file))
    return Status(Code::kNotFound, "no secret was kept");
  TM_RETURN_IF_ERROR(access_->LogInAs(Login(kRestoreUser, state_.secret_file)));
  return Status(access_->Connect().error());
}

// Only we, and what we applied, may have been here.
Status RestoreRun::CheckNobodyUsedIt(const GtidSet& executed) {
  const std::string& directory = receipt_.directory;
  TM_ASSIGN_OR_RETURN(const Coverage coverage, archive_.ReadCoverage());
  const GtidSet errant = executed.Minus(coverage.end);
  if (!errant.empty())
    return Status(Code::kTargetRefused,
                  "the server in " + directory +
                      " has executed transactions that the source never had: " + Abridged(errant),
                  "somebody uses it; restore into another directory");
  const GtidSet expected = state_.step >= RestoreStep::kApplied ? state_.end_set : state_.base;
  const GtidSet lacking = expected.Minus(executed);
  if (lacking.empty()) return OkStatus();
  return Status(Code::kTargetRefused,
                "the server in " + directory + " lacks what it had: " + Abridged(lacking),
                "its data was exchanged; restore into another directory");
}

// From what the server has executed: the plan from there, and the step that comes next.
Status RestoreRun::TakeItsPlace(const GtidSet& executed) {
  TM_RETURN_IF_ERROR(CheckNobodyUsedIt(executed));
  const bool applied = state_.step == RestoreStep::kApplied;
  const GtidSet base = options_.resume ? executed : prepared_.base.gtid_set;
  TM_ASSIGN_OR_RETURN(ProvedPlan proved,
                      PlanRestore(archive_, options_.point, base, state_.surgery, options_.surgery,
                                  receipt_.directory, /*for_pipe=*/false));
  prepared_.plan = std::move(proved.plan);
  if (!options_.resume) {  // beyond the boundary is seen above for what is the base only
    const GtidSet beyond = executed.Minus(prepared_.plan.end_set);
    if (!beyond.empty())
      return Status(Code::kUnreachableTarget,
                    receipt_.directory + " is past the target (" + options_.point.ToString() +
                        ") already: it has executed " + Abridged(beyond),
                    "bring it to a later target with --resume");
  }
  prepared_.base.gtid_set = base;
  receipt_.plan = prepared_.plan;
  receipt_.base = prepared_.base;
  state_.point = options_.point;
  state_.surgery = prepared_.plan.surgery;
  state_.base = base;
  state_.end_set = prepared_.plan.end_set;
  const bool all = executed == prepared_.plan.end_set;
  return Remember(applied && all ? RestoreStep::kApplied : RestoreStep::kApplying);
}

}  // namespace tidemark
