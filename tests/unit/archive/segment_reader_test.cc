#include "replication/archive/segment_reader.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

#include "tests/support/process.h"
#include "tests/support/seed.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/archive/segment_fixture.h"

namespace tidemark {
namespace {

using testing::After;
using testing::kSegmentPath;
using testing::SmallBinlog;

class SegmentReaderTest : public ::testing::Test {
 protected:
  SegmentReaderTest() { files_.CreateDirectories("/archive/source/segments").ok(); }

  std::unique_ptr<SegmentReader> Open() {
    auto reader = SegmentReader::Open(files_, kSegmentPath);
    EXPECT_TRUE(reader.ok()) << reader.error().message();
    return std::move(reader.value());
  }
  static std::string Read(SegmentReader& reader, FramePlace frame, uint64_t from, uint64_t to,
                          Status* status) {
    std::string raw;
    *status = reader.ReadRaw(frame, from, to, [&](Bytes piece) {
      EXPECT_LE(piece.size(), 128u * 1024);
      raw.append(AsText(piece));
      return OkStatus();
    });
    return raw;
  }

  MemoryFileSystem files_;
};

TEST_F(SegmentReaderTest, GivesBackEveryRangeFromEveryFrame) {
  const std::string binlog = SmallBinlog(3000, 400);
  const testing::Ingested ingested =
      testing::Ingest(files_, binlog, testing::ByTheRule, /*seal=*/true);
  auto reader = Open();
  ASSERT_TRUE(reader->sealed());
  ASSERT_GE(ingested.frames.size(), 2u);
  EXPECT_EQ(reader->footer().frames, ingested.frames);
  std::mt19937_64 random(testing::TestSeed());
  for (int i = 0; i < 200; ++i) {
    const FramePlace frame = ingested.frames[random() % ingested.frames.size()];
    const uint64_t from = frame.raw_offset + random() % (binlog.size() - frame.raw_offset);
    const uint64_t to =
        std::min<uint64_t>(binlog.size(), from + random() % (i % 2 == 0 ? 2'000'000 : 500));
    Status status;
    ASSERT_TRUE(Read(*reader, frame, from, to, &status) == binlog.substr(from, to - from));
    ASSERT_TRUE(status.ok()) << status.message();
  }
  Status status;
  EXPECT_TRUE(Read(*reader, ingested.frames[0], 0, binlog.size() + 1, &status) == binlog);
  EXPECT_EQ(status.code(), Code::kTruncated);
}

TEST_F(SegmentReaderTest, UnsealedSegmentIsReadUpToTheFlushWhileItGrows) {
  const std::string binlog = SmallBinlog(50, 40);
  auto writer = SegmentWriter::Create(files_, kSegmentPath, testing::HeaderFor(), {}, {});
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Append(AsBytes(binlog).first(1000)).ok());
  ASSERT_TRUE((*writer)->Flush().ok());
  auto reader = Open();
  EXPECT_FALSE(reader->sealed());
  const FramePlace frame = (*writer)->frames().at(0);
  Status status;
  for (size_t end = 1000; end < binlog.size(); end += 997) {
    EXPECT_EQ((*writer)->flushed_raw_bytes(), end);
    ASSERT_TRUE(Read(*reader, frame, 4, end, &status) == binlog.substr(4, end - 4));
    ASSERT_TRUE(status.ok()) << status.message();
    const size_t more = std::min<size_t>(997, binlog.size() - end);
    ASSERT_TRUE((*writer)->Append(AsBytes(binlog).subspan(end, more)).ok());
    EXPECT_TRUE(Read(*reader, frame, 4, end + more, &status) == binlog.substr(4, end - 4));
    EXPECT_EQ(status.code(), Code::kTruncated);
    ASSERT_TRUE((end % 2 == 0 ? (*writer)->Flush() : (*writer)->EndFrame()).ok());
  }
  EXPECT_TRUE(testing::WalkRaw(files_, &status) == binlog);
}

TEST_F(SegmentReaderTest, StockZstdGivesTheRawBinlog) {
  testing::TempDir directory;
  const std::string path = directory.Path("segment.zst");
  for (bool seal : {false, true}) {
    MemoryFileSystem files;
    files.CreateDirectories("/archive/source/segments").ok();
    const std::string binlog = testing::GoldenBinlog("rows.binlog");
    testing::Ingest(
        files, binlog,
        [](size_t event, const SegmentCatalog&) {
          return event % 10 == 9 ? After::kEndFrame : After::kFlush;
        },
        seal);
    auto file = PosixFileSystem().Open(path + (seal ? "1" : "0"), OpenMode::kCreateNew);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Append(AsBytes(files.Contents(kSegmentPath))).ok());
    auto result = testing::RunProgram({"zstd", "-dc", path + (seal ? "1" : "0")});
    ASSERT_TRUE(result.ok()) << result.error().message();
    if (seal) {
      EXPECT_EQ(result->exit_code, 0) << result->err;
      EXPECT_EQ(result->out, binlog);
    }
    EXPECT_EQ(result->out.substr(0, 1000), binlog.substr(0, 1000));
  }
}

