// The faults of a soak: which, when and for how long is drawn from the seed; after each, the time
// until the archive has what the primary had is measured. What was done when is in faults.log. One
// thread, the one that starts servers.
#pragma once

#include <spdlog/logger.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/soak/rig.h"
#include "tests/soak/samples.h"
#include "tests/support/dice.h"

namespace tidemark::soak {

enum class Fault {
  kKillDaemon,
  kStopDaemon,
  kFreezeDaemon,
  kKillPrimary,
  kKillBoth,
  kRestartPrimary,
  kCut,
  kCutLater,
  kStall,
  kCorrupt,
  kSlow,
  kRefuse,
  kCount
};

class Faults {
 public:
  // `succeeded`: what clients have seen succeed.
  Faults(Rig& rig, uint64_t seed, std::function<GtidSet()> succeeded);

  // Waits a random time, does something, waits until it archives again; or not, one time in five,
  // so that the next fault meets the recovery from this one.
  void Next(bool spare_daemon);
  // Makes all well again and waits until the archive has everything, and with writers at work
  // something new as well; false, with a violation, if that does not come to be.
  bool Recover(bool under_load = true);
  void Print(Report& report) const;
  uint64_t done() const { return done_; }

 private:
  Fault Draw(bool spare_daemon);
  void Do(Fault fault);
  void StartDaemon();
  void KillPrimary(bool and_daemon);
  void RestartPrimary();
  void Corrupt();
  void Linger(uint64_t ms_min, uint64_t ms_max);

  struct Times {
    Distribution from_fault_s;
    Distribution from_mended_s;
  };

  Rig& rig_;
  sim::Dice dice_;
  std::function<GtidSet()> succeeded_;
  std::shared_ptr<spdlog::logger> log_;
  uint64_t kills_ = 0;   // of the primary
  uint64_t misled_ = 0;  // of these, of one that may have been misled
  GtidSet excused_;      // what those let clients see succeed too early
  std::array<uint64_t, static_cast<size_t>(Fault::kCount)> counts_{};
  std::array<Times, static_cast<size_t>(Fault::kCount)> times_;
  Times all_;
  uint64_t done_ = 0;
};

}  // namespace tidemark::soak
