// The EventSource of the simulation: a dump from whichever server the name stands for, over a link
// that breaks, stalls and damages what it carries.
//
// At this interface events come whole: a connection cut inside an event's bytes is one cut in front
// of it. A packet that arrives shortened or with a changed bit is sent as well; it must be refused.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "replication/source/event_source.h"
#include "tests/sim/primary.h"

namespace tidemark::sim {

// The operation whose turn it is when all that the server has was sent.
inline constexpr char kIdle[] = "idle";

struct LinkFaults {
  uint64_t cut = 0;        // one event in so many is not sent, and the link is down
  uint64_t damage = 0;     // … arrives damaged
  uint64_t unreached = 0;  // one Connect in so many fails
};

class Link : public EventSource {
 public:
  // Told what the source is told to be safe.
  using OnAck =
      std::function<void(const Server& server, const std::string& file, uint64_t position)>;

  // `server` says whom the name stands for now; `turn` is called wherever time passes.
  Link(Dice& dice, const LinkFaults& faults, std::function<std::shared_ptr<Server>()> server,
       std::function<void(const char* operation)> turn, OnAck on_ack);

  Result<SourceFacts> Connect() override;
  Status StartDump(const DumpRequest& request) override;
  Result<Bytes> Next() override;
  void Interrupt() override { interrupted_ = true; }
  void Disconnect() override { dumping_ = false; }
  bool semi_sync() const override { return dumping_ && request_.semi_sync; }
  bool AckWanted() const override { return ack_wanted_; }
  Status Acknowledge(const std::string& file, uint64_t position) override;
  bool WaitForMore(int64_t timeout_us) override;
  void Wake() override { woken_ = true; }

 private:
  Status Broken();
  bool Down() const { return !server_->up || server_->epoch() != epoch_; }
  Status FindStart();
  Status EnterFile(const LogFile& file, uint64_t position);
  bool NextInFile();
  bool NextFile();
  Bytes Send(std::string packet);

  Dice& dice_;
  const LinkFaults& faults_;
  const std::function<std::shared_ptr<Server>()> server_now_;
  const std::function<void(const char*)> turn_;
  const OnAck on_ack_;

  std::shared_ptr<Server> server_;
  uint64_t epoch_ = 0;
  DumpRequest request_;
  std::shared_ptr<LogFile> file_;
  uint64_t position_ = 0;
  size_t transaction_ = 0;  // of the file: the first that ends behind position_
  uint64_t skipped_until_ = 0;
  std::deque<std::string> packets_;
  std::string current_;
  bool dumping_ = false;
  bool interrupted_ = false;
  bool ack_wanted_ = false;  // for the event that Next gave last
  bool woken_ = false;
};

}  // namespace tidemark::sim
