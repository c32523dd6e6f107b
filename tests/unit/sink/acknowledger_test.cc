// What may be acknowledged, and when: pure, without archiver or files.
#include "replication/sink/acknowledger.h"

#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/binlog_builder.h"

namespace tidemark {
namespace {

const Uuid kServer = testing::BuilderUuid();

class RefusingListener : public DurableListener {
 public:
  Status OnDurable(const DurableBatch&) override {
    return refuses ? Status(Code::kIo, "refused") : OkStatus();
  }
  bool refuses = false;
};

class AcknowledgerTest : public ::testing::Test {
 protected:
  AcknowledgerTest() { acks_.BeginDump(kServer); }

  static DurableBatch Batch(uint64_t segment, uint64_t raw_bytes, const Uuid& server = kServer) {
    DurableBatch batch;
    batch.segment.header.number = segment;
    batch.segment.header.server_uuid = server;
    batch.segment.header.source_file = "binlog." + std::to_string(segment);
    batch.segment.raw_bytes = raw_bytes;
    return batch;
  }
  void Publish(uint64_t segment, uint64_t raw_bytes) {
    ASSERT_TRUE(acks_.OnDurable(Batch(segment, raw_bytes)).ok());
  }

  RefusingListener listener_;
  int wakes_ = 0;
  Acknowledger acks_{listener_, [this] { ++wakes_; }};
};

TEST_F(AcknowledgerTest, NothingIsDueBeforeItIsPublished) {
  acks_.Want({1, 500}, 0);
  EXPECT_FALSE(acks_.Due());
  Publish(1, 499);
  EXPECT_FALSE(acks_.Due());
  EXPECT_TRUE(acks_.waiting());
  Publish(1, 500);
  EXPECT_EQ(acks_.Due(), (SourcePlace{kServer, "binlog.1", 500}));
  acks_.Sent(0);
  EXPECT_FALSE(acks_.waiting());
}

TEST_F(AcknowledgerTest, WhatTheListenerRefusedIsNotAcknowledged) {
  acks_.Want({1, 500}, 0);
  listener_.refuses = true;
  EXPECT_FALSE(acks_.OnDurable(Batch(1, 500)).ok());
  EXPECT_FALSE(acks_.Due());
  EXPECT_EQ(wakes_, 0);
}

TEST_F(AcknowledgerTest, OneAnswerForAllThatWait) {
  for (uint64_t end = 100; end <= 500; end += 100) acks_.Want({1, end}, 0);
  Publish(1, 600);
  EXPECT_EQ(acks_.Due()->position, 600u);
  acks_.Sent(0);
  EXPECT_FALSE(acks_.waiting());
  EXPECT_FALSE(acks_.Due());
  EXPECT_EQ(acks_.counters().sent, 1u);
  EXPECT_EQ(acks_.counters().answered, 5u);
}

TEST_F(AcknowledgerTest, AnswersAsFarAsItIsPublished) {
  acks_.Want({1, 100}, 0);
  acks_.Want({1, 200}, 0);
  Publish(1, 150);
  EXPECT_EQ(acks_.Due()->position, 150u);
  Publish(1, 250);  // between Due and Sent: was not said
  acks_.Sent(0);
  EXPECT_TRUE(acks_.waiting());
  EXPECT_EQ(acks_.Due()->position, 250u);
}

TEST_F(AcknowledgerTest, LaterSegmentCountsForEarlierOnes) {
  acks_.Want({1, 1'000'000}, 0);
  Publish(2, 200);
  EXPECT_EQ(acks_.Due(), (SourcePlace{kServer, "binlog.2", 200}));
}

TEST_F(AcknowledgerTest, PositionIsThatOfTheSourcesFile) {
  DurableBatch batch = Batch(1, 700);
  batch.segment.header.source_start = 5'000'000'000;
  batch.segment.header.prefix_bytes = 200;
  acks_.Want({1, 700}, 0);
  ASSERT_TRUE(acks_.OnDurable(batch).ok());
  EXPECT_EQ(acks_.Due()->position, 5'000'000'500);
}

TEST_F(AcknowledgerTest, WhatIsWantedAgainIsSaidAgain) {
  Publish(1, 500);
  for (int i = 0; i < 2; ++i) {
    acks_.Want({1, 500}, 0);
    EXPECT_EQ(acks_.Due()->position, 500u);
    acks_.Sent(0);
  }
}

TEST_F(AcknowledgerTest, PlaceInAnotherServersFileIsNeverSaid) {
  const Uuid other = *Uuid::Parse("00000000-0000-0000-0000-00000000000f");
  Publish(1, 500);
  acks_.BeginDump(other);
  acks_.Want({1, 500}, 0);  // of an event that it made up
  EXPECT_FALSE(acks_.Due());
  EXPECT_FALSE(acks_.waiting()) << "nothing that gets published will answer it";
  acks_.Want({2, 300}, 0);
  EXPECT_FALSE(acks_.Due());
  EXPECT_TRUE(acks_.waiting());
  ASSERT_TRUE(acks_.OnDurable(Batch(2, 300, other)).ok());
  EXPECT_EQ(acks_.Due(), (SourcePlace{other, "binlog.2", 300}));
}

TEST_F(AcknowledgerTest, NewDumpForgetsWhatTheOldOneWanted) {
  acks_.Want({1, 500}, 0);
  acks_.BeginDump(kServer);
  EXPECT_FALSE(acks_.waiting());
  Publish(1, 500);
  EXPECT_FALSE(acks_.Due());
  EXPECT_EQ(wakes_, 0) << "nobody waits";
}

TEST_F(AcknowledgerTest, WakesOnlyWhoWaits) {
  Publish(1, 100);
  EXPECT_EQ(wakes_, 0);
  acks_.Want({1, 200}, 0);
  Publish(1, 200);
  EXPECT_EQ(wakes_, 1);
  ASSERT_TRUE(acks_.Due());
  acks_.Sent(0);
  Publish(1, 300);
  EXPECT_EQ(wakes_, 1);
}

TEST_F(AcknowledgerTest, ManyThatWaitTakeBoundedMemoryAndAreAllAnswered) {
  const uint64_t count = 3 * Acknowledger::kWantedMax;
  for (uint64_t end = 1; end <= count; ++end) acks_.Want({1, end}, 0);
  Publish(1, count - 1);
  ASSERT_TRUE(acks_.Due());
  acks_.Sent(0);
  EXPECT_TRUE(acks_.waiting()) << "the last one is not published";
  EXPECT_EQ(acks_.counters().answered, Acknowledger::kWantedMax - 1);
  Publish(1, count);
  ASSERT_TRUE(acks_.Due());
  acks_.Sent(0);
  EXPECT_FALSE(acks_.waiting());
}

TEST_F(AcknowledgerTest, LatencyIsFromArrivalToAnswer) {
  acks_.Want({1, 100}, 1'000'000);
  acks_.Want({1, 200}, 1'000'900);
  Publish(1, 200);
  ASSERT_TRUE(acks_.Due());
  acks_.Sent(1'001'000);
  const AckCounters counters = acks_.counters();
  EXPECT_EQ(counters.latency_us_sum, 1100);
  EXPECT_EQ(counters.latency_us_max, 1000);
  EXPECT_EQ(counters.latency_counts[0], 1u);  // 100: at most 100
  EXPECT_EQ(counters.latency_counts[3], 1u);  // 1000: above 500, at most 1000
  EXPECT_EQ(
      std::accumulate(counters.latency_counts.begin(), counters.latency_counts.end(), uint64_t{0}),
      2u);
}

}  // namespace
}  // namespace tidemark
