#include "pitr/restore/restore_channel.h"

#include <chrono>
#include <cstdlib>
#include <stop_token>
#include <thread>

#include "pitr/restore/client_access.h"
#include "pitr/restore/replica_applier.h"
#include "pitr/restore/running_target.h"
#include "replication/base/stoppable_sleep.h"

namespace tidemark {
namespace {

constexpr uint32_t kOldestVersion = 80023;     // CHANGE REPLICATION SOURCE TO
constexpr uint32_t kReplicaVariables = 80026;  // replica_parallel_workers, was slave_…
constexpr double kHeartbeatSeconds = 2;
constexpr int kKillLooks = 50;
constexpr uint32_t kLookTimeoutSeconds = 5;
constexpr auto kKillLookInterval = std::chrono::milliseconds(100);
constexpr char kUserPrefix[] = "tidemark_";
constexpr char kHasReadAll[] = "has read all relay log";
constexpr char kWaitingForDisk[] = "Waiting for disk space";

std::string ForChannel() { return std::string(" FOR CHANNEL '") + kRestoreChannel + "'"; }

std::string WorkersVariable(const Connection& target) {
  return std::string("GLOBAL.") +
         (target.VersionNumber() >= kReplicaVariables ? "replica" : "slave") + "_parallel_workers";
}

Status Unprivileged(Status status) {
  if (status.ok() || status.message().find("privilege") == std::string::npos) return status;
  return std::move(status).WithHint(kNeededRights);
}

unsigned Number(const std::string& text) {
  return static_cast<unsigned>(std::strtoul(text.c_str(), nullptr, 10));
}

ReceiverState ParseReceiverState(const std::string& text) {
  if (text == "Yes") return ReceiverState::kRunning;
  return text == "Connecting" ? ReceiverState::kConnecting : ReceiverState::kStopped;
}

// The error of the worker that the coordinator's message names: others may have stopped for it.
std::optional<ApplierError> WorkerError(Connection& target, const ChannelStatus& status) {
  const Result<QueryResult> workers =
      target.Query(std::string("SELECT LAST_ERROR_NUMBER, LAST_ERROR_MESSAGE FROM "
                               "performance_schema.replication_applier_status_by_worker WHERE "
                               "LAST_ERROR_NUMBER <> 0 AND CHANNEL_NAME = '") +
                   kRestoreChannel + "'");
  if (!workers.ok()) return std::nullopt;  // it is optional
  const std::string wanted = ParseApplierError(0, status.applier_said).gtid;
  std::optional<ApplierError> found;
  for (const QueryResult::Row& row : workers->rows) {
    ApplierError error = ParseApplierError(Number(row[0].value_or("")), row[1].value_or(""));
    if (!found || (!wanted.empty() && error.gtid == wanted)) found = std::move(error);
  }
  return found;
}

// While it lives: ends an applier that has come to the end of its relay log in the middle of a
// transaction. It would wait a minute for the rest before it heeds STOP REPLICA (rpl_replica.cc,
// sql_slave_killed), though no receiver runs any more, and whatever else is said to the channel
// waits with it: also behind the STOP REPLICA of a restore that was killed meanwhile. A KILL it
// heeds at its next checkpoint (replica_checkpoint_period, 0.3 s); what is not whole is rolled back
// either way. One that has more to read stops between two transactions. Without a second
// connection, or the right to, it takes its minute.
class StarvedApplierEnd {
 public:
  explicit StarvedApplierEnd(const ConnectionOptions& target)
      : thread_([this, target](const std::stop_token& stop) { Run(target, stop); }) {}

 private:
  void Run(ConnectionOptions target, const std::stop_token& stop) {
    target.connect_timeout_s = target.read_timeout_s = kLookTimeoutSeconds;
    std::unique_ptr<Connection> connection;
    while (SleepUnlessStopped(stop, kKillLookInterval)) {
      if (connection == nullptr) {
        auto opened = Connection::Open(target);
        if (!opened.ok()) continue;
        connection = std::move(*opened);
      }
      if (!Look(*connection)) connection.reset();
    }
  }
  // No other channel runs: all threads of the replication are ours. False: the link is no good.
  static bool Look(Connection& target) {
    const Result<QueryResult> threads = target.Query("SHOW PROCESSLIST");
    if (!threads.ok()) return false;
    for (const QueryResult::Row& row : threads->rows)
      if (threads->Text(row, "User") == "system user" &&
          threads->Text(row, "State").find(kHasReadAll) != std::string::npos)
        (void)target.Query("KILL " + threads->Text(row, "Id")).ok();
    return true;
  }