// --- Files that nobody of ours wrote
// ----------------------------------------------------------------

std::string EmptySegment() { return EncodeSegmentHeader(testing::HeaderFor()); }

TEST_F(SegmentReaderTest, ForeignTruncatedAndMissingFilesAreToldApart) {
  EXPECT_EQ(SegmentReader::Open(files_, "/nowhere").error().code(), Code::kNotFound);
  files_.Put(kSegmentPath, std::string(1000, 'x'));
  EXPECT_EQ(SegmentReader::Open(files_, kSegmentPath).error().code(), Code::kUnsupportedFormat);
  files_.Put(kSegmentPath, EmptySegment().substr(0, 50));
  auto cut = SegmentReader::Open(files_, kSegmentPath);
  EXPECT_EQ(cut.error().code(), Code::kTruncated);
  EXPECT_NE(cut.error().message().find(kSegmentPath), std::string::npos);
  std::string damaged = EmptySegment();
  damaged[40] = static_cast<char>(damaged[40] ^ 1);
  files_.Put(kSegmentPath, damaged);
  EXPECT_EQ(SegmentReader::Open(files_, kSegmentPath).error().code(), Code::kCorruption);
}

TEST_F(SegmentReaderTest, AbsurdSizesAreRefused) {
  for (uint32_t size : {0u, 5u, 0x7FFFFFFFu, 0xFFFFFFFFu}) {
    std::string header = EmptySegment();
    for (size_t i = 0; i < 4; ++i) header[4 + i] = static_cast<char>(size >> (8 * i));
    files_.Put(kSegmentPath, header);
    EXPECT_EQ(SegmentReader::Open(files_, kSegmentPath).error().code(), Code::kCorruption) << size;
  }
  std::string trailer;
  ByteWriter(&trailer).U32(60'000'000).U32(0).Text("TMSEGEND");
  files_.Put(kSegmentPath, EmptySegment() + trailer);
  auto reader = Open();
  EXPECT_FALSE(reader->sealed());
  EXPECT_TRUE(reader->footer_damaged());
}

Status WalkOf(MemoryFileSystem& files, const std::string& frames, size_t* raw_bytes) {
  files.Put(kSegmentPath, EmptySegment() + frames);
  Status status;
  *raw_bytes = testing::WalkRaw(files, &status).size();
  return status;
}

