// How fast SegmentWriter takes raw binlog, and how small it makes it, at several flush intervals.
// The binlog is generated to look like sysbench oltp_write_only's; TIDEMARK_BENCH_BINLOG names a
// real one to use instead.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "replication/archive/segment_catalog.h"
#include "replication/archive/segment_reader.h"
#include "replication/archive/segment_recovery.h"
#include "replication/archive/segment_writer.h"
#include "replication/base/file_system.h"
#include "replication/event/stream_scanner.h"
#include "tests/unit/event/stream_builder.h"

namespace tidemark {
namespace {

using testing::StreamBuilder;

constexpr size_t kRawBytes = 128 << 20;

std::string Digits(std::mt19937_64& random, size_t groups) {
  std::string text;
  for (size_t i = 0; i < groups; ++i) {
    std::string digits = std::to_string(random() % 100'000'000'000);
    text += (i == 0 ? "" : "-") + std::string(11 - digits.size(), '0') + digits;
  }
  return text;
}

std::string Row(std::mt19937_64& random) {
  std::string row(1, '\0');
  ByteWriter(&row)
      .U32(static_cast<uint32_t>(random() % 100'000))
      .U32(static_cast<uint32_t>(random() % 100'000));
  const std::string c = Digits(random, 10);
  const std::string pad = Digits(random, 5);
  ByteWriter(&row).Text16(c).U8(static_cast<uint8_t>(pad.size())).Text(pad);
  return row;
}

// Index update, non-index update, delete, insert: what one transaction of oltp_write_only does.
std::string GenerateBinlog() {
  std::mt19937_64 random(1);
  StreamBuilder builder;
  builder.Magic().FormatDescription().Event(EventType::kPreviousGtids, GtidSet().Encode());
  for (int64_t gno = 1; builder.bytes().size() < kRawBytes; ++gno) {
    const uint64_t table = 100 + random() % 4;
    const std::string name = "sbtest" + std::to_string(table - 99);
    builder.Add(EventType::kQuery, StreamBuilder::Query("BEGIN"));
    std::string row = Row(random);
    for (int update = 0; update < 2; ++update) {
      const std::string before = row;
      row[update == 0 ? 5 : 20] = static_cast<char>('0' + random() % 10);
      builder.Add(EventType::kTableMap, StreamBuilder::SbtestMap(table, name));
      builder.Add(EventType::kUpdateRows, StreamBuilder::Rows(table, {before, row}, true));
    }
    builder.Add(EventType::kTableMap, StreamBuilder::SbtestMap(table, name));
    builder.Add(EventType::kDeleteRows, StreamBuilder::Rows(table, {Row(random)}));
    builder.Add(EventType::kTableMap, StreamBuilder::SbtestMap(table, name));
    builder.Add(EventType::kWriteRows, StreamBuilder::Rows(table, {Row(random)}));
    builder.Add(EventType::kXid, StreamBuilder::Xid());
    builder.Transaction(gno);
  }
  return builder.bytes();
}

const std::string& Binlog() {
  static const std::string binlog = [] {
    const char* path = std::getenv("TIDEMARK_BENCH_BINLOG");
    if (path == nullptr) return GenerateBinlog();
    std::ifstream file(path, std::ios::binary);
    std::string contents(std::size_t{256} << 20, '\0');
    file.read(contents.data(), static_cast<std::streamsize>(contents.size()));
    contents.resize(static_cast<size_t>(file.gcount()));
    return contents;
  }();
  return binlog;
}

// Takes everything and keeps nothing, so that the disk is not what is measured.
class NullFile : public File {
 public:
  Result<size_t> ReadAt(uint64_t, std::span<uint8_t>) override { return size_t{0}; }
  Status Append(Bytes bytes) override {
    size_ += bytes.size();
    return OkStatus();
  }
  Status Truncate(uint64_t) override { return OkStatus(); }
  Status DataSync() override { return OkStatus(); }
  Result<uint64_t> Size() override { return size_; }

 private:
  uint64_t size_ = 0;
};

class NullFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string&, OpenMode) override {
    return std::unique_ptr<File>(std::make_unique<NullFile>());
  }
  Result<std::vector<std::string>> List(const std::string&) override {
    return std::vector<std::string>();
  }
  bool Exists(const std::string&) override { return false; }
  bool IsDirectory(const std::string&) override { return true; }
  Status CreateDirectories(const std::string&) override { return OkStatus(); }
  Status SyncDirectory(const std::string&) override { return OkStatus(); }
  Status Rename(const std::string&, const std::string&) override { return OkStatus(); }
  Status Remove(const std::string&) override { return OkStatus(); }
  Result<uint64_t> FreeBytes(const std::string&) override { return uint64_t{0}; }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    return Status(Code::kLocked, path + " is not to be had");
  }
};

// One segment of the whole binlog, written event by event. Returns its size.
uint64_t Write(FileSystem& files, const std::string& path, size_t flush_bytes, int level,
               bool scan) {
  const std::string& binlog = Binlog();
  auto writer = SegmentWriter::Create(files, path, SegmentHeader{}, {}, {.zstd_level = level});
  TM_CHECK(writer.ok());
  SegmentCatalog catalog({}, 0);
  StreamScanner scanner(ScannerOptions{.start_offset = kBinlogMagicSize});
  TM_CHECK((*writer)->Append(kBinlogMagic).ok());
  uint64_t frame_begin = 0;
  for (size_t at = kBinlogMagicSize; at + kEventHeaderSize <= binlog.size();) {
    const uint32_t size = ReadEventHeader(AsBytes(binlog).data() + at).size;
    if (at + size > binlog.size()) break;
    const Bytes event = AsBytes(binlog).subspan(at, size);
    at += size;
    TM_CHECK((*writer)->Append(event).ok());
    bool end_frame = at - frame_begin >= kFrameRawBytes;
    if (scan) {
      ScannedEvent scanned;
      TM_CHECK(scanner.FeedEvent(event, &scanned).ok());
      catalog.OnEvent(scanned);
      end_frame = catalog.FrameMayEnd();
      if (end_frame) catalog.EndFrame(at);
    }
    if (end_frame) {
      TM_CHECK((*writer)->EndFrame().ok());
      frame_begin = at;
      if (scan) benchmark::DoNotOptimize(catalog.TakeBatch());
    } else if ((*writer)->raw_bytes() - (*writer)->flushed_raw_bytes() >= flush_bytes) {
      TM_CHECK((*writer)->Flush().ok());
    }
  }
  TM_CHECK((*writer)->EndFrame().ok());
  return (*writer)->stored_bytes();
}

void Report(benchmark::State& state, uint64_t stored_bytes) {
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) *
                          static_cast<int64_t>(Binlog().size()));
  state.counters["ratio"] =
      static_cast<double>(stored_bytes) / static_cast<double>(Binlog().size());
}

void WriteSegment(benchmark::State& state) {
  NullFileSystem files;
  uint64_t stored_bytes = 0;
  Binlog();
  for (auto _ : state)
    stored_bytes = Write(files, "/segment", static_cast<size_t>(state.range(1)),
                         static_cast<int>(state.range(0)), false);
  Report(state, stored_bytes);
}
BENCHMARK(WriteSegment)
    ->ArgNames({"level", "flush"})
    ->Args({1, 1 << 20})
    ->Args({1, 128 << 10})
    ->Args({1, 16 << 10})
    ->Args({1, 2 << 10})
    ->Args({3, 1 << 20})
    ->Unit(benchmark::kMillisecond);

void ScanAndWriteSegment(benchmark::State& state) {
  NullFileSystem files;
  uint64_t stored_bytes = 0;
  Binlog();
  for (auto _ : state) stored_bytes = Write(files, "/segment", 1 << 20, 1, true);
  Report(state, stored_bytes);
}
BENCHMARK(ScanAndWriteSegment)->Unit(benchmark::kMillisecond);

void WalkSegment(benchmark::State& state) {
  char directory[] = "/tmp/tidemark-bench-XXXXXX";
  TM_CHECK(mkdtemp(directory) != nullptr);
  const std::string path = JoinPath(directory, "0000000001.binlog.zst");
  const uint64_t stored_bytes = Write(PosixFileSystem(), path, 1 << 20, 1, false);
  for (auto _ : state) {
    auto reader = SegmentReader::Open(PosixFileSystem(), path);
    TM_CHECK(reader.ok());
    TM_CHECK((*reader)
                 ->Walk({.on_block = [](Bytes, uint64_t) { return OkStatus(); },
                         .on_frame_end = [](FramePlace, uint64_t, uint64_t) { return OkStatus(); }})
                 .ok());
  }
  Report(state, stored_bytes);
  (void)PosixFileSystem().Remove(path);
  rmdir(directory);
}
BENCHMARK(WalkSegment)->Unit(benchmark::kMillisecond);

void ScanSegmentFile(benchmark::State& state) {
  char directory[] = "/tmp/tidemark-bench-XXXXXX";
  TM_CHECK(mkdtemp(directory) != nullptr);
  const std::string path = JoinPath(directory, "0000000001.binlog.zst");
  const uint64_t stored_bytes = Write(PosixFileSystem(), path, 1 << 20, 1, false);
  for (auto _ : state) TM_CHECK(ScanSegment(PosixFileSystem(), path, "source", 0).ok());
  Report(state, stored_bytes);
  (void)PosixFileSystem().Remove(path);
  rmdir(directory);
}
BENCHMARK(ScanSegmentFile)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace tidemark

BENCHMARK_MAIN();
