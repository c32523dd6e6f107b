// An EventSource of which there are several servers: on every Connect it looks at all of them and
// takes the primary (candidates.h). With one server it is that server's MySqlEventSource and no
// more: whatever that is, also a replica. A name that stands for one server is looked up again
// every few seconds: it may come to stand for several.
//
// While a dump of one of several runs, a thread of its own asks all of them every few seconds, on
// connections of their own. When another one has to be chosen, although this one answers, Next
// gives kSourceUnavailable at the next event (a heartbeat at the latest), and the next Connect
// chooses it. When another one is written to as well, and this one still lacks what it lacked a
// look ago, Next gives kDivergence, as Connect does then. One that does not answer there is left
// alone: whether its dump still lives only the dump knows.
//
// Threads as EventSource; the destructor waits for what the thread asks to time out.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "replication/source/candidate_probe.h"
#include "replication/source/mysql_event_source.h"

namespace tidemark {

struct FailoverOptions {
  int64_t watch_us = 3'000'000;
  uint32_t watch_timeout_s = 3;  // at most; for each step of asking, while a dump runs
  Resolver resolve = ResolveName;
};

class FailoverSource final : public EventSource {
 public:
  // No hosts: the one server that `common` names. Else each of them as `common` says.
  FailoverSource(ConnectionOptions common, std::vector<HostPort> hosts,
                 FailoverOptions options = {});
  ~FailoverSource() override;

  Result<SourceFacts> Connect() override;
  Status StartDump(const DumpRequest& request) override;
  Result<Bytes> Next() override;
  void Interrupt() override;
  void Disconnect() override;
  void NoteArchived(const ArchivedSoFar& archived) override;

  bool semi_sync() const override { return mysql_.semi_sync(); }
  bool AckWanted() const override { return mysql_.AckWanted(); }
  Status Acknowledge(const std::string& file, uint64_t position) override {
    return mysql_.Acknowledge(file, position);
  }
  bool WaitForMore(int64_t timeout_us) override;
  Result<bool> CommitsWait() override { return mysql_.CommitsWait(); }
  void Wake() override { mysql_.Wake(); }

 private:
  Result<SourceFacts> ConnectToPrimary(std::vector<ConnectionOptions> servers);
  bool MayBecomeSeveral() const;
  void BeginWatching(ConnectionOptions server, const SourceFacts& facts);
  void Watch();
  void LookAround(std::unique_lock<std::mutex>& lock);

  const ConnectionOptions common_;
  const std::vector<HostPort> hosts_;
  const FailoverOptions options_;
  MySqlEventSource mysql_;
  std::string server_;  // that we are connected to

  std::atomic<bool> replaced_ = false;
  std::mutex mutex_;  // guards what follows
  std::condition_variable ended_now_;
  ArchivedSoFar archived_;
  std::optional<ConnectionOptions> watched_;  // the server whose dump runs
  uint64_t dumps_ = 0;
  Status replaced_why_;
  GtidSet lacked_;  // at the last look: what others that are written to have, and it has not
  bool ended_ = false;
  std::thread watcher_;  // begun with the first dump that is watched
};

}  // namespace tidemark
