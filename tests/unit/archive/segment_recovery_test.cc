#include "replication/archive/segment_recovery.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/seed.h"
#include "tests/unit/archive/segment_fixture.h"

namespace tidemark {
namespace {

using testing::After;
using testing::Describe;
using testing::FixedClock;
using testing::Ingested;
using testing::kSegmentPath;
using testing::SmallBinlog;

// Ends frames at transactions' ends and also inside the long ones; not every transaction is
// flushed.
After Mixed(size_t event, const SegmentCatalog& catalog) {
  if (event % 11 == 10) return After::kEndFrame;
  return catalog.in_transaction() && event % 5 != 0 ? After::kNothing : After::kFlush;
}

class SegmentRecoveryTest : public ::testing::Test {
 protected:
  SegmentRecoveryTest() { files_.CreateDirectories("/archive/source/segments").ok(); }

  Result<RecoveredSegment> Recover(uint64_t durable_raw_bytes = 0) {
    return RecoverSegment(files_, clock_, kSegmentPath, "source", 1, 0, durable_raw_bytes);
  }

  // Recovers what the file holds now. What was flushed whole before the damage must be there,
  // nothing partial may.
  void ExpectRecovered(const std::string& binlog, const Ingested& ingested,
                       uint64_t intact_stored_bytes) {
    uint64_t flushed = 0;
    for (const Ingested::Point& point : ingested.points)
      if (point.stored <= intact_stored_bytes) flushed = std::max(flushed, point.raw);
    auto recovered = Recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().message();
    if (recovered->removed) {
      ASSERT_EQ(flushed, 0u);
      ASSERT_FALSE(files_.Exists(kSegmentPath));
      return;
    }
    const uint64_t raw_bytes = recovered->contents.segment.raw_bytes;
    ASSERT_GE(raw_bytes, flushed);
    ASSERT_TRUE(
        std::binary_search(ingested.boundaries.begin(), ingested.boundaries.end(), raw_bytes))
        << raw_bytes;
    ASSERT_TRUE(recovered->contents.segment.sealed);

    const std::string after = files_.Contents(kSegmentPath);
    ASSERT_TRUE(files_.DurableContents(kSegmentPath) == after);
    auto scanned = ScanSegment(files_, kSegmentPath, "source", 0);
    ASSERT_TRUE(scanned.ok()) << scanned.error().message();
    ASSERT_EQ(Describe(*scanned), Describe(recovered->contents));
    Status status;
    ASSERT_TRUE(testing::WalkRaw(files_, &status) == binlog.substr(0, raw_bytes));
    ASSERT_TRUE(status.ok());

    auto again = Recover();
    ASSERT_TRUE(again.ok()) << again.error().message();
    ASSERT_EQ(again->cut_bytes, 0u);
    ASSERT_TRUE(files_.Contents(kSegmentPath) == after);
    ASSERT_EQ(Describe(again->contents), Describe(recovered->contents));
  }

