// What happens to each durable batch: into the index first, then whoever waits for it is told
// (invariant 1: index after segments, replicas and remote callers after the index). Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "tools/daemon_rpc.h"
#include "tools/daemon_serving.h"

namespace tidemark {

class PublishingListener : public DurableListener {
 public:
  explicit PublishingListener(Index& index) : index_(index) {}
  // nullptr: nobody.
  void SetServing(std::shared_ptr<DaemonServing> serving) {
    std::lock_guard lock(mutex_);
    serving_ = std::move(serving);
  }
  void SetRpc(std::shared_ptr<DaemonRpc> rpc) {
    std::lock_guard lock(mutex_);
    rpc_ = std::move(rpc);
  }
  Status OnDurable(const DurableBatch& batch) override {
    TM_RETURN_IF_ERROR(index_.Apply(batch));
    std::shared_ptr<DaemonServing> serving;
    std::shared_ptr<DaemonRpc> rpc;
    {
      std::lock_guard lock(mutex_);
      serving = serving_;
      rpc = rpc_;
    }
    if (serving != nullptr) serving->NotifyDurable(batch.source);
    if (rpc != nullptr) rpc->Notify(batch.source);
    return OkStatus();
  }

 private:
  Index& index_;
  std::mutex mutex_;  // guards serving_, rpc_
  std::shared_ptr<DaemonServing> serving_;
  std::shared_ptr<DaemonRpc> rpc_;
};

}  // namespace tidemark
