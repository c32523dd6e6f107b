#include <algorithm>
#include <charconv>
#include <optional>

#include "pitr/serve/sql_tokens.h"
#include "pitr/serve/statements.h"

namespace tidemark {
namespace {

using Value = std::optional<std::string>;

// The newer name counts if both are set, as in the server.
Value Alternative(const ServeSession& session, const char* newer, const char* older) {
  auto found = session.variables.find(newer);
  if (found == session.variables.end()) found = session.variables.find(older);
  return found == session.variables.end() ? Value() : Value(found->second);
}

}  // namespace

uint64_t ServeSession::HeartbeatPeriod() const {
  constexpr uint64_t kNanosecondsInMicrosecond = 1000;
  const Value text = Alternative(*this, "source_heartbeat_period", "master_heartbeat_period");
  if (!text) return 0;
  uint64_t nanoseconds = 0;
  const auto parsed = std::from_chars(text->data(), text->data() + text->size(), nanoseconds);
  if (parsed.ec == std::errc::result_out_of_range) nanoseconds = UINT64_MAX;
  if (nanoseconds == 0) return 0;
  return std::max(nanoseconds / kNanosecondsInMicrosecond, kHeartbeatUsMin);
}

bool ServeSession::KnowsChecksums() const {
  return Alternative(*this, "source_binlog_checksum", "master_binlog_checksum").has_value();
}

bool ServeSession::FirstRotateHasChecksum() const {
  const Value value = Alternative(*this, "source_binlog_checksum", "master_binlog_checksum");
  return value && EqualIgnoringCase(*value, "CRC32");
}

std::string ServeSession::ReplicaUuid() const {
  return Alternative(*this, "replica_uuid", "slave_uuid").value_or("");
}

}  // namespace tidemark
