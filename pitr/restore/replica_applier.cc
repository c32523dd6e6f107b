#include "pitr/restore/replica_applier.h"

#include <sys/random.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "pitr/abridged.h"
#include "pitr/restore/restore_channel.h"
#include "pitr/restore/running_target.h"
#include "pitr/serve/replica_server.h"
#include "replication/base/failpoint.h"
#include "replication/base/loopback.h"
#include "replication/source/connection_options.h"

namespace tidemark {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr auto kTick = std::chrono::milliseconds(100);
// From here on the server is asked to wake us when all is there. Not before: each commit wakes it.
constexpr uint64_t kNearEndTransactions = 5000;
constexpr char kNearEndSeconds[] = "0.1";
constexpr auto kDiskLookInterval = std::chrono::seconds(2);
constexpr auto kReconnectPatience = std::chrono::seconds(10);
constexpr size_t kReplicationPasswordBytesMax = 32;  // of SOURCE_PASSWORD
constexpr unsigned kSourceFatalError = 1236, kLoggedSourceFatalError = 13114;
constexpr uint32_t kCleanUpReadTimeoutSeconds = 20;
// STOP REPLICA may take a minute, if the applier stands inside a transaction.
constexpr uint32_t kReadTimeoutSecondsMin = 180;
constexpr int kLockOutlivesUsSeconds = 60;

Uuid RandomUuid() {
  Uuid uuid;
  TM_CHECK(::getentropy(uuid.bytes.data(), uuid.bytes.size()) == 0);
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0f) | 0x40);  // RFC 9562, version 4
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3f) | 0x80);
  return uuid;
}

// One Apply. Lives on its stack.
class ReplicaRun {
 public:
  ReplicaRun(const ClientAccess& access, const ReplicaApplierOptions& options,
             const SourceAccess& archive, const Plan& plan, const Applier::OnProgress& on_progress)
      : access_(access),
        options_(options),
        archive_(archive),
        plan_(plan),
        on_progress_(on_progress),
        wanted_(plan.to_apply.Minus(plan.surgery.leave_out)) {}

  Status Go() {
    Result<std::unique_ptr<Connection>> connected = Connection::Open(PatientLogin());
    if (!connected.ok()) return TargetError(connected.error());
    target_ = std::move(*connected);
    TM_RETURN_IF_ERROR(CheckCanReplicate(*target_));
    if (!options_.target_is_ours) TM_RETURN_IF_ERROR(LockTarget());
    TM_RETURN_IF_ERROR(RemoveRestoreChannel(*target_));
    TM_RETURN_IF_ERROR(CommitSkipped());
    TM_RETURN_IF_ERROR(Look());
    if (missing_.empty()) return OkStatus();
    TM_RETURN_IF_ERROR(StartServer());
    const Status applied = Replicate();
    const Status cleaned = CleanUp(applied);
    if (applied.ok()) return cleaned.ok() ? cleaned : LostTarget(cleaned);
    if (cleaned.ok() || options_.target_is_ours) return applied;
    return Status(applied.code(), applied.message(),
                  (applied.hint().empty() ? "" : applied.hint() + "; ") + "replication channel '" +
                      kRestoreChannel + "' could not be removed from the target");
  }

 private:
  ConnectionOptions PatientLogin() const {
    ConnectionOptions login = access_.connection();
    login.read_timeout_s = std::max(login.read_timeout_s, kReadTimeoutSecondsMin);
    return login;
  }

  // Of two at once one would remove the other's channel. A lock of the server goes with this
  // connection: when we are killed, or with wait_timeout if the network was cut.
  Status LockTarget() {
    TM_RETURN_IF_ERROR(ExecuteOnTarget(
        *target_, "SET SESSION wait_timeout = " + std::to_string(kLockOutlivesUsSeconds)));
    return TakeRestoreLock(*target_);
  }

  // What is executed, and what of the plan is not; tells the caller, who may stop us.
  Status Look() {
    TM_RETURN_IF_ERROR(options_.target_lives());
    Result<GtidSet> executed = ReadGtidExecuted(*target_);
    if (!executed.ok()) return LostTarget(executed.error());
    const uint64_t before = missing_.Count();
    executed_ = std::move(*executed);
    missing_ = wanted_.Minus(executed_);
    const uint64_t all = wanted_.Count(), missing = missing_.Count();
    if (missing != before) progressed_ = SteadyClock::now();
    // The server tells no bytes; transactions stand for them.
    const auto share =
        all == 0 ? 1.0 : static_cast<double>(all - missing) / static_cast<double>(all);
    if (!on_progress_({all - missing, all,
                       static_cast<uint64_t>(share * static_cast<double>(plan_.raw_bytes))}))
      return Status(Code::kInterrupted, "interrupted while applying");
    return OkStatus();
  }

  // Whoever watches the target's process knows better why it does not answer.
  Status LostTarget(const Status& error) {
    TM_RETURN_IF_ERROR(options_.target_lives());
    return error;
  }

