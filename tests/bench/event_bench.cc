// FeedEvent and FeedBytes over a stream shaped like sysbench oltp_write_only: per transaction two
// updates, a delete and an insert; 11 events, about 1.9 kB.
#include <benchmark/benchmark.h>

#include "replication/base/checksum.h"
#include "replication/event/stream_scanner.h"
#include "tests/unit/event/stream_builder.h"

namespace tidemark {
namespace {

constexpr int kTransactions = 5000;

const testing::StreamBuilder& Stream() {
  static const testing::StreamBuilder* const kStream = [] {
    auto* builder = new testing::StreamBuilder;
    builder->FormatDescription();
    using B = testing::StreamBuilder;
    for (int i = 1; i <= kTransactions; ++i) {
      const auto row = B::SbtestRow(static_cast<uint32_t>(i));
      const uint64_t table = 100 + static_cast<uint64_t>(i % 4);
      const std::string name = "sbtest" + std::to_string(table - 99);
      const auto map = B::SbtestMap(table, name);
      builder->Add(EventType::kQuery, B::Query("BEGIN", "sbtest"));
      builder->Add(EventType::kTableMap, map)
          .Add(EventType::kUpdateRows, B::Rows(table, {row, row}, true));
      builder->Add(EventType::kTableMap, map)
          .Add(EventType::kUpdateRows, B::Rows(table, {row, row}, true));
      builder->Add(EventType::kTableMap, map).Add(EventType::kDeleteRows, B::Rows(table, {row}));
      builder->Add(EventType::kTableMap, map).Add(EventType::kWriteRows, B::Rows(table, {row}));
      builder->Add(EventType::kXid, B::Xid()).Transaction(i);
    }
    return builder;
  }();
  return *kStream;
}

void Report(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * Stream().bytes().size()));
  state.counters["events/s"] =
      benchmark::Counter(static_cast<double>(state.iterations() * Stream().event_offsets().size()),
                         benchmark::Counter::kIsRate);
}

void FeedEvents(benchmark::State& state, ScannerOptions options) {
  const Bytes bytes = AsBytes(Stream().bytes());
  const std::vector<size_t>& offsets = Stream().event_offsets();
  for (auto _ : state) {
    StreamScanner scanner(options);
    ScannedEvent event;
    for (size_t i = 0; i < offsets.size(); ++i) {
      const size_t end = i + 1 < offsets.size() ? offsets[i + 1] : bytes.size();
      if (!scanner.FeedEvent(bytes.subspan(offsets[i], end - offsets[i]), &event).ok())
        state.SkipWithError("scan");
    }
    benchmark::DoNotOptimize(event);
  }
  Report(state);
}

void BM_FeedEvent(benchmark::State& state) { FeedEvents(state, {}); }
void BM_FeedEventWithoutRows(benchmark::State& state) { FeedEvents(state, {.count_rows = false}); }
void BM_FeedEventWithoutChecksum(benchmark::State& state) {
  FeedEvents(state, {.verify_checksums = false});
}

void BM_FeedBytes(benchmark::State& state) {
  const Bytes bytes = AsBytes(Stream().bytes());
  const auto piece = static_cast<size_t>(state.range(0));
  for (auto _ : state) {
    StreamScanner scanner({});
    uint64_t finished = 0;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const Status status = scanner.FeedBytes(bytes.subspan(at, std::min(piece, bytes.size() - at)),
                                              [&](const ScannedEvent& event) {
                                                finished += event.finished != nullptr ? 1 : 0;
                                                return OkStatus();
                                              });
      if (!status.ok()) state.SkipWithError("scan");
    }
    if (finished != kTransactions) state.SkipWithError("transactions are missing");
  }
  Report(state);
}

BENCHMARK(BM_FeedEvent);
BENCHMARK(BM_FeedEventWithoutRows);
BENCHMARK(BM_FeedEventWithoutChecksum);
BENCHMARK(BM_FeedBytes)->Arg(4096)->Arg(128 * 1024);

}  // namespace
}  // namespace tidemark

BENCHMARK_MAIN();
