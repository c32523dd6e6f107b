// What the restore needs to know of its target server, and when a running one is refused.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "pitr/abridged.h"
#include "replication/event/gtid_set.h"
#include "replication/source/connection.h"

namespace tidemark {

struct TargetFacts {
  GtidSet gtid_executed;
  std::string server_version;
  bool restore_channel = false;  // an interrupted restore of ours left its channel behind
  std::vector<std::string> warnings;
};

Result<GtidSet> ReadGtidExecuted(Connection& connection);
// One value of one row, empty for NULL; kTargetRefused on an error.
Result<std::string> QueryTargetValue(Connection& connection, const std::string& sql);
// The user lock that tells that a restore is at work on the server; for as long as the connection
// lives. kLocked.
Status TakeRestoreLock(Connection& connection);
Status ExecuteOnTarget(Connection& connection, const std::string& sql);

// kTargetRefused, saying what to change, if it is MariaDB or older than 8.0, GTID mode is not ON,
// it is read-only, or it replicates from somewhere (a running channel would add transactions while
// we do). kLocked if another restore is at work on it. A channel of one that is not was left
// behind, and is not in the way. Changes nothing.
Result<TargetFacts> InspectRunningTarget(Connection& connection);
// What the replica applier will ask of this login, tried on a channel that is not there.
// kTargetRefused naming what is missing.
struct NeededRights {
  bool sets_workers = false;
  bool skips = false;
};
Status CheckReplicaRights(Connection& connection, const NeededRights& needed);
// kTargetRefused if it has the identity of an archived server: `uuids`, or `server_ids`.
Status CheckIdentity(Connection& connection, const std::set<Uuid>& uuids,
                     const std::set<uint32_t>& server_ids);
// XA transactions that are prepared and undecided at this point; a warning for each restore that
// ends between XA PREPARE and its XA COMMIT.
Result<std::vector<std::string>> UndecidedXaWarnings(Connection& connection);
// Events that came by replication: the server disables them, and does not say whether the source
// had them enabled (sql/event_parse_data.cc, check_originator_id).
Result<std::vector<std::string>> DisabledEventsWarnings(Connection& connection);

}  // namespace tidemark
