// The daemon's archive as a replication source for stock MySQL replicas, as the configuration's
// [serve] says. Never in the way of archiving: a port that is taken is tried again, not waited for.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "index/index.h"
#include "pitr/serve/replica_server.h"
#include "replication/archive/archive_directory.h"
#include "tools/daemon_config.h"

namespace tidemark {

class DaemonServing {
 public:
  // Reads passwords and keys; listens unless the port is taken. kUsage if the configuration cannot
  // be served by. `archive` and `index` must outlive the object; every source has been prepared.
  static Result<std::unique_ptr<DaemonServing>> Start(const DaemonConfig& config,
                                                      ArchiveDirectory& archive, Index& index);

  void TryAgain();                                // to listen, if that has not succeeded yet
  void NotifyDurable(const std::string& source);  // any thread
  std::vector<ServedReplica> Replicas() const;
  ServeCounters Counters() const;
  void Stop();

 private:
  explicit DaemonServing(ServeOptions options) : options_(std::move(options)) {}
  Status Listen();
  std::shared_ptr<ReplicaServer> server() const;

  const ServeOptions options_;
  mutable std::mutex mutex_;  // guards server_, which is set once
  std::shared_ptr<ReplicaServer> server_;
  std::chrono::steady_clock::time_point tried_;
};

}  // namespace tidemark