  std::jthread thread_;
};

}  // namespace

Status CheckCanReplicate(const Connection& target) {
  if (!target.IsMariaDb() && target.VersionNumber() >= kOldestVersion) return OkStatus();
  return Status(Code::kTargetRefused,
                "the restore target: " + target.options().Endpoint() + " is version " +
                    target.ServerVersion() + ", and its replication needs 8.0.23 or newer",
                "use --applier pipe");
}

Status ConfigureChannel(Connection& target, const ChannelSource& source, const Surgery& surgery) {
  // Literals and filter patterns are written for this mode.
  TM_RETURN_IF_ERROR(ExecuteOnTarget(target, "SET SESSION sql_mode = ''"));
  TM_RETURN_IF_ERROR(Unprivileged(ExecuteOnTarget(
      target,
      "CHANGE REPLICATION SOURCE TO SOURCE_HOST = " + target.Quoted(source.host) +
          ", SOURCE_PORT = " + std::to_string(source.port) +
          ", SOURCE_USER = " + target.Quoted(source.user) +
          ", SOURCE_PASSWORD = " + target.Quoted(source.password) + ", SOURCE_AUTO_POSITION = 1" +
          (source.tls ? ", SOURCE_SSL = 1" : ", SOURCE_SSL = 0, GET_SOURCE_PUBLIC_KEY = 1") +
          ", SOURCE_HEARTBEAT_PERIOD = " + std::to_string(kHeartbeatSeconds) +
          ", SOURCE_CONNECT_RETRY = 1, SOURCE_RETRY_COUNT = " + std::to_string(kReconnectsMax) +
          ", SOURCE_DELAY = 0" + ForChannel())));
  TM_RETURN_IF_ERROR(Unprivileged(ExecuteOnTarget(
      target,
      "CHANGE REPLICATION FILTER REPLICATE_DO_DB = (), REPLICATE_IGNORE_DB = (), "
      "REPLICATE_DO_TABLE = (), REPLICATE_IGNORE_TABLE = (), REPLICATE_WILD_DO_TABLE = (), "
      "REPLICATE_WILD_IGNORE_TABLE = (), REPLICATE_REWRITE_DB = ()" +
          ForChannel())));
  const std::string filters = FilterStatement(surgery, kRestoreChannel);
  return filters.empty() ? OkStatus() : ExecuteOnTarget(target, filters);
}

Status StartChannel(Connection& target, const std::optional<Gtid>& until) {
  const Status started = ExecuteOnTarget(
      target, "START REPLICA" +
                  (until ? " UNTIL SQL_BEFORE_GTIDS = '" + until->ToString() + "'" : "") +
                  ForChannel());
  if (started.ok()) return started;
  const Result<std::string> id = QueryTargetValue(target, "SELECT @@GLOBAL.server_id");
  if (id.ok() && *id == "0")
    return Status(started).WithHint("SET GLOBAL server_id to a number of its own on the target");
  return started;
}

Result<std::optional<ChannelStatus>> ReadChannelStatus(Connection& target) {
  const Result<QueryResult> answer = target.Query("SHOW REPLICA STATUS");
  if (!answer.ok()) return Unprivileged(TargetError(answer.error()));
  for (const QueryResult::Row& row : answer->rows) {
    if (answer->Text(row, "Channel_Name") != kRestoreChannel) continue;
    ChannelStatus status;
    status.source_user = answer->Text(row, "Source_User");
    status.receiver = ParseReceiverState(answer->Text(row, "Replica_IO_Running"));
    status.receiver_doing = answer->Text(row, "Replica_IO_State");
    status.receiver_error = Number(answer->Text(row, "Last_IO_Errno"));
    status.receiver_said = answer->Text(row, "Last_IO_Error");
    status.applier_runs = answer->Text(row, "Replica_SQL_Running") == "Yes";
    status.applier_error = Number(answer->Text(row, "Last_SQL_Errno"));
    status.applier_said = answer->Text(row, "Last_SQL_Error");
    return std::optional(status);
  }
  return std::optional<ChannelStatus>();
}

ApplierError WhyApplierStopped(Connection& target, const ChannelStatus& status,
                               const std::string& log_tail) {
  if (auto error = WorkerError(target, status)) return *error;
  const ApplierError told = ParseApplierError(status.applier_error, status.applier_said);
  const auto logged = LastApplierErrorInLog(log_tail, kRestoreChannel);
  // An error that an earlier restore left in the log is not this one.
  const bool same =
      logged && logged->number == told.number && (told.gtid.empty() || logged->gtid == told.gtid);
  return same ? *logged : told;
}

bool WaitsForDiskSpace(Connection& target, const ChannelStatus& status) {
  if (status.receiver_doing == kWaitingForDisk) return true;
  const Result<QueryResult> threads = target.Query("SHOW PROCESSLIST");
  if (!threads.ok()) return false;
  for (const QueryResult::Row& row : threads->rows)
    if (threads->Text(row, "State") == kWaitingForDisk) return true;
  return false;
}

void KillThoseWaitingForDiskSpace(Connection& target) {
  // They look at it once a second; STOP REPLICA before they have would take it back (its signal to
  // a thread is a weaker one).
  for (int left = kKillLooks; left > 0; --left) {
    const Result<QueryResult> threads = target.Query("SHOW PROCESSLIST");
    if (!threads.ok()) return;
    bool waits = false;
    // No other channel runs: all threads of the replication are ours.
    for (const QueryResult::Row& row : threads->rows) {
      if (threads->Text(row, "State") != kWaitingForDisk ||
          threads->Text(row, "User") != "system user")
        continue;
      waits = true;
      (void)target.Query("KILL " + threads->Text(row, "Id")).ok();
    }
    if (!waits) return;
    std::this_thread::sleep_for(kKillLookInterval);
  }
}

std::string ChannelUser(const std::string& workers_before) {
  const std::string random = RandomSecret().substr(4, 16);
  return kUserPrefix + (workers_before.empty() ? "" : "w" + workers_before + "_") + random;
}

std::string WorkersBefore(const std::string& channel_user) {
  const std::string prefix = std::string(kUserPrefix) + "w";
  const size_t end = channel_user.find('_', prefix.size());
  if (!channel_user.starts_with(prefix) || end == std::string::npos) return {};
  const std::string workers = channel_user.substr(prefix.size(), end - prefix.size());
  return workers.find_first_not_of("0123456789") == std::string::npos ? workers : "";
}

Result<std::string> ReadWorkers(Connection& target) {
  return QueryTargetValue(target, "SELECT @@" + WorkersVariable(target));
}

Result<std::optional<std::string>> SetWorkers(Connection& target, const std::string& workers) {
  TM_ASSIGN_OR_RETURN(std::string before, ReadWorkers(target));
  if (before == workers) return std::optional<std::string>();
  TM_RETURN_IF_ERROR(
      Unprivileged(ExecuteOnTarget(target, "SET @@" + WorkersVariable(target) + " = " + workers)));
  return std::optional(std::move(before));
}

Status RemoveRestoreChannel(Connection& target, bool all_is_applied) {
  TM_ASSIGN_OR_RETURN(const auto channel, ReadChannelStatus(target));
  if (!channel) return OkStatus();
  {
    std::optional<StarvedApplierEnd> end;
    if (channel->applier_runs && !all_is_applied) end.emplace(target.options());
    for (const char* stop : {"STOP REPLICA IO_THREAD", "STOP REPLICA"})
      TM_RETURN_IF_ERROR(Unprivileged(ExecuteOnTarget(target, stop + ForChannel())));
  }
  if (const std::string before = WorkersBefore(channel->source_user); !before.empty()) {
    if (const auto put_back = SetWorkers(target, before); !put_back.ok()) return put_back.error();
  }
  return Unprivileged(ExecuteOnTarget(target, "RESET REPLICA ALL" + ForChannel()));
}

Result<bool> HasRestoreChannel(Connection& target) {
  TM_ASSIGN_OR_RETURN(const auto channel, ReadChannelStatus(target));
  return channel.has_value();
}

}  // namespace tidemark
