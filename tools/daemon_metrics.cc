#include "tools/daemon_metrics.h"

#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "replication/archive/operator_record.h"
#include "replication/base/clock.h"

namespace tidemark {
namespace {

// In /proc/self/stat behind the name, which may hold anything; numbered as proc(5) does.
constexpr int kFirstField = 3, kUserTime = 14, kSystemTime = 15, kThreads = 20, kStartTime = 22,
              kVirtualBytes = 23, kResidentPages = 24;

std::map<int, double> StatFields() {
  std::ifstream file("/proc/self/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::istringstream rest(text.substr(std::min(text.size(), text.rfind(')') + 2)));
  std::map<int, double> fields;
  std::string word;
  for (int field = kFirstField; field <= kResidentPages && rest >> word; ++field)
    fields[field] = field == kFirstField ? 0 : std::strtod(word.c_str(), nullptr);
  return fields;
}

double BootSeconds() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;)
    if (double seconds = 0; word == "btime" && file >> seconds) return seconds;
  return 0;
}

uint64_t OpenDescriptors() {
  std::error_code error;
  uint64_t count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", error), end; !error && at != end;
       at.increment(error))
    ++count;
  return count > 0 ? count - 1 : 0;  // one is this look's own
}

ProcessMetrics ReadProcess() {
  std::map<int, double> fields = StatFields();
  const auto ticks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  ProcessMetrics process;
  process.cpu_seconds = (fields[kUserTime] + fields[kSystemTime]) / ticks;
  process.start_seconds = BootSeconds() + fields[kStartTime] / ticks;
  process.threads = static_cast<uint64_t>(fields[kThreads]);
  process.virtual_bytes = static_cast<uint64_t>(fields[kVirtualBytes]);
  process.resident_bytes = static_cast<uint64_t>(fields[kResidentPages]) *
                           static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  process.open_fds = OpenDescriptors();
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) process.max_fds = limit.rlim_cur;
  return process;
}

std::optional<DiskMetrics> ReadDisk(const std::string& path) {
  struct statvfs disk = {};
  if (::statvfs(path.c_str(), &disk) != 0) return std::nullopt;
  return DiskMetrics{disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize};
}

// One that cannot be read quiets nothing.
GtidSet AcknowledgedOf(const ArchiveDirectory& archive, const std::string& source) {
  GtidSet all;
  if (const auto acknowledged = ReadAcknowledgedInLineage(archive, source); acknowledged.ok())
    for (const GapAcknowledgement& one : *acknowledged) all.Add(one.gtids);
  return all;
}

}  // namespace

void DaemonMetrics::Note(Turn turn) {
  std::lock_guard lock(turn_mutex_);
  turn_ = std::move(turn);
}

DaemonNumbers DaemonMetrics::Gather() {
  DaemonNumbers numbers;
  numbers.version = TIDEMARK_RELEASE;
  Turn turn;
  {
    std::lock_guard lock(turn_mutex_);
    turn = turn_;
  }
  numbers.now_us = SystemClock().WallMicroseconds();
  numbers.sources = std::move(turn.sources);
  std::erase_if(counters_, [&](const auto& counter) {
    return std::none_of(numbers.sources.begin(), numbers.sources.end(),
                        [&](const SourceMetrics& s) { return s.name == counter.first; });
  });
  for (SourceMetrics& source : numbers.sources) {
    auto counter = counters_.try_emplace(source.name, index_, source.name).first;
    Result<ArchiveTotals> totals = counter->second.Count(AcknowledgedOf(archive_, source.name));
    if (totals.ok()) source.totals = *totals;
  }
  if (Result<uint64_t> bytes = index_.SizeOnDisk(); bytes.ok()) numbers.index_bytes = *bytes;
  for (const SourceMetrics& source : numbers.sources)
    if (!source.totals) numbers.index_bytes.reset();
  numbers.disk = ReadDisk(archive_.root());
  if (reserve_.wanted_bytes() > 0) numbers.space_reserve_bytes = reserve_.held_bytes();
  if (const auto serving = turn.serving.lock()) {
    numbers.serving = true;
    numbers.serve = serving->Counters();
    numbers.replicas = serving->Replicas();
  }
  if (const auto rpc = turn.rpc.lock()) numbers.rpc = rpc->Counters();
  numbers.process = ReadProcess();
  return numbers;
}

rpc::PageAnswer DaemonMetrics::Page() {
  std::lock_guard lock(page_mutex_);
  rpc::PageAnswer answer;
  answer.content_type = kMetricsContentType;
  answer.body = RenderMetrics(Gather());
  return answer;
}

}  // namespace tidemark
