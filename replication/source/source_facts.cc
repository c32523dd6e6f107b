#include "replication/source/source_facts.h"

#include <algorithm>
#include <charconv>

namespace tidemark {
namespace {

uint64_t Number(const std::string& text) {
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "UUID:4#17:5#18": behind each GTID the thread that owns it, and no separator in front of the next
// UUID (sql/rpl_gtid.h, Owned_gtids::to_string). What does not parse is taken as nothing: the set
// only spares false alarms.
GtidSet ParseOwned(const std::string& text) {
  constexpr size_t kUuidBytes = 36;
  std::string set;
  for (size_t at = 0; at < text.size();) {
    const size_t owner = std::min(text.find('#', at), text.size());
    set.append(text, at, owner - at);
    at = std::min(text.find(':', owner), text.size());
    if (at - owner > kUuidBytes) set.append(",").append(text, at - kUuidBytes, kUuidBytes);
  }
  Result<GtidSet> owned = GtidSet::Parse(set);
  return owned.ok() ? std::move(*owned) : GtidSet();
}

// The source may withhold the list; everything but a broken link is survivable without it.
Status GatherBinlogs(Connection& connection, SourceFacts* facts) {
  Result<QueryResult> answer = connection.Query("SHOW BINARY LOGS");
  if (!answer.ok()) {
    return answer.error().code() == Code::kSourceRefused ? OkStatus() : answer.error();
  }
  facts->binlogs_visible = true;
  for (const QueryResult::Row& row : answer->rows) {
    facts->binlogs.push_back(
        {answer->Text(row, "Log_name"), Number(answer->Text(row, "File_size"))});
  }
  return OkStatus();
}

}  // namespace

Status RefuseMariaDb(const std::string& endpoint, const std::string& version) {
  return {Code::kSourceRefused,
          "source " + endpoint + " is a MariaDB (" + version + "), whose GTIDs are another format",
          "Tidemark archives MySQL 8.0 and later"};
}

Result<SourceFacts> GatherFacts(Connection& connection) {
  std::string endpoint = connection.options().Endpoint();
  if (connection.IsMariaDb()) return RefuseMariaDb(endpoint, connection.ServerVersion());
  TM_ASSIGN_OR_RETURN(
      QueryResult answer,
      connection.Query("SELECT @@GLOBAL.server_uuid AS uuid, @@GLOBAL.server_id AS id,"
                       " @@GLOBAL.gtid_owned AS owned, @@GLOBAL.gtid_executed AS executed, "
                       "@@GLOBAL.gtid_purged AS purged"));
  if (answer.rows.size() != 1) {
    return Status(Code::kSourceRefused, "source " + endpoint + " did not say who it is");
  }
  const QueryResult::Row& row = answer.rows[0];
  SourceFacts facts;
  TM_ASSIGN_OR_RETURN(facts.server_uuid, Uuid::Parse(answer.Text(row, "uuid")));
  facts.server_id = static_cast<uint32_t>(Number(answer.Text(row, "id")));
  TM_ASSIGN_OR_RETURN(facts.gtid_executed, GtidSet::Parse(answer.Text(row, "executed")));
  TM_ASSIGN_OR_RETURN(facts.gtid_purged, GtidSet::Parse(answer.Text(row, "purged")));
  facts.gtid_owned = ParseOwned(answer.Text(row, "owned"));
  facts.version = connection.ServerVersion();
  facts.version_number = connection.VersionNumber();
  facts.tls_cipher = connection.TlsCipher();
  facts.server = connection.options().Server();
  TM_RETURN_IF_ERROR(GatherBinlogs(connection, &facts));
  return facts;
}

}  // namespace tidemark
