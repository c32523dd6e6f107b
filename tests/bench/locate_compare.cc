// locate_compare ARCHIVE_DIR TRANSACTIONS: writes an archive of that many transactions through the
// real segment writer and index, then measures look-ups by GTID and by time at random places, warm,
// in one process: median, p99, maximum.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "pitr/locator.h"
#include "tests/support/archive_builder.h"

namespace {

using namespace tidemark;
using namespace tidemark::testing;
using Time = std::chrono::steady_clock;

constexpr int64_t kFirstCommitUs = 1'700'000'000'000'000;
constexpr int64_t kCommitStepUs = 250;
constexpr int kLookups = 5000;
constexpr int kWarmUp = 200;

void Check(const Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "locate_compare: %s\n", status.message().c_str());
  std::exit(1);
}

double Seconds(Time::time_point since) {
  return std::chrono::duration<double>(Time::now() - since).count();
}

void Build(const std::string& root, int64_t transactions) {
  ArchiveBuilder::Options options;
  options.keep_files = false;
  options.segment_raw_bytes_max = 256u << 20;
  ArchiveBuilder builder(root, "bench", options);
  builder.BeginFile("binlog.000001");
  TransactionSpec spec;
  spec.row_bytes = 120;
  for (int64_t number = 1; number <= transactions; ++number) {
    spec.gtid = BuilderGtid(number);
    spec.commit_us = kFirstCommitUs + number * kCommitStepUs;
    spec.change = static_cast<RowChange>(number % 3);
    builder.Add(spec);
  }
  builder.Finish();
}

template <typename Lookup>
void Measure(const char* what, int64_t transactions, Lookup lookup) {
  std::minstd_rand random(20261121);
  std::uniform_int_distribution<int64_t> any(1, transactions - 1);
  std::vector<double> milliseconds;
  for (int i = 0; i < kWarmUp + kLookups; ++i) {
    const int64_t number = any(random);
    const auto begun = Time::now();
    const int64_t found = lookup(number);
    const double took = 1e3 * Seconds(begun);
    if (found != number) {
      std::fprintf(stderr, "locate_compare: %s of transaction %lld found %lld\n", what,
                   static_cast<long long>(number), static_cast<long long>(found));
      std::exit(1);
    }
    if (i >= kWarmUp) milliseconds.push_back(took);
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::printf("| %11lld | by %-4s | %6.2f ms | %6.2f ms | %6.2f ms |\n",
              static_cast<long long>(transactions), what, milliseconds[milliseconds.size() / 2],
              milliseconds[milliseconds.size() * 99 / 100], milliseconds.back());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string root = argv[1];
  const int64_t transactions = std::atoll(argv[2]);
  const auto begun = Time::now();
  Build(root, transactions);
  const double build_s = Seconds(begun);

  Result<std::unique_ptr<ArchiveView>> view = ArchiveView::Open(PosixFileSystem(), root, "bench");
  if (!view.ok()) Check(view.error());
  uint64_t raw = 0, stored = 0;
  for (const SegmentRecord& segment : (*view)->segments()) {
    raw += segment.raw_bytes;
    stored += segment.stored_bytes;
  }
  Result<uint64_t> index = (*view)->index().SizeOnDisk();
  if (!index.ok()) Check(index.error());
  std::printf(
      "%lld transactions, %.0f MB of binlog in %.0f MB, written in %.1f s; index %.2f MB = %.3f %% "
      "of the archive\n\n",
      static_cast<long long>(transactions), static_cast<double>(raw) / 1e6,
      static_cast<double>(stored) / 1e6, build_s, static_cast<double>(*index) / 1e6,
      100 * static_cast<double>(*index) / static_cast<double>(stored));
  std::printf("| transactions | look-up | median | p99 | worst |\n|---|---|---|---|---|\n");

  // A new Locator for each look-up: nothing decoded by the one before helps.
  Measure("GTID", transactions, [&](int64_t number) {
    Result<Located> found = Locator(**view).FindGtid(BuilderGtid(number));
    if (!found.ok()) Check(found.error());
    return found->transaction.gtid.gno;
  });
  Measure("time", transactions, [&](int64_t number) {
    Result<std::optional<Located>> found =
        Locator(**view).FindFirstPast(kFirstCommitUs + number * kCommitStepUs - 1);
    if (!found.ok()) Check(found.error());
    return found->has_value() ? (*found)->transaction.gtid.gno : 0;
  });
  std::printf("\n");
  return 0;
}
