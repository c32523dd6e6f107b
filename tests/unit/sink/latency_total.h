// How many times a latency histogram has counted, whatever they were.
#pragma once

#include <numeric>

#include "replication/sink/latency_histogram.h"

namespace tidemark::testing {

inline uint64_t Total(const LatencyHistogram::Counts& counts) {
  return std::accumulate(counts.counts.begin(), counts.counts.end(), uint64_t{0});
}

}  // namespace tidemark::testing
