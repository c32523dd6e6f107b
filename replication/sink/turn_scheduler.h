// Lets the fault simulation (tests/sim) decide which of the pipeline's parties goes on and when, so
// that a seed repeats a run exactly. In production there is none: parties are threads and wait on
// condition variables.
//
// With a scheduler all parties share one thread and take turns; a turn ends in Wait, Join, or
// wherever the simulated disk and source choose to end it. None of them may hold a mutex then.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace tidemark {

class TurnScheduler {
 public:
  virtual ~TurnScheduler() = default;
  virtual uint64_t Start(std::function<void()> party) = 0;  // its first turn comes later
  virtual void Join(uint64_t party) = 0;                    // until its function has returned
  // As a condition variable: a waiting party has no turn before the signal is given.
  virtual void Wait(const void* signal) = 0;
  virtual void WakeOne(const void* signal) = 0;
  virtual void WakeAll(const void* signal) = 0;
};

// A condition variable, or the scheduler's.
class Signal {
 public:
  explicit Signal(TurnScheduler* scheduler) : scheduler_(scheduler) {}

  void wait(std::unique_lock<std::mutex>& lock) {
    if (scheduler_ == nullptr) return condition_.wait(lock);
    lock.unlock();
    scheduler_->Wait(this);
    lock.lock();
  }
  template <typename Predicate>
  void wait(std::unique_lock<std::mutex>& lock, Predicate predicate) {
    while (!predicate()) wait(lock);
  }
  void notify_one() { scheduler_ == nullptr ? condition_.notify_one() : scheduler_->WakeOne(this); }
  void notify_all() { scheduler_ == nullptr ? condition_.notify_all() : scheduler_->WakeAll(this); }

 private:
  TurnScheduler* const scheduler_;
  std::condition_variable condition_;
};

// A thread, or the scheduler's party. Started once; joined before it goes.
class Party {
 public:
  explicit Party(TurnScheduler* scheduler) : scheduler_(scheduler) {}

  void Start(std::function<void()> body) {
    if (scheduler_ == nullptr)
      thread_ = std::thread(std::move(body));
    else
      number_ = scheduler_->Start(std::move(body));
  }
  void Join() { scheduler_ == nullptr ? thread_.join() : scheduler_->Join(number_); }

 private:
  TurnScheduler* const scheduler_;
  std::thread thread_;
  uint64_t number_ = 0;
};

}  // namespace tidemark
