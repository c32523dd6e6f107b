// GTID sets in messages for people.
#pragma once

#include <string>

#include "replication/event/gtid_set.h"

namespace tidemark {

inline constexpr size_t kMessageSetBytesMax = 300;

// The set's text if it has at most `bytes_max` bytes, else whole intervals from its beginning and
// how many transactions there are in all. Takes no longer for a huge set.
std::string Abridged(const GtidSet& set, size_t bytes_max = kMessageSetBytesMax);

}  // namespace tidemark
