#include "replication/source/preflight.h"

#include <charconv>

#include "replication/source/preflight_rules.h"

namespace tidemark {
namespace {

constexpr uint32_t kFirstWithShowReplicas = 80022;

Status ReadVariables(Connection& connection, SourceSettings* settings) {
  std::string names;
  for (const std::string& name : kJudgedVariables) {
    names += (names.empty() ? "" : ",") + connection.Quoted(name);
  }
  // Not SELECT @@…: an older or newer server that lacks one of them would refuse the whole
  // statement.
  TM_ASSIGN_OR_RETURN(
      QueryResult answer,
      connection.Query("SHOW GLOBAL VARIABLES WHERE Variable_name IN (" + names + ")"));
  for (const QueryResult::Row& row : answer.rows) {
    settings->variables[answer.Text(row, "Variable_name")] = answer.Text(row, "Value");
  }
  return OkStatus();
}

// Privileges are found out by trying: SHOW GRANTS would have to be read through roles and partial
// revokes.
Status ReadReplicas(Connection& connection, SourceSettings* settings) {
  bool new_words = settings->version_number >= kFirstWithShowReplicas;
  Result<QueryResult> answer = connection.Query(new_words ? "SHOW REPLICAS" : "SHOW SLAVE HOSTS");
  if (!answer.ok()) {
    return answer.error().code() == Code::kSourceRefused ? OkStatus() : answer.error();
  }
  settings->may_replicate = true;
  for (const QueryResult::Row& row : answer->rows) {
    RegisteredReplica replica;
    std::string id = answer->Text(row, "Server_Id");
    std::from_chars(id.data(), id.data() + id.size(), replica.server_id);
    replica.host = answer->Text(row, "Host");
    replica.uuid = answer->Text(row, new_words ? "Replica_UUID" : "Slave_UUID");
    settings->replicas.push_back(std::move(replica));
  }
  return OkStatus();
}

Result<SourceSettings> ReadSettings(Connection& connection) {
  SourceSettings settings;
  settings.endpoint = connection.options().Endpoint();
  settings.user = connection.options().user;
  settings.version = connection.ServerVersion();
  settings.version_number = connection.VersionNumber();
  settings.mariadb = connection.IsMariaDb();
  if (settings.mariadb) return settings;
  TM_RETURN_IF_ERROR(ReadVariables(connection, &settings));
  TM_RETURN_IF_ERROR(ReadReplicas(connection, &settings));
  TM_ASSIGN_OR_RETURN(settings.facts, GatherFacts(connection));
  settings.may_list_binlogs = settings.facts->binlogs_visible || settings.facts->commits_wait;
  return settings;
}

}  // namespace

const char* SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kOk: return "ok";
    case Severity::kWarning: return "warning";
    case Severity::kError: return "error";
  }
  return "unknown";
}

bool PreflightReport::fit() const { return ToStatus().ok(); }

Status PreflightReport::ToStatus() const {
  const Finding* worst = nullptr;
  for (const Finding& finding : findings) {
    if (finding.severity != Severity::kError) continue;
    bool about_history = finding.code == Code::kDivergence || finding.code == Code::kGap;
    bool already = worst != nullptr && worst->code != Code::kSourceRefused;
    if (worst == nullptr || (about_history && !already)) worst = &finding;
  }
  if (worst == nullptr) return OkStatus();
  return {worst->code, worst->message, worst->hint};
}

Result<PreflightReport> CheckSource(Connection& connection, const PreflightOptions& options) {
  TM_ASSIGN_OR_RETURN(SourceSettings settings, ReadSettings(connection));
  return JudgeSource(settings, options);
}

}  // namespace tidemark
