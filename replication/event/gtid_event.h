// The event that begins a transaction: Gtid, Anonymous_gtid and Gtid_tagged.
//
// Pure; `out` owns its bytes and is reused from call to call without allocating. Source of facts:
// MySQL 9.7 libs/mysql/binlog/event/control_events.{h,cpp} (Gtid_event),
// libs/mysql/serialization/readme.md (Gtid_tagged).
#pragma once

#include <cstdint>

#include "replication/base/bytes.h"
#include "replication/event/binlog_format.h"
#include "replication/event/gtid.h"

namespace tidemark {

struct GtidEvent {
  Gtid gtid;  // of an Anonymous_gtid: meaningless
  uint8_t flags = 0;
  int64_t last_committed = 0;
  int64_t sequence_number = 0;
  // From 8.0.1 on; 0 before.
  int64_t immediate_commit_us = 0;
  int64_t original_commit_us = 0;
  // Bytes from this event's first through the transaction's last, as stored in the source's file,
  // checksums included. From 8.0.2 on; 0 = not said.
  uint64_t transaction_length = 0;
  uint32_t immediate_server_version = 0;  // e.g. 90704; 0 = not said (before 8.0.14)
  uint32_t original_server_version = 0;
  uint64_t commit_group_ticket = 0;  // 0 = none
};

// False if the body is malformed: too short, a number out of range, a field that must be understood
// and is not.
[[nodiscard]] bool ParseGtidEvent(EventType type, Bytes body, GtidEvent* out);

}  // namespace tidemark
