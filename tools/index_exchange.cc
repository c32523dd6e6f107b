#include "tools/index_exchange.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kLook{200};

}  // namespace

IndexExchange::IndexExchange(ArchiveDirectory& archive, SerializedIndex& index,
                             std::function<void()> news)
    : archive_(archive), index_(index), news_(std::move(news)) {
  thread_ = std::thread([this] {
    Status result = Run();
    if (!result.ok()) spdlog::error("the index was not made anew: {}", result.message());
    {
      std::lock_guard lock(mutex_);
      result_ = std::move(result);
      progress_.done = result_.ok();
      wants_quiet_ = false;
      finished_ = true;
    }
    changed_.notify_all();
    news_();
  });
}

IndexExchange::~IndexExchange() {
  GiveUp();
  if (thread_.joinable()) thread_.join();
}

Status IndexExchange::Run() {
  spdlog::info("making the index anew from the segments");
  TM_ASSIGN_OR_RETURN(const auto rebuild, IndexRebuild::Begin(archive_));
  const auto note = [this](const HealReport& report) { Note(report); };
  const auto give_up = [this] { return GivenUp(); };
  TM_RETURN_IF_ERROR(rebuild->Heal(note, give_up));
  {
    std::unique_lock lock(mutex_);
    wants_quiet_ = true;
    lock.unlock();
    news_();
    lock.lock();
    changed_.wait(lock, [this] { return quiet_ || given_up_; });
    if (!quiet_) return Status(Code::kInterrupted, "it was given up");
  }
  TM_RETURN_IF_ERROR(rebuild->Heal(note, give_up));
  TM_RETURN_IF_ERROR(
      index_.Replace(archive_.IndexPath(), [&rebuild] { return rebuild->SwapIn(); }));
  spdlog::info("the index was made anew from {} segments", rebuild->report().segments_scanned);
  return OkStatus();
}

void IndexExchange::Note(const HealReport& report) {
  {
    std::lock_guard lock(mutex_);
    progress_.segments = report.segments_scanned;
    progress_.raw_bytes = report.raw_bytes_scanned;
  }
  changed_.notify_all();
}

bool IndexExchange::wants_quiet() const {
  std::lock_guard lock(mutex_);
  return wants_quiet_;
}

void IndexExchange::SetQuiet() {
  {
    std::lock_guard lock(mutex_);
    quiet_ = true;
  }
  changed_.notify_all();
}

bool IndexExchange::finished() const {
  std::lock_guard lock(mutex_);
  return finished_;
}

void IndexExchange::GiveUp() {
  {
    std::lock_guard lock(mutex_);
    given_up_ = true;
  }
  changed_.notify_all();
}

bool IndexExchange::GivenUp() const {
  std::lock_guard lock(mutex_);
  return given_up_;
}

Result<IndexExchange::Progress> IndexExchange::Look(const Progress& known) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, kLook, [&] { return finished_ || progress_ != known; });
  if (finished_ && !result_.ok()) return result_;
  return progress_;
}

}  // namespace tidemark
