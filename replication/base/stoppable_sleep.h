// How a thread that looks at something now and then waits until the next look.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace tidemark {

// True after `how_long`; false as soon as `stop` is requested, also if it was before.
inline bool SleepUnlessStopped(const std::stop_token& stop, std::chrono::milliseconds how_long) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  return !wake.wait_for(lock, stop, how_long, [&stop] { return stop.stop_requested(); });
}

}  // namespace tidemark
