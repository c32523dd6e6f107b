#include "tests/soak/samples.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace tidemark::soak {
namespace {

namespace fs = std::filesystem;

constexpr int kSampleMs = 1000;
constexpr int kSamplesPerProgress = 5;
constexpr int kBucketMinutes = 10;
constexpr int kJudgedMinutes = 30;  // shorter runs are all warm-up
// What is growth: the last bucket above the second by more than this.
constexpr double kMemoryGrowthMax = 1.3;
constexpr double kMemoryGrowthInOneLifeMax = 1.08;  // what is flat varies by two or three percent
constexpr double kDescriptorGrowthMax = 1.3;
constexpr double kStoredGrowthMax = 1.5;
constexpr double kResidentMibMax = 512;  // whatever the run's length

uint64_t ResidentBytes(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

size_t Descriptors(pid_t pid) {
  std::error_code error;
  size_t count = 0;
  for (fs::directory_iterator entry("/proc/" + std::to_string(pid) + "/fd", error), end;
       !error && entry != end; entry.increment(error))
    ++count;
  return count;
}

std::string Text(const char* format, auto... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

}  // namespace

double Distribution::Quantile(double q) const {
  if (values.empty()) return 0;
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  return sorted[static_cast<size_t>(q * static_cast<double>(sorted.size() - 1) + 0.5)];
}

Samples::Samples(Rig& rig)
    : rig_(rig),
      begun_(std::chrono::steady_clock::now()),
      bucket_length_(std::chrono::minutes(kBucketMinutes)) {
  if (rig.options().minutes < kJudgedMinutes)
    bucket_length_ = std::chrono::milliseconds(rig.options().minutes * 60'000 / 4);
  thread_ = std::thread([this] { Run(); });
}

void Samples::Stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

void Samples::Run() {
  for (int turn = 1; !testing::WaitUntil([this] { return stop_.load(); }, kSampleMs); ++turn) {
    Take();
    if (turn % kSamplesPerProgress == 0) NoteProgress();
  }
}

Samples::Bucket& Samples::Current() {
  const auto age = std::chrono::steady_clock::now() - begun_;
  const auto number = static_cast<size_t>(age / bucket_length_);
  while (buckets_.size() <= number) {
    Bucket next;
    if (!buckets_.empty()) {
      next.transactions = buckets_.back().transactions;
      next.stored_bytes = buckets_.back().stored_bytes;
    }
    buckets_.push_back(std::move(next));
  }
  return buckets_[number];
}

void Samples::Take() {
  const pid_t pid = rig_.daemon_pid();
  if (pid == 0) return;
  const uint64_t resident = ResidentBytes(pid);
  const size_t descriptors = Descriptors(pid);
  if (resident == 0 || descriptors == 0) return;  // it has just ended
  const double mib = static_cast<double>(resident) / (1 << 20);
  std::lock_guard lock(mutex_);
  Current().resident_mib.values.push_back(mib);
  Current().descriptors.values.push_back(static_cast<double>(descriptors));
  if (in_long_life_) long_life_mib_.push_back(mib);
}

void Samples::LongLife(bool on) {
  std::lock_guard lock(mutex_);
  in_long_life_ = on;
}

// Segments and index. Files come and go meanwhile.
uint64_t Samples::StoredBytes() const {
  uint64_t bytes = 0;
  std::error_code error;
  for (const char* part : {"/index", "/main"})
    for (fs::recursive_directory_iterator entry(rig_.archive() + part, error), end;
         !error && entry != end; entry.increment(error)) {
      std::error_code gone;
      const auto size = entry->is_regular_file(gone) ? entry->file_size(gone) : 0;
      if (!gone) bytes += size;
    }
  return bytes;
}

void Samples::NoteProgress() {
  const uint64_t transactions = rig_.Archived().Count();
  if (transactions == 0) return;
  const uint64_t stored = StoredBytes();
  std::lock_guard lock(mutex_);
  Current().transactions = transactions;
  Current().stored_bytes = stored;
}

std::string Samples::Line() const {
  std::lock_guard lock(mutex_);
  if (buckets_.empty() || buckets_.back().resident_mib.values.empty()) return "no sample yet";
  const Bucket& last = buckets_.back();
  return Text("memory %.0f MiB, %.0f files open, archive %.1f MiB", last.resident_mib.values.back(),
              last.descriptors.values.back(), static_cast<double>(last.stored_bytes) / (1 << 20));
}

void Samples::PrintAndJudge(Report& report) const {
  report.Say(
      "bucket   resident MiB min / median / max   open files median / max   transactions"
      "   archive bytes each");
  uint64_t transactions = 0;
  uint64_t stored = 0;
  for (size_t i = 0; i < buckets_.size(); ++i) {
    const Bucket& bucket = buckets_[i];
    if (bucket.resident_mib.values.empty()) continue;
    const uint64_t more = bucket.transactions - transactions;
    report.Say(Text(
        "%4.1f min %14.1f /%7.1f /%6.1f %16.0f /%5.0f %18llu %16.0f",
        std::chrono::duration<double>(bucket_length_).count() / 60 * static_cast<double>(i),
        bucket.resident_mib.Quantile(0), bucket.resident_mib.Quantile(0.5),
        bucket.resident_mib.Quantile(1), bucket.descriptors.Quantile(0.5),
        bucket.descriptors.Quantile(1), static_cast<unsigned long long>(more),
        more == 0 ? 0.0
                  : static_cast<double>(bucket.stored_bytes - stored) / static_cast<double>(more)));
    transactions = bucket.transactions;
    stored = bucket.stored_bytes;
    if (bucket.resident_mib.Quantile(1) > kResidentMibMax)
      report.Violation(Text("tidemarkd has %.0f MiB of memory", bucket.resident_mib.Quantile(1)));
  }
  if (rig_.options().minutes < kJudgedMinutes) return;
  JudgeBuckets(report);
  JudgeLongLife(report);
}

// The last whole bucket against the second: the first is the warm-up.
void Samples::JudgeBuckets(Report& report) const {
  const auto whole = static_cast<size_t>(rig_.options().minutes / kBucketMinutes);
  if (whole < 3 || buckets_.size() < whole) return;
  const auto judge = [&](const char* what, double second, double last, double growth_max) {
    report.Say(Text("%s: %.1f in the second bucket, %.1f in the last", what, second, last));
    if (last > second * growth_max)
      report.Violation(Text("%s is not flat: %.1f, then %.1f", what, second, last));
  };
  const Bucket& second = buckets_[1];
  const Bucket& last = buckets_[whole - 1];
  judge("highest resident MiB", second.resident_mib.Quantile(1), last.resident_mib.Quantile(1),
        kMemoryGrowthMax);
  judge("most open files", second.descriptors.Quantile(1), last.descriptors.Quantile(1),
        kDescriptorGrowthMax);
  const auto each = [&](size_t i) {
    const Bucket& before = buckets_[i - 1];
    return static_cast<double>(buckets_[i].stored_bytes - before.stored_bytes) /
           static_cast<double>(
               std::max<uint64_t>(buckets_[i].transactions - before.transactions, 1));
  };
  judge("archive bytes per transaction", each(1), each(whole - 1), kStoredGrowthMax);
}

// Half of the long life is given to warming up: the second quarter against the last.
void Samples::JudgeLongLife(Report& report) const {
  const size_t quarter = long_life_mib_.size() / 4;
  if (quarter < 30) return;
  const auto part = [&](size_t i) {
    const auto begin = long_life_mib_.begin() + static_cast<ptrdiff_t>(i * quarter);
    return Distribution{{begin, begin + static_cast<ptrdiff_t>(quarter)}};
  };
  const double second = part(1).Quantile(0.5);
  const double last = part(3).Quantile(0.5);
  report.Say(Text("one life of %zu s: median resident MiB by quarter %.1f, %.1f, %.1f, %.1f",
                  long_life_mib_.size(), part(0).Quantile(0.5), second, part(2).Quantile(0.5),
                  last));
  if (last > second * kMemoryGrowthInOneLifeMax)
    report.Violation(Text("memory grows in one life: %.1f MiB, then %.1f", second, last));
}

}  // namespace tidemark::soak
