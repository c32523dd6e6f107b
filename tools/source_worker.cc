#include "tools/source_worker.h"

#include <pthread.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "replication/source/failover_source.h"

namespace tidemark {
namespace {

Status Heal(Index& index, ArchiveDirectory& archive, const std::string& source,
            const std::optional<SegmentContents>& recovered) {
  TM_ASSIGN_OR_RETURN(HealReport report,
                      HealIndex(index, archive, source, {}, recovered ? &*recovered : nullptr));
  if (!report.segments_lost.empty())
    spdlog::warn("[{}] {} segment file(s) that the index knew are gone, and with them {}", source,
                 report.segments_lost.size(), report.gtids_lost.ToString());
  if (report.segments_scanned > 0)
    spdlog::info("[{}] index brought up to date: {} segments read again, {} were current", source,
                 report.segments_scanned, report.segments_current);
  return OkStatus();
}

// What the archiver cannot know of a source that continues another one.
LineageHooks HooksOf(Index& index, const std::string& source) {
  LineageHooks hooks;
  hooks.published = [&index](const std::string& parent, uint64_t number) -> Result<uint64_t> {
    TM_ASSIGN_OR_RETURN(const std::optional<SegmentRecord> known, index.Segment(parent, number));
    return known ? known->raw_bytes : uint64_t{0};
  };
  // An archive is read much more slowly than its index.
  hooks.shared = [&index, source](const std::string& parent,
                                  const std::vector<uint64_t>& segments) -> Status {
    for (const uint64_t number : segments)
      TM_RETURN_IF_ERROR(CopySegmentRecords(index, parent, source, number));
    return OkStatus();
  };
  return hooks;
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
  if (pause()) return Rest();
  Status result = surroundings_.once ? archiver->RunOnce() : archiver->Run();
  if (!result.ok()) spdlog::error("[{}] {}", name(), result.message());
  return result;
}

// What is on disk is whole and known to the index; nothing comes.
Status SourceWorker::Rest() {
  if (surroundings_.once) {
    spdlog::warn("[{}] is paused, and was not archived", name());
    return OkStatus();
  }
  std::unique_lock lock(mutex_);
  wake_up_.wait(lock, [this] { return stopping_.load(); });
  return OkStatus();
}

Status SourceWorker::BeginOnce(SourceArchiver& archiver) {
  TM_RETURN_IF_ERROR(archiver.Prepare());
  return Heal(surroundings_.index, surroundings_.archive, name(), archiver.TakeRecovered());
}

Status SourceWorker::Begin(std::shared_ptr<SourceArchiver>* archiver) {
  // One that has failed is tried again: it knows what must not be believed any more.
  if (*archiver == nullptr) {
    ArchiverOptions options = config_.archiver;
    options.lineage_hooks = HooksOf(surroundings_.index, name());
    options.reserve = surroundings_.reserve;
    *archiver = std::make_shared<SourceArchiver>(
        surroundings_.archive, std::make_unique<FailoverSource>(config_.connection, config_.hosts),
        SystemClock(), surroundings_.listener, std::move(options));
    std::lock_guard lock(mutex_);
    beginning_ = *archiver;
    if (stopping_) beginning_->Stop();
  }
  Status status = BeginOnce(**archiver);
  SpaceReserve* reserve = surroundings_.reserve;
  if (status.code() == Code::kDiskFull && reserve != nullptr && reserve->GiveUp()) {
    spdlog::error("[{}] {}; the space reserve is given up", name(), status.message());
    status = BeginOnce(**archiver);
  }
  {
    std::lock_guard lock(mutex_);
    begin_error_ = status;
    if (status.ok()) archiver_ = std::exchange(beginning_, nullptr);
  }
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
    archiver = archiver_ != nullptr ? archiver_ : beginning_;
  }
  wake_up_.notify_all();
  if (archiver != nullptr) archiver->Stop();
}

Result<SealAnswer> SourceWorker::Seal(const std::function<bool()>& give_up) {
  std::shared_ptr<SourceArchiver> archiver;
  {
    std::lock_guard lock(mutex_);
    archiver = archiver_;
    if (archiver == nullptr)
      return Status(Code::kSourceUnavailable,
                    "source " + name() + " has not been started" +
                        (begin_error_.ok() ? "" : ": " + begin_error_.message()));
  }
  if (!pause()) return archiver->Seal(give_up);
  TM_ASSIGN_OR_RETURN(const auto last, surroundings_.index.LastSegment(name()));
  return SealAnswer{last ? last->header.number : 0, true};
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
  condition.paused = pause().has_value();
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
  if (condition.started && condition.paused && condition.archiver.state != ArchiverState::kStopped)
    return "paused";
  return ArchiverStateName(condition.archiver.state);
}

}  // namespace tidemark
