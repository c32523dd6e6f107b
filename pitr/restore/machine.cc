#include "pitr/restore/machine.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <limits>
#include <string_view>
#include <thread>

namespace tidemark {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kPoolStepBytes = 128ULL << 20;  // innodb_buffer_pool_chunk_size

uint64_t NumberIn(std::string_view text, uint64_t otherwise) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() ? number : otherwise;
}

uint64_t NumberOfFile(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  return std::getline(file, line) ? NumberIn(line, kNoLimit) : kNoLimit;  // "max" is no limit
}

// The lowest of a limit's values from `group` up to the root: each level's holds for those below.
uint64_t LowestLimit(const std::string& mount, std::string group, const std::string& name) {
  uint64_t lowest = kNoLimit;
  while (true) {
    lowest = std::min(lowest, NumberOfFile(mount + group + "/" + name));
    if (group.empty()) return lowest;
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

// Lines are "0::/path" (version 2) or "4:memory,…:/path" (version 1), cgroups(7).
uint64_t ControlGroupLimit(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  uint64_t lowest = kNoLimit;
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string mount = root + "/sys/fs/cgroup", group = line.substr(second + 1);
    if (controllers == ",,") {
      lowest = std::min({lowest, LowestLimit(mount, group, "memory.max"),
                         LowestLimit(mount, group, "memory.high")});
    } else if (controllers.find(",memory,") != std::string::npos) {
      lowest = std::min(lowest, LowestLimit(mount + "/memory", group, "memory.limit_in_bytes"));
    }
  }
  return lowest;
}

uint64_t AvailableMemory(const std::string& root) {
  constexpr std::string_view kName = "MemAvailable:";
  std::ifstream file(root + "/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(kName)) continue;
    const std::string_view value(line);
    return NumberIn(
               value.substr(std::min(value.size(), value.find_first_not_of(' ', kName.size()))),
               0) *
           1024;
  }
  return 0;
}

}  // namespace

Machine MeasureMachine(const std::string& root) {
  Machine machine;
  machine.cores = std::max(1U, std::thread::hardware_concurrency());
  machine.available_bytes = std::min(AvailableMemory(root), ControlGroupLimit(root));
  return machine;
}

uint64_t BufferPoolBytes(const Machine& machine) {
  const uint64_t half = machine.available_bytes / 2;
  return std::clamp(half - half % kPoolStepBytes, kBufferPoolBytesMin, kBufferPoolBytesMax);
}

unsigned ApplierWorkers(const Machine& machine) {
  return std::clamp(2 * machine.cores, kApplierWorkersMin, kApplierWorkersMax);
}

}  // namespace tidemark