  Status CommitSkipped() {
    TM_RETURN_IF_ERROR(Look());
    const GtidSet skip = plan_.surgery.skip.Intersection(missing_);
    if (skip.empty()) return OkStatus();
    auto looked = SteadyClock::now();
    Status status;
    for (const auto& [tsid, intervals] : skip.map())
      for (const GnoInterval& interval : intervals)
        for (int64_t gno = interval.first; status.ok() && gno <= interval.last; ++gno) {
          status = CommitEmpty(Gtid{tsid, gno});
          if (!status.ok() || SteadyClock::now() - looked < kTick) continue;
          looked = SteadyClock::now();
          if (!on_progress_({wanted_.Count() - missing_.Count(), wanted_.Count(), 0}))
            status = Status(Code::kInterrupted, "interrupted while skipping transactions");
        }
    const Status automatic = ExecuteOnTarget(*target_, "SET GTID_NEXT = 'AUTOMATIC'");
    return status.ok() ? automatic : status;
  }

  Status CommitEmpty(const Gtid& gtid) {
    for (const std::string& sql :
         {"SET GTID_NEXT = '" + gtid.ToString() + "'", std::string("BEGIN"), std::string("COMMIT")})
      if (const Status done = ExecuteOnTarget(*target_, sql); !done.ok())
        return LostTarget(Status(done).WithContext("skipping " + gtid.ToString()));
    return OkStatus();
  }

  Status StartServer() {
    TM_ASSIGN_OR_RETURN(const std::string target_id,
                        QueryTargetValue(*target_, "SELECT @@GLOBAL.server_id"));
    password_ = RandomSecret().substr(0, kReplicationPasswordBytesMax);
    std::string workers;
    if (options_.workers != 0) {
      TM_ASSIGN_OR_RETURN(workers, ReadWorkers(*target_));
    }
    user_ = ChannelUser(workers);
    ServedSource source;
    source.name = archive_.source();
    source.server_uuid = RandomUuid();
    source.server_id =
        RandomServerId(static_cast<uint32_t>(std::strtoul(target_id.c_str(), nullptr, 10)));
    source.open_feed = archive_.feeds();
    source.stop_before = plan_.boundary.first_excluded;
    source.boundary_set = plan_.boundary.set;
    source.leave_out = plan_.surgery.leave_out;
    ServeOptions serve;
    serve.listen_address = options_.serve_address;
    serve.tls_required = !IsLoopback(options_.serve_address);
    serve.accounts = {ServeAccount{user_, password_, source.name}};
    serve.sources.push_back(std::move(source));
    TM_ASSIGN_OR_RETURN(server_, ReplicaServer::Start(std::move(serve)));
    return OkStatus();
  }

  Status Replicate() {
    TM_RETURN_IF_ERROR(ConfigureChannel(*target_,
                                        {.host = options_.serve_address,
                                         .port = server_->port(),
                                         .user = user_,
                                         .password = password_,
                                         .tls = !IsLoopback(options_.serve_address)},
                                        plan_.surgery));
    if (options_.workers != 0) {
      TM_ASSIGN_OR_RETURN(workers_before_, SetWorkers(*target_, std::to_string(options_.workers)));
    }
    // The stream ends before it anyway; the target would stop by itself, too.
    std::optional<Gtid> until;
    if (plan_.boundary.first_excluded &&
        !executed_.Contains(plan_.boundary.first_excluded->transaction.gtid))
      until = plan_.boundary.first_excluded->transaction.gtid;
    progressed_ = SteadyClock::now();
    TM_RETURN_IF_ERROR(StartChannel(*target_, until));
    return Watch();
  }

  Status Watch() {
    for (;;) {
      // Status first: a channel that has stopped by then is judged by what it had executed.
      Result<std::optional<ChannelStatus>> status = ReadChannelStatus(*target_);
      if (!status.ok()) return LostTarget(status.error());
      TM_RETURN_IF_ERROR(Look());
      if (missing_.empty()) return OkStatus();
      if (missing_.Count() < wanted_.Count()) TM_FAILPOINT("restore.mid-apply");
      if (!*status)
        return Status(Code::kTargetRefused,
                      "somebody removed replication channel '" + std::string(kRestoreChannel) +
                          "' from the restore target while it was in use",
                      "run the restore again");
      TM_RETURN_IF_ERROR(CheckApplier(**status));
      TM_RETURN_IF_ERROR(CheckReceiver(**status));
      TM_RETURN_IF_ERROR(CheckDisk(**status));
      Pause();
    }
  }

  void Pause() {
    if (missing_.Count() > kNearEndTransactions) return std::this_thread::sleep_for(kTick);
    const auto since = SteadyClock::now();
    // An error shows at the next look.
    const bool ok = target_
                        ->Query("SELECT WAIT_FOR_EXECUTED_GTID_SET('" + missing_.ToString() +
                                "', " + kNearEndSeconds + ")")
                        .ok();
    if (!ok) std::this_thread::sleep_until(since + kTick);
  }

