// Counting an archive by its index, bit by bit: the same as counting all of it.
#include "tools/archive_totals.h"

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

constexpr const char* kUuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

GtidSet Set(const std::string& numbers) { return *GtidSet::Parse(kUuid + (":" + numbers)); }

class ArchiveTotalsTest : public ::testing::Test {
 protected:
  void SetUp() override { index_ = std::move(*Index::OpenForWriting(directory_.Path("index"))); }

  void Publish(uint64_t number, const std::string& gtids, bool sealed,
               const std::string& missing = "") {
    DurableBatch batch;
    batch.source = "main";
    SegmentRecord& segment = batch.segment;
    segment.header.number = number;
    segment.header.source_name = "main";
    segment.header.source_file = "binlog.000001";
    if (!missing.empty()) segment.header.gap = {Set(missing), "purged", 1};
    segment.gtids = Set(gtids);
    segment.transactions = segment.gtids.Count();
    segment.raw_bytes = 1000 * segment.transactions;
    segment.stored_bytes = 100 * segment.transactions;
    segment.first_commit_us = segment.last_commit_us = static_cast<int64_t>(number);
    segment.sealed = sealed;
    ASSERT_TRUE(index_->Apply(batch).ok());
  }
  ArchiveTotals Count() {
    auto totals = counter_.has_value() ? counter_->Count() : Fresh();
    EXPECT_TRUE(totals.ok()) << totals.error().message();
    return totals.ok() ? *totals : ArchiveTotals();
  }
  Result<ArchiveTotals> Fresh() {
    counter_.emplace(*index_, "main");
    return counter_->Count();
  }

  testing::TempDir directory_;
  std::unique_ptr<Index> index_;
  std::optional<ArchiveCounter> counter_;
};

TEST_F(ArchiveTotalsTest, EmptyArchiveIsNothing) {
  EXPECT_EQ(Count().sealed.segments, 0u);
  EXPECT_EQ(Count().open.segments, 0u);
}

TEST_F(ArchiveTotalsTest, GrowingSegmentIsCountedOnceAndAsSealedWhenItIs) {
  Publish(1, "1-3", false);
  EXPECT_EQ(Count().open.transactions, 3u);
  Publish(1, "1-5", false);
  EXPECT_EQ(Count().open.transactions, 5u);
  EXPECT_EQ(Count().sealed.segments, 0u);
  Publish(1, "1-6", true);
  EXPECT_EQ(Count().sealed.transactions, 6u);
  EXPECT_EQ(Count().open.segments, 0u);
  Publish(2, "7-8", true);
  Publish(3, "9", true);
  Publish(4, "10", false);
  const ArchiveTotals totals = Count();
  EXPECT_EQ(totals.sealed.segments, 3u);
  EXPECT_EQ(totals.sealed.transactions, 9u);
  EXPECT_EQ(totals.sealed.stored_bytes, 900u);
  EXPECT_EQ(totals.open.raw_bytes, 1000u);
  EXPECT_EQ(totals.last_commit_us, 4);
}

TEST_F(ArchiveTotalsTest, HoleIsAGapAndWhatWasBeforeTheBeginningIsNot) {
  Publish(1, "11-20", false, "1-10");
  EXPECT_EQ(Count().gap_at_start, 10u);
  EXPECT_EQ(Count().gap_inside, 0u);
  Publish(1, "11-20", true, "1-10");
  Publish(2, "26-30", false, "21-25");
  EXPECT_EQ(Count().gap_at_start, 10u);
  EXPECT_EQ(Count().gap_inside, 5u);
  Publish(2, "26-30", true, "21-25");
  EXPECT_EQ(Count().gap_inside, 5u);
  // From another server of the topology, which still had some.
  Publish(3, "21-23", true);
  EXPECT_EQ(Count().gap_inside, 2u);
  EXPECT_EQ(Fresh()->gap_inside, 2u);
}

TEST_F(ArchiveTotalsTest, AcknowledgedAreCountedWhereTheyAreMissing) {
  Publish(1, "11-20", true, "1-10");
  Publish(2, "26-30", true, "21-25");
  Publish(3, "33-40", false, "31-32");
  ArchiveCounter counter(*index_, "main");
  const ArchiveTotals totals = *counter.Count(Set("1-3:15:22-24:32:99"));
  EXPECT_EQ(totals.gap_at_start, 10u);
  EXPECT_EQ(totals.acknowledged_at_start, 3u);
  EXPECT_EQ(totals.gap_inside, 7u);
  EXPECT_EQ(totals.acknowledged_inside, 4u);
  EXPECT_EQ(counter.Count()->acknowledged_inside, 0u) << "as of now, not as of before";
}

// Numbers are free in front of gaps, and what is imported there is in the header behind it still.
TEST_F(ArchiveTotalsTest, WhatWasImportedIsNoGapAndRoomIsNoSegment) {
  Publish(500, "11-14", true, "1-10");
  Publish(100'001, "31-40", true, "1-30");
  Publish(100'500, "51-55", true, "41-50");
  Publish(200'002, "61-62", false, "41-50:56-60");
  const ArchiveTotals totals = Count();
  EXPECT_EQ(totals.gap_at_start, 10u);
  EXPECT_EQ(totals.gap_inside, 16u + 10u + 5u);
  EXPECT_EQ(totals.sealed.segments, 3u);
  EXPECT_EQ(totals.open.segments, 1u);
  Publish(200'002, "61-62", true, "41-50:56-60");
  EXPECT_EQ(Count().gap_inside, 31u);
  EXPECT_EQ(Fresh()->gap_inside, 31u);
  EXPECT_EQ(Count().sealed.segments, 4u);
}

TEST_F(ArchiveTotalsTest, SegmentsThatWentAreNotCountedAnyMore) {
  for (uint64_t number = 1; number <= 4; ++number) Publish(number, std::to_string(number), true);
  EXPECT_EQ(Count().sealed.segments, 4u);
  ASSERT_TRUE(index_->DropSegment("main", 4).ok());
  EXPECT_EQ(Count().sealed.segments, 3u);
  ASSERT_TRUE(index_->DropSegment("main", 1).ok());
  EXPECT_EQ(Count().sealed.segments, 2u);
  EXPECT_EQ(Count().sealed.transactions, 2u);
}

}  // namespace
}  // namespace tidemark
