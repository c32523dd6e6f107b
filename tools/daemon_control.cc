#include "tools/daemon_control.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kGiveUpCheck{100};

// A stream of progress; when it ends for whatever reason, so does the rebuild.
class Rebuilding : public rpc::IndexRebuilding {
 public:
  explicit Rebuilding(std::shared_ptr<IndexExchange> exchange) : exchange_(std::move(exchange)) {}
  ~Rebuilding() override { exchange_->GiveUp(); }
  Result<Progress> Look() override {
    TM_ASSIGN_OR_RETURN(known_, exchange_->Look(known_));
    return known_;
  }

 private:
  const std::shared_ptr<IndexExchange> exchange_;
  Progress known_;
};

Status Stopping() {
  return Status(Code::kSourceUnavailable, "tidemarkd is being stopped",
                "ask again once it is back");
}

Status NotConfigured(const std::string& source) {
  return Status(Code::kNotFound, "tidemarkd does not archive a source '" + source + "'",
                "its configuration has no such [[source]]; what there is of it can be read only");
}

}  // namespace

DaemonControl::DaemonControl(ArchiveDirectory& archive, SerializedIndex& index,
                             std::function<void()> ring)
    : archive_(archive), index_(index), ring_(std::move(ring)) {}

DaemonControl::~DaemonControl() { Stop(); }

void DaemonControl::SetSources(const std::vector<std::string>& names) {
  std::lock_guard files(files_mutex_);
  std::map<std::string, OperatorNote> pauses;
  for (const std::string& name : names) {
    Result<std::optional<OperatorNote>> pause = ReadPause(archive_, name);
    if (!pause.ok())
      pauses[name] = {"somebody", 0, pause.error().message()};
    else if (*pause)
      pauses[name] = **pause;
  }
  std::lock_guard lock(mutex_);
  sources_ = {names.begin(), names.end()};
  for (const auto& [name, note] : pauses)
    if (const auto known = pauses_.find(name); known == pauses_.end() || known->second != note)
      spdlog::warn("[{}] is not archived: paused by {}: {}; pitr source resume ends that", name,
                   note.by, note.reason);
  pauses_ = std::move(pauses);
}

std::optional<OperatorNote> DaemonControl::PauseOf(const std::string& source) const {
  std::lock_guard lock(mutex_);
  const auto at = pauses_.find(source);
  return at == pauses_.end() ? std::nullopt : std::optional(at->second);
}

bool DaemonControl::WantsQuiet() const {
  std::lock_guard lock(mutex_);
  return exchange_ != nullptr && exchange_->wants_quiet();
}

void DaemonControl::NoteWorkers(const std::vector<std::shared_ptr<SourceWorker>>& workers) {
  std::map<std::string, std::shared_ptr<SourceWorker>> now;
  for (const auto& worker : workers) now[worker->name()] = worker;
  {
    std::lock_guard lock(mutex_);
    const bool quiet = workers.empty() && exchange_ != nullptr && exchange_->wants_quiet();
    if (quiet) exchange_->SetQuiet();
    std::swap(workers_, now);
  }
  changed_.notify_all();  // also of how far they are
}

void DaemonControl::Stop() {
  std::shared_ptr<IndexExchange> exchange;
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
    workers_.clear();
    exchange = std::move(exchange_);
  }
  changed_.notify_all();
  if (exchange != nullptr) exchange->GiveUp();  // whose last owner waits for it
}

Status DaemonControl::CheckSource(const std::string& source) const {
  std::lock_guard lock(mutex_);
  if (stopped_) return Stopping();
  return sources_.contains(source) ? OkStatus() : NotConfigured(source);
}

// A paused worker is made when the one before it has ended, and the other way round.
Result<std::shared_ptr<SourceWorker>> DaemonControl::AwaitWorker(const std::string& source,
                                                                 std::optional<bool> paused,
                                                                 const GiveUp& give_up) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (stopped_) return Stopping();
    if (!sources_.contains(source)) return NotConfigured(source);
    if (paused && pauses_.contains(source) != *paused)
      return Status(Code::kLocked,
                    "source " + source + " was " + (*paused ? "resumed" : "paused") +
                        " by somebody else meanwhile",
                    "pitr status says how it stands");
    const auto at = workers_.find(source);
    if (at != workers_.end() && at->second->tried() &&
        at->second->pause().has_value() == paused.value_or(at->second->pause().has_value()))
      return at->second;
    lock.unlock();
    const bool gone = give_up();
    lock.lock();
    if (gone) return Status(Code::kInterrupted, "gave up waiting; it comes about all the same");
    changed_.wait_for(lock, kGiveUpCheck);
  }
}

Result<rpc::DaemonControls::Paused> DaemonControl::Pause(const std::string& source,
                                                         const OperatorNote& note,
                                                         const GiveUp& give_up) {
  TM_RETURN_IF_ERROR(CheckSource(source));
  Paused paused{note, false};
  {
    std::lock_guard files(files_mutex_);
    if (const auto known = PauseOf(source)) {
      paused = {*known, true};
    } else {
      TM_RETURN_IF_ERROR(WritePause(archive_, source, note));
      spdlog::warn("[{}] paused by {}: {}", source, note.by, note.reason);
      std::lock_guard lock(mutex_);
      pauses_[source] = note;
    }
  }
  ring_();
  TM_ASSIGN_OR_RETURN([[maybe_unused]] const auto worker, AwaitWorker(source, true, give_up));
  return paused;
}

Result<bool> DaemonControl::Resume(const std::string& source, const GiveUp& give_up) {
  TM_RETURN_IF_ERROR(CheckSource(source));
  bool was_paused = false;
  {
    std::lock_guard files(files_mutex_);
    was_paused = PauseOf(source).has_value();
    if (was_paused) {
      TM_RETURN_IF_ERROR(RemovePause(archive_, source));
      spdlog::info("[{}] resumed", source);
      std::lock_guard lock(mutex_);
      pauses_.erase(source);
    }
  }
  ring_();
  TM_ASSIGN_OR_RETURN([[maybe_unused]] const auto worker, AwaitWorker(source, false, give_up));
  return was_paused;
}

Result<SealAnswer> DaemonControl::Seal(const std::string& source, const GiveUp& give_up) {
  TM_RETURN_IF_ERROR(CheckSource(source));
  TM_ASSIGN_OR_RETURN(const auto worker, AwaitWorker(source, std::nullopt, give_up));
  return worker->Seal(give_up);
}

Result<std::unique_ptr<rpc::IndexRebuilding>> DaemonControl::RebuildIndex() {
  std::lock_guard lock(mutex_);
  if (stopped_) return Stopping();
  if (exchange_ != nullptr && !exchange_->finished())
    return Status(Code::kLocked, "the index is being made anew already", "wait for it to end");
  exchange_ = std::make_shared<IndexExchange>(archive_, index_, ring_);
  return std::unique_ptr<rpc::IndexRebuilding>(std::make_unique<Rebuilding>(exchange_));
}

}  // namespace tidemark
