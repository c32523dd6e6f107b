#include "tools/daemon.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>

#include "tools/daemon_archive.h"
#include "tools/daemon_control.h"
#include "tools/daemon_endpoints.h"
#include "tools/daemon_health.h"
#include "tools/daemon_log.h"
#include "tools/daemon_metrics.h"
#include "tools/daemon_view.h"
#include "tools/serve_check.h"
#include "tools/service_manager.h"
#include "tools/source_worker.h"

namespace tidemark {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTurn{100};
// While it starts, it says so this often, and asks for this much.
constexpr std::chrono::seconds kStartExtensionInterval{5}, kStartExtension{60};

// Rung by a worker that has news; a signal handler cannot ring it, so nobody waits for it for long.
class Bell {
 public:
  void Ring() {
    {
      std::lock_guard lock(mutex_);
      rung_ = true;
    }
    condition_.notify_all();
  }
  void Wait(std::chrono::milliseconds at_most) {
    std::unique_lock lock(mutex_);
    condition_.wait_for(lock, at_most, [this] { return rung_; });
    rung_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
};

class Daemon {
 public:
  Daemon(LoadedConfig loaded, DaemonOptions options, DaemonSignals& signals)
      : loaded_(std::move(loaded)),
        options_(std::move(options)),
        signals_(signals),
        archive_(loaded_.config.archive, loaded_.config.space_reserve_bytes),
        view_(archive_.directory()) {}

  Status Run();

 private:
  const DaemonConfig& config() const { return loaded_.config; }
  Status Open();
  void CreateSources();
  Status CheckNewSetup(const ReloadPlan& plan);
  void Reload();
  void SettleWorkers();
  void StartWorkers();
  std::vector<DaemonRpc::Page> Pages(const RpcConfig& config) const;
  bool Settled() const;
  bool NothingStarted() const;
  bool AllFinished() const;
  void Publish();
  void NoteHealth(bool stopping = false);
  void NoteMetrics();
  static bool Dead(const SourceWorker& worker);
  void TellManager();
  std::string StatusLine() const;
  Status Finish();

