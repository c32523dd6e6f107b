// One seed's run: a primary that does what primaries do, a disk and a link that fail, and a daemon
// that lives, dies and lives again on them, with oracles after every life. At the end nothing fails
// any more, and the archive must become complete.
//
// Deterministic: everything happens on one thread and every choice is thrown with the seed's dice.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "replication/base/clock.h"
#include "replication/sink/source_archiver.h"
#include "tests/sim/archive_oracle.h"
#include "tests/sim/fibers.h"
#include "tests/sim/link.h"
#include "tests/sim/model_index.h"
#include "tests/sim/publisher.h"

namespace tidemark::sim {

struct RunOptions {
  uint64_t seed = 0;
  bool trace = false;          // every step to stdout
  uint64_t real_index_in = 0;  // one seed in so many has RocksDB, in a temporary directory; 0: none
};

// What happened, so that a simulation that tests nothing is noticed.
struct RunCounts {
  uint64_t runs = 0, turns = 0, lives = 0, power_cuts = 0, kills = 0, stops = 0;
  uint64_t transactions = 0, batches = 0, acknowledged = 0, segments = 0, disk_failures = 0;
  uint64_t gaps = 0, failovers = 0, set_backs = 0, divergences = 0, refused_tails = 0;
  uint64_t reserves_given_up = 0;
  void Add(const RunCounts& other);
};

struct RunResult {
  Verdict violation;
  RunCounts counts;
  uint64_t fingerprint = 0;  // of every step: equal for equal runs
};

class SimClock : public Clock {
 public:
  int64_t WallMicroseconds() override { return wall_us_; }
  int64_t MonotonicMicroseconds() override { return monotonic_us_; }
  void Advance(int64_t us) {
    wall_us_ += us;
    monotonic_us_ += us;
  }
  void Step(int64_t us) { wall_us_ += us; }

 private:
  int64_t wall_us_ = 1'700'000'000'000'000;
  int64_t monotonic_us_ = 1'000'000;
};

class RealIndex;

class Run {
 public:
  explicit Run(RunOptions options);
  ~Run();
  RunResult Go();

 private:
  enum class End : uint8_t { kPowerCut, kKill, kStop };
  struct Life {
    End end = End::kStop;
    uint64_t turns = 0;            // left until then
    uint64_t happens_one_in = 0;   // turn
    bool until_caught_up = false;  // stop then, too
    bool once = false;             // the daemon's --once
  };

  // The run as a whole (run.cc).
  void DrawPlan();
  Life DrawLife();
  void Live(const Life& life);
  void Daemon();
  Status Begin(ArchiveDirectory& archive, std::unique_ptr<FileLock>* lock);
  Status BeginOnce(ArchiveDirectory& archive);
  void CheckReserve(std::string_view operation);
  void OnAck(const Server& server, const std::string& name, uint64_t position);
  void AfterRefusal(const Status& refusal);
  void AfterOrderlyStop();
  void CatchUp();
  bool CaughtUp() const;
  void Turn(const char* operation);
  void EndLife();
  void Die();
  void Violated(Violation violation);
  void CheckArchive(bool with_index);
  bool Over() const { return violation_.has_value(); }
  void Note(const char* what, uint64_t a = 0, uint64_t b = 0);

  // What the world does (world.cc).
  void Happen();
  void Commit();
  void Purge();
  void FailOver();
  void SetBack(size_t lost_max);
  void LoseTheEnd();
  void ChangeDisk();
  void FillDisk();
  void FreeDisk();
  uint32_t NowSeconds();

  const RunOptions options_;
  Dice dice_;
  Fibers fibers_;
  SimClock clock_;
  Disk disk_;
  std::vector<std::shared_ptr<Server>> servers_;  // all there ever were
  std::shared_ptr<Server> primary_;
  ArchiveOracle oracle_;
  Publisher publisher_;
  ModelIndex model_index_;
  ModelIndex::State older_index_;
  std::unique_ptr<RealIndex> real_index_;

  // The plan.
  ArchiverOptions archiver_options_;
  LinkFaults link_faults_;
  uint64_t transactions_max_ = 0;
  uint64_t large_one_in_ = 0;
  bool purges_ = false;
  bool fails_over_ = false;
  bool sets_back_ = false;
  uint64_t crash_in_ = 0;  // turns; 0: not now
  uint64_t free_in_ = 0;   // likewise
  uint64_t reserve_bytes_ = 0;

  Life life_;
  bool dead_ = false;
  bool stopping_ = false;
  bool ready_ = false;  // prepared and healed
  bool quiet_ = false;  // oracles look: time stands still
  bool power_was_cut_ = false;
  bool room_to_seal_ = false;  // the disk is full, nothing else fails, and the reserve was there
  std::unique_ptr<SpaceReserve> reserve_;
  bool reserve_given_up_ = false;
  std::unique_ptr<SourceArchiver> archiver_;
  Status last_error_;  // of the archiver, when its life ended
  uint64_t next_id_ = 1;
  uint32_t next_server_ = 1;
  uint32_t seconds_ = 1'700'000'000;
  Verdict violation_;
  RunCounts counts_;
  uint64_t fingerprint_ = 0;
};

}  // namespace tidemark::sim
