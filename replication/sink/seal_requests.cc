#include "replication/sink/seal_requests.h"

#include <chrono>
#include <utility>

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kGiveUpCheck{100};

}  // namespace

Result<SealAnswer> SealRequests::Ask(const std::function<void()>& wake,
                                     const std::function<bool()>& give_up) {
  const auto slot = std::make_shared<Slot>();
  {
    std::lock_guard lock(mutex_);
    if (!closed_.ok()) return closed_;
    waiting_.push_back(slot);
    pending_ = true;
  }
  wake();
  std::unique_lock lock(mutex_);
  while (!slot->has_value()) {
    answered_.wait_for(lock, kGiveUpCheck, [&] { return slot->has_value(); });
    if (slot->has_value()) break;
    lock.unlock();
    const bool gone = give_up();
    lock.lock();
    if (gone && !slot->has_value()) {
      std::erase(waiting_, slot);
      pending_ = !waiting_.empty();
      return Status(Code::kInterrupted, "gave up waiting for the segment to be sealed");
    }
  }
  return **slot;
}

void SealRequests::Answer(const Result<SealAnswer>& answer) {
  {
    std::lock_guard lock(mutex_);
    for (const auto& slot : std::exchange(waiting_, {})) *slot = answer;
    pending_ = false;
  }
  answered_.notify_all();
}

void SealRequests::Close(Status why) {
  {
    std::lock_guard lock(mutex_);
    closed_ = why;
  }
  Answer(std::move(why));
}

}  // namespace tidemark
