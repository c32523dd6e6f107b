// The seed of a randomized test: TIDEMARK_SEED if set, else a fresh one. Prints it, so that a
// failure can be repeated.
#pragma once

#include <cstdint>

namespace tidemark::testing {

uint64_t TestSeed();

}  // namespace tidemark::testing
