// Random GTIDs and GTID sets from a small universe, so that sets meet, touch and nest often.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "replication/event/gtid_set.h"

namespace tidemark::testing {

using Random = std::mt19937_64;

int64_t RandomNumber(Random& random, int64_t first, int64_t last);  // both inclusive

// Two UUIDs, each untagged and with two tags; numbers 1 .. kSmallGnoMax, or that far below kGnoMax.
inline constexpr int64_t kSmallGnoMax = 30;
const std::vector<Tsid>& SmallUniverse();

struct RandomInterval {
  Tsid tsid;
  GnoInterval interval;
};
// 0 to `intervals_max` intervals in random order, overlapping and touching; `near_end` puts them
// below kGnoMax.
std::vector<RandomInterval> RandomIntervals(Random& random, int64_t intervals_max, bool near_end);
GtidSet SetOf(const std::vector<RandomInterval>& intervals);
// Not canonical: any order, repeated UUIDs, blanks, line ends, empty elements and intervals, mixed
// case.
std::string SloppyText(Random& random, const std::vector<RandomInterval>& intervals);

}  // namespace tidemark::testing