  LoadedConfig loaded_;  // what holds now
  const DaemonOptions options_;
  DaemonSignals& signals_;
  ServiceManager manager_;
  DaemonArchive archive_;
  DaemonView view_;
  DaemonHealth health_;
  std::unique_ptr<DaemonMetrics> metrics_;
  Bell bell_;
  std::unique_ptr<DaemonControl> control_;
  std::unique_ptr<DaemonEndpoints> endpoints_;
  std::vector<std::shared_ptr<SourceWorker>> workers_;  // one per source name
  bool was_ready_ = false;
  bool announce_ready_ = true;  // to the manager, once all is settled
  Clock::time_point start_extended_{};
};

Status Daemon::Open() {
  const auto rebuilding = [this] {
    manager_.Status("making the index anew from the segments");
    manager_.ExtendStart(kStartExtension);
    manager_.Alive();
  };
  TM_RETURN_IF_ERROR(archive_.Open(rebuilding));
  std::vector<std::string> workers;
  for (const SourceConfig& source : config().sources) workers.push_back(source.archiver.source);
  archive_.IndexForgotten(workers, rebuilding);
  control_ = std::make_unique<DaemonControl>(archive_.directory(), archive_.index(),
                                             [this] { bell_.Ring(); });
  metrics_ =
      std::make_unique<DaemonMetrics>(archive_.directory(), archive_.index(), archive_.reserve());
  const auto live_state = [this](const std::string& source) {
    const std::optional<LiveState> live = view_.StateOf(source);
    return live ? live : ReadLiveState(archive_.directory(), source);
  };
  endpoints_ = std::make_unique<DaemonEndpoints>(DaemonEndpoints::Surroundings{
      archive_.directory(), archive_.index(), live_state,
      [this](const RpcConfig& config) { return Pages(config); }, *control_});
  return OkStatus();
}

// So that a new source has an identity, by which it can be served. What goes wrong here the
// source's worker will say.
void Daemon::CreateSources() {
  std::vector<std::string> names;
  for (const SourceConfig& source : config().sources) {
    // One that continues another one is made by its worker, which can ask where they part.
    if (source.archiver.continues.empty())
      (void)archive_.directory().CreateSource(source.archiver.source);
    names.push_back(source.archiver.source);
  }
  control_->SetSources(names);
}

// Everything that can be wrong with a new configuration, before anything is touched. The log is
// last: it is changed by trying.
Status Daemon::CheckNewSetup(const ReloadPlan& plan) {
  if (plan.serve) TM_RETURN_IF_ERROR(CheckServe(plan.result.serve));
  TM_RETURN_IF_ERROR(DaemonRpc::Check(plan.result.rpc));
  TM_RETURN_IF_ERROR(CheckLineages(plan.result, archive_.directory()));
  return plan.log ? ConfigureLog(plan.result.log) : OkStatus();
}

void Daemon::Reload() {
  manager_.Reloading();
  announce_ready_ = true;
  spdlog::info("reading {} again", options_.config_path);
  Result<LoadedConfig> fresh = LoadConfigWithFiles(options_.config_path);
  ReloadPlan plan;
  Status status = fresh.ok() ? OkStatus() : fresh.error();
  if (status.ok()) {
    plan = PlanReload(loaded_, *fresh);
    status = CheckNewSetup(plan);
  }
  if (!status.ok()) {
    spdlog::error("the new configuration cannot be used, the old one stays: {}{}", status.message(),
                  status.hint().empty() ? "" : "; hint: " + status.hint());
    return;
  }
  if (plan.empty() && !plan.serve && !plan.rpc) spdlog::info("the configuration has not changed");
  for (const std::string& line : plan.changes) spdlog::info("configuration: {}", line);
  for (const std::string& line : plan.needs_restart)
    spdlog::warn("configuration: {}: only after a restart of tidemarkd", line);
  const uint64_t reserve_before = config().space_reserve_bytes;
  loaded_ = {std::move(plan.result), std::move(fresh->digests)};
  if (config().space_reserve_bytes != reserve_before) archive_.Resize(config().space_reserve_bytes);
  if (plan.serve) endpoints_->ServeAnew();
  if (plan.rpc)
    endpoints_->AnswerAnew();
  else
    endpoints_->ReloadRpc(config().rpc);
  CreateSources();
}

// Brings the workers to what the configuration says, without waiting for any of them.
void Daemon::SettleWorkers() {
  for (auto& worker : workers_) {
    const SourceConfig* wanted = config().Find(worker->name());
    const bool stays = wanted != nullptr && wanted->settings == worker->config().settings &&
                       worker->pause() == control_->PauseOf(worker->name()) &&
                       !control_->WantsQuiet();
    if (!stays && !worker->stopping()) worker->Stop();
    if (!worker->stopping() || !worker->finished()) continue;
    (void)worker->Join();
    view_.Publish(*worker, nullptr);
    view_.Forget(worker->name());
    if (wanted == nullptr) spdlog::info("[{}] is no longer archived", worker->name());
    worker.reset();
  }
  std::erase(workers_, nullptr);
  if (!control_->WantsQuiet()) StartWorkers();
  control_->NoteWorkers(workers_);
}

void Daemon::StartWorkers() {
  for (const SourceConfig& source : config().sources) {
    const auto same_name = [&source](const auto& worker) {
      return worker->name() == source.archiver.source;
    };
    if (std::any_of(workers_.begin(), workers_.end(), same_name)) continue;
    workers_.push_back(std::make_shared<SourceWorker>(
        source, SourceWorker::Surroundings{
                    archive_.directory(), archive_.index(), endpoints_->listener(), options_.once,
                    [this] { bell_.Ring(); }, control_->PauseOf(source.archiver.source),
                    &archive_.reserve()}));
  }
}

bool Daemon::Settled() const {
  return workers_.size() == config().sources.size() &&
         std::all_of(workers_.begin(), workers_.end(),
                     [](const auto& worker) { return worker->tried() && !worker->stopping(); });
}

// What is asked for in a browser, by a probe or by Prometheus.
std::vector<DaemonRpc::Page> Daemon::Pages(const RpcConfig& config) const {
  return {{"/healthz", rpc::Role::kNone, [this] { return health_.Health(); }},
          {"/readyz", rpc::Role::kNone, [this] { return health_.Ready(); }},
          {"/metrics", config.metrics_anonymous ? rpc::Role::kNone : rpc::Role::kReader,
           [this] { return metrics_->Page(); }}};
}

void Daemon::Publish() {
  for (const auto& worker : workers_) view_.Publish(*worker, endpoints_->serving().get());
}

bool Daemon::Dead(const SourceWorker& worker) { return worker.finished() && !worker.stopping(); }

void Daemon::NoteHealth(bool stopping) {
  DaemonHealth::Turn turn;
  turn.settled = Settled();
  turn.stopping = stopping;
  for (const SourceConfig& source : config().sources) {
    DaemonHealth::Source& noted = turn.sources.emplace_back();
    noted.name = source.archiver.source;
    noted.state = "starting";
    noted.started = control_->WantsQuiet();  // it was, and will be in a moment
    for (const auto& worker : workers_) {
      if (worker->name() != noted.name) continue;
      const SourceWorker::Condition condition = worker->condition();
      noted.state = SourceWorker::StateName(condition);
      noted.started = condition.started && !worker->stopping();
      noted.dead = !stopping && Dead(*worker);
    }
  }
  health_.Note(std::move(turn));
}

void Daemon::NoteMetrics() {
  DaemonMetrics::Turn turn;
  turn.serving = endpoints_->serving();
  turn.rpc = endpoints_->rpc();
  for (const auto& worker : workers_) {
    const SourceWorker::Condition condition = worker->condition();
    SourceMetrics& noted = turn.sources.emplace_back();
    noted.name = worker->name();
    noted.state = SourceWorker::StateName(condition);
    noted.archiver = condition.archiver;
    noted.heartbeat_us = worker->config().archiver.heartbeat_us;
  }
  metrics_->Note(std::move(turn));
}

// And nothing will by itself: a full disk is waited for.
bool Daemon::NothingStarted() const {
  return !workers_.empty() &&
         std::none_of(workers_.begin(), workers_.end(), [](const auto& worker) {
           const SourceWorker::Condition condition = worker->condition();
           return condition.started || condition.archiver.last_error.code() == Code::kDiskFull;
         });
}

bool Daemon::AllFinished() const {
  return std::all_of(workers_.begin(), workers_.end(),
                     [](const auto& worker) { return worker->finished(); });
}

std::string Daemon::StatusLine() const {
  size_t archiving = 0;
  std::string troubled;
  for (const auto& worker : workers_) {
    const SourceWorker::Condition condition = worker->condition();
    if (condition.archiver.state == ArchiverState::kArchiving) {
      ++archiving;
      continue;
    }
    troubled += fmt::format("{}{}: {}", troubled.empty() ? "; " : ", ", worker->name(),
                            SourceWorker::StateName(condition));
  }
  return fmt::format("archiving {} of {} sources{}", archiving, config().sources.size(), troubled);
}

// What "alive" can honestly mean here: this thread makes its turns, and no worker's thread has
// ended by itself. A worker that waits for its source or its disk is alive: the first has time-outs
// of its own, and a hung disk is not mended by killing what waits for it, while the other sources
// would be interrupted.
void Daemon::TellManager() {
  const bool dead = !options_.once && std::any_of(workers_.begin(), workers_.end(),
                                                  [](const auto& w) { return Dead(*w); });
  if (!dead) manager_.Alive();
  manager_.Status(StatusLine());
  if (Settled() && announce_ready_ && (options_.once || endpoints_->serving_settled())) {
    announce_ready_ = false;
    was_ready_ = true;
    manager_.Ready();
  }
  if (was_ready_ || Clock::now() - start_extended_ < kStartExtensionInterval) return;
  start_extended_ = Clock::now();
  manager_.ExtendStart(kStartExtension);
}

Status Daemon::Run() {
  TM_RETURN_IF_ERROR(Open());
  if (!options_.once) {
    TM_RETURN_IF_ERROR(CheckServe(config().serve));
    TM_RETURN_IF_ERROR(DaemonRpc::Check(config().rpc));
  }
  CreateSources();
  spdlog::info("tidemarkd archives {} source(s) into {}", config().sources.size(),
               config().archive);
  for (;;) {
    if (signals_.reload.exchange(false) && !options_.once) Reload();
    SettleWorkers();
    if (!options_.once) endpoints_->Settle(config(), {workers_, Settled(), was_ready_});
    archive_.Mend();
    Publish();
    NoteHealth();
    NoteMetrics();
    if (signals_.stop != 0 || (options_.once && AllFinished())) break;
    if (!options_.once && !was_ready_ && Settled() && NothingStarted()) break;
    TellManager();
    bell_.Wait(kTurn);
  }
  return Finish();
}

Status Daemon::Finish() {
  manager_.Stopping();
  const bool nothing_started = !was_ready_ && Settled() && NothingStarted();
  if (signals_.stop != 0) spdlog::info("stopping on signal {}", signals_.stop.load());
  Status result;
  if (nothing_started && signals_.stop == 0)
    result = workers_.front()->condition().archiver.last_error;
  control_->Stop();
  for (auto& worker : workers_) worker->Stop();
  while (!AllFinished()) {
    NoteHealth(/*stopping=*/true);
    manager_.Alive();
    bell_.Wait(kTurn);
  }
  for (auto& worker : workers_) {
    Status ended = worker->Join();
    view_.Publish(*worker, nullptr);
    if (result.ok()) result = std::move(ended);
  }
  // Last: replicas and remote callers get what was archived to the end.
  endpoints_->Stop();
  TM_RETURN_IF_ERROR(archive_.index().Flush());
  spdlog::info("stopped; everything archived is sealed");
  return result;
}

}  // namespace

Status RunDaemon(LoadedConfig config, const DaemonOptions& options, DaemonSignals& signals) {
  return Daemon(std::move(config), options, signals).Run();
}

}  // namespace tidemark
