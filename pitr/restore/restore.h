// From a base backup to a server that is exactly at the planned GTID set, with a receipt to prove it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "pitr/planner.h"
#include "pitr/restore/applier.h"
#include "pitr/restore/base_backup.h"
#include "replication/base/clock.h"
#include "replication/source/connection_options.h"

namespace tidemark {

// Either a fresh server that is provisioned in an empty directory, or one that runs and has the base loaded already.
struct RestoreTarget {
  bool provision = true;
  std::string datadir;              // provision: must be empty or absent
  std::string mysqld = "mysqld";    // provision: program, found in PATH unless it has a slash
  uint16_t port = 0;                // provision: 0 = no TCP, socket only
  ConnectionOptions connection;     // not provision: the running target
  std::string mysqlbinlog = "mysqlbinlog";
  std::string mysql = "mysql";
};

struct RestoreOptions {
  std::string dump_path;            // mysqldump base; empty only with a running target (its gtid_executed is the base)
  RestoreTarget target;
  Target point;
  std::string receipt_path;         // default: <datadir>.receipt.json beside the data directory
  bool keep_running = true;         // provision: leave mysqld up when done
};

enum class RestorePhase { kPlan, kProvision, kLoadBase, kApply, kAssert, kDone };
const char* RestorePhaseName(RestorePhase phase);

struct RestoreProgress {
  RestorePhase phase = RestorePhase::kPlan;
  uint64_t done = 0;    // bytes (kLoadBase) or transactions (kApply)
  uint64_t total = 0;
};

struct Receipt {
  Plan plan;
  BaseBackup base;
  std::string applier;
  std::string outcome;              // "restored" or the error's code name
  GtidSet gtid_executed;            // of the target at the end
  bool end_state_reached = false;
  int64_t started_us = 0;
  int64_t finished_us = 0;
  std::string datadir;
  std::string socket;
  uint16_t port = 0;
  int64_t mysqld_pid = 0;
  std::string server_version;
  std::string ToJson() const;       // documented in pitr/README.md
};

// The base's set (of the dump, or of the running target) and the plan; touches nothing.
struct PreparedRestore {
  BaseBackup base;
  Plan plan;
};
Result<PreparedRestore> PrepareRestore(FileSystem& files, ArchiveView& view, const RestoreOptions& options);

// Prepare, provision, load, apply, assert, write the receipt. kEndStateNotReached if the target's gtid_executed is not
// the plan's end set; the receipt is written in every case once something was touched, and says what happened.
using OnRestoreProgress = std::function<bool(const RestoreProgress&)>;  // false: interrupt
Result<Receipt> RunRestore(FileSystem& files, Clock& clock, ArchiveView& view, const RestoreOptions& options,
                           const OnRestoreProgress& progress);

}  // namespace tidemark
