// What /metrics shows of a running daemon: gathered when it is asked for, from what the main loop
// noted last, from counters that are shared, and from index, disk and /proc.
//
// Note is called by the main loop, Page by any thread (one at a time is served). The surroundings
// must outlive the object.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "replication/archive/archive_directory.h"
#include "replication/archive/space_reserve.h"
#include "tools/daemon_rpc.h"
#include "tools/daemon_serving.h"
#include "tools/metrics_page.h"

namespace tidemark {

class DaemonMetrics {
 public:
  DaemonMetrics(const ArchiveDirectory& archive, Index& index, const SpaceReserve& reserve)
      : archive_(archive), index_(index), reserve_(reserve) {}

  struct Turn {
    std::vector<SourceMetrics> sources;  // without totals
    std::weak_ptr<DaemonServing> serving;
    std::weak_ptr<DaemonRpc> rpc;
  };
  void Note(Turn turn);
  rpc::PageAnswer Page();

 private:
  DaemonNumbers Gather();

  const ArchiveDirectory& archive_;
  Index& index_;
  const SpaceReserve& reserve_;
  std::mutex turn_mutex_;  // guards turn_
  Turn turn_;
  std::mutex page_mutex_;  // guards counters_; one page at a time
  std::map<std::string, ArchiveCounter> counters_;
};

}  // namespace tidemark
