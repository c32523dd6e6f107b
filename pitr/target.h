// Where to restore to, as the DBA says it. Pure.
//
// A time is RFC 3339 with a zone ("2026-11-21T14:03:07.123456Z", "2026-11-21 14:03:07+02:00"),
// microseconds at most. Without a zone it is refused, and the hint shows the two likely readings
// (UTC and this machine's zone).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "replication/base/status.h"
#include "replication/event/gtid.h"

namespace tidemark {

enum class Edge : uint8_t { kBefore, kThrough };
enum class TargetKind : uint8_t { kGtid, kTime, kLatest };

struct Target {
  TargetKind kind = TargetKind::kLatest;
  Edge edge = Edge::kThrough;
  Gtid gtid;            // kGtid
  int64_t time_us = 0;  // kTime, since the epoch, UTC

  // before time T: transactions with commit time < T; through time T: <= T (longest prefix in
  // archive order).
  int64_t last_included_us() const { return edge == Edge::kBefore ? time_us - 1 : time_us; }
  std::string ToString() const;  // "before GTID …", "through 2026-…Z", "latest"
};

Result<int64_t> ParseTime(std::string_view text);  // microseconds since the epoch; kUsage on error
std::string FormatTime(int64_t time_us);           // RFC 3339, UTC, six decimals, "Z"

}  // namespace tidemark
