// All randomness of a simulated run: one stream of numbers from the seed (SplitMix64). Who throws
// when is the run, so nothing else may.
#pragma once

#include <cstdint>

namespace tidemark::sim {

class Dice {
 public:
  explicit Dice(uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15 + 0x1D872B41) {}

  uint64_t Next() {
    uint64_t z = (state_ += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  uint64_t Below(uint64_t bound) { return bound == 0 ? 0 : Next() % bound; }
  uint64_t Between(uint64_t first, uint64_t last) { return first + Below(last - first + 1); }
  bool OneIn(uint64_t n) { return n != 0 && Below(n) == 0; }  // 0: never
  // Small numbers more often than large ones: 2^Below(bits + 1) at most.
  uint64_t Small(uint64_t bits) { return Below((uint64_t{1} << Below(bits + 1)) + 1); }

 private:
  uint64_t state_;
};

}  // namespace tidemark::sim
