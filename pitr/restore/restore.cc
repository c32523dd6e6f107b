#include "pitr/restore/restore.h"

#include <algorithm>

#include "pitr/restore/continuation.h"
#include "pitr/restore/pipe_applier.h"
#include "pitr/restore/prepare.h"
#include "pitr/restore/replica_applier.h"
#include "pitr/restore/restore_run.h"
#include "pitr/restore/running_mysqld.h"
#include "pitr/restore/running_target.h"

namespace tidemark {
namespace {

// Of a finished server that somebody may have stopped since then.
int64_t PidOf(const std::string& directory) {
  const auto running = FindMysqld(JoinPath(directory, "data"), JoinPath(directory, "mysqld.pid"));
  if (!running) return 0;
  running->process->Release();
  return running->process->pid();
}

}  // namespace

void RestoreRun::TakePrepared(PreparedRestore prepared) {
  prepared_ = std::move(prepared);
  receipt_.plan = prepared_.plan;
  receipt_.base = prepared_.base;
  receipt_.base.path = AbsolutePath(receipt_.base.path);
  receipt_.warnings.insert(receipt_.warnings.end(), prepared_.warnings.begin(),
                           prepared_.warnings.end());
  receipt_.warnings.insert(receipt_.warnings.end(), prepared_.plan.warnings.begin(),
                           prepared_.plan.warnings.end());
}

Result<Receipt> RestoreRun::Run() {
  receipt_.started_us = clock_.WallMicroseconds();
  receipt_.provisioned = options_.target.provision;
  if (!Report(RestorePhase::kPlan)) return Status(Code::kInterrupted, "interrupted");
  if (options_.target.provision && options_.target.directory.empty())
    return Status(Code::kUsage, "no directory is named for the new server");
  TM_RETURN_IF_ERROR(CheckPlace(files_, archive_, options_));
  TM_ASSIGN_OR_RETURN(PreparedRestore prepared, PrepareRestore(files_, archive_, options_));
  if (!prepared.blockers.empty()) return prepared.blockers.front();
  TakePrepared(std::move(prepared));
  if (prepared_.found && !prepared_.found->source.empty()) {
    state_ = *prepared_.found;
    if (prepared_.finished) return AlreadyDone();
    ++state_.runs;
  } else {
    state_.started_us = receipt_.started_us;
    // A directory that was claimed and no more: nobody knows under which number.
    state_.server_id = static_cast<uint32_t>(receipt_.started_us % UINT32_MAX) + 1;
  }
  receipt_.runs = state_.runs;
  TM_RETURN_IF_ERROR(Finish(Act()));
  Report(RestorePhase::kDone);
  return std::move(receipt_);
}

Status RestoreRun::Act() {
  return options_.target.provision ? ActOnNewServer() : ActOnRunningTarget();
}

Status RestoreRun::ActOnRunningTarget() {
  TM_ASSIGN_OR_RETURN(access_, ClientAccess::Make(files_, TemporaryDirectory()));
  // Stopping replication waits for the transactions that are being applied.
  ConnectionOptions login = options_.target.connection;
  login.read_timeout_s = std::max(login.read_timeout_s, kReadTimeoutSeconds);
  TM_RETURN_IF_ERROR(access_->LogInAs(login));
  receipt_.socket = options_.target.connection.socket;
  receipt_.host = options_.target.connection.host;
  receipt_.port = receipt_.socket.empty() ? options_.target.connection.port : uint16_t{0};
  if (prepared_.left_over_channel) {
    TM_ASSIGN_OR_RETURN(auto connection, access_->Connect());
    TM_RETURN_IF_ERROR(RemoveRestoreChannel(*connection));
  }
  TM_RETURN_IF_ERROR(Apply());
  TM_RETURN_IF_ERROR(Assert());
  TM_ASSIGN_OR_RETURN(auto connection, access_->Connect());
  return WarnOfWhatIsLeft(*connection);
}

// What the restored server is otherwise than a client of the source would expect.
Status RestoreRun::WarnOfWhatIsLeft(Connection& connection) {
  TM_ASSIGN_OR_RETURN(const auto undecided, UndecidedXaWarnings(connection));
  TM_ASSIGN_OR_RETURN(const auto disabled, DisabledEventsWarnings(connection));
  for (const auto* warnings : {&undecided, &disabled})
    receipt_.warnings.insert(receipt_.warnings.end(), warnings->begin(), warnings->end());
  return OkStatus();
}

Status RestoreRun::ActOnNewServer() {
  TM_RETURN_IF_ERROR(prepared_.loads_base ? BeginAnew() : GoOn());
  receipt_.socket = server_->socket();
  if (state_.step != RestoreStep::kApplied) {
    TM_RETURN_IF_ERROR(Remember(RestoreStep::kApplying));
    {
      TM_ASSIGN_OR_RETURN(auto connection, access_->Connect());
      TM_RETURN_IF_ERROR(ServerInstance::DisableRedo(*connection));
    }
    TM_RETURN_IF_ERROR(Apply());
    TM_RETURN_IF_ERROR(Assert());
    TM_RETURN_IF_ERROR(Remember(RestoreStep::kApplied));
  }
  return HandOver();
}

Status RestoreRun::Apply() {
  const uint64_t total = prepared_.plan.transactions;
  if (!Report(RestorePhase::kApply, 0, total)) return Status(Code::kInterrupted, "interrupted");
  TM_ASSIGN_OR_RETURN(auto connection, access_->Connect());
  TM_ASSIGN_OR_RETURN(const GtidSet executed, ReadGtidExecuted(*connection));
  const std::string workers = connection->VersionNumber() >= 80026
                                  ? "SELECT @@GLOBAL.replica_parallel_workers"
                                  : "SELECT @@GLOBAL.slave_parallel_workers";
  if (options_.applier == ApplierKind::kReplica) {
    TM_ASSIGN_OR_RETURN(receipt_.workers, QueryTargetValue(*connection, workers));
    if (!server_ && options_.workers != 0) receipt_.workers = std::to_string(options_.workers);
  }
  receipt_.applier = ApplierKindName(options_.applier);
  const int64_t begun_us = clock_.MonotonicMicroseconds();
  TM_RETURN_IF_ERROR(RunApplier(executed));
  const double seconds = 1e-6 * static_cast<double>(clock_.MonotonicMicroseconds() - begun_us);
  // What an earlier run of this restore had applied was not applied by us.
  const GtidSet to_apply = prepared_.plan.end_set.Minus(prepared_.plan.base);
  const uint64_t all = to_apply.Count(), ours = to_apply.Minus(executed).Count();
  const double share = all == 0 ? 0 : static_cast<double>(ours) / static_cast<double>(all);
  receipt_.apply = {static_cast<uint64_t>(share * static_cast<double>(prepared_.plan.apply_bytes)),
                    seconds};
  return Report(RestorePhase::kApply, total, total) ? OkStatus()
                                                    : Status(Code::kInterrupted, "interrupted");
}

Status RestoreRun::RunApplier(const GtidSet& executed) {
  const Plan& plan = prepared_.plan;
  const auto on_progress = [this](const ApplyProgress& at) {
    return Report(RestorePhase::kApply, at.transactions_done, at.transactions);
  };
  if (options_.applier == ApplierKind::kPipe) {
    // It knows nothing of surgery, and gives everything that is not in the base.
    Plan rest = plan;
    rest.to_apply = plan.end_set.Minus(executed);
    rest.transactions = rest.to_apply.Count();
    rest.base = executed.Union(plan.surgery.leave_out);
    return PipeApplier(*access_, {prepared_.mysqlbinlog, prepared_.mysql})
        .Apply(archive_, rest, on_progress);
  }
  ReplicaApplierOptions options;
  options.workers = server_ ? 0 : options_.workers;  // a new server was started with them
  if (server_) {
    options.target_is_ours = true;
    options.target_lives = [this] { return server_->Alive(); };
    options.log_tail = [this] { return server_->LogTail(); };
  } else {
    options.serve_address = options_.serve_address;
  }
  return ReplicaApplier(*access_, std::move(options)).Apply(archive_, plan, on_progress);
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

void RestoreRun::AskWhereItIs() {
  if (!access_ || access_->connection().user.empty() || (server_ && server_->pid() == 0)) return;
  Result<std::unique_ptr<Connection>> connection = access_->Connect();
  if (!connection.ok()) return;
  if (Result<GtidSet> executed = ReadGtidExecuted(**connection); executed.ok())
    receipt_.gtid_executed = *executed;
}

std::string RestoreRun::FateOfDirectory() const {
  const std::string& directory = receipt_.directory;
  if (given_back_) return directory + " is as it was";
  if (state_.step < RestoreStep::kLoaded)
    return directory + " is not usable; the same command begins there anew";
  if (!receipt_.gtid_executed.Minus(prepared_.plan.end_set).empty())
    return directory + " is not usable and can be removed";
  return directory + " is not usable yet: run the same command again to go on from there";
}

Status RestoreRun::WithFate(const Status& error) {
  AskWhereItIs();
  std::string message = error.message(), hint = error.hint();
  if (error.code() == Code::kCorruption && hint.empty())
    hint =
        "pitr verify tells what is damaged; with a good copy in its place the same command goes on";
  const GtidSet missing = prepared_.plan.end_set.Minus(receipt_.gtid_executed);
  const bool rejected = error.code() == Code::kTargetRefused && !receipt_.applier.empty() &&
                        !receipt_.gtid_executed.empty() && !missing.empty();
  if (rejected)
    message += "; not applied from " + missing.map().begin()->first.ToString() + ":" +
               std::to_string(missing.map().begin()->second.front().first) + " on";
  if (server_) {
    message += "; " + FateOfDirectory();
    if (rejected && state_.step == RestoreStep::kApplying)
      hint += hint.find("--skip-gtid") == std::string::npos
                  ? std::string(hint.empty() ? "" : "; ") +
                        "--resume --skip-gtid GTID goes on without a transaction"
                  : "; either with --resume, to go on in this directory";
  } else {
    message += "; the target stands at " + (receipt_.gtid_executed.empty()
                                                ? std::string("an unknown GTID set")
                                                : Abridged(receipt_.gtid_executed));
    if (hint.empty()) hint = "run the same restore again without a dump, to go on from there";
  }
  return Status(error.code(), message, hint);
}

std::string RestoreRun::ReceiptPath() const {
  if (!options_.receipt_path.empty() || !options_.target.provision) return options_.receipt_path;
  return JoinPath(receipt_.directory, "receipt.json");
}

// Writes the receipt, and makes the error say what became of the target. A server with something in
// it that is worth going on from is stopped so that it can.
Status RestoreRun::Finish(Status outcome) {
  // Refused before anything was touched: there is nothing to put a receipt into.
  if (options_.target.provision && !server_) return outcome;
  if (!outcome.ok()) outcome = WithFate(outcome);
  if (!outcome.ok() && server_ && !given_back_) {
    if (state_.step < RestoreStep::kLoaded)
      server_->Kill();
    else if (const Status stopped = StopToGoOnLater(); !stopped.ok())
      Warn("stopping the server failed: " + stopped.message());
    if (!state_.secret_file.empty()) (void)files_.Remove(state_.secret_file);
  }
  access_.reset();
  receipt_.outcome = outcome.ok() ? "restored" : CodeName(outcome.code());
  receipt_.error = outcome;
  receipt_.finished_us = clock_.WallMicroseconds();
  if (const std::string path = ReceiptPath(); !path.empty() && !given_back_) {
    const Status written = WriteSmallFileDurably(files_, path, receipt_.ToJson());
    if (outcome.ok() && !written.ok()) return written;
  }
  return outcome;
}

// The same command again, after it was done. A run that was killed right before its end may not
// have written its receipt.
Result<Receipt> RestoreRun::AlreadyDone() {
  receipt_.directory = AbsolutePath(options_.target.directory);
  receipt_.outcome = "restored";
  receipt_.end_state_reached = true;
  receipt_.durable_checked = true;
  receipt_.gtid_executed = state_.end_set;
  receipt_.socket = state_.socket;
  receipt_.port = state_.port;
  receipt_.runs = state_.runs;
  receipt_.touched_nothing = true;
  receipt_.applier = ApplierKindName(options_.applier);
  receipt_.finished_us = clock_.WallMicroseconds();
  receipt_.mysqld_pid = PidOf(receipt_.directory);
  receipt_.start_command = {prepared_.mysqld,
                            "--defaults-file=" + JoinPath(receipt_.directory, "my.cnf")};
  Warn("this restore was done already: nothing was touched");
  if (const std::string path = ReceiptPath(); !files_.Exists(path))
    TM_RETURN_IF_ERROR(WriteSmallFileDurably(files_, path, receipt_.ToJson()));
  Report(RestorePhase::kDone);
  return std::move(receipt_);
}

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

Result<Receipt> RunRestore(FileSystem& files, Clock& clock, SourceAccess& archive,
                           const RestoreOptions& options, const OnRestoreProgress& progress) {
  return RestoreRun(files, clock, archive, options, progress).Run();
}

}  // namespace tidemark