  MemoryFileSystem files_;
  FixedClock clock_;
};

TEST_F(SegmentRecoveryTest, FileCutAtEveryByte) {
  const std::string binlog = SmallBinlog(12, 8);
  const Ingested ingested = testing::Ingest(files_, binlog, Mixed, /*seal=*/true);
  const std::string whole = files_.Contents(kSegmentPath);
  for (size_t size = 0; size <= whole.size(); ++size) {
    SCOPED_TRACE("cut at byte " + std::to_string(size) + " of " + std::to_string(whole.size()));
    files_.Put(kSegmentPath, whole.substr(0, size));
    ASSERT_NO_FATAL_FAILURE(ExpectRecovered(binlog, ingested, size));
  }
}

TEST_F(SegmentRecoveryTest, TailOfZerosOrGarbageBehindEveryByte) {
  const std::string binlog = SmallBinlog(6, 8);
  const Ingested ingested = testing::Ingest(files_, binlog, Mixed, /*seal=*/false);
  const std::string whole = files_.Contents(kSegmentPath);
  const size_t header_bytes = EncodeSegmentHeader(testing::HeaderFor()).size();
  std::mt19937_64 random(testing::TestSeed());
  for (size_t size = header_bytes; size <= whole.size(); ++size) {
    for (bool zeros : {true, false}) {
      SCOPED_TRACE("cut at byte " + std::to_string(size) + (zeros ? ", zeros" : ", garbage"));
      std::string torn = whole.substr(0, size);
      for (size_t i = 1 + random() % 5000; i > 0; --i)
        torn.push_back(zeros ? '\0' : static_cast<char>(random()));
      files_.Put(kSegmentPath, torn);
      ASSERT_NO_FATAL_FAILURE(ExpectRecovered(binlog, ingested, size));
    }
  }
}

TEST_F(SegmentRecoveryTest, LostPagesInTheLastFrame) {
  const std::string binlog = SmallBinlog(60, 8);
  // One frame; the first half of it flushed after each transaction.
  const Ingested ingested = testing::Ingest(
      files_, binlog,
      [](size_t, const SegmentCatalog& catalog) {
        return catalog.in_transaction() ? After::kNothing : After::kFlush;
      },
      /*seal=*/false);
  const std::string whole = files_.Contents(kSegmentPath);
  const size_t first = EncodeSegmentHeader(testing::HeaderFor()).size();
  std::mt19937_64 random(testing::TestSeed());
  for (int i = 0; i < 500; ++i) {
    const size_t at = first + random() % (whole.size() - first);
    const size_t size = std::min<size_t>(1 + random() % 200, whole.size() - at);
    SCOPED_TRACE(std::to_string(size) + " bytes lost at " + std::to_string(at));
    std::string torn = whole;
    std::fill_n(torn.begin() + static_cast<ptrdiff_t>(at), size, '\0');
    files_.Put(kSegmentPath, torn);
    ASSERT_NO_FATAL_FAILURE(ExpectRecovered(binlog, ingested, at));
  }
}

TEST_F(SegmentRecoveryTest, GoldenBinlogsCutAnywhere) {
  std::mt19937_64 random(testing::TestSeed());
  for (const char* name : {"rows", "ddl", "tagged", "xa", "compressed", "no_checksum"}) {
    const std::string binlog = testing::GoldenBinlog(std::string(name) + ".binlog");
    ASSERT_FALSE(binlog.empty());
    if (files_.Exists(kSegmentPath)) {
      ASSERT_TRUE(files_.Remove(kSegmentPath).ok());
    }
    const Ingested ingested = testing::Ingest(files_, binlog, Mixed, /*seal=*/true);
    const std::string whole = files_.Contents(kSegmentPath);
    for (int i = 0; i < 100; ++i) {
      const size_t size = random() % (whole.size() + 1);
      SCOPED_TRACE(std::string(name) + " cut at byte " + std::to_string(size));
      files_.Put(kSegmentPath, whole.substr(0, size));
      // Without event checksums a frame that lacks only its own checksum cannot be vouched for.
      if (std::string_view(name) == "no_checksum" && !Recover().ok()) {
        EXPECT_TRUE(files_.Contents(kSegmentPath) == whole.substr(0, size));
        continue;
      }
      files_.Put(kSegmentPath, whole.substr(0, size));
      ASSERT_NO_FATAL_FAILURE(ExpectRecovered(binlog, ingested, size));
    }
  }
}

TEST_F(SegmentRecoveryTest, LongTransactionIsCutBackOverItsFrames) {
  const std::string binlog = SmallBinlog(4, 28000);
  const Ingested ingested = testing::Ingest(files_, binlog, testing::ByTheRule, /*seal=*/false);
  ASSERT_GE(ingested.frames.size(), 3u);
  const std::string whole = files_.Contents(kSegmentPath);
  files_.Put(kSegmentPath, whole.substr(0, ingested.frames.back().stored_offset + 100));
  auto recovered = Recover();
  ASSERT_TRUE(recovered.ok()) << recovered.error().message();
  EXPECT_EQ(recovered->contents.segment.transactions, 3u);
  EXPECT_EQ(recovered->contents.frames.size(), 1u);
  auto reader = SegmentReader::Open(files_, kSegmentPath);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ((*reader)->footer().frames.size(), 1u);
}

TEST_F(SegmentRecoveryTest, CrashAtEveryStepOfRecoveryLeavesWhatRecoveryCanFinish) {
  const std::string binlog = SmallBinlog(12, 8);
  const Ingested ingested = testing::Ingest(files_, binlog, Mixed, /*seal=*/false);
  const std::string torn =
      files_.Contents(kSegmentPath).substr(0, files_.Contents(kSegmentPath).size() - 30);
  files_.Put(kSegmentPath, torn);
  auto undisturbed = Recover();
  ASSERT_TRUE(undisturbed.ok());
  const std::string wanted = files_.Contents(kSegmentPath);
  for (uint64_t step = 0;; ++step) {
    for (bool power_failure : {false, true}) {
      files_.Put(kSegmentPath, torn);
      files_.FailAfter(step);
      const bool finished = Recover().ok();
      files_.StopFailing();
      if (finished) {
        EXPECT_GE(step, 4u);  // truncate, ending, sync, footer, sync
        return;
      }
      if (power_failure) files_.Crash();
      auto recovered = Recover();
      ASSERT_TRUE(recovered.ok()) << "step " << step << ": " << recovered.error().message();
      EXPECT_TRUE(files_.Contents(kSegmentPath) == wanted) << "step " << step;
    }
  }
}

TEST_F(SegmentRecoveryTest, DamageBeforeTheTailLeavesTheFileAlone) {
  const std::string binlog = SmallBinlog(24, 8);
  const Ingested ingested = testing::Ingest(files_, binlog, Mixed, /*seal=*/false);
  ASSERT_GE(ingested.frames.size(), 3u);
  const std::string whole = files_.Contents(kSegmentPath);
  // The writer's last frame may not have reached the file yet.
  size_t last = ingested.frames.back().stored_offset;
  if (last == whole.size()) last = ingested.frames[ingested.frames.size() - 2].stored_offset;
  for (size_t at = ingested.frames[0].stored_offset; at < last; ++at) {
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    files_.Put(kSegmentPath, bad);
    auto recovered = Recover();
    if (recovered.ok()) {
      // zstd has several encodings of the same bytes; the frame's checksum is of the bytes.
      Status status;
      const std::string raw = testing::WalkRaw(files_, &status);
      ASSERT_TRUE(raw == binlog.substr(0, recovered->contents.segment.raw_bytes)) << "byte " << at;
      ASSERT_GE(raw.size(), ingested.points.back().raw) << "byte " << at;
      continue;
    }
    ASSERT_EQ(recovered.error().code(), Code::kCorruption) << recovered.error().message();
    ASSERT_TRUE(files_.Contents(kSegmentPath) == bad) << "byte " << at;
    ASSERT_NE(recovered.error().message().find(kSegmentPath), std::string::npos);
  }
}

TEST_F(SegmentRecoveryTest, LessThanWasAcknowledgedIsCorruption) {
  const std::string binlog = SmallBinlog(12, 8);
  const Ingested ingested = testing::Ingest(files_, binlog, Mixed, /*seal=*/false);
  const Ingested::Point acknowledged = ingested.points.back();
  const std::string torn = files_.Contents(kSegmentPath).substr(0, acknowledged.stored - 1);
  files_.Put(kSegmentPath, torn);
  EXPECT_EQ(Recover(acknowledged.raw).error().code(), Code::kCorruption);
  EXPECT_TRUE(files_.Contents(kSegmentPath) == torn);
  EXPECT_TRUE(Recover(ingested.points[ingested.points.size() / 2].raw).ok());
}

TEST_F(SegmentRecoveryTest, SegmentWithoutAByteOfTheSourceIsRemoved) {
  const std::string binlog = SmallBinlog(1, 4);
  for (uint32_t prefix : {0u, testing::PrefixBytesOf(binlog)}) {
    auto writer = SegmentWriter::Create(files_, kSegmentPath, testing::HeaderFor(prefix),
                                        AsBytes(binlog).first(prefix), {});
    ASSERT_TRUE(writer.ok());
    if (prefix == 0) {
      ASSERT_TRUE((*writer)->Append(kBinlogMagic).ok());
    }
    ASSERT_TRUE((*writer)->Flush().ok());
    auto recovered = Recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().message();
    EXPECT_TRUE(recovered->removed);
    EXPECT_FALSE(files_.Exists(kSegmentPath));
    files_.Crash();
    EXPECT_FALSE(files_.Exists(kSegmentPath)) << "the removal was not durable";
  }
}

TEST_F(SegmentRecoveryTest, TornHeaderIsRemovedButNothingElseThatHasNone) {
  const std::string header = EncodeSegmentHeader(testing::HeaderFor());
  for (const std::string& torn :
       {std::string(), header.substr(0, 3), header.substr(0, 40), std::string(512, '\0'),
        header.substr(0, 20) + std::string(header.size() - 20, '\0')}) {
    files_.Put(kSegmentPath, torn);
    auto recovered = Recover();
    ASSERT_TRUE(recovered.ok()) << recovered.error().message();
    EXPECT_TRUE(recovered->removed);
  }
  testing::Ingest(files_, SmallBinlog(4, 4), Mixed, /*seal=*/false);
  const std::string whole = files_.Contents(kSegmentPath);
  for (size_t at = 0; at < header.size(); ++at) {
    std::string bad = whole;
    bad[at] = static_cast<char>(bad[at] ^ 0xFF);
    files_.Put(kSegmentPath, bad);
    ASSERT_FALSE(Recover().ok()) << "byte " << at;
    ASSERT_TRUE(files_.Contents(kSegmentPath) == bad) << "byte " << at;
  }
  files_.Put(kSegmentPath,
             "\xFE"
             "bin, by mistake");
  EXPECT_EQ(Recover().error().code(), Code::kUnsupportedFormat);
  EXPECT_TRUE(files_.Exists(kSegmentPath));
}

// A segment whose header or footer has the next format version, everything else right.
std::string WithNextVersion(std::string segment, size_t frame_at, size_t checksum_at) {
  segment[frame_at + 16] = 2;
  std::string checksum;
  ByteWriter(&checksum).U32(Crc32(0, AsBytes(segment).subspan(frame_at, checksum_at - frame_at)));
  return segment.replace(checksum_at, 4, checksum);
}

TEST_F(SegmentRecoveryTest, NewerVersionIsLeftAlone) {
  const std::string header = EncodeSegmentHeader(testing::HeaderFor());
  const std::string newer = WithNextVersion(header, 0, header.size() - 4);
  files_.Put(kSegmentPath, newer);
  EXPECT_EQ(Recover().error().code(), Code::kUnsupportedFormat);
  EXPECT_TRUE(files_.Contents(kSegmentPath) == newer);

  ASSERT_TRUE(files_.Remove(kSegmentPath).ok());
  testing::Ingest(files_, SmallBinlog(4, 4), Mixed, /*seal=*/true);
  const std::string whole = files_.Contents(kSegmentPath);
  const size_t footer_bytes = FooterFrameBytes(AsBytes(whole).last(kFooterTrailerBytes));
  const std::string newer_footer =
      WithNextVersion(whole, whole.size() - footer_bytes, whole.size() - 12);
  files_.Put(kSegmentPath, newer_footer);
  EXPECT_EQ(SegmentReader::Open(files_, kSegmentPath).error().code(), Code::kUnsupportedFormat);
  EXPECT_EQ(Recover().error().code(), Code::kUnsupportedFormat);
  EXPECT_TRUE(files_.Contents(kSegmentPath) == newer_footer);
}

TEST_F(SegmentRecoveryTest, WrongNumberIsRefused) {
  testing::Ingest(files_, SmallBinlog(4, 4), Mixed, /*seal=*/false);
  const std::string before = files_.Contents(kSegmentPath);
  EXPECT_EQ(RecoverSegment(files_, clock_, kSegmentPath, "source", 2, 0).error().code(),
            Code::kCorruption);
  EXPECT_TRUE(files_.Contents(kSegmentPath) == before);
}

TEST_F(SegmentRecoveryTest, FrameKeptInATableIsNotTakenForOneOfOurs) {
  // Somebody keeps zstd files in a table; such a row, whole, stands behind a torn block.
  const Ingested ingested = testing::Ingest(files_, SmallBinlog(4, 4), Mixed, /*seal=*/false);
  const std::string whole = files_.Contents(kSegmentPath);
  std::string blob = "\x28\xB5\x2F\xFD\x04\x50";
  ByteWriter(&blob).U16(100 << 3 | 1).U8(0).Text(std::string(100, 'z')).U32(0);
  files_.Put(kSegmentPath, whole.substr(0, whole.size() - 5) + std::string(64, '\0') + blob +
                               std::string(64, '\0'));
  EXPECT_TRUE(Recover().ok());
  EXPECT_TRUE(files_.Exists(kSegmentPath));
}

TEST_F(SegmentRecoveryTest, HalfWrittenFooterIsWrittenAgain) {
  const std::string binlog = SmallBinlog(8, 8);
  const Ingested ingested = testing::Ingest(files_, binlog, Mixed, /*seal=*/true);
  const std::string whole = files_.Contents(kSegmentPath);
  std::string torn = whole;
  std::fill_n(torn.end() - 100, 60, '\0');  // a lost page inside it; its trailer is there
  files_.Put(kSegmentPath, torn);
  auto reader = SegmentReader::Open(files_, kSegmentPath);
  ASSERT_TRUE(reader.ok());
  EXPECT_FALSE((*reader)->sealed());
  EXPECT_TRUE((*reader)->footer_damaged());
  EXPECT_EQ(ScanSegment(files_, kSegmentPath, "source", 0).error().code(), Code::kCorruption);
  ASSERT_NO_FATAL_FAILURE(ExpectRecovered(binlog, ingested, torn.size()));
  auto contents = ScanSegment(files_, kSegmentPath, "source", 0);
  ASSERT_TRUE(contents.ok());
  EXPECT_EQ(contents->segment.raw_bytes, binlog.size());
}

TEST(ScanSegmentTest, EveryFlippedBitOfASealedSegmentIsSeen) {
  MemoryFileSystem files;
  files.CreateDirectories("/archive/source/segments").ok();
  testing::Ingest(files, SmallBinlog(8, 8), Mixed, /*seal=*/true);
  const std::string whole = files.Contents(kSegmentPath);
  ASSERT_TRUE(ScanSegment(files, kSegmentPath, "source", 0).ok());
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string bad = whole;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
    files.Put(kSegmentPath, bad);
    ASSERT_FALSE(ScanSegment(files, kSegmentPath, "source", 0).ok()) << "bit " << bit;
  }
}

TEST(ScanSegmentTest, UnsealedSegmentIsReadUpToItsLastWholeTransaction) {
  MemoryFileSystem files;
  files.CreateDirectories("/archive/source/segments").ok();
  const std::string binlog = SmallBinlog(8, 40);
  const std::vector<std::string> events = testing::EventsOf(binlog);
  auto writer = SegmentWriter::Create(files, kSegmentPath, testing::HeaderFor(), {}, {});
  ASSERT_TRUE((*writer)->Append(AsBytes(binlog).first(binlog.size() - 100)).ok());
  ASSERT_TRUE((*writer)->Flush().ok());
  auto contents = ScanSegment(files, kSegmentPath, "source", 0);
  ASSERT_TRUE(contents.ok()) << contents.error().message();
  EXPECT_FALSE(contents->segment.sealed);
  EXPECT_EQ(contents->segment.transactions, 7u);
  ASSERT_EQ(contents->frames.size(), 1u);
  EXPECT_EQ(contents->frames[0].raw_end, contents->segment.raw_bytes);
  EXPECT_LT(contents->segment.raw_bytes, binlog.size() - 100);
  EXPECT_EQ(contents->segment.stored_bytes, files.Contents(kSegmentPath).size());
}

}  // namespace
}  // namespace tidemark
