#include "replication/sink/commit_watch.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

constexpr char kServer[] = "11111111-1111-1111-1111-111111111111";
constexpr char kOther[] = "22222222-2222-2222-2222-222222222222";

Uuid UuidOf(const char* text) { return *Uuid::Parse(text); }

Transaction At(int64_t number, int64_t committed_us = 0) {
  Transaction transaction;
  transaction.gtid.tsid.uuid = UuidOf(kServer);
  transaction.gtid.gno = number;
  transaction.immediate_commit_us = committed_us;
  return transaction;
}

// A dump from a source that has executed the first ten.
class CommitWatchTest : public ::testing::Test {
 protected:
  CommitWatchTest() { BeginDump(); }
  void BeginDump(const char* server = kServer) {
    watch_.BeginDump(UuidOf(server), *GtidSet::Parse(std::string(kServer) + ":1-10"));
  }
  CommitWatch watch_;
};

TEST_F(CommitWatchTest, WhatWasCommittedBeforeTheDumpTellsNothing) {
  for (int64_t number = 1; number <= 10; ++number)
    watch_.NotAsked(At(number, number * CommitWatch::kGroupUsMax));
  watch_.Idle();
  EXPECT_FALSE(watch_.did_not_wait());
}

TEST_F(CommitWatchTest, OfAGroupTheLastOneIsAskedFor) {
  for (int group = 0; group < 3; ++group) {
    watch_.NotAsked(At(11 + 2 * group, group * 2 * CommitWatch::kGroupUsMax));
    watch_.Asked();
    EXPECT_FALSE(watch_.did_not_wait());
  }
  watch_.Idle();
  EXPECT_FALSE(watch_.did_not_wait());
}

TEST_F(CommitWatchTest, NothingBehindOneThatWasNotAskedFor) {
  watch_.NotAsked(At(11));
  EXPECT_FALSE(watch_.did_not_wait());
  watch_.Idle();
  EXPECT_TRUE(watch_.did_not_wait());
  watch_.Asked();
  EXPECT_FALSE(watch_.did_not_wait());
}

TEST_F(CommitWatchTest, ABusySourceIsJudgedByItsOwnClock) {
  watch_.NotAsked(At(11, 5));
  watch_.NotAsked(At(12, 5 + CommitWatch::kGroupUsMax));
  EXPECT_FALSE(watch_.did_not_wait());
  watch_.NotAsked(At(13, 6 + CommitWatch::kGroupUsMax));
  EXPECT_TRUE(watch_.did_not_wait());
}

TEST_F(CommitWatchTest, IsRememberedOfAServer) {
  watch_.NotAsked(At(11));
  watch_.Idle();
  BeginDump();
  EXPECT_TRUE(watch_.did_not_wait());
  BeginDump(kOther);
  EXPECT_FALSE(watch_.did_not_wait());
}

}  // namespace
}  // namespace tidemark
