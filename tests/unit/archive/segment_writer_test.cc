#include "replication/archive/segment_writer.h"

#include <gtest/gtest.h>

#include "tests/unit/archive/segment_fixture.h"

namespace tidemark {
namespace {

using testing::kSegmentPath;

class SegmentWriterTest : public ::testing::Test {
 protected:
  SegmentWriterTest() { files_.CreateDirectories("/archive/source/segments").ok(); }
  MemoryFileSystem files_;
};

TEST_F(SegmentWriterTest, FileAndNameAreDurableBeforeTheFirstByte) {
  auto writer = SegmentWriter::Create(files_, kSegmentPath, testing::HeaderFor(), {}, {});
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ(files_.DurableContents(kSegmentPath), EncodeSegmentHeader(testing::HeaderFor()));
  EXPECT_TRUE((*writer)->frames().empty());
}

TEST_F(SegmentWriterTest, DoesNotOverwriteASegment) {
  files_.Put(kSegmentPath, "precious");
  EXPECT_FALSE(SegmentWriter::Create(files_, kSegmentPath, testing::HeaderFor(), {}, {}).ok());
  EXPECT_EQ(files_.Contents(kSegmentPath), "precious");
}

TEST_F(SegmentWriterTest, PrefixIsTheBeginningOfTheFirstFrame) {
  const std::string binlog = testing::SmallBinlog(3, 4);
  testing::Ingest(files_, binlog, testing::ByTheRule, /*seal=*/true,
                  testing::PrefixBytesOf(binlog));
  Status status;
  EXPECT_TRUE(testing::WalkRaw(files_, &status) == binlog);
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_F(SegmentWriterTest, FlushWithNothingNewWritesNothing) {
  auto writer = SegmentWriter::Create(files_, kSegmentPath, testing::HeaderFor(), {}, {});
  ASSERT_TRUE((*writer)->Flush().ok());
  ASSERT_TRUE((*writer)->EndFrame().ok());
  const uint64_t empty = files_.Contents(kSegmentPath).size();
  ASSERT_TRUE((*writer)->Append(kBinlogMagic).ok());
  ASSERT_TRUE((*writer)->Flush().ok());
  const uint64_t once = files_.Contents(kSegmentPath).size();
  EXPECT_GT(once, empty);
  EXPECT_EQ((*writer)->stored_bytes(), once);
  ASSERT_TRUE((*writer)->Flush().ok());
  EXPECT_EQ(files_.Contents(kSegmentPath).size(), once);
}

TEST_F(SegmentWriterTest, RefusesParametersThatZstdDoesNotHave) {
  for (SegmentWriterOptions options :
       {SegmentWriterOptions{.zstd_level = 99}, SegmentWriterOptions{.zstd_window_log = 28},
        SegmentWriterOptions{.zstd_hash_log = 99}, SegmentWriterOptions{.zstd_min_match = 99}}) {
    EXPECT_EQ(SegmentWriter::Create(files_, kSegmentPath, testing::HeaderFor(), {}, options)
                  .error()
                  .code(),
              Code::kUsage);
    EXPECT_FALSE(files_.Exists(kSegmentPath));
  }
}

TEST_F(SegmentWriterTest, EveryLevelCanBeReadBack) {
  const std::string binlog = testing::SmallBinlog(30, 4);
  for (int level : {-5, 1, 2, 3, 9, 19, 22}) {
    auto writer = SegmentWriter::Create(files_, kSegmentPath, testing::HeaderFor(), {},
                                        {.zstd_level = level});
    ASSERT_TRUE(writer.ok()) << writer.error().message();
    ASSERT_TRUE((*writer)->Append(AsBytes(binlog)).ok());
    ASSERT_TRUE((*writer)->EndFrame().ok());
    Status status;
    EXPECT_TRUE(testing::WalkRaw(files_, &status) == binlog) << level;
    EXPECT_TRUE(status.ok()) << status.message();
    ASSERT_TRUE(files_.Remove(kSegmentPath).ok());
  }
}

TEST_F(SegmentWriterTest, AfterAFailureNothingIsAdded) {
  const std::string binlog = testing::SmallBinlog(10, 4);
  auto writer = SegmentWriter::Create(files_, kSegmentPath, testing::HeaderFor(), {}, {});
  ASSERT_TRUE((*writer)->Append(AsBytes(binlog)).ok());
  files_.FailAfter(0, Code::kDiskFull);
  EXPECT_EQ((*writer)->Flush().code(), Code::kDiskFull);
  files_.StopFailing();
  const std::string before = files_.Contents(kSegmentPath);
  EXPECT_EQ((*writer)->Append(AsBytes(binlog)).code(), Code::kDiskFull);
  EXPECT_EQ((*writer)->Flush().code(), Code::kDiskFull);
  EXPECT_EQ((*writer)->EndFrame().code(), Code::kDiskFull);
  EXPECT_EQ((*writer)->Seal({}).error().code(), Code::kDiskFull);
  EXPECT_EQ(files_.Contents(kSegmentPath), before);
}

TEST_F(SegmentWriterTest, SealedSegmentIsDurableWhole) {
  testing::Ingest(files_, testing::SmallBinlog(10, 4), testing::ByTheRule, /*seal=*/true);
  EXPECT_EQ(files_.DurableContents(kSegmentPath), files_.Contents(kSegmentPath));
  auto reader = SegmentReader::Open(files_, kSegmentPath);
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE((*reader)->sealed());
  EXPECT_EQ((*reader)->footer().transactions, 10u);
}

}  // namespace
}  // namespace tidemark
