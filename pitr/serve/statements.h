// What we answer to the statements that a replica (or mysqlbinlog, or a DBA with `mysql` who
// wonders what this is) sends before it asks for events. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pitr/serve/packet.h"
#include "replication/event/gtid.h"

namespace tidemark {

// A replica as SHOW REPLICAS lists it.
struct KnownReplica {
  uint32_t server_id = 0;
  std::string host;  // as it reported itself
  uint16_t port = 0;
  std::string uuid;
};

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
  std::vector<KnownReplica> replicas = {};  // registered now
};

inline constexpr size_t kSessionVariablesMax = 64;
inline constexpr size_t kSessionVariableNameBytesMax = 64;
inline constexpr size_t kSessionVariableBytesMax = 1024;
inline constexpr size_t kStatementBytesMax = 64 << 10;  // a longer one is none that we know
inline constexpr size_t kSelectItemsMax = 32;           // of one SELECT: each may be a GTID set

inline constexpr uint64_t kHeartbeatUsMin = 1000;  // what CHANGE REPLICATION SOURCE takes

// What the client has set on its connection.
struct ServeSession {
  // User variables: names in lower case, values unquoted. One that is NULL is not here.
  std::map<std::string, std::string> variables;
  // Microseconds, kHeartbeatUsMin or more; 0: not asked for, heartbeats come at our default period.
  uint64_t HeartbeatPeriod() const;
  bool KnowsChecksums() const;  // @source_binlog_checksum or @master_binlog_checksum is set
  // Whether the artificial Rotate that comes before any format description is to have a CRC32. A
  // replica copies our @@binlog_checksum; mysqlbinlog says 'NONE', and takes checksums all the same
  // (MySQL 9.7 sql/rpl_binlog_sender.cc, init_checksum_alg).
  bool FirstRotateHasChecksum() const;
  std::string ReplicaUuid() const;  // "" if not set
};

// The payloads to send: an OK, a result set, or an error. Statements that we do not know get one
// error that tells the user what this server is and what it is for; unknown system variables error
// 1193, as a server has it (replicas rely on that). A statement that fails changes nothing.
std::vector<std::string> AnswerStatement(std::string_view sql, const ServedFacts& facts,
                                         ServeSession* session);

}  // namespace tidemark
