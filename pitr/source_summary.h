// What `pitr status` says of one source: the archive's side (SourceSummary) and the daemon's
// (LiveState, which the daemon leaves in ARCHIVE/SOURCE/daemon.json; not durable, not a truth).
// Values; reading them changes nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pitr/archive_view.h"
#include "pitr/json.h"

namespace tidemark {

// Where the archive ends in the source's binary log.
struct SourceEnd {
  std::string server_uuid;
  std::string file;
  uint64_t position = 0;
};

struct SourceSummary {
  std::string source;
  uint64_t transactions = 0;
  uint64_t segments = 0;
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  int64_t first_commit_us = 0;  // in archive order; 0 if there is none
  int64_t last_commit_us = 0;
  Coverage coverage;
  std::optional<SourceEnd> end;  // nothing: no segment yet
  Lineage lineage = {};
};

SourceSummary Summarize(const ArchiveView& view);

struct LiveReplica {
  std::string peer;
  std::string user;
  uint32_t server_id = 0;
  std::string server_uuid;
  bool tls = false;
  int64_t since_us = 0;
};

// As the daemon wrote it, which may be of another version: names are texts.
struct LiveError {
  std::string code;
  std::string message;
  std::string hint;
};

struct LiveGap {
  std::string missing;
  std::string reason;
  int64_t noticed_us = 0;
};

struct LiveState {
  std::string state;
  std::string server;  // where it is archived from, or was last: "db1:3306" or a socket's path
  std::string server_version;
  std::string
      semi_sync;  // off, unknown, unavailable, ready, on: replication/sink/source_archiver.h
  std::vector<LiveReplica> replicas;
  std::optional<LiveError> error;
  std::optional<OperatorNote> paused;  // by whom; state is "paused"
  // Adopted, and not part of the archive's coverage yet: nothing behind it is archived.
  std::optional<LiveGap> gap_ahead;
};

// nullopt if the text is no daemon.json; members that are not there are empty.
std::optional<LiveState> ParseLiveState(const std::string& text);
// nullopt if no daemon holds the archive: its last words would be stale.
std::optional<LiveState> ReadLiveState(ArchiveDirectory& archive, const std::string& source);

// Documented in tools/README.md ("status"); `live` becomes the member "daemon".
Json ToJson(const SourceSummary& summary, const std::optional<LiveState>& live);

}  // namespace tidemark
