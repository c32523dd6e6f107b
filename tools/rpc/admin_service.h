// tidemark.v1.AdminService: what people do to the archive while the daemon runs. Everything here is
// for the role admin, and is audited.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "proto/rpc/service_registry.h"
#include "replication/archive/operator_record.h"
#include "replication/sink/seal_requests.h"
#include "tools/rpc/shared_archive.h"

namespace tidemark::rpc {

// A rebuild of the index that is under way. Destroyed: given up, as long as that is possible.
class IndexRebuilding {
 public:
  struct Progress {
    uint64_t segments = 0;
    uint64_t raw_bytes = 0;
    bool done = false;
    bool operator==(const Progress&) const = default;
  };
  virtual ~IndexRebuilding() = default;
  // Waits a moment for news. An error means that the old index stays.
  virtual Result<Progress> Look() = 0;
};

// The daemon, as far as it can be told what to do. Any thread; calls come back when what was asked
// for is so, or `give_up` says so (kInterrupted), which is asked a few times a second. kNotFound:
// it does not archive such a source.
class DaemonControls {
 public:
  using GiveUp = std::function<bool()>;
  struct Paused {
    OperatorNote note;  // the one that holds
    bool was_paused = false;
  };
  virtual ~DaemonControls() = default;
  virtual Result<Paused> Pause(const std::string& source, const OperatorNote& note,
                               const GiveUp& give_up) = 0;
  virtual Result<bool> Resume(const std::string& source, const GiveUp& give_up) = 0;  // was paused
  virtual Result<SealAnswer> Seal(const std::string& source, const GiveUp& give_up) = 0;
  virtual Result<std::unique_ptr<IndexRebuilding>> RebuildIndex() = 0;
};

// Both must outlive the registry.
void AddAdminService(SharedArchive& archive, DaemonControls& controls, ServiceRegistry* registry);

}  // namespace tidemark::rpc
