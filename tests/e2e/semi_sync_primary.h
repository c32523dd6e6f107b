// A primary whose commits wait for ever for a semi-synchronous acknowledgement, and clients that
// know which of their transactions they saw succeed.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/daemon_fixture.h"

namespace tidemark::testing {

// For a server that is restarted: what SET PERSIST keeps does not reach a plugin's variables. Its
// own syncs are left out: what survives its kill -9 is not at stake.
inline const std::vector<std::string> kSemiSyncFromTheStart = {
    "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--plugin-load-add=semisync_source.so",
    "--rpl-semi-sync-source-enabled=ON", "--rpl-semi-sync-source-timeout=4294967295"};
inline constexpr char kTableForClients[] =
    "CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY AUTO_INCREMENT, b INT)";

// They name their transactions themselves, until they are stopped or the server goes.
class NamingClients {
 public:
  // `series` keeps the GTIDs of several sets of clients on one server apart. `rotate`: one more
  // client has a binary log ended now and then.
  NamingClients(MySqlServer& server, int series, int count, bool rotate = false) {
    for (int i = 0; i < count; ++i)
      threads_.emplace_back([this, &server, i, series] { Write(server, i, series); });
    if (rotate) threads_.emplace_back([this, &server] { Rotate(server); });
  }
  ~NamingClients() { Stop(); }
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
  }
  bool WaitForCommits(uint64_t more) {
    const uint64_t goal = commits_ + more;
    return WaitUntil([&] { return commits_ >= goal; }, kPatienceMs);
  }
  uint64_t commits() const { return commits_; }
  GtidSet succeeded() {
    std::lock_guard lock(mutex_);
    return succeeded_;
  }

 private:
  void Write(MySqlServer& server, int client, int series) {
    auto connection = server.Connect();
    if (!connection.ok()) return;
    char uuid[37];
    std::snprintf(uuid, sizeof(uuid), "%08x-0000-0000-0000-%012x", series + 1, client + 1);
    for (int64_t number = 1; !stop_; ++number) {
      const std::string gtid = std::string(uuid) + ":" + std::to_string(number);
      if (!(*connection)
               ->Execute("SET gtid_next = '" + gtid + "'; INSERT INTO d.t (b) VALUES (1)")
               .ok())
        return;
      std::lock_guard lock(mutex_);
      succeeded_.Add(*GtidSet::Parse(gtid));
      ++commits_;
    }
  }
  void Rotate(MySqlServer& server) {
    auto connection = server.Connect();
    while (connection.ok() && !stop_ && (*connection)->Execute("FLUSH BINARY LOGS").ok())
      (void)WaitUntil([this] { return stop_.load(); }, 100);
  }

  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> commits_ = 0;
  std::mutex mutex_;
  GtidSet succeeded_;
  std::vector<std::thread> threads_;
};

}  // namespace tidemark::testing