  Status CheckApplier(const ChannelStatus& status) {
    if (status.applier_runs) return OkStatus();
    // It may have read into an event of which no more could be written.
    if (WaitsForDiskSpace(*target_, status)) return DiskFull();
    if (status.applier_error != 0)
      return ApplierErrorStatus(WhyApplierStopped(*target_, status, options_.log_tail()));
    return Status(Code::kTargetRefused,
                  "the restore target's applier stopped without an error before the end; not "
                  "applied: " +
                      Abridged(missing_),
                  "did somebody STOP REPLICA? run the restore again");
  }

  Status CheckReceiver(const ChannelStatus& status) {
    const Status ours = WhyNotServed();
    const bool fatal = status.receiver_error == kSourceFatalError ||
                       status.receiver_error == kLoggedSourceFatalError;
    if (status.receiver == ReceiverState::kRunning) return OkStatus();
    // It tries again; but not for ever, if it is us who send it away each time.
    if (status.receiver == ReceiverState::kConnecting)
      return ours.ok() || SteadyClock::now() - progressed_ < kReconnectPatience ? OkStatus() : ours;
    if (fatal && !ours.ok()) return ours;
    if (status.receiver_error == 0)
      return Status(Code::kTargetRefused,
                    "the restore target's receiver stopped without an error before the end",
                    "did somebody STOP REPLICA? run the restore again");
    return ReceiverError(status);
  }

  // To the server of the stream the target is a replica that it refuses.
  Status WhyNotServed() {
    const Status ours = server_->LastDumpError();
    if (ours.code() != Code::kSourceRefused) return ours;
    return Status(Code::kTargetRefused, "the restore target: " + ours.message(), ours.hint());
  }

  Status ReceiverError(const ChannelStatus& status) {
    const std::string said =
        "error " + std::to_string(status.receiver_error) + ": " + status.receiver_said;
    if (SaysDiskFull(status.receiver_error, status.receiver_said))
      return Status(Code::kDiskFull, "the restore target's disk is full: " + said,
                    "make room for its relay log, then restore again");
    const std::string where = options_.serve_address + ":" + std::to_string(server_->port());
    const bool unreached = status.receiver_error >= 2000 && status.receiver_error < 3000;
    return Status(
        Code::kTargetRefused,
        "the restore target could not fetch transactions from us at " + where + ": " + said,
        unreached ? "the target connects to us: name an address of this machine that it "
                    "can reach, and let the port through, or use --applier pipe"
                  : "see the target's error log");
  }

  Status CheckDisk(const ChannelStatus& status) {
    const auto now = SteadyClock::now();
    if (now - progressed_ < options_.disk_patience || now - disk_checked_ < kDiskLookInterval)
      return OkStatus();
    disk_checked_ = now;
    return WaitsForDiskSpace(*target_, status) ? DiskFull() : OkStatus();
  }

  Status DiskFull() {
    stuck_ = true;
    std::string log = options_.log_tail();
    const size_t at = log.rfind("Disk is full");
    log = at == std::string::npos ? "" : ": " + log.substr(at, log.find('\n', at) - at);
    return Status(Code::kDiskFull, "the restore target waits for space on its full disk" + log,
                  "make room where its data and relay logs are, then restore again");
  }

  // Stops and removes the channel, whatever happened before. A target that is stuck may not even do
  // that: it is not waited for.
  Status CleanUp(const Status& applied) {
    if (!applied.ok()) {
      TM_RETURN_IF_ERROR(options_.target_lives());
      ConnectionOptions again = PatientLogin();
      if (stuck_) again.read_timeout_s = kCleanUpReadTimeoutSeconds;
      Result<std::unique_ptr<Connection>> connection = Connection::Open(again);
      if (!connection.ok()) return TargetError(connection.error());
      target_ = std::move(*connection);
      if (stuck_) KillThoseWaitingForDiskSpace(*target_);
    }
    TM_RETURN_IF_ERROR(RemoveRestoreChannel(*target_, applied.ok()));
    if (!workers_before_) return OkStatus();
    const auto put_back = SetWorkers(*target_, *workers_before_);
    return put_back.ok() ? OkStatus() : put_back.error();
  }

  const ClientAccess& access_;
  const ReplicaApplierOptions& options_;
  const SourceAccess& archive_;
  const Plan& plan_;
  const Applier::OnProgress& on_progress_;
  const GtidSet wanted_;

  std::unique_ptr<Connection> target_;
  std::unique_ptr<ReplicaServer> server_;
  std::string user_, password_;
  std::optional<std::string> workers_before_;
  GtidSet executed_, missing_;
  SteadyClock::time_point progressed_ = SteadyClock::now();
  SteadyClock::time_point disk_checked_ = {};
  bool stuck_ = false;
};

}  // namespace

Status ReplicaApplier::Apply(SourceAccess& archive, const Plan& plan,
                             const OnProgress& on_progress) {
  return ReplicaRun(access_, options_, archive, plan, on_progress).Go();
}

}  // namespace tidemark
