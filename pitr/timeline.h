// The archive's history as a DBA looks through it: DDL, large transactions, gaps, changes of server
// and the forks of lineages in order of time. Index only: nothing is decoded.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "pitr/archive_view.h"
#include "pitr/json.h"
#include "pitr/lineage.h"

namespace tidemark {

struct TimelineDdl {
  Gtid gtid;
  std::string schema;
  std::string statement;  // as DdlRecord
  bool operator==(const TimelineDdl&) const = default;
};

struct LargeTransaction {
  Gtid gtid;
  uint64_t bytes = 0;
  bool operator==(const LargeTransaction&) const = default;
};

// Another server took the source's place: from here on it is archived from that one.
struct ServerChange {
  Uuid server_uuid;           // now
  Uuid previous_server_uuid;  // before
  std::string source_file;    // of the new one, where it begins
  uint64_t source_position = 0;
  uint64_t segment = 0;  // the first one of its bytes
  GtidSet behind;        // all that was archived, or given up, before
  bool operator==(const ServerChange&) const = default;
};

struct TimelineEntry {
  // Of the commit; of a gap, when it was noticed; of a server, when its first event came; of a
  // fork, when it was made.
  int64_t time_us = 0;
  std::variant<TimelineDdl, LargeTransaction, GapRecord, ServerChange, LineageFork> event;
};

struct TimelineRange {
  int64_t from_us = std::numeric_limits<int64_t>::min();  // both inclusive
  int64_t to_us = std::numeric_limits<int64_t>::max();
  size_t ddl_max = 1000;
};

struct Timeline {
  std::string source;
  Coverage coverage;                   // of the whole archive
  std::vector<TimelineEntry> entries;  // all but DDL and large ones are always there
  bool truncated = false;              // there may be more DDL than ddl_max let through
};

Result<Timeline> MakeTimeline(ArchiveView& view, const TimelineRange& range);

Json ToJson(const Timeline& timeline);  // tools/README.md, "timeline"

}  // namespace tidemark
