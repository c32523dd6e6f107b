// What a disposable server may take of this machine. Values; reads /proc and /sys.
#pragma once

#include <cstdint>
#include <string>

namespace tidemark {

struct Machine {
  unsigned cores = 1;            // that this process may run on
  uint64_t available_bytes = 0;  // of memory, without pushing others out; 0: unknown
};

inline constexpr uint64_t kBufferPoolBytesMin = 128ULL << 20;  // mysqld's default
inline constexpr uint64_t kBufferPoolBytesMax = 64ULL << 30;
inline constexpr unsigned kApplierWorkersMin = 4;
inline constexpr unsigned kApplierWorkersMax = 16;

// MemAvailable, or the limits of our control groups (versions 1 and 2, up to the root) if they are
// lower. `root` goes before /proc and /sys: for tests.
Machine MeasureMachine(const std::string& root = {});

// Half of what is available: the other half is for the page cache (archive, dump, relay log) and
// what mysqld takes besides (8 % of the pool, at once). The upper bound keeps a restore from
// claiming a big shared machine; memory that the data does not need is never touched.
uint64_t BufferPoolBytes(const Machine& machine);
// Two a core: an applier thread waits about half of its time.
unsigned ApplierWorkers(const Machine& machine);

}  // namespace tidemark
