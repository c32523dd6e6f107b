// SegmentReader::NextRaw: a segment that is pulled while it grows, is cut back, and is sealed.
#include <gtest/gtest.h>

#include <random>

#include "replication/archive/segment_reader.h"
#include "tests/support/seed.h"
#include "tests/unit/archive/segment_fixture.h"

namespace tidemark {
namespace {

using testing::kSegmentPath;
using testing::SmallBinlog;

constexpr size_t kPieceBytesMax = 128 * 1024;

class CountingFile : public File {
 public:
  CountingFile(std::unique_ptr<File> file, uint64_t* bytes)
      : file_(std::move(file)), bytes_(bytes) {}
  Status Append(Bytes bytes) override { return file_->Append(bytes); }
  Result<size_t> ReadAt(uint64_t offset, std::span<uint8_t> into) override {
    auto got = file_->ReadAt(offset, into);
    if (got.ok()) *bytes_ += *got;
    return got;
  }
  Result<uint64_t> Size() override { return file_->Size(); }
  Status Truncate(uint64_t size) override { return file_->Truncate(size); }
  Status DataSync() override { return file_->DataSync(); }

 private:
  std::unique_ptr<File> file_;
  uint64_t* bytes_;
};

// Knows how many bytes were read.
class CountingFiles : public MemoryFileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    TM_ASSIGN_OR_RETURN(auto file, MemoryFileSystem::Open(path, mode));
    return std::unique_ptr<File>(new CountingFile(std::move(file), &bytes_read));
  }
  uint64_t bytes_read = 0;
};

class SegmentPullTest : public ::testing::Test {
 protected:
  SegmentPullTest() { files_.CreateDirectories("/archive/source/segments").ok(); }

  std::unique_ptr<SegmentReader> Open() {
    auto reader = SegmentReader::Open(files_, kSegmentPath);
    EXPECT_TRUE(reader.ok()) << reader.error().message();
    return std::move(reader.value());
  }
  std::unique_ptr<SegmentWriter> Create(FileSystem& files) {
    files.CreateDirectories("/archive/source/segments").ok();
    auto writer = SegmentWriter::Create(files, kSegmentPath, testing::HeaderFor(), {}, {});
    EXPECT_TRUE(writer.ok());
    return std::move(writer.value());
  }
  static std::string Pull(SegmentReader& reader, uint64_t to, Status* status) {
    std::string raw;
    for (;;) {
      Result<Bytes> piece = reader.NextRaw(to);
      *status = piece.ok() ? OkStatus() : piece.error();
      if (!piece.ok() || piece->empty()) return raw;
      EXPECT_LE(piece->size(), kPieceBytesMax);
      raw.append(AsText(*piece));
    }
  }
  // What the writer put behind `keep` becomes what another one put there.
  void Replace(uint64_t keep, const std::string& contents) {
    auto file = files_.Open(kSegmentPath, OpenMode::kReadWrite);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Truncate(keep).ok());
    ASSERT_TRUE((*file)->Append(AsBytes(contents).subspan(keep)).ok());
  }
  static void Seal(SegmentWriter& writer) {
    SegmentFooter footer;
    footer.raw_bytes = writer.raw_bytes();
    ASSERT_TRUE(writer.Seal(footer).ok());
  }

  CountingFiles files_;
};

TEST_F(SegmentPullTest, SealedSegmentFromAnyFrameInAnySteps) {
  const std::string binlog = SmallBinlog(3000, 400);
  const testing::Ingested ingested = testing::Ingest(files_, binlog, testing::ByTheRule, true);
  auto reader = Open();
  std::mt19937_64 random(testing::TestSeed());
  for (int i = 0; i < 30; ++i) {
    const FramePlace frame = ingested.frames[random() % ingested.frames.size()];
    uint64_t at = frame.raw_offset + random() % (binlog.size() - frame.raw_offset);
    reader->SeekRaw(frame, at);
    while (at < binlog.size()) {
      const uint64_t step = random() % (i % 2 == 0 ? 700'000 : 90'000);
      const uint64_t to = std::min<uint64_t>(binlog.size(), at + step);
      Status status;
      ASSERT_TRUE(Pull(*reader, to, &status) == binlog.substr(at, to - at));
      ASSERT_TRUE(status.ok()) << status.message();
      at = to;
    }
  }
}

