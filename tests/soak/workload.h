// Writers: clients of the primary that write everything a MySQL can, each at its own pace, and keep
// book of the commits that they saw succeed, by GTID and by what the data must then be.
//
// Each has a row (w, n, digest) in soak.ledger, which every transaction of it advances by one; so n
// counts its commits, whatever the rest of the transaction was. A commit whose outcome is not known
// (the server went) is looked up in that row; n may then be one more, never less. Writers wait for
// the server to come back for as long as it takes.
//
// Threads: one per writer; all functions are for any thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/soak/rig.h"
#include "tests/support/dice.h"

namespace tidemark::soak {

// The tables, and a ledger row for each writer. Waits for acknowledgements: the daemon has to run.
Status CreateTables(Rig& rig);

class Workload {
 public:
  Workload(Rig& rig, uint64_t seed);
  ~Workload() { Stop(); }

  void Stop();
  uint64_t commits() const { return commits_; }
  GtidSet Succeeded() const;
  // Compares each row of soak.ledger, as `connection` shows it, with the books. After Stop.
  std::vector<std::string> CompareLedger(testing::Connection& connection) const;

 private:
  struct Writer {
    int number = 0;
    std::unique_ptr<testing::Connection> connection;
    sim::Dice dice{0};
    uint64_t known = 0;    // n that the ledger has for certain
    uint64_t attempt = 0;  // n that it may have
    uint64_t ddl = 0;      // the next one
    std::chrono::steady_clock::time_point next_big;
    std::chrono::steady_clock::time_point next_rotation;
  };

  void Run(int number, uint64_t seed);
  // All of these answer whether the connection is still good.
  bool Connect(Writer& writer);
  bool FinishPrepared(Writer& writer);
  bool LookUp(Writer& writer);
  bool Lost(Writer& writer);
  bool Note(Writer& writer, const std::string& sql);
  bool Commit(Writer& writer, const std::string& work);
  bool Xa(Writer& writer);
  void OddTurn(Writer& writer);
  void Turn(Writer& writer);
  void Pause(int milliseconds) const;

  Rig& rig_;
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> commits_ = 0;
  mutable std::mutex mutex_;  // of succeeded_
  GtidSet succeeded_;
  std::vector<Writer> writers_;  // each its thread's own; of Stop, everybody's
  std::vector<std::thread> threads_;
};

}  // namespace tidemark::soak
