#include "replication/source/link_watch.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>

#include "replication/base/stoppable_sleep.h"

namespace tidemark {
namespace {

// Ever, on this connection. nullopt: not TCP, or the kernel does not count.
std::optional<uint64_t> BytesReceived(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return std::nullopt;
  if (size < offsetof(tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received)
    return std::nullopt;
  return info.tcpi_bytes_received;
}

}  // namespace

void LinkWatch::Start(int descriptor, int64_t timeout_ms, int64_t heartbeat_us) {
  Stop();
  ended_it_ = false;
  if (!BytesReceived(descriptor)) return;
  const auto heartbeats =
      static_cast<uint64_t>(timeout_ms * 1000 / std::max<int64_t>(heartbeat_us, 1) + 1);
  const uint64_t bytes_min = heartbeats * kHeartbeatBytesMax;
  thread_ = std::jthread([this, descriptor, timeout_ms, bytes_min](const std::stop_token& stop) {
    Run(stop, descriptor, timeout_ms, bytes_min);
  });
}

void LinkWatch::Run(const std::stop_token& stop, int descriptor, int64_t timeout_ms,
                    uint64_t bytes_min) {
  using SteadyClock = std::chrono::steady_clock;
  pthread_setname_np(pthread_self(), "tm-link");
  const auto timeout = std::chrono::milliseconds(timeout_ms);
  uint64_t events = events_.load(std::memory_order_relaxed);
  const uint64_t bytes_at_start = BytesReceived(descriptor).value_or(0);
  uint64_t bytes = bytes_at_start;
  bool fetching = false;
  auto looked_at = SteadyClock::now();
  while (SleepUnlessStopped(stop, timeout)) {
    const uint64_t events_now = events_.load(std::memory_order_relaxed);
    const uint64_t bytes_now = BytesReceived(descriptor).value_or(0);
    const bool fetching_now = fetching_.load(std::memory_order_relaxed);
    const auto now = SteadyClock::now();
    // Where this process was itself stopped meanwhile, the link is not to blame.
    const bool awake = now - looked_at < 2 * timeout;
    const bool begun = bytes != bytes_at_start;
    if (awake && begun && fetching && fetching_now && events_now == events &&
        bytes_now - bytes < bytes_min) {
      ended_it_ = true;
      ::shutdown(descriptor, SHUT_RDWR);
      return;
    }
    fetching = fetching_now;
    events = events_now;
    bytes = bytes_now;
    looked_at = now;
  }
}

}  // namespace tidemark
