// What the meter says of a source: what counts as archived, and how far behind it may be.
#include "replication/sink/source_meter.h"

#include <gtest/gtest.h>

#include "tests/unit/sink/latency_total.h"

namespace tidemark {
namespace {

using testing::Total;

constexpr int64_t kSecond = 1'000'000;

class HandClock : public Clock {
 public:
  int64_t WallMicroseconds() override { return wall_us; }
  int64_t MonotonicMicroseconds() override { return wall_us - 1'000 * kSecond; }
  int64_t wall_us = 2'000 * kSecond;
};

class Listener : public DurableListener {
 public:
  Status OnDurable(const DurableBatch&) override {
    return refuses ? Status(Code::kIo, "refused") : OkStatus();
  }
  bool refuses = false;
};

class SourceMeterTest : public ::testing::Test {
 protected:
  void Transaction(uint64_t raw_end, int64_t commit_us, uint64_t segment = 1) {
    tidemark::Transaction transaction;
    transaction.immediate_commit_us = commit_us;
    ScannedEvent event;
    event.role = EventRole::kTransaction;
    event.finished = &transaction;
    meter_.OnReceived(100, event, {segment, raw_end});
  }
  void Heartbeat() {
    ScannedEvent event;
    event.role = EventRole::kHeartbeat;
    meter_.OnReceived(40, event, {});
  }
  void PartOfTransaction(size_t bytes) {
    ScannedEvent event;
    event.role = EventRole::kTransaction;
    meter_.OnReceived(bytes, event, {1, 1});
  }
  Status Durable(uint64_t raw_end, uint64_t transactions, int64_t last_commit_us,
                 uint64_t segment = 1, bool sealed = false) {
    DurableBatch batch;
    batch.segment.header.number = segment;
    batch.segment.raw_bytes = raw_end;
    batch.segment.stored_bytes = raw_end / 2;
    batch.segment.transactions = transactions;
    batch.segment.last_commit_us = last_commit_us;
    batch.segment.sealed = sealed;
    batch.segment.reason = SealReason::kRotation;
    return meter_.OnDurable(batch);
  }
  int64_t Lag(bool connected = true, int64_t archive_end_us = 0) {
    return LagUs(meter_.Read(), connected, archive_end_us, clock_.wall_us);
  }
  int64_t now() const { return clock_.wall_us; }
  void Pass(int64_t us) { clock_.wall_us += us; }

