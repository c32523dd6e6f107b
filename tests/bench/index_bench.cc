// The index at size: look-ups, opening, applying, and bytes per frame, in archives of a million
// transactions and more (about 2000 to a frame, a frame about 350 kB stored).
// TIDEMARK_BENCH_BILLION=1 adds a billion.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "index/index.h"

namespace tidemark {
namespace {

constexpr uint64_t kTransactionsPerFrame = 2000;
constexpr uint32_t kFramesPerSegment = 1000;
constexpr uint64_t kStoredPerFrame = 350'000;
constexpr int64_t kStart = 1'700'000'000'000'000;
constexpr int64_t kMicrosPerTransaction = 500;

template <typename T>
T Must(Result<T> result) {
  if (!result.has_value()) std::fprintf(stderr, "%s\n", result.error().message().c_str());
  TM_CHECK(result.has_value());
  return std::move(*result);
}

Gtid NumberedGtid(uint64_t number) {
  Gtid gtid;
  gtid.tsid.uuid = Uuid::Parse("3e11fa47-71ca-11e1-9e33-c80aa9429562").value();
  gtid.gno = static_cast<int64_t>(number);
  return gtid;
}

// Frame `index` of the archive after `part` of `parts` durable points: an OLTP load over twenty
// tables.
DurableBatch Step(uint64_t index, uint64_t part, uint64_t parts) {
  DurableBatch batch;
  batch.source = "primary";
  SegmentRecord& segment = batch.segment;
  segment.header.number = index / kFramesPerSegment + 1;
  segment.header.source_name = "primary";
  segment.header.source_file = "binlog." + std::to_string(1'000'000 + segment.header.number);
  FrameRecord frame;
  frame.frame = static_cast<uint32_t>(index % kFramesPerSegment);
  frame.place = {frame.frame * kFrameRawBytes, frame.frame * kStoredPerFrame};
  frame.raw_end = (frame.frame + 1) * kFrameRawBytes;
  frame.transactions = kTransactionsPerFrame * part / parts;
  const int64_t first = static_cast<int64_t>(index * kTransactionsPerFrame) + 1;
  const int64_t last = first + static_cast<int64_t>(frame.transactions) - 1;
  frame.gtids.Add(NumberedGtid(1).tsid, {first, last});
  frame.first_commit_us = kStart + first * kMicrosPerTransaction;
  frame.last_commit_us = frame.commit_high_us = kStart + last * kMicrosPerTransaction;
  std::mt19937_64 random(index);
  for (int table = 1; table <= 20; ++table) {
    frame.tables.push_back({"sbtest", "sbtest" + std::to_string(table),
                            random() % 400 * part / parts, random() % 800 * part / parts,
                            random() % 400 * part / parts});
  }
  const int64_t before = first - 1 - static_cast<int64_t>(frame.frame * kTransactionsPerFrame);
  if (before > 0) segment.header.previous.Add(NumberedGtid(1).tsid, {1, before});
  segment.gtids.Add(NumberedGtid(1).tsid, {before + 1, last});
  segment.transactions = segment.gtids.Count();
  segment.raw_bytes = frame.raw_end;
  segment.stored_bytes = frame.place.stored_offset + kStoredPerFrame;
  segment.last_commit_us = segment.commit_high_us = frame.commit_high_us;
  batch.frames.push_back(std::move(frame));
  return batch;
}

struct Archive {
  std::string path;
  uint64_t transactions = 0;
  uint64_t frames = 0;
  double rest_bytes_per_frame = 0;
  double peak_bytes_per_frame = 0;  // while being written
};

std::string Root() {
  static const std::string root = [] {
    std::string name =
        (std::filesystem::temp_directory_path() / "tidemark-index-bench-XXXXXX").string();
    TM_CHECK(::mkdtemp(name.data()) != nullptr);
    return name;
  }();
  return root;
}

const Archive& Build(uint64_t transactions) {
  static std::map<uint64_t, Archive> built;
  const auto known = built.find(transactions);
  if (known != built.end()) return known->second;
  Archive archive;
  archive.path = Root() + "/" + std::to_string(transactions);
  archive.transactions = transactions;
  archive.frames = transactions / kTransactionsPerFrame;
  uint64_t peak = 0;
  auto index = Must(Index::OpenForWriting(archive.path));
  const uint64_t parts = transactions > 100'000'000 ? 1 : 4;
  for (uint64_t frame = 0; frame < archive.frames; ++frame) {
    for (uint64_t part = 1; part <= parts; ++part) {
      TM_CHECK(index->Apply(Step(frame, part, parts)).ok());
    }
    if (frame % 100 == 0) peak = std::max(peak, Must(index->SizeOnDisk()));
  }
  peak = std::max(peak, Must(index->SizeOnDisk()));
  index.reset();
  const uint64_t rest = Must(Must(Index::OpenForReading(archive.path))->SizeOnDisk());
  archive.rest_bytes_per_frame = static_cast<double>(rest) / static_cast<double>(archive.frames);
  archive.peak_bytes_per_frame = static_cast<double>(peak) / static_cast<double>(archive.frames);
  return built.emplace(transactions, std::move(archive)).first->second;
}

void Report(benchmark::State& state, const Archive& archive) {
  state.counters["B/frame"] = archive.rest_bytes_per_frame;
  state.counters["peakB/frame"] = archive.peak_bytes_per_frame;
  state.counters["%ofArchive"] =
      100 * archive.rest_bytes_per_frame / static_cast<double>(kStoredPerFrame);
}

template <typename LookUp>
void Run(benchmark::State& state, const LookUp& look_up) {
  const Archive& archive = Build(static_cast<uint64_t>(state.range(0)));
  const auto index = Must(Index::OpenForReading(archive.path));
  std::mt19937_64 random(7);
  for (auto _ : state) {
    const uint64_t number = random() % archive.transactions + 1;
    const auto found = Must(look_up(*index, number));
    TM_CHECK(found.has_value() && found->record.gtids.Contains(NumberedGtid(number)));
  }
  Report(state, archive);
}

void FindGtid(benchmark::State& state) {
  Run(state, [](Index& index, uint64_t number) {
    return index.FindGtid("primary", NumberedGtid(number));
  });
}

void FindFirstPast(benchmark::State& state) {
  Run(state, [](Index& index, uint64_t number) {
    return index.FindFirstPast("primary",
                               kStart + static_cast<int64_t>(number) * kMicrosPerTransaction - 1);
  });
}

void FindPosition(benchmark::State& state) {
  Run(state, [](Index& index, uint64_t number) {
    const uint64_t frame = (number - 1) / kTransactionsPerFrame;
    return index.FindPosition("primary",
                              "binlog." + std::to_string(1'000'000 + frame / kFramesPerSegment + 1),
                              frame % kFramesPerSegment * kFrameRawBytes + 12345);
  });
}

// What one call of `pitr` pays: open, one look-up on cold caches of ours, close.
void OpenAndFind(benchmark::State& state) {
  const Archive& archive = Build(static_cast<uint64_t>(state.range(0)));
  std::mt19937_64 random(7);
  for (auto _ : state) {
    const auto index = Must(Index::OpenForReading(archive.path));
    TM_CHECK(Must(index->FindGtid("primary", NumberedGtid(random() % archive.transactions + 1)))
                 .has_value());
  }
  Report(state, archive);
}

// One durable point: the open frame's record again.
void Apply(benchmark::State& state) {
  const std::string path = Root() + "/apply";
  const auto index = Must(Index::OpenForWriting(path));
  constexpr uint64_t kParts = 100;
  static uint64_t step = 0;  // the benchmark is run several times to find its iteration count
  for (auto _ : state) {
    TM_CHECK(index->Apply(Step(step / kParts, step % kParts + 1, kParts)).ok());
    ++step;
  }
  state.counters["peakB"] = static_cast<double>(Must(index->SizeOnDisk()));
}

// As OpenAndFind, but beside a writer whose latest batches are in its log alone, which the reader
// replays.
void OpenBesideWriter(benchmark::State& state) {
  const std::string path = Root() + "/beside-" + std::to_string(state.range(0));
  const auto writer = Must(Index::OpenForWriting(path));
  const uint64_t batches = static_cast<uint64_t>(state.range(0));
  for (uint64_t i = 0; i < batches; ++i)
    TM_CHECK(writer->Apply(Step(i / 100, i % 100 + 1, 100)).ok());
  for (auto _ : state) {
    const auto index = Must(Index::OpenForReading(path));
    TM_CHECK(Must(index->FindGtid("primary", NumberedGtid(1))).has_value());
  }
}

void Sizes(benchmark::internal::Benchmark* bench) {
  bench->Arg(1'000'000)->Arg(10'000'000);
  if (std::getenv("TIDEMARK_BENCH_BILLION") != nullptr) bench->Arg(1'000'000'000);
  bench->Unit(benchmark::kMicrosecond);
}

BENCHMARK(FindGtid)->Apply(Sizes);
BENCHMARK(FindFirstPast)->Apply(Sizes);
BENCHMARK(FindPosition)->Apply(Sizes);
BENCHMARK(OpenAndFind)->Apply(Sizes);
BENCHMARK(OpenBesideWriter)->Arg(400)->Arg(4000)->Unit(benchmark::kMicrosecond);
BENCHMARK(Apply)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace tidemark

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  if (std::getenv("TIDEMARK_KEEP") == nullptr) std::filesystem::remove_all(tidemark::Root());
  return 0;
}
