// Whether the daemon is alive and ready, as its main loop last said: what /healthz and /readyz
// show. Noted by one thread, asked by any.
#pragma once

#include <chrono>
#include <mutex>
#include <string>
#include <vector>

#include "proto/rpc/rpc_server.h"

namespace tidemark {

class DaemonHealth {
 public:
  using Clock = std::chrono::steady_clock;
  // The main loop makes a turn every 100 ms; it waits for a thread or a disk now and then.
  static constexpr std::chrono::seconds kTurnMax{10};

  struct Source {
    std::string name;
    std::string state;     // SourceWorker::StateName, or what it is waiting for
    bool started = false;  // recovered: it archives, or tries to
    bool dead = false;     // its thread has ended by itself
  };
  struct Turn {
    Clock::time_point at = Clock::now();
    std::vector<Source> sources;  // of the configuration
    bool settled = false;         // every source has had its first attempt
    bool stopping = false;
  };
  void Note(Turn turn);

  // 200 "ok"; 503 if the last turn was long ago, or a worker has died.
  rpc::PageAnswer Health(Clock::time_point now = Clock::now()) const;
  // 200 "ready"; 503 with a line for each source that has not been started. Names and states only:
  // anybody may ask.
  rpc::PageAnswer Ready() const;

 private:
  mutable std::mutex mutex_;  // guards last_
  Turn last_;
};

}  // namespace tidemark
