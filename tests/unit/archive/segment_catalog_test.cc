#include "replication/archive/segment_catalog.h"

#include <gtest/gtest.h>

#include "tests/unit/archive/segment_fixture.h"

namespace tidemark {
namespace {

using testing::After;
using testing::Describe;
using testing::kSegmentPath;
using testing::SmallBinlog;

// The catalog of a writer, batch by batch, is the catalog of whoever reads the file later.
void ExpectSameFromFile(const std::string& binlog, const testing::Policy& policy) {
  MemoryFileSystem files;
  files.CreateDirectories("/archive/source/segments").ok();
  const testing::Ingested ingested = testing::Ingest(files, binlog, policy, /*seal=*/true);
  auto scanned = ScanSegment(files, kSegmentPath, "source", 0);
  ASSERT_TRUE(scanned.ok()) << scanned.error().message();
  EXPECT_EQ(Describe(*scanned), Describe(ingested.records));
  EXPECT_EQ(scanned->segment.stored_bytes, ingested.records.segment.stored_bytes);
  EXPECT_EQ(scanned->segment.raw_bytes, binlog.size());
}

TEST(SegmentCatalog, ReaderOfTheFileSeesWhatTheWriterAnnounced) {
  ExpectSameFromFile(SmallBinlog(2000, 4), testing::ByTheRule);
  ExpectSameFromFile(SmallBinlog(12, 40), testing::ByTheRule);
}

TEST(SegmentCatalog, GoldenBinlogsAgreeWhereverTheirFramesEnd) {
  for (const char* name :
       {"rows", "ddl", "tagged", "xa", "compressed", "statement", "no_checksum", "partial_json"}) {
    const std::string binlog = testing::GoldenBinlog(std::string(name) + ".binlog");
    ASSERT_FALSE(binlog.empty()) << name;
    for (size_t every : {1, 2, 3, 7, 1000}) {
      SCOPED_TRACE(std::string(name) + ", a frame of " + std::to_string(every) + " events");
      ExpectSameFromFile(binlog, [every](size_t event, const SegmentCatalog& catalog) {
        if (event % every == every - 1) return After::kEndFrame;
        return catalog.in_transaction() ? After::kNothing : After::kFlush;
      });
    }
  }
}

TEST(SegmentCatalog, LongTransactionIsCutIntoFramesAndRecordedAsOversize) {
  // The fourth transaction is some 5 MiB long.
  const std::string binlog = SmallBinlog(6, 28000);
  MemoryFileSystem files;
  files.CreateDirectories("/archive/source/segments").ok();
  const testing::Ingested ingested =
      testing::Ingest(files, binlog, testing::ByTheRule, /*seal=*/true);
  const auto& frames = ingested.records.frames;
  ASSERT_GE(frames.size(), 3u);
  EXPECT_EQ(frames[0].transactions, 4u);
  EXPECT_FALSE(frames[0].starts_in_transaction);
  EXPECT_TRUE(frames[1].starts_in_transaction);
  EXPECT_EQ(frames[1].transactions, 0u);
  EXPECT_GE(frames[0].raw_end, kFrameRawBytesInTransaction);
  EXPECT_LT(frames[0].raw_end, kFrameRawBytesInTransaction + 2000);
  ASSERT_EQ(ingested.records.oversize.size(), 1u);
  EXPECT_EQ(ingested.records.oversize[0].gtid.gno, 4);
  EXPECT_EQ(ingested.records.oversize[0].frame, 0u);
  ExpectSameFromFile(binlog, testing::ByTheRule);
}

ScannedEvent EventAt(uint64_t offset, uint32_t size, EventRole role) {
  ScannedEvent event;
  event.offset = offset;
  event.header.size = size;
  event.role = role;
  return event;
}

TEST(SegmentCatalog, ClockThatStepsBackIsMarked) {
  SegmentCatalog catalog({}, /*commit_high_us=*/1000);
  uint64_t offset = 4;
  const auto commit = [&](int64_t gno, int64_t at_us) {
    Transaction transaction;
    transaction.gtid.gno = gno;
    transaction.immediate_commit_us = at_us;
    ScannedEvent event = EventAt(offset, 100, EventRole::kTransaction);
    event.begins_transaction = true;
    event.finished = &transaction;
    catalog.OnEvent(event);
    offset += 100;
  };
  commit(1, 1000);
  DurableBatch batch = catalog.TakeBatch();
  EXPECT_FALSE(batch.frames.at(0).clock_stepped_back);
  catalog.EndFrame(offset);
  commit(2, 999);
  batch = catalog.TakeBatch();
  ASSERT_EQ(batch.frames.size(), 1u);
  EXPECT_EQ(batch.frames[0].frame, 1u);
  EXPECT_TRUE(batch.frames[0].clock_stepped_back);
  EXPECT_EQ(batch.frames[0].commit_high_us, 1000);
  EXPECT_EQ(batch.segment.last_commit_us, 999);
  EXPECT_EQ(batch.segment.commit_high_us, 1000);
}

TEST(SegmentCatalog, OpenTransactionIsInNoBatch) {
  SegmentCatalog catalog({}, 0);
  catalog.OnEvent(EventAt(4, 100, EventRole::kFormatDescription));
  ScannedEvent begin = EventAt(104, 100, EventRole::kTransaction);
  begin.begins_transaction = true;
  catalog.OnEvent(begin);
  catalog.EndFrame(204);
  catalog.OnEvent(EventAt(204, 100, EventRole::kTransaction));
  DurableBatch batch = catalog.TakeBatch();
  ASSERT_EQ(batch.frames.size(), 1u);
  EXPECT_EQ(batch.frames[0].raw_end, 104u);
  EXPECT_EQ(batch.segment.raw_bytes, 104u);
  EXPECT_TRUE(catalog.TakeBatch().frames.empty());
  Transaction transaction;
  transaction.gtid.gno = 1;
  ScannedEvent end = EventAt(304, 100, EventRole::kTransaction);
  end.finished = &transaction;
  catalog.OnEvent(end);
  batch = catalog.TakeBatch();
  ASSERT_EQ(batch.frames.size(), 2u);
  EXPECT_EQ(batch.frames[0].raw_end, 204u);
  EXPECT_EQ(batch.frames[0].transactions, 1u);
  EXPECT_EQ(batch.frames[1].raw_end, 404u);
  EXPECT_EQ(batch.oversize.size(), 1u);
}

TEST(SegmentCatalog, CreateTableSelectIsDdlAndHasRows) {
  SegmentCatalog catalog({}, 0);
  Transaction transaction;
  transaction.gtid.gno = 1;
  transaction.kind = TransactionKind::kRows;
  transaction.begin_offset = 4;
  transaction.ddl_schema = "s";
  transaction.ddl_statement = "CREATE TABLE t (i int) START TRANSACTION";
  transaction.tables.push_back({"s", "t", 3, 0, 0});
  ScannedEvent event = EventAt(4, 100, EventRole::kTransaction);
  event.begins_transaction = true;
  event.finished = &transaction;
  catalog.OnEvent(event);
  const DurableBatch batch = catalog.TakeBatch();
  ASSERT_EQ(batch.ddl.size(), 1u);
  EXPECT_EQ(batch.ddl[0].statement, transaction.ddl_statement);
  EXPECT_EQ(batch.ddl[0].schema, "s");
  EXPECT_EQ(batch.frames.at(0).tables.at(0).inserted, 3u);
}

TEST(SegmentCatalog, TablesBeyondTheLimitAreCounted) {
  SegmentCatalog catalog({}, 0);
  for (uint64_t i = 0; i < 3; ++i) {
    Transaction transaction;
    transaction.gtid.gno = static_cast<int64_t>(i) + 1;
    for (size_t table = 0; table < 200; ++table)
      transaction.tables.push_back({"s", "t" + std::to_string(table + i * 100), 1, 2, 3});
    ScannedEvent event = EventAt(4 + i * 100, 100, EventRole::kTransaction);
    event.begins_transaction = true;
    event.finished = &transaction;
    catalog.OnEvent(event);
  }
  const FrameRecord frame = catalog.TakeBatch().frames.at(0);
  EXPECT_EQ(frame.tables.size(), kTablesPerFrameMax);
  EXPECT_EQ(frame.tables[150].inserted, 2u);
  EXPECT_EQ(frame.tables[150].deleted, 6u);
  EXPECT_EQ(frame.tables_omitted, 44u + 144u);
}

}  // namespace
}  // namespace tidemark
