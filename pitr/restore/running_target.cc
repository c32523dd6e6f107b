#include "pitr/restore/running_target.h"

#include <cstdlib>

#include "pitr/restore/client_access.h"
#include "pitr/restore/replica_applier.h"
#include "pitr/restore/restore_channel.h"

namespace tidemark {
namespace {

constexpr size_t kEventsNamedMax = 10;
constexpr int kLockSecondsMax = 3;  // a server sees that a client was killed when it answers it
constexpr uint64_t kLargestPacket = 1ULL << 30;

Status Refused(const Connection& connection, const std::string& what, const std::string& hint) {
  return Status(Code::kTargetRefused,
                "the restore target " + connection.options().Endpoint() + " " + what, hint);
}

// ER_SPECIFIC_ACCESS_DENIED_ERROR
bool LacksRight(const Status& error) {
  return error.message().find("(MySQL error 1227)") != std::string::npos;
}

Status CheckReplicatesNothing(Connection& connection, bool* restore_channel) {
  Result<QueryResult> channels = connection.Query(
      connection.VersionNumber() >= 80022 ? "SHOW REPLICA STATUS" : "SHOW SLAVE STATUS");
  if (!channels.ok()) return TargetError(channels.error()).WithHint(kNeededRights);
  for (const QueryResult::Row& row : channels->rows) {
    if (channels->Text(row, "Channel_Name") == kRestoreChannel) {
      *restore_channel = true;
      continue;
    }
    const auto runs = [&](const char* replica, const char* slave) {
      const std::string state = channels->Text(row, channels->Column(replica) ? replica : slave);
      return !state.empty() && state != "No";
    };
    if (!runs("Replica_IO_Running", "Slave_IO_Running") &&
        !runs("Replica_SQL_Running", "Slave_SQL_Running"))
      continue;
    return Refused(
        connection,
        "replicates from " +
            channels->Text(row, channels->Column("Source_Host") ? "Source_Host" : "Master_Host") +
            " (channel \"" + channels->Text(row, "Channel_Name") + "\")",
        "STOP REPLICA there first, or name another target");
  }
  return OkStatus();
}

}  // namespace

Result<std::string> QueryTargetValue(Connection& connection, const std::string& sql) {
  Result<QueryResult> result = connection.Query(sql);
  if (!result.ok()) return TargetError(result.error());
  if (result->rows.size() != 1 || result->rows[0].size() != 1)
    return Refused(connection, "gave no single value to: " + sql, {});
  return result->rows[0][0].value_or("");
}

Status TakeRestoreLock(Connection& connection) {
  TM_ASSIGN_OR_RETURN(
      const std::string got,
      QueryTargetValue(connection, std::string("SELECT GET_LOCK('") + kRestoreChannel + "', " +
                                       std::to_string(kLockSecondsMax) + ")"));
  if (got == "1") return OkStatus();
  return Status(Code::kLocked,
                "another pitr restores into " + connection.options().Endpoint() + " right now",
                "wait until it is done, or stop it");
}

Status ExecuteOnTarget(Connection& connection, const std::string& sql) {
  const Result<QueryResult> result = connection.Query(sql);
  return result.ok() ? OkStatus() : TargetError(result.error());
}

Result<GtidSet> ReadGtidExecuted(Connection& connection) {
  TM_ASSIGN_OR_RETURN(const std::string text,
                      QueryTargetValue(connection, "SELECT @@GLOBAL.gtid_executed"));
  Result<GtidSet> set = GtidSet::Parse(text);
  if (!set.ok())
    return Refused(connection, "has a gtid_executed that cannot be read: " + set.error().message(),
                   {});
  return set;
}

Result<TargetFacts> InspectRunningTarget(Connection& connection) {
  if (connection.IsMariaDb() || connection.VersionNumber() < 80000)
    return Refused(connection, "is version " + connection.ServerVersion(),
                   "a MySQL 8.0 or newer is needed");
  TM_ASSIGN_OR_RETURN(const std::string mode,
                      QueryTargetValue(connection, "SELECT @@GLOBAL.gtid_mode"));
  if (mode != "ON")
    return Refused(connection, "has gtid_mode=" + mode,
                   "set gtid_mode=ON and enforce_gtid_consistency=ON there");
  TM_ASSIGN_OR_RETURN(
      const std::string read_only,
      QueryTargetValue(connection, "SELECT @@GLOBAL.super_read_only OR @@GLOBAL.read_only"));
  if (!read_only.starts_with('0'))
    return Refused(connection, "is read-only",
                   "SET GLOBAL super_read_only=OFF, read_only=OFF there, for the restore");
  TM_RETURN_IF_ERROR(TakeRestoreLock(connection));
  TM_RETURN_IF_ERROR(
      ExecuteOnTarget(connection, std::string("DO RELEASE_LOCK('") + kRestoreChannel + "')"));
  TargetFacts facts;
  TM_RETURN_IF_ERROR(CheckReplicatesNothing(connection, &facts.restore_channel));
  facts.server_version = connection.ServerVersion();
  TM_ASSIGN_OR_RETURN(facts.gtid_executed, ReadGtidExecuted(connection));
  TM_ASSIGN_OR_RETURN(const std::string packet,
                      QueryTargetValue(connection, "SELECT @@GLOBAL.max_allowed_packet"));
  if (std::strtoull(packet.c_str(), nullptr, 10) < kLargestPacket)
    facts.warnings.push_back("the target's max_allowed_packet is " + packet +
                             ": an event of more than 3/4 of that fails");
  TM_ASSIGN_OR_RETURN(const std::string events,
                      QueryTargetValue(connection, "SELECT @@GLOBAL.event_scheduler"));
  if (events == "ON")
    facts.warnings.push_back(
        "the target's event scheduler is on: an event that fires adds a transaction of its own, "
        "and the end state is missed");
  return facts;
}

Status CheckReplicaRights(Connection& connection, const NeededRights& needed) {
  const std::string of_nobody = " FOR CHANNEL 'tidemark_privilege_check'";
  std::vector<std::string> probes = {"STOP REPLICA" + of_nobody, "RESET REPLICA ALL" + of_nobody};
  if (needed.sets_workers)
    probes.push_back(connection.VersionNumber() >= 80026
                         ? "SET GLOBAL replica_parallel_workers = @@GLOBAL.replica_parallel_workers"
                         : "SET GLOBAL slave_parallel_workers = @@GLOBAL.slave_parallel_workers");
  if (needed.skips) probes.push_back("SET SESSION gtid_next = 'AUTOMATIC'");
  for (const std::string& probe : probes) {
    const Result<QueryResult> answer = connection.Query(probe);
    if (!answer.ok() && LacksRight(answer.error()))
      return TargetError(answer.error()).WithHint(kNeededRights);
  }
  return OkStatus();
}

Status CheckIdentity(Connection& connection, const std::set<Uuid>& uuids,
                     const std::set<uint32_t>& server_ids) {
  TM_ASSIGN_OR_RETURN(const std::string uuid,
                      QueryTargetValue(connection, "SELECT @@GLOBAL.server_uuid"));
  const Result<Uuid> parsed = Uuid::Parse(uuid);
  if (parsed.ok() && uuids.contains(*parsed))
    return Refused(
        connection,
        "has the server UUID of an archived server, " + uuid +
            ": it is that server, or a copy of it that would give out its GTIDs again",
        "if it is a copy, stop it, remove auto.cnf from its data directory and start it: "
        "it makes itself a UUID of its own");
  TM_ASSIGN_OR_RETURN(const std::string id,
                      QueryTargetValue(connection, "SELECT @@GLOBAL.server_id"));
  if (!server_ids.contains(static_cast<uint32_t>(std::strtoul(id.c_str(), nullptr, 10))))
    return OkStatus();
  return Refused(connection,
                 "has server_id " + id +
                     ", which is that of archived transactions: a replica passes over its own",
                 "SET GLOBAL server_id to a number that no archived server has had");
}

Result<std::vector<std::string>> UndecidedXaWarnings(Connection& connection) {
  Result<QueryResult> prepared = connection.Query("XA RECOVER");
  std::vector<std::string> warnings;
  // XAER_RMERR is what a login without the right gets.
  if (!prepared.ok() &&
      prepared.error().message().find("(MySQL error 1401)") != std::string::npos) {
    warnings.push_back(
        "whether XA transactions are prepared and not decided could not be asked: the login lacks "
        "XA_RECOVER_ADMIN");
    return warnings;
  }
  if (!prepared.ok()) return TargetError(prepared.error());
  if (!prepared->rows.empty())
    warnings.push_back(std::to_string(prepared->rows.size()) +
                       " XA transactions are prepared and not decided at this point; XA RECOVER "
                       "lists them, and they "
                       "hold their locks until XA COMMIT or XA ROLLBACK");
  return warnings;
}

Result<std::vector<std::string>> DisabledEventsWarnings(Connection& connection) {
  Result<QueryResult> events = connection.Query(
      "SELECT CONCAT(event_schema, '.', event_name) FROM information_schema.events WHERE status "
      "NOT "
      "IN ('ENABLED', 'DISABLED') ORDER BY 1");
  if (!events.ok()) return TargetError(events.error());
  std::string names;
  for (size_t i = 0; i < events->rows.size() && i < kEventsNamedMax; ++i)
    names += (i == 0 ? "" : ", ") + events->rows[i][0].value_or("");
  if (events->rows.size() > kEventsNamedMax)
    names += " and " + std::to_string(events->rows.size() - kEventsNamedMax) + " more";
  std::vector<std::string> warnings;
  if (!names.empty())
    warnings.push_back("replication leaves events disabled (DISABLE ON REPLICA): " + names +
                       "; ALTER EVENT … ENABLE those that are to run when this server takes over");
  return warnings;
}

}  // namespace tidemark
