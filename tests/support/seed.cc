#include "tests/support/seed.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace tidemark::testing {

uint64_t TestSeed() {
  const char* wanted = std::getenv("TIDEMARK_SEED");
  const uint64_t seed =
      wanted != nullptr ? std::strtoull(wanted, nullptr, 0) : std::random_device{}();
  std::printf("seed: TIDEMARK_SEED=%" PRIu64 "\n", seed);
  std::fflush(stdout);
  return seed;
}

}  // namespace tidemark::testing