TEST_F(SegmentReaderTest, BombIsStreamed) {
  // 200 MiB of zeros in some 20 KB; the walker's memory is a window and two buffers.
  std::string zeros(1 << 20, '\0');
  std::string bomb;
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::vector<char> out(ZSTD_CStreamOutSize());
  for (int i = 0; i < 200; ++i) {
    ZSTD_inBuffer in{zeros.data(), zeros.size(), 0};
    size_t left = 1;
    while (i < 199 ? in.pos < in.size : left != 0) {
      ZSTD_outBuffer target{out.data(), out.size(), 0};
      left = ZSTD_compressStream2(context, &target, &in, i < 199 ? ZSTD_e_continue : ZSTD_e_end);
      ASSERT_FALSE(ZSTD_isError(left));
      bomb.append(out.data(), target.pos);
    }
  }
  ZSTD_freeCCtx(context);
  ASSERT_LT(bomb.size(), 100'000u);
  files_.Put(kSegmentPath, EmptySegment() + bomb);
  auto reader = Open();
  uint64_t total = 0;
  Status status =
      reader->Walk({.on_block =
                        [&](Bytes raw, uint64_t) {
                          EXPECT_LE(raw.size(), 128u * 1024);
                          total += raw.size();
                          return OkStatus();
                        },
                    .on_frame_end = [](FramePlace, uint64_t, uint64_t) { return OkStatus(); }});
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(total, 200u << 20);
}

TEST_F(SegmentReaderTest, FramesNotOfOursAreRefused) {
  size_t raw = 0;
  const std::string magic = "\x28\xB5\x2F\xFD";
  const auto bytes = [](std::initializer_list<int> values) {
    std::string text;
    for (int value : values) text.push_back(static_cast<char>(value));
    return text;
  };
  // A window of 2 GiB, no checksum, a dictionary, the reserved bit, a reserved block type, a block
  // over 128 KiB.
  for (const std::string& header :
       {bytes({0x04, 0xA8}), bytes({0x00, 0x50}), bytes({0x05, 0x50, 1}), bytes({0x0C, 0x50}),
        bytes({0x04, 0x50, 0x07, 0, 0}), bytes({0x04, 0x50, 0x01, 0, 0xFF})}) {
    EXPECT_EQ(WalkOf(files_, magic + header + std::string(20, '\0'), &raw).code(), Code::kTruncated)
        << Hex(AsBytes(header));
    EXPECT_EQ(raw, 0u);
  }
  // The empty frame is a frame.
  EXPECT_TRUE(
      WalkOf(files_, magic + bytes({0x04, 0x50, 1, 0, 0, 0x99, 0xE9, 0xD8, 0x51}), &raw).ok());
}

TEST_F(SegmentReaderTest, DamagedFrameIsCorruptionOnlyIfFramesFollow) {
  const std::string binlog = SmallBinlog(40, 4);
  const testing::Ingested ingested = testing::Ingest(
      files_, binlog,
      [](size_t event, const SegmentCatalog&) {
        return event % 20 == 19 ? After::kEndFrame : After::kFlush;
      },
      /*seal=*/false);
  ASSERT_GE(ingested.frames.size(), 3u);
  const std::string good = files_.Contents(kSegmentPath);
  const auto walk_with_damage_in = [&](size_t frame) {
    std::string bad = good;
    const size_t at = ingested.frames[frame].stored_offset;
    for (size_t i = 0; i < 12; ++i) bad[at + i] = '\0';
    files_.Put(kSegmentPath, bad);
    Status status;
    EXPECT_TRUE(testing::WalkRaw(files_, &status) ==
                binlog.substr(0, ingested.frames[frame].raw_offset));
    return status;
  };
  EXPECT_EQ(walk_with_damage_in(ingested.frames.size() - 2).code(), Code::kCorruption);
  EXPECT_EQ(walk_with_damage_in(ingested.frames.size() - 1).code(), Code::kTruncated);
}

TEST_F(SegmentReaderTest, ErrorsOfTheSinkComeBackAsTheyAre) {
  const testing::Ingested ingested =
      testing::Ingest(files_, SmallBinlog(5, 4), testing::ByTheRule, true);
  auto reader = Open();
  const auto refuse = [](Bytes) { return Status(Code::kInterrupted, "stop"); };
  EXPECT_EQ(reader->ReadRaw(ingested.frames[0], 0, 100, refuse).code(), Code::kInterrupted);
  EXPECT_EQ(reader->ReadRaw(ingested.frames[0], 50, 50, refuse).code(), Code::kOk);
}

}  // namespace
}  // namespace tidemark
