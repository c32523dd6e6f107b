// What our server is asked and told in SQL.
#include <algorithm>

#include "pitr/restore/client_access.h"
#include "pitr/restore/server_instance.h"

namespace tidemark {
namespace {

// Where the performance schema is off, too (which it is while restoring).
Result<bool> RedoEnabled(Connection& connection) {
  Result<QueryResult> answer =
      connection.Query("SHOW GLOBAL STATUS LIKE 'Innodb_redo_log_enabled'");
  if (!answer.ok()) return TargetError(answer.error());
  if (answer->rows.empty())
    return Status(Code::kTargetRefused,
                  "the server does not say whether its redo log is on (it is " +
                      connection.ServerVersion() + ")",
                  "MySQL 8.0.21 or newer is needed");
  return answer->Text(answer->rows[0], "Value") == "ON";
}

Status SwitchRedo(Connection& connection, bool on) {
  TM_ASSIGN_OR_RETURN(const bool was_on, RedoEnabled(connection));
  if (was_on == on) return OkStatus();
  const Result<QueryResult> done = connection.Query(
      std::string("ALTER INSTANCE ") + (on ? "ENABLE" : "DISABLE") + " INNODB REDO_LOG");
  if (!done.ok()) return TargetError(done.error());
  TM_ASSIGN_OR_RETURN(const bool is_on, RedoEnabled(connection));
  if (is_on == on) return OkStatus();
  return Status(Code::kTargetRefused,
                std::string("the server's redo log is still ") + (on ? "off" : "on"));
}

struct Required {
  const char* variable;
  std::vector<std::string> values;
};

}  // namespace

Status ServerInstance::DisableRedo(Connection& connection) { return SwitchRedo(connection, false); }

Status ServerInstance::EnableRedo(Connection& connection) { return SwitchRedo(connection, true); }

Status ServerInstance::CheckDurable(Connection& connection) {
  const Required required[] = {{"log_bin", {"1"}},
                               {"sync_binlog", {"1"}},
                               {"innodb_flush_log_at_trx_commit", {"1"}},
                               {"innodb_doublewrite", {"ON", "1", "DETECT_AND_RECOVER"}},
                               {"innodb_force_recovery", {"0"}},
                               {"gtid_mode", {"ON"}},
                               {"enforce_gtid_consistency", {"ON"}}};
  std::string wrong;
  const auto complain = [&wrong](const std::string& what) {
    wrong += (wrong.empty() ? "" : ", ") + what;
  };
  for (const Required& one : required) {
    const Result<QueryResult> answer =
        connection.Query("SELECT @@GLOBAL." + std::string(one.variable) + " AS value");
    if (!answer.ok()) return TargetError(answer.error());
    const std::string value =
        answer->rows.empty() ? std::string() : answer->Text(answer->rows[0], "value");
    if (std::find(one.values.begin(), one.values.end(), value) == one.values.end())
      complain(std::string(one.variable) + " is " + value);
  }
  TM_ASSIGN_OR_RETURN(const bool redo, RedoEnabled(connection));
  if (!redo) complain("its redo log is off");
  const Result<QueryResult> replication = connection.Query("SHOW REPLICA STATUS");
  if (!replication.ok()) return TargetError(replication.error());
  if (!replication->rows.empty()) complain("replication is configured");
  if (wrong.empty()) return OkStatus();
  return Status(Code::kTargetRefused, "the restored server is not safe to hand over: " + wrong,
                "look for the option that makes it so");
}

}  // namespace tidemark
