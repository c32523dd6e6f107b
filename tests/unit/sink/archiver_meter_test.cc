// The meter in its archiver: what it says of a whole life agrees with what the listener was told.
#include <gtest/gtest.h>

#include "tests/unit/sink/archiver_life.h"
#include "tests/unit/sink/latency_total.h"

namespace tidemark {
namespace {

using testing::ArchiverTest;
using testing::Life;
using testing::Total;

TEST_F(ArchiverTest, MeterCountsWhatWasAnnouncedAndWaitsForNothingMore) {
  server_.Commit(40);
  server_.Rotate();
  server_.Commit(2);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Once().ok());
  const MeterReading meter = life.archiver().status().meter;
  EXPECT_EQ(meter.archived_transactions, server_.executed.Count());
  EXPECT_EQ(meter.received_transactions, server_.executed.Count());
  EXPECT_EQ(Total(meter.durable_latency), server_.executed.Count());
  EXPECT_EQ(LagTransactions(meter), 0u);
  EXPECT_GE(Total(meter.sync_times), 1u);
  EXPECT_LE(Total(meter.sync_times), listener_.batches());
  uint64_t stored = 0, sealed = 0;
  for (const auto& [reason, count] : meter.segments_sealed) sealed += count;
  ArchiveDirectory archive(files_, testing::kArchive);
  const std::vector<uint64_t> numbers = *archive.Segments(testing::kSource);
  for (const uint64_t number : numbers)
    stored += files_.OnDisk(archive.SegmentPath(testing::kSource, number)).size();
  EXPECT_EQ(meter.archived_stored_bytes, stored);
  EXPECT_EQ(sealed, numbers.size());
  EXPECT_GT(meter.received_bytes, 0u);
}

TEST_F(ArchiverTest, MeterOutlivesABrokenLinkAndCountsWhyItBroke) {
  server_.Commit(3);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  life.source().WaitForEnd();
  {
    std::lock_guard lock(life.source().mutex());
    server_.Restart();
    server_.Commit(4);
  }
  life.source().EndDump();
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  ASSERT_TRUE(life.Stop().ok());
  const MeterReading meter = life.archiver().status().meter;
  EXPECT_EQ(meter.archived_transactions, server_.executed.Count());
  EXPECT_EQ(meter.failures.at(Code::kSourceUnavailable), 1u);
  EXPECT_EQ(LagTransactions(meter), 0u);
}

}  // namespace
}  // namespace tidemark
