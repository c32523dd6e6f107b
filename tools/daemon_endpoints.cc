#include "tools/daemon_endpoints.h"

#include <spdlog/spdlog.h>

#include <utility>

namespace tidemark {
namespace {

constexpr std::chrono::seconds kServeRetryInterval{10};

}  // namespace

DaemonEndpoints::DaemonEndpoints(Surroundings surroundings)
    : surroundings_(std::move(surroundings)), listener_(surroundings_.index) {}

void DaemonEndpoints::ReloadRpc(const RpcConfig& config) {
  if (rpc_ != nullptr) rpc_->Reload(config);
}

void DaemonEndpoints::Settle(const DaemonConfig& config, const Turn& turn) {
  SettleServing(config, turn);
  SettleRpc(config.rpc, turn);
}

void DaemonEndpoints::SettleServing(const DaemonConfig& config, const Turn& turn) {
  for (const auto& worker : turn.workers)
    if (not_served_.contains(worker->name()) && worker->condition().started)
      serving_settled_ = false;
  if (serve_again_at_ && Clock::now() >= *serve_again_at_) serving_settled_ = false;
  if (serving_settled_) {
    if (serving_ != nullptr) serving_->TryAgain();
    return;
  }
  if (!turn.settled) return;
  StopServing();
  not_served_.clear();
  serve_again_at_.reset();
  serving_settled_ = true;
  if (config.serve.port != 0) StartServing(config);
}

void DaemonEndpoints::StartServing(const DaemonConfig& config) {
  const DaemonConfig servable = Servable(config);
  for (const SourceConfig& source : config.sources)
    if (servable.Find(source.archiver.source) == nullptr)
      not_served_.insert(source.archiver.source);
  if (servable.serve.accounts.empty()) return;
  auto started = DaemonServing::Start(servable, surroundings_.archive, surroundings_.index);
  if (!started.ok()) {
    spdlog::error("cannot serve replicas: {}", started.error().message());
    serve_again_at_ = Clock::now() + kServeRetryInterval;
    return;
  }
  serving_ = std::move(*started);
  listener_.SetServing(serving_);
}

// Without the sources whose identity cannot be read.
DaemonConfig DaemonEndpoints::Servable(const DaemonConfig& config) const {
  DaemonConfig servable = config;
  std::erase_if(servable.sources, [this](const SourceConfig& source) {
    return !surroundings_.archive.ReadIdentity(source.archiver.source).ok();
  });
  std::erase_if(servable.serve.accounts, [&servable](const ServeAccountConfig& account) {
    return servable.Find(account.source) == nullptr;
  });
  return servable;
}

void DaemonEndpoints::SettleRpc(const RpcConfig& config, const Turn& turn) {
  if (!rpc_settled_) {
    StopRpc();
    rpc_settled_ = true;
    if (config.listen.empty()) return;
    rpc_ = std::make_shared<DaemonRpc>(
        config, DaemonRpc::Surroundings{surroundings_.archive, surroundings_.index,
                                        surroundings_.live_state, surroundings_.pages(config),
                                        surroundings_.controls});
    listener_.SetRpc(rpc_);
  }
  if (rpc_ == nullptr) return;
  if (turn.was_settled || turn.settled) rpc_->AcceptCalls();
  rpc_->Settle();
}

void DaemonEndpoints::Stop() {
  StopServing();
  StopRpc();
}

void DaemonEndpoints::StopServing() {
  listener_.SetServing(nullptr);
  if (serving_ != nullptr) serving_->Stop();
  serving_.reset();
}

void DaemonEndpoints::StopRpc() {
  listener_.SetRpc(nullptr);
  if (rpc_ != nullptr) rpc_->Stop();
  rpc_.reset();
}

}  // namespace tidemark
