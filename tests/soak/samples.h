// What tidemarkd uses, looked at every second, and whether that stays flat over the run: resident
// memory and open files in buckets of ten minutes (over all lives, and over the one long life), the
// archive's bytes per transaction. The sampling has a thread of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tests/soak/rig.h"

namespace tidemark::soak {

struct Distribution {
  std::vector<double> values;
  double Quantile(double q) const;  // 0 if there are none
};

class Samples {
 public:
  explicit Samples(Rig& rig);
  ~Samples() { Stop(); }
  void Stop();

  // From here on the daemon is not ended on purpose: its memory may not grow, whatever is done to
  // the link and to the source.
  void LongLife(bool on);

  std::string Line() const;  // of the latest
  void PrintAndJudge(Report& report) const;

 private:
  struct Bucket {
    Distribution resident_mib;
    Distribution descriptors;
    uint64_t transactions = 0;  // at its end
    uint64_t stored_bytes = 0;
  };

  void Run();
  void Take();
  void NoteProgress();
  Bucket& Current();
  uint64_t StoredBytes() const;
  void JudgeBuckets(Report& report) const;
  void JudgeLongLife(Report& report) const;

  Rig& rig_;
  const std::chrono::steady_clock::time_point begun_;
  std::chrono::milliseconds bucket_length_;
  std::atomic<bool> stop_ = false;
  mutable std::mutex mutex_;
  std::vector<Bucket> buckets_;
  bool in_long_life_ = false;
  std::vector<double> long_life_mib_;
  std::thread thread_;
};

}  // namespace tidemark::soak
