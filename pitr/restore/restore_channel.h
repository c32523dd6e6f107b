// The one replication channel that a restore uses on its target, as SQL: set up, started, watched,
// removed. Of replica_applier only; knows nothing of plans.
//
// Everything is asked over the given connection, which belongs to the caller. Errors are those of
// the target: kTargetRefused.
#pragma once

#include <optional>
#include <string>

#include "pitr/restore/applier_error.h"
#include "pitr/surgery.h"
#include "replication/source/connection.h"

namespace tidemark {

// Of the login on the target, as a hint. RELOAD is for RESET REPLICA.
inline constexpr char kNeededRights[] =
    "the login needs REPLICATION_SLAVE_ADMIN, REPLICATION CLIENT and RELOAD on the target; "
    "SYSTEM_VARIABLES_ADMIN for --workers, REPLICATION_APPLIER for --skip-gtid";
inline constexpr int kReconnectsMax = 10;  // one each second, then the receiver thread gives up

struct ChannelSource {
  std::string host;
  uint16_t port = 0;
  std::string user;
  std::string password;
  bool tls = false;  // without: the password comes sealed with the source's RSA key
};

enum class ReceiverState : uint8_t { kStopped, kConnecting, kRunning };

struct ChannelStatus {
  ReceiverState receiver = ReceiverState::kStopped;
  std::string source_user;
  std::string receiver_doing;  // thread state
  unsigned receiver_error = 0;
  std::string receiver_said;
  bool applier_runs = false;
  unsigned applier_error = 0;
  std::string applier_said;
};

// kTargetRefused if the target is too old for the statements used here.
Status CheckCanReplicate(const Connection& target);
// A stopped channel that reads from `source` and filters as `surgery` says, and in no other way: a
// new channel has the server's own filters otherwise.
Status ConfigureChannel(Connection& target, const ChannelSource& source, const Surgery& surgery);
// To stop before `until`, which must not be executed yet.
Status StartChannel(Connection& target, const std::optional<Gtid>& until);
// nullopt: there is no such channel.
Result<std::optional<ChannelStatus>> ReadChannelStatus(Connection& target);
// Why the applier stopped: from the performance schema, the log's tail, or `status`, whichever says
// most.
ApplierError WhyApplierStopped(Connection& target, const ChannelStatus& status,
                               const std::string& log_tail);
// Whether a thread of the server waits for somebody to free space on its disk.
bool WaitsForDiskSpace(Connection& target, const ChannelStatus& status);
// Ends replication threads that wait so: STOP REPLICA would wait with them. May spoil the relay
// log, which is to be discarded anyway.
void KillThoseWaitingForDiskSpace(Connection& target);
// The account that the channel logs in with. Its name keeps what the target's worker count was
// before we changed it ("": we do not), so that whoever removes the channel can put it back, even
// after this process was killed.
std::string ChannelUser(const std::string& workers_before);
std::string WorkersBefore(const std::string& channel_user);
Result<std::string> ReadWorkers(Connection& target);
// Sets the number of applier workers; gives back what it was. nullopt: nothing to put back.
Result<std::optional<std::string>> SetWorkers(Connection& target, const std::string& workers);

}  // namespace tidemark
