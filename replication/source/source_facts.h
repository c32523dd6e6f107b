// What a source says about itself at one moment: who it is, what it has, what it has thrown away.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replication/base/status.h"
#include "replication/event/gtid_set.h"
#include "replication/source/connection.h"

namespace tidemark {

struct SourceBinlog {
  std::string name;
  uint64_t bytes = 0;
};

struct SourceFacts {
  Uuid server_uuid;
  uint32_t server_id = 0;
  std::string version;          // "9.7.4"
  uint32_t version_number = 0;  // 90704
  GtidSet gtid_executed;
  GtidSet gtid_purged;
  // Of transactions that are being committed: they may have been sent already, and are not in
  // gtid_executed yet. Read before it, so that none is missed between the two.
  GtidSet gtid_owned;
  std::vector<SourceBinlog> binlogs;  // oldest first, the active one last; read after the GTID sets
  bool binlogs_visible = false;       // false: no binary log, no privilege, or commits_wait
  // For a semi-synchronous replica's acknowledgement, which may be ours. If the binary log is being
  // rotated just then, the rotation waits for those commits and holds LOCK_log, for which SHOW
  // BINARY LOGS would wait: with it, nobody would ever acknowledge (sql/binlog.cc, new_file_impl
  // and prep_xids). So it was not asked.
  bool commits_wait = false;
  std::string tls_cipher;  // empty: the connection is not encrypted
  std::string server;      // how it was reached: "db1:3306", or a socket's path
};

// kSourceRefused for a MariaDB, kSourceUnavailable if the link breaks. `list_always`: the binary
// logs also while commits wait.
Result<SourceFacts> GatherFacts(Connection& connection, bool list_always = false);

// Whether sessions wait for a semi-synchronous replica's acknowledgement; false without the plugin.
Result<bool> CommitsWait(Connection& connection);

// Who answers is not who did a moment before: kSourceUnavailable.
Status AnotherServerAnswers(const SourceFacts& facts);

Status RefuseMariaDb(const std::string& endpoint, const std::string& version);

}  // namespace tidemark
