// Ends a link that delivers bytes, but no events: the one way to hang that a read timeout does not
// notice. A packet's length that was damaged on its way makes the client wait for bytes which
// nobody has sent; the source's heartbeats fill them in one by one, each in time.
//
// A source that is idle sends a heartbeat in every period, so within a read timeout an event is
// through, or the bytes of a long one arrive, far more than heartbeats make. A timeout without an
// event and with fewer bytes ends the link: shutdown(2), which makes the blocked reader return.
// Until the first byte after Start nothing is judged: that silence a read timeout notices, and how
// long it may last the reader knows. Only TCP is watched: a socket on this machine damages nothing.
//
// A thread of its own, from Start to Stop; Start, Stop and the counting belong to the reader.
#pragma once

#include <atomic>
#include <cstdint>
#include <stop_token>
#include <thread>

namespace tidemark {

class LinkWatch {
 public:
  // More than a heartbeat takes on the wire, with TLS.
  static constexpr uint64_t kHeartbeatBytesMax = 512;

  LinkWatch() = default;
  LinkWatch(const LinkWatch&) = delete;
  LinkWatch& operator=(const LinkWatch&) = delete;

  // `descriptor` has to stay open until Stop. Nothing happens if it is not a TCP socket.
  void Start(int descriptor, int64_t timeout_ms, int64_t heartbeat_us);
  void Stop() { thread_ = {}; }
  // Around each blocking fetch of an event.
  void BeginFetch() { fetching_.store(true, std::memory_order_relaxed); }
  void EndFetch() {
    fetching_.store(false, std::memory_order_relaxed);
    events_.store(events_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }
  bool ended_it() const { return ended_it_; }  // of the link that was watched last

 private:
  void Run(const std::stop_token& stop, int descriptor, int64_t timeout_ms, uint64_t bytes_min);

  std::atomic<bool> fetching_ = false;
  std::atomic<uint64_t> events_ = 0;
  std::atomic<bool> ended_it_ = false;
  std::jthread thread_;  // stopped and joined where it is replaced
};

}  // namespace tidemark
