// How often something took how long, in fixed buckets, since it was made. Any thread; never blocks.
// Reading beside counting may see one occurrence in the sum and not yet in a bucket.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tidemark {

class LatencyHistogram {
 public:
  static constexpr std::array<int64_t, 17> kBoundsUs = {
      100,     250,     500,     1'000,     2'500,     5'000,     10'000,     25'000,    50'000,
      100'000, 250'000, 500'000, 1'000'000, 2'500'000, 5'000'000, 10'000'000, 60'000'000};

  struct Counts {
    // [i]: of at most kBoundsUs[i] and above the bound before; the last one: above all.
    std::array<uint64_t, kBoundsUs.size() + 1> counts = {};
    int64_t sum_us = 0;
  };

  void Count(int64_t us, uint64_t times = 1) {
    us = std::max<int64_t>(us, 0);
    const auto bound = std::lower_bound(kBoundsUs.begin(), kBoundsUs.end(), us);
    counts_[static_cast<size_t>(bound - kBoundsUs.begin())].fetch_add(times,
                                                                      std::memory_order_relaxed);
    sum_us_.fetch_add(us * static_cast<int64_t>(times), std::memory_order_relaxed);
  }
  Counts Read() const {
    Counts read;
    for (size_t i = 0; i < counts_.size(); ++i)
      read.counts[i] = counts_[i].load(std::memory_order_relaxed);
    read.sum_us = sum_us_.load(std::memory_order_relaxed);
    return read;
  }

 private:
  std::array<std::atomic<uint64_t>, kBoundsUs.size() + 1> counts_ = {};
  std::atomic<int64_t> sum_us_ = 0;
};

}  // namespace tidemark
