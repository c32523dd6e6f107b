// From a base backup to a server that is exactly at the planned GTID set, with a receipt to prove
// it.
//
// PrepareRestore decides and touches nothing; RunRestore acts. A restore into a new server is a
// state machine whose step is kept in DIR/restore.json (restore_state.h): whatever ends it, the
// same command goes on from there without applying anything twice. A provisioned server
// (server_instance.h) is marked RESTORING from the first moment until its end state was proved, so
// that one left behind by a failure, an interruption or a crash of ours is never mistaken for a
// restored one. One thread throughout.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pitr/restore/applier.h"
#include "pitr/restore/base_backup.h"
#include "pitr/restore/estimate.h"
#include "pitr/restore/restore_state.h"
#include "replication/base/clock.h"
#include "replication/source/connection_options.h"

namespace tidemark {

// Either a fresh server that is provisioned in an empty directory, or one that runs and has the
// base loaded already.
struct RestoreTarget {
  bool provision = true;
  // Provision: must be empty or absent; becomes ours alone (0700). Not named: for planning only.
  std::string directory;
  std::string mysqld = "mysqld";  // provision: program, found in PATH unless it has a slash
  std::vector<std::string>
      mysqld_options;  // provision: further "--name=value", e.g. --lower-case-table-names=1
  uint16_t port = 0;   // provision: 0 = no TCP, socket only; else 127.0.0.1, after the hand-over
  ConnectionOptions connection;             // not provision: the running target
  std::string mysqlbinlog = "mysqlbinlog";  // for the pipe only
  std::string mysql = "mysql";
};

struct RestoreOptions {
  // mysqldump base. May be empty with a running target (its gtid_executed is the base), and for a
  // directory that holds an earlier restore with its base loaded.
  std::string dump_path;
  RestoreTarget target;
  Target point;
  Surgery surgery;
  ApplierKind applier = ApplierKind::kReplica;
  unsigned workers = 0;  // of the target's applier; 0: a provisioned server is sized to the
                         // machine, a running one left as it is
  // Where the archive is served to a running target; it must be able to connect there.
  std::string serve_address = "127.0.0.1";
  // Provision: the directory holds a restore that is finished, or not; bring it to `point`, which
  // must not be behind where it is. Without this only an unfinished restore of the same command is
  // gone on with.
  bool resume = false;
  std::string
      receipt_path;  // default: DIRECTORY/receipt.json; with a running target: none is written
  bool keep_running = true;  // provision: leave mysqld up when done
};

enum class RestorePhase { kPlan, kProvision, kLoadBase, kApply, kAssert, kDone };
const char* RestorePhaseName(RestorePhase phase);

struct RestoreProgress {
  RestorePhase phase = RestorePhase::kPlan;
  uint64_t done = 0;   // bytes of the dump (kLoadBase) or transactions (kApply)
  uint64_t total = 0;  // 0: not known
};

struct Receipt {
  Plan plan;
  BaseBackup base;
  std::string applier;
  std::string workers;    // of the target's parallel applier; "" if it was not asked
  std::string outcome;    // "restored" or the error's code name
  Status error;           // what went wrong, if anything
  GtidSet gtid_executed;  // of the target at the end, as far as it could be asked
  bool end_state_reached = false;
  bool touched_nothing = false;  // it was done already
  bool durable_checked = false;  // provisioned: CheckDurable found it durable
  uint64_t runs = 1;             // of `pitr`, until it was done
  Measured load, apply;          // in this run; zeros if it did neither
  int64_t started_us = 0;
  int64_t finished_us = 0;
  bool provisioned = false;
  std::string directory;  // provisioned: where; its data is in DIRECTORY/data
  std::string socket;
  std::string host;  // a running target's
  uint16_t port = 0;
  int64_t mysqld_pid = 0;                  // 0: it does not run
  std::vector<std::string> start_command;  // provisioned: what mysqld was handed over with
  std::string server_version;
  std::vector<std::string> warnings;
  std::string ToJson() const;  // documented in README.md
};

// The base's set (of the dump, of the running target, or of what an earlier run brought the
// directory to) and the plan; touches nothing. kUsage, kBadBackup, kTargetRefused (the directory
// holds another restore; running target unfit, or not at the base's set, or with transactions that
// the source never had), and all errors of resolving and planning. What stands in the way of a new
// server is in `blockers`, so that a plan can be printed with them: RunRestore refuses with the
// first.
struct PreparedRestore {
  BaseBackup base;
  Plan plan;
  std::optional<RestoreState> found;  // what the directory holds of an earlier run
  bool loads_base = false;            // begins with loading the dump
  bool finished = false;              // the earlier run is done, and this command asks for no more
  bool left_over_channel = false;     // running target: an interrupted run left its channel behind
  DiskEstimate disk;
  std::vector<Status> blockers;
  std::string mysqld;  // programs with their paths
  std::string mysql;
  std::string mysqlbinlog;
  std::vector<std::string> warnings;
};
Result<PreparedRestore> PrepareRestore(FileSystem& files, SourceAccess& archive,
                                       const RestoreOptions& options);

// Prepare, provision, load, apply, assert, hand over, write the receipt; or only what of that an
// earlier run has not done. kEndStateNotReached if the target's gtid_executed is not the plan's end
// set; the receipt is written in every case once something was touched, and says what happened.
using OnRestoreProgress = std::function<bool(const RestoreProgress&)>;  // false: interrupt
Result<Receipt> RunRestore(FileSystem& files, Clock& clock, SourceAccess& archive,
                           const RestoreOptions& options, const OnRestoreProgress& progress);

}  // namespace tidemark
