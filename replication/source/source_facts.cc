#include "replication/source/source_facts.h"

#include <algorithm>
#include <charconv>

#include "replication/base/checksum.h"

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

// Everything that follows is decided by this answer, and without TLS nothing else would tell if it
// was damaged. Through variables, so that the server reads each of its own once: a derived table
// would do that, too, but cuts a text of more than 64 KiB off.
constexpr char kRemember[] =
    "SET @tidemark_uuid = @@GLOBAL.server_uuid, @tidemark_id = @@GLOBAL.server_id,"
    " @tidemark_owned = @@GLOBAL.gtid_owned, @tidemark_executed = @@GLOBAL.gtid_executed,"
    " @tidemark_purged = @@GLOBAL.gtid_purged";
constexpr char kWhoAreYou[] =
    "SELECT @tidemark_uuid AS uuid, @tidemark_id AS id, @tidemark_owned AS owned,"
    " @tidemark_executed AS executed, @tidemark_purged AS purged,"
    " SHA2(CONCAT_WS('|', @tidemark_uuid, @tidemark_id, @tidemark_owned, @tidemark_executed,"
    " @tidemark_purged), 256) AS digest";

std::string DigestOf(const QueryResult& answer, const QueryResult::Row& row) {
  std::string text = answer.Text(row, "uuid");
  for (const char* column : {"id", "owned", "executed", "purged"})
    text.append("|").append(answer.Text(row, column));
  Sha256 sha;
  sha.Update(AsBytes(text));
  const Sha256Digest digest = sha.Finish();
  return Hex(digest);
}

// The source may withhold the list; everything but a broken link is survivable without it.
Status GatherBinlogs(Connection& connection, bool list_always, SourceFacts* facts) {
  TM_ASSIGN_OR_RETURN(facts->commits_wait, CommitsWait(connection));
  if (facts->commits_wait && !list_always) return OkStatus();
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

Result<bool> CommitsWait(Connection& connection) {
  TM_ASSIGN_OR_RETURN(
      const QueryResult answer,
      connection.Query(
          "SHOW GLOBAL STATUS WHERE Variable_name IN "
          "('Rpl_semi_sync_source_wait_sessions', 'Rpl_semi_sync_master_wait_sessions')"));
  return std::any_of(answer.rows.begin(), answer.rows.end(), [&](const QueryResult::Row& row) {
    return Number(answer.Text(row, "Value")) > 0;
  });
}

Status RefuseMariaDb(const std::string& endpoint, const std::string& version) {
  return {Code::kSourceRefused,
          "source " + endpoint + " is a MariaDB (" + version + "), whose GTIDs are another format",
          "Tidemark archives MySQL 8.0 and later"};
}

Result<SourceFacts> GatherFacts(Connection& connection, bool list_always) {
  std::string endpoint = connection.options().Endpoint();
  if (connection.IsMariaDb()) return RefuseMariaDb(endpoint, connection.ServerVersion());
  if (const auto remembered = connection.Query(kRemember); !remembered.ok())
    return remembered.error();
  TM_ASSIGN_OR_RETURN(const QueryResult answer, connection.Query(kWhoAreYou));
  if (answer.rows.size() != 1) {
    return Status(Code::kSourceRefused, "source " + endpoint + " did not say who it is");
  }
  const QueryResult::Row& row = answer.rows[0];
  if (DigestOf(answer, row) != answer.Text(row, "digest")) {
    return Status(Code::kSourceUnavailable,
                  "what source " + endpoint + " says of itself was damaged on its way",
                  "use TLS, which notices that everywhere");
  }
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
  TM_RETURN_IF_ERROR(GatherBinlogs(connection, list_always, &facts));
  return facts;
}

Status AnotherServerAnswers(const SourceFacts& facts) {
  return {Code::kSourceUnavailable, "another server than a moment ago answers" +
                                        (facts.server.empty() ? "" : " at " + facts.server)};
}

}  // namespace tidemark