// Flushes, frame ends behind data, frame ends behind a flush (an empty last block), and the seal.
TEST_F(SegmentPullTest, GrowsFlushByFlushAndIsSealed) {
  std::mt19937_64 random(testing::TestSeed());
  const std::string binlog = SmallBinlog(600, 400);
  for (int round = 0; round < 20; ++round) {
    files_.Remove(kSegmentPath).ok();
    auto writer = Create(files_);
    std::unique_ptr<SegmentReader> reader;
    uint64_t written = 0, pulled = 0;
    Status status;
    while (written < binlog.size()) {
      const uint64_t step = 1 + random() % (round % 2 == 0 ? 5'000 : 300'000);
      const uint64_t more = std::min<uint64_t>(binlog.size() - written, step);
      ASSERT_TRUE(writer->Append(AsBytes(binlog).subspan(written, more)).ok());
      written += more;
      if (random() % 4 != 0) {
        ASSERT_TRUE(writer->Flush().ok());
      }
      if (random() % 4 == 0) {
        ASSERT_TRUE(writer->EndFrame().ok());
      }
      if (written == binlog.size()) Seal(*writer);
      if (reader == nullptr) {
        reader = Open();
        reader->SeekRaw({0, reader->frames_begin()}, 0);
      }
      const uint64_t flushed = writer->flushed_raw_bytes();
      ASSERT_TRUE(Pull(*reader, flushed, &status) == binlog.substr(pulled, flushed - pulled));
      ASSERT_TRUE(status.ok()) << status.message();
      pulled = flushed;
    }
    EXPECT_EQ(pulled, binlog.size());
    EXPECT_FALSE(reader->sealed());
  }
}

