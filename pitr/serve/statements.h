// What we answer to the statements that a replica (or mysqlbinlog, or a DBA with `mysql` who wonders
// what this is) sends before it asks for events. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pitr/serve/packet.h"
#include "replication/event/gtid.h"

namespace tidemark {

// What a served source says of itself.
struct ServedFacts {
  std::string source;          // name in the archive
  std::string server_version;  // as in the greeting
  Uuid server_uuid;            // ours, not the archived source's
  uint32_t server_id = 0;      // ours, too
  bool checksums = true;       // the archived events have CRC32s
  std::string gtid_executed;   // what can be had from here, text
  std::string gtid_purged;     // what cannot any more
  int64_t now_us = 0;
};

// What the client has set on its connection.
struct ServeSession {
  std::map<std::string, std::string> variables;  // user variables, names in lower case, unquoted
  // Microseconds; 0: not asked for, heartbeats come at our default period.
  uint64_t HeartbeatPeriod() const;
  bool KnowsChecksums() const;   // @source_binlog_checksum or @master_binlog_checksum is set
  std::string ReplicaUuid() const;  // "" if not set
};
inline constexpr size_t kSessionVariablesMax = 64;
inline constexpr size_t kSessionVariableBytesMax = 1024;

// The payloads to send: an OK, a result set, or an error. Statements that we do not know get one
// error that tells the user what this server is and what it is for; unknown system variables error
// 1193, as a server has it (replicas rely on that).
std::vector<std::string> AnswerStatement(std::string_view sql, const ServedFacts& facts,
                                         ServeSession* session);

}  // namespace tidemark
