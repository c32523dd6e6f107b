#include "tools/source_worker.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "replication/source/mysql_event_source.h"

namespace tidemark {
namespace {

Status Heal(Index& index, ArchiveDirectory& archive, const std::string& source) {
  TM_ASSIGN_OR_RETURN(HealReport report,
                      HealIndex(index, archive, source, [](const HealReport&) {}));
  if (!report.segments_lost.empty())
    spdlog::warn("[{}] {} segment file(s) that the index knew are gone, and with them {}", source,
                 report.segments_lost.size(), report.gtids_lost.ToString());
  if (report.segments_scanned > 0)
    spdlog::info("[{}] index brought up to date: {} segments read again, {} were current", source,
                 report.segments_scanned, report.segments_current);
  return OkStatus();
}

}  // namespace

SourceWorker::SourceWorker(SourceConfig config, Surroundings surroundings)
    : config_(std::move(config)), surroundings_(std::move(surroundings)) {
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "tm-fetch");
    Status result = Run();
    {
      std::lock_guard lock(mutex_);
      result_ = std::move(result);
    }
    tried_ = true;
    finished_ = true;
    surroundings_.news();
  });
}

SourceWorker::~SourceWorker() {
  Stop();
  if (thread_.joinable()) thread_.join();
}

Status SourceWorker::Run() {
  std::shared_ptr<SourceArchiver> archiver;
  for (uint32_t failures = 0; !stopping_; ++failures) {
    Status begun = Begin(&archiver);
    if (begun.ok()) break;
    if (surroundings_.once) {
      spdlog::error("[{}] cannot start: {}", name(), begun.message());
      return begun;
    }
    if (!WaitBeforeRetry(failures, begun)) return OkStatus();
  }
  if (stopping_) return OkStatus();
  Status result = surroundings_.once ? archiver->RunOnce() : archiver->Run();
  if (!result.ok()) spdlog::error("[{}] {}", name(), result.message());
  return result;
}

Status SourceWorker::Begin(std::shared_ptr<SourceArchiver>* archiver) {
  auto made = std::make_shared<SourceArchiver>(
      surroundings_.archive, std::make_unique<MySqlEventSource>(config_.connection), SystemClock(),
      surroundings_.listener, config_.archiver);
  Status status = made->Prepare();
  if (status.ok()) status = Heal(surroundings_.index, surroundings_.archive, name());
  {
    std::lock_guard lock(mutex_);
    begin_error_ = status;
    if (status.ok()) archiver_ = made;
  }
  *archiver = std::move(made);
  if (!status.ok()) return status;
  tried_ = true;
  surroundings_.news();
  return OkStatus();
}

// False if asked to stop meanwhile.
bool SourceWorker::WaitBeforeRetry(uint32_t failures, const Status& error) {
  const int64_t wait_us =
      std::min(config_.archiver.backoff_us_max, kStartBackoffUsMin << std::min(failures, 20u));
  const std::string hint = error.hint().empty() ? "" : "; hint: " + error.hint();
  spdlog::error("[{}] cannot start: {}{}; trying again in {:.1f} s", name(), error.message(), hint,
                1e-6 * static_cast<double>(wait_us));
  tried_ = true;
  surroundings_.news();
  std::unique_lock lock(mutex_);
  wake_up_.wait_for(lock, std::chrono::microseconds(wait_us), [this] { return stopping_.load(); });
  return !stopping_;
}

void SourceWorker::Stop() {
  std::shared_ptr<SourceArchiver> archiver;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    archiver = archiver_;
  }
  wake_up_.notify_all();
  if (archiver != nullptr) archiver->Stop();
}

Status SourceWorker::Join() {
  if (thread_.joinable()) thread_.join();
  std::lock_guard lock(mutex_);
  return result_;
}

SourceWorker::Condition SourceWorker::condition() const {
  Condition condition;
  std::lock_guard lock(mutex_);
  condition.started = archiver_ != nullptr;
  if (condition.started) {
    condition.archiver = archiver_->status();
  } else {
    condition.archiver.last_error = begin_error_;
    if (!begin_error_.ok()) condition.archiver.state = ArchiverState::kWaiting;
  }
  if (finished_) condition.archiver.state = ArchiverState::kStopped;
  return condition;
}

const char* SourceWorker::StateName(const Condition& condition) {
  if (!condition.started && condition.archiver.state == ArchiverState::kWaiting)
    return "cannot-start";
  return ArchiverStateName(condition.archiver.state);
}

}  // namespace tidemark