TEST_F(SegmentPullTest, GoingOnReadsOnlyWhatIsNew) {
  const std::string binlog = SmallBinlog(3000, 4);
  auto writer = Create(files_);
  ASSERT_TRUE(writer->Append(AsBytes(binlog).first(900'000)).ok());
  ASSERT_TRUE(writer->Flush().ok());
  auto reader = Open();
  reader->SeekRaw({0, reader->frames_begin()}, 0);
  Status status;
  Pull(*reader, 900'000, &status);
  for (uint64_t at = 900'000; at < 1'000'000; at += 1000) {
    const uint64_t stored = writer->stored_bytes();
    ASSERT_TRUE(writer->Append(AsBytes(binlog).subspan(at, 1000)).ok());
    ASSERT_TRUE(writer->Flush().ok());
    files_.bytes_read = 0;
    ASSERT_TRUE(Pull(*reader, at + 1000, &status) == binlog.substr(at, 1000));
    EXPECT_EQ(files_.bytes_read, writer->stored_bytes() - stored);
  }
}

TEST_F(SegmentPullTest, StopInsideABlockOfAnUnsealedSegment) {
  const std::string binlog = SmallBinlog(400, 4);
  auto writer = Create(files_);
  std::unique_ptr<SegmentReader> reader;
  uint64_t written = 0, pulled = 0;
  std::mt19937_64 random(testing::TestSeed());
  while (written + 40'000 < binlog.size()) {
    ASSERT_TRUE(writer->Append(AsBytes(binlog).subspan(written, 40'000)).ok());
    written += 40'000;
    ASSERT_TRUE((random() % 3 == 0 ? writer->EndFrame() : writer->Flush()).ok());
    if (reader == nullptr) {
      reader = Open();
      reader->SeekRaw({0, reader->frames_begin()}, 0);
    }
    const uint64_t to = pulled + random() % (written - pulled + 1);
    Status status;
    ASSERT_TRUE(Pull(*reader, to, &status) == binlog.substr(pulled, to - pulled));
    ASSERT_TRUE(status.ok()) << status.message();
    pulled = to;
  }
  EXPECT_GT(pulled, 0u);
}

// The connection broke: what was written but not published is cut off, and other bytes follow. The
// reader has had the old ones in its buffer, and in one case in its block.
TEST_F(SegmentPullTest, TailThatIsCutBackAndWrittenAnew) {
  const std::string binlog = SmallBinlog(200, 4);
  std::string other = binlog;
  for (size_t i = 30'000; i < other.size(); ++i) other[i] = static_cast<char>(other[i] ^ 0x55);
  for (uint64_t behind : {1u, 700u, 20'000u}) {
    files_.Remove(kSegmentPath).ok();
    auto writer = Create(files_);
    ASSERT_TRUE(writer->Append(AsBytes(binlog).first(30'000)).ok());
    ASSERT_TRUE(writer->Flush().ok());
    const uint64_t published = writer->stored_bytes();
    ASSERT_TRUE(writer->Append(AsBytes(binlog).subspan(30'000, behind)).ok());
    ASSERT_TRUE(writer->EndFrame().ok());
    auto reader = Open();
    reader->SeekRaw({0, reader->frames_begin()}, 0);
    Status status;
    ASSERT_TRUE(Pull(*reader, 30'000, &status) == binlog.substr(0, 30'000));
    writer.reset();

    MemoryFileSystem again;
    auto second = Create(again);
    ASSERT_TRUE(second->Append(AsBytes(other).first(30'000)).ok());
    ASSERT_TRUE(second->Flush().ok());
    ASSERT_EQ(second->stored_bytes(), published);
    ASSERT_TRUE(second->Append(AsBytes(other).subspan(30'000, 10'000)).ok());
    ASSERT_TRUE(second->Flush().ok());
    Replace(published, again.Contents(kSegmentPath));
    ASSERT_TRUE(Pull(*reader, 40'000, &status) == other.substr(30'000, 10'000));
    ASSERT_TRUE(status.ok()) << status.message();
  }
}

// The same, but the reader had stopped inside a block: nothing of that may be given.
TEST_F(SegmentPullTest, BlockThatWasStoppedInIsWrittenAnew) {
  const std::string binlog = SmallBinlog(200, 4);
  std::string other = binlog;
  for (size_t i = 30'000; i < other.size(); ++i) other[i] = static_cast<char>(other[i] ^ 0x55);
  auto writer = Create(files_);
  const uint64_t frames_begin = writer->stored_bytes();
  ASSERT_TRUE(writer->Append(AsBytes(binlog).first(40'000)).ok());
  ASSERT_TRUE(writer->EndFrame().ok());
  auto reader = Open();
  reader->SeekRaw({0, reader->frames_begin()}, 0);
  Status status;
  ASSERT_TRUE(Pull(*reader, 30'000, &status) == binlog.substr(0, 30'000));
  ASSERT_TRUE(status.ok()) << status.message();
  MemoryFileSystem again;
  auto second = Create(again);
  ASSERT_TRUE(second->Append(AsBytes(other).first(50'000)).ok());
  ASSERT_TRUE(second->Flush().ok());
  Replace(frames_begin, again.Contents(kSegmentPath));
  ASSERT_TRUE(Pull(*reader, 50'000, &status) == other.substr(30'000, 20'000));
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(SegmentPullTest, RecoveredAndSealedWhereTheReaderStands) {
  const std::string binlog = SmallBinlog(200, 4);
  const std::vector<std::string> events = testing::EventsOf(binlog);
  auto writer = Create(files_);
  ASSERT_TRUE(writer->Append(AsBytes(binlog)).ok());
  ASSERT_TRUE(writer->Flush().ok());
  auto reader = Open();
  reader->SeekRaw({0, reader->frames_begin()}, 0);
  Status status;
  ASSERT_TRUE(Pull(*reader, binlog.size(), &status) == binlog);
  ASSERT_TRUE(writer->Append(AsBytes(events.back()).first(10)).ok());  // torn
  ASSERT_TRUE(writer->Flush().ok());
  writer.reset();
  testing::FixedClock clock;
  auto recovered = RecoverSegment(files_, clock, kSegmentPath, "source", 1, 0);
  ASSERT_TRUE(recovered.ok()) << recovered.error().message();
  EXPECT_EQ(Pull(*reader, binlog.size(), &status), "");
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(Pull(*reader, binlog.size() + 1, &status), "");
  EXPECT_FALSE(status.ok()) << "there is no such byte";
}

TEST_F(SegmentPullTest, DamagedFrameChecksumIsSeenWhenTheFrameIsDone) {
  const std::string binlog = SmallBinlog(50, 4);
  const testing::Ingested ingested = testing::Ingest(files_, binlog, testing::ByTheRule, true);
  std::string contents = files_.Contents(kSegmentPath);
  auto intact = Open();
  const size_t checksum = intact->frames_end() - 1;
  contents[checksum] = static_cast<char>(contents[checksum] ^ 1);
  files_.Put(kSegmentPath, contents);
  auto reader = Open();
  ASSERT_TRUE(reader->sealed());
  reader->SeekRaw(ingested.frames[0], 0);
  Status status;
  EXPECT_TRUE(Pull(*reader, binlog.size(), &status) == binlog);
  EXPECT_EQ(status.code(), Code::kCorruption);
}

}  // namespace
}  // namespace tidemark
