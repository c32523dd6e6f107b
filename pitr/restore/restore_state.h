// What a restore into a new server remembers in DIR/restore.json, so that the same command goes on
// where a killed one was. Written durably before each step that it tells of. A value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pitr/surgery.h"
#include "pitr/target.h"
#include "replication/base/file_system.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

inline constexpr char kRestoreStateFile[] = "restore.json";
inline constexpr int kRestoreStateVersion = 1;

// Persisted by name; the order is that in which a restore passes them.
enum class RestoreStep : uint8_t {
  kClaimed,   // nothing in the directory is worth keeping
  kLoaded,    // the base is in it, gtid_purged is set, our account exists
  kApplying,  // the end set is known; some of it may be applied
  kApplied,   // all of it is applied and asserted; being made durable
  kDone,      // handed over
};

struct RestoreState {
  RestoreStep step = RestoreStep::kClaimed;
  // What was asked for: a run that asks for something else is not a continuation.
  std::string source;
  std::string dump_path;
  uint64_t dump_bytes = 0;
  Target point;
  Surgery surgery;
  // What is known of it.
  GtidSet base;             // gtid_executed after loading
  GtidSet end_set;          // planned
  std::string secret_file;  // of our account on the server; "" before it exists
  uint32_t server_id = 0;
  std::string socket;
  // What the server is started and handed over with: a later run that names none has these.
  std::vector<std::string> mysqld_options;
  uint16_t port = 0;
  uint64_t runs = 1;  // how often somebody had to start it
  int64_t started_us = 0;
};

std::string EncodeRestoreState(const RestoreState& state);
Result<RestoreState> DecodeRestoreState(
    const std::string& text);  // kCorruption, kUnsupportedFormat
// nullopt: there is none.
Result<std::optional<RestoreState>> ReadRestoreState(FileSystem& files,
                                                     const std::string& directory);
Status WriteRestoreState(FileSystem& files, const std::string& directory,
                         const RestoreState& state);

}  // namespace tidemark