  HandClock clock_;
  Listener listener_;
  SourceMeter meter_{listener_, clock_};
};

TEST_F(SourceMeterTest, IdleSourceHasNoLagHoweverOldItsLastTransactionIs) {
  meter_.BeginDump();
  Transaction(100, now());
  ASSERT_TRUE(Durable(100, 1, now()).ok());
  Heartbeat();
  Pass(3600 * kSecond);
  EXPECT_EQ(Lag(), 0);
}

TEST_F(SourceMeterTest, OneTransactionAfterAnHourOfSilenceIsAsOldAsItIs) {
  meter_.BeginDump();
  Transaction(100, now());
  ASSERT_TRUE(Durable(100, 1, now()).ok());
  Heartbeat();
  Pass(3600 * kSecond);
  Transaction(200, now());
  Pass(2'000);
  EXPECT_EQ(Lag(), 2'000);  // not an hour
  EXPECT_EQ(LagTransactions(meter_.Read()), 1u);
  ASSERT_TRUE(Durable(200, 2, now() - 2'000).ok());
  Pass(kSecond);
  EXPECT_EQ(Lag(), 2'000);  // what it took; until a heartbeat says that there is nothing more
  EXPECT_EQ(LagTransactions(meter_.Read()), 0u);
  Heartbeat();
  EXPECT_EQ(Lag(), 0);
}

TEST_F(SourceMeterTest, BacklogIsAsOldAsItsTransactionsAlsoBetweenTwoOfThem) {
  meter_.OnConnected(10);
  meter_.BeginDump();
  const int64_t committed = now() - 600 * kSecond;
  EXPECT_EQ(Lag(true, committed - kSecond), 601 * kSecond);  // nothing is proved yet
  Transaction(100, committed);
  EXPECT_EQ(Lag(true, committed - kSecond), 600 * kSecond);
  ASSERT_TRUE(Durable(100, 1, committed).ok());
  EXPECT_EQ(Lag(), 600 * kSecond);
  EXPECT_EQ(LagTransactions(meter_.Read()), 9u);
  Transaction(200, committed + kSecond);
  EXPECT_EQ(Lag(), 599 * kSecond);
}

TEST_F(SourceMeterTest, HeartbeatBeforeTheDiskCountsOnceTheDiskIsThrough) {
  meter_.BeginDump();
  Transaction(100, now());
  Pass(kSecond);
  Heartbeat();
  EXPECT_EQ(Lag(), kSecond);
  Pass(kSecond);
  ASSERT_TRUE(Durable(100, 1, now() - 2 * kSecond).ok());
  EXPECT_EQ(Lag(), 0);
}

TEST_F(SourceMeterTest, WithoutAConnectionTheLagGrowsFromWhenAllWasArchived) {
  EXPECT_LT(Lag(false), 0);  // nobody knows
  EXPECT_EQ(Lag(false, now() - 7 * kSecond), 7 * kSecond);
  meter_.BeginDump();
  Transaction(100, now());
  ASSERT_TRUE(Durable(100, 1, now()).ok());
  Pass(kSecond);
  Heartbeat();
  Pass(5 * kSecond);
  EXPECT_EQ(Lag(false), 5 * kSecond);
  // Connected again, but nothing has come: no reason to believe that nothing was committed.
  meter_.OnConnected(3);
  meter_.BeginDump();
  EXPECT_EQ(Lag(true), 5 * kSecond);
  EXPECT_EQ(LagTransactions(meter_.Read()), 3u);
}

TEST_F(SourceMeterTest, SourceThatHasNothingMoreWhenWeConnectIsNotBehindSinceItsLastCommit) {
  meter_.OnConnected(0);
  meter_.BeginDump();
  Pass(kSecond);
  EXPECT_EQ(Lag(true, now() - 3600 * kSecond), kSecond);
}

TEST_F(SourceMeterTest, LongTransactionThatIsStillComingIsLag) {
  meter_.BeginDump();
  Transaction(100, now());
  ASSERT_TRUE(Durable(100, 1, now()).ok());
  Heartbeat();
  PartOfTransaction(1 << 20);
  Pass(30 * kSecond);
  PartOfTransaction(1 << 20);
  EXPECT_EQ(Lag(), 30 * kSecond);
}

TEST_F(SourceMeterTest, WhatTheListenerRefusesIsNotArchived) {
  meter_.BeginDump();
  Transaction(100, now());
  listener_.refuses = true;
  EXPECT_FALSE(Durable(100, 1, now()).ok());
  EXPECT_EQ(meter_.Read().archived_transactions, 0u);
  EXPECT_EQ(meter_.Read().pending_transactions, 1u);
  EXPECT_EQ(Total(meter_.Read().durable_latency), 0u);
}

TEST_F(SourceMeterTest, BatchesOfASegmentAreItsTotalsNotItsGrowth) {
  ASSERT_TRUE(Durable(100, 1, now()).ok());
  ASSERT_TRUE(Durable(300, 3, now()).ok());
  ASSERT_TRUE(Durable(310, 3, now(), 1, true).ok());
  ASSERT_TRUE(Durable(310, 3, now(), 1, true).ok());  // announced again after a failure
  ASSERT_TRUE(Durable(50, 2, now(), 2).ok());
  const MeterReading reading = meter_.Read();
  EXPECT_EQ(reading.archived_raw_bytes, 360u);
  EXPECT_EQ(reading.archived_stored_bytes, 180u);
  EXPECT_EQ(reading.archived_transactions, 5u);
  EXPECT_EQ(reading.segments_sealed.at(SealReason::kRotation), 1u);
}

TEST_F(SourceMeterTest, LatencyIsFromArrivalToPublishedForEachTransaction) {
  meter_.BeginDump();
  Transaction(100, now());
  Pass(3'000);
  Transaction(200, now());
  Transaction(300, now());
  Pass(1'000);
  ASSERT_TRUE(Durable(200, 2, now()).ok());
  // The second and the third came together: they wait for the third.
  EXPECT_EQ(Total(meter_.Read().durable_latency), 1u);
  EXPECT_EQ(meter_.Read().durable_latency.sum_us, 4'000);
  ASSERT_TRUE(Durable(300, 3, now()).ok());
  EXPECT_EQ(Total(meter_.Read().durable_latency), 3u);
  EXPECT_EQ(meter_.Read().durable_latency.sum_us, 6'000);
}

TEST_F(SourceMeterTest, ArrivalsThatWaitForAHungDiskAreBounded) {
  meter_.BeginDump();
  const uint64_t many = 3 * SourceMeter::kArrivalsMax;
  for (uint64_t i = 1; i <= many; ++i) {
    Transaction(i, now());
    Pass(2 * SourceMeter::kArrivalGrainUs);
  }
  EXPECT_EQ(meter_.Read().pending_transactions, many);
  ASSERT_TRUE(Durable(SourceMeter::kArrivalsMax, SourceMeter::kArrivalsMax, now()).ok());
  // The last place stands for all behind it.
  EXPECT_EQ(meter_.Read().pending_transactions, many - (SourceMeter::kArrivalsMax - 1));
  ASSERT_TRUE(Durable(many, many, now()).ok());
  EXPECT_EQ(meter_.Read().pending_transactions, 0u);
  EXPECT_EQ(Total(meter_.Read().durable_latency), many);
}

TEST_F(SourceMeterTest, WhatABrokenLinkLeftComesAgainAndDoesNotWaitForEver) {
  meter_.BeginDump();
  Transaction(100, now());
  meter_.BeginDump();
  EXPECT_EQ(meter_.Read().pending_transactions, 0u);
  Transaction(100, now(), 2);
  ASSERT_TRUE(Durable(100, 1, now(), 2).ok());
  EXPECT_EQ(meter_.Read().pending_transactions, 0u);
}

TEST_F(SourceMeterTest, ClockOfTheSourceAheadOfOursIsNoNegativeLag) {
  meter_.BeginDump();
  Transaction(100, now() + 5 * kSecond);
  EXPECT_EQ(Lag(), 0);
  ASSERT_TRUE(Durable(100, 1, now() + 5 * kSecond).ok());
  EXPECT_EQ(Lag(), 0);
}

TEST(LatencyHistogram, BucketHoldsItsBoundAndTheLastOneWhatIsAboveAll) {
  LatencyHistogram histogram;
  histogram.Count(100);
  histogram.Count(101, 2);
  histogram.Count(-5);
  histogram.Count(LatencyHistogram::kBoundsUs.back() + 1);
  const LatencyHistogram::Counts counts = histogram.Read();
  EXPECT_EQ(counts.counts.front(), 2u);
  EXPECT_EQ(counts.counts[1], 2u);
  EXPECT_EQ(counts.counts.back(), 1u);
  EXPECT_EQ(counts.sum_us, 100 + 202 + LatencyHistogram::kBoundsUs.back() + 1);
}

}  // namespace
}  // namespace tidemark
