// Applies through the target's own parallel replication applier: the archive is served to it on a
// private port (pitr/serve), and the stream ends at the plan's boundary, so that nothing beyond it
// ever reaches the target. The default: 12 to 16 times as fast as the pipe, and any event passes
// that a replica takes.
//
// On the target it uses one replication channel of its own name, which it removes when all is done,
// and which is how a later run recognises what an interrupted one left behind. A user lock of that
// name on the target tells that a run is at work (kLocked). Needs of the login: REPLICATION CLIENT,
// REPLICATION_SLAVE_ADMIN, RELOAD, SYSTEM_VARIABLES_ADMIN (only to set a worker count),
// REPLICATION_APPLIER (only to skip).
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "pitr/restore/applier.h"
#include "pitr/restore/client_access.h"
#include "pitr/surgery.h"

namespace tidemark {

inline constexpr char kRestoreChannel[] = "tidemark_restore";

struct ReplicaApplierOptions {
  unsigned workers = 0;  // 0: leave it to the target's configuration
  // Where we listen and the target connects to; loopback for a target on this machine.
  std::string serve_address = "127.0.0.1";
  // Whether the target still lives and is worth waiting for; the error says why not. Asked often.
  std::function<Status()> target_lives = [] { return OkStatus(); };
  // A server of our own, of which nobody cares what is left on it after a failure.
  bool target_is_ours = false;
  // The end of the target's error log, "" if it cannot be read: for an applier that stopped.
  std::function<std::string()> log_tail = [] { return std::string(); };
  // So long a target may wait for space on its disk without a transaction more.
  std::chrono::seconds disk_patience{30};
};

class ReplicaApplier : public Applier {
 public:
  ReplicaApplier(const ClientAccess& access, ReplicaApplierOptions options)
      : access_(access), options_(std::move(options)) {}

  const char* name() const override { return "replica"; }
  // Starts from whatever part of plan.to_apply the target has executed already; plan.surgery.skip
  // is committed as empty transactions first. On every way out the channel is stopped and removed
  // with its relay log, if the target still answers: what was not applied is served again.
  // kTargetRefused names GTID, table and the server's own message; kDiskFull if the target's disk
  // is; the archive's error if it could not be served; kInterrupted.
  Status Apply(SourceAccess& archive, const Plan& plan, const OnProgress& on_progress) override;

 private:
  const ClientAccess& access_;
  const ReplicaApplierOptions options_;
};

// Stops and removes our channel, if it is there, and its filters, and puts back the worker count
// that it changed. Also for targets that an interrupted restore left behind. Unless
// `all_is_applied` the applier may be in the middle of a transaction of which no more comes.
Status RemoveRestoreChannel(Connection& target, bool all_is_applied = false);
Result<bool> HasRestoreChannel(Connection& target);

}  // namespace tidemark
