// A TCP proxy in the test's own process, between a client and a server on this machine, that does
// to the link whatever networks do: cuts, stalls, delays, throttles, damages bytes, refuses.
//
// Commands hold for all links, those open and those to come, until Heal() or the opposite command;
// one-time ones (CutAfter, Damage) wait for their byte. Offsets count the bytes that go one way,
// from the moment of the command on, whichever links they are on. Thread-safe. One thread of its
// own moves the bytes; the destructor ends it and drops all links. The port stays the same.
#pragma once

#include <poll.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "replication/base/status.h"

namespace tidemark::testing {

class FaultProxy {
 public:
  enum class Way { kToServer, kToClient };
  enum class CutBy { kReset, kEnd };  // RST, which drops what is on the way, or FIN behind it
  enum class Harm { kFlip, kDrop, kDuplicate };

  // Listens on 127.0.0.1, any port, and connects each link to 127.0.0.1:server_port.
  static Result<std::unique_ptr<FaultProxy>> Start(int server_port);
  ~FaultProxy();
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  int port() const { return port_; }
  uint64_t accepted() const;            // links, ever
  size_t open_links() const;            // now
  uint64_t forwarded_bytes(Way) const;  // ever
  uint64_t harmed_bytes(Way) const;     // how many orders of Damage were carried out, ever
  uint64_t harmed_bytes() const;        // both ways

  void Cut(CutBy by);
  void CutAfter(Way way, uint64_t bytes, CutBy by);  // in the midst of the bytes then
  // The byte at that offset: `flip_mask` is xor-ed in, or it goes missing, or comes twice.
  void Damage(Way way, uint64_t offset, Harm harm, uint8_t flip_mask = 1);
  void Stall(bool on);                       // half-open: accepts, reads and forwards nothing
  void Refuse(bool on);                      // new links get a RST; open ones live on
  void Delay(int milliseconds);              // each byte, each way; 0: none
  void Throttle(uint64_t bytes_per_second);  // each way of each link; 0: none
  void Heal();                               // none of the above is left, orders that wait included

 private:
  using Clock = std::chrono::steady_clock;
  struct Chunk {
    std::vector<uint8_t> bytes;
    size_t sent = 0;
    Clock::time_point due;
  };
  // What goes one way on one link.
  struct Stream {
    std::deque<Chunk> chunks;
    size_t queued_bytes = 0;
    bool ended = false;    // nothing more will come in
    bool closed = false;   // and all of it, and the end, is out
    double allowance = 0;  // bytes, when throttled
    Clock::time_point allowance_at;
  };
  struct Link {
    int client = -1;  // -1: the link is gone
    int server = -1;  // -1: not connected yet
    std::array<Stream, 2> streams;
  };
  struct Order {
    uint64_t at = 0;  // of the way's byte count
    bool cut = false;
    CutBy by = CutBy::kReset;
    Harm harm = Harm::kFlip;
    uint8_t flip_mask = 0;
  };

  FaultProxy(int server_port, int listener, int port, int wake);
  void Run();
  void Wake() const;
  int Gather(std::vector<pollfd>* polled) const;
  void Accept();
  bool ConnectServer(Link& link) const;
  void Serve(Link& link, Clock::time_point now);
  void Read(Link& link, Way way);
  bool Take(Link& link, Way way, std::vector<uint8_t> bytes);
  void Write(Link& link, Way way, Clock::time_point now);
  size_t Allowance(Stream& stream, Clock::time_point now) const;
  static void Drop(Link& link, CutBy by);
  void PutOrder(Way way, uint64_t offset, Order order);

  const int server_port_;
  const int listener_;
  const int port_;
  const int wake_;
  mutable std::mutex mutex_;  // of all below
  bool stop_ = false;
  bool stalled_ = false;
  bool refusing_ = false;
  std::chrono::milliseconds delay_{0};
  uint64_t bytes_per_second_ = 0;
  std::list<Link> links_;
  std::array<uint64_t, 2> taken_{};  // bytes read, each way: what offsets count
  std::array<std::vector<Order>, 2> orders_;
  uint64_t accepted_ = 0;
  std::array<uint64_t, 2> harmed_{};
  std::thread thread_;
};

}  // namespace tidemark::testing
