// Where the daemon's archive is reached from elsewhere, as the configuration says: by replicas
// ([serve]) and by remote callers ([rpc]). Both are told of each durable batch. One thread, but for
// the listener's part.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tools/daemon_listener.h"
#include "tools/source_worker.h"

namespace tidemark {

class DaemonEndpoints {
 public:
  struct Surroundings {
    ArchiveDirectory& archive;
    Index& index;
    rpc::SharedArchive::LiveStateOf live_state;
    std::function<std::vector<DaemonRpc::Page>(const RpcConfig&)> pages;
    rpc::DaemonControls& controls;
  };
  // What the sources' workers have come to.
  struct Turn {
    const std::vector<std::shared_ptr<SourceWorker>>& workers;
    bool settled = false;      // every source has been recovered as far as it can be
    bool was_settled = false;  // or had been once
  };

  // The surroundings must outlive the object.
  explicit DaemonEndpoints(Surroundings surroundings);

  DurableListener& listener() { return listener_; }
  // With the next turn they are made anew.
  void ServeAnew() { serving_settled_ = false; }
  void AnswerAnew() { rpc_settled_ = false; }
  // For files that the configuration names, without an end to any connection.
  void ReloadRpc(const RpcConfig& config);
  // Brings both to what the configuration says: remote callers' pages at once, everything else as
  // soon as the sources are settled. What fails is logged and tried again.
  void Settle(const DaemonConfig& config, const Turn& turn);
  void Stop();

  // Serves what can be served, or has found that it cannot.
  bool serving_settled() const { return serving_settled_; }
  const std::shared_ptr<DaemonServing>& serving() const { return serving_; }  // or nullptr
  const std::shared_ptr<DaemonRpc>& rpc() const { return rpc_; }              // or nullptr

 private:
  using Clock = std::chrono::steady_clock;

  void SettleServing(const DaemonConfig& config, const Turn& turn);
  void StartServing(const DaemonConfig& config);
  void StopServing();
  DaemonConfig Servable(const DaemonConfig& config) const;
  void SettleRpc(const RpcConfig& config, const Turn& turn);
  void StopRpc();

  const Surroundings surroundings_;
  PublishingListener listener_;
  std::shared_ptr<DaemonServing> serving_;
  bool serving_settled_ = false;
  std::set<std::string> not_served_;  // sources that could not be: they have no identity yet
  std::optional<Clock::time_point> serve_again_at_;
  std::shared_ptr<DaemonRpc> rpc_;
  bool rpc_settled_ = false;
};

}  // namespace tidemark
