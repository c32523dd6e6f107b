// The session against dumps that contradict themselves or the archive, and against what is not the
// source's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replication/event/control_events.h"
#include "replication/sink/session.h"
#include "tests/unit/sink/session_fixture.h"

namespace tidemark {
namespace {

using testing::ArtificialRotate;
using testing::BuilderGtid;
using ::testing::HasSubstr;
using testing::ModelServer;
using testing::SessionTest;
using ::testing::SizeIs;
using testing::SplitEvents;
using testing::WithLogPos;

TEST_F(SessionTest, JumpInsideATransactionIsRefused) {
  server_.Commit({.events = 3});
  Start();
  Connect();
  std::vector<std::string> packets = server_.Dump(ByGtid());
  packets.erase(packets.end() - 3);  // a row event
  const Status status = Feed(packets);
  EXPECT_EQ(status.code(), Code::kCorruption);
  EXPECT_THAT(status.message(), HasSubstr("skipped bytes inside a transaction"));
  EXPECT_TRUE(session_->resume().executed.empty());
}

TEST_F(SessionTest, EveryEventLostInsideATransactionIsNoticed) {
  server_.Commit({.events = 4});
  server_.Commit(1);
  Start();
  const std::vector<std::string> packets = server_.Dump(ByGtid());
  for (size_t lost = 3; lost < packets.size(); ++lost) {
    SCOPED_TRACE(lost);
    Start();
    segments_.clear();
    Connect();
    std::vector<std::string> some = packets;
    some.erase(some.begin() + static_cast<ptrdiff_t>(lost));
    const Status status = Feed(some);
    // Losing the very last event is not noticed yet: the transaction just is not finished.
    if (lost + 1 == packets.size())
      EXPECT_TRUE(session_->in_transaction());
    else
      EXPECT_EQ(status.code(), Code::kCorruption) << status.message();
  }
}

TEST_F(SessionTest, TransactionSentTwiceIsRefused) {
  server_.Commit(2);
  Start();
  Connect();
  FeedAll();
  session_->OnDisconnected();
  Connect();
  DumpRequest everything;
  const Status status = Feed(server_.Dump(everything));
  EXPECT_EQ(status.code(), Code::kCorruption);
  EXPECT_THAT(status.message(), HasSubstr("already has"));
}

TEST_F(SessionTest, TransactionOfOursAtAnotherPlaceIsRefused) {
  server_.Commit(2);
  Start();
  Connect();
  FeedAll();
  // The next file of a broken source brings transaction 1 again.
  ModelServer other;
  other.Rotate();
  other.Commit(1);
  const Status status = Feed(other.Dump({}));
  EXPECT_EQ(status.code(), Code::kCorruption);
  EXPECT_THAT(status.message(), HasSubstr(BuilderGtid(1).ToString()));
}

TEST_F(SessionTest, WhatTheSenderMakesUpIsNotArchived) {
  server_.Commit(1);
  Start();
  Connect();
  FeedAll();
  const std::string raw = segments_[0].raw;
  const uint64_t end = raw.size();
  ASSERT_TRUE(Feed(EncodeHeartbeat({"binlog.000001", end}, 7, ChecksumAlgorithm::kCrc32)).ok());
  ASSERT_TRUE(Feed(ArtificialRotate("binlog.000001", end)).ok());
  ASSERT_TRUE(
      Feed(WithLogPos(SplitEvents(std::string_view(server_.files[0].bytes).substr(4))[0], 0)).ok());
  ASSERT_TRUE(Feed(EncodeEvent(EventType::kIgnorable, {0, 7, 0, kEventFlagArtificial}, "x",
                               ChecksumAlgorithm::kCrc32))
                  .ok());
  EXPECT_EQ(segments_[0].raw, raw);
  EXPECT_FALSE(segments_[0].sealed);
}

TEST_F(SessionTest, UnknownEventBetweenTransactionsIsArchived) {
  server_.Commit(1);
  Start();
  Connect();
  FeedAll();
  const std::string raw = segments_[0].raw;
  std::string event =
      EncodeEvent(static_cast<EventType>(99), {0, 7, 1, 0}, "whatever", ChecksumAlgorithm::kCrc32);
  event = WithLogPos(event, static_cast<uint32_t>(raw.size() + event.size()));
  ASSERT_TRUE(Feed(event).ok());
  EXPECT_EQ(segments_[0].raw, raw + event);
  EXPECT_EQ(session_->resume().place.position, raw.size() + event.size());
}

TEST_F(SessionTest, LeavingTheFileInsideATransactionIsRefused) {
  server_.Commit(1);
  Start();
  Connect();
  std::vector<std::string> packets = server_.Dump(ByGtid());
  packets.pop_back();
  ASSERT_TRUE(Feed(packets).ok());
  const Status status = Feed(ArtificialRotate("binlog.000002", 4));
  EXPECT_EQ(status.code(), Code::kCorruption);
}

TEST_F(SessionTest, EventsBeforeAnyFileNameAreRefused) {
  server_.Commit(1);
  Start();
  Connect();
  std::vector<std::string> packets = server_.Dump(ByGtid());
  packets.erase(packets.begin());
  EXPECT_EQ(Feed(packets).code(), Code::kCorruption);
}

TEST_F(SessionTest, PositionsPastFourGibWrap) {
  constexpr uint64_t kFourGib = uint64_t{1} << 32;
  server_.Commit(3);
  const auto events = SplitEvents(std::string_view(server_.files[0].bytes).substr(4));
  const uint64_t begin = kFourGib - 200;
  Start({.place = {server_.uuid, "binlog.000001", begin}, .next_segment = 2});
  Connect();
  ASSERT_TRUE(Feed(ArtificialRotate("binlog.000001", begin)).ok());
  ASSERT_TRUE(Feed(WithLogPos(events[0], 0)).ok());
  uint64_t at = begin;
  std::string bytes;
  for (size_t i = 2; i < events.size(); ++i) {
    at += events[i].size();
    bytes += WithLogPos(events[i], static_cast<uint32_t>(at));
    const Status status = Feed(WithLogPos(events[i], static_cast<uint32_t>(at)));
    ASSERT_TRUE(status.ok()) << status.message();
  }
  ASSERT_GT(at, kFourGib);
  ASSERT_THAT(segments_, SizeIs(1));
  EXPECT_EQ(segments_[0].header.source_start, begin);
  EXPECT_EQ(segments_[0].own(), bytes);
  EXPECT_EQ(session_->resume().place.position, at);
}

TEST_F(SessionTest, SkipAcrossTheFourGibMark) {
  constexpr uint64_t kFourGib = uint64_t{1} << 32;
  server_.Commit(1);
  const auto events = SplitEvents(std::string_view(server_.files[0].bytes).substr(4));
  Start();
  Connect();
  ASSERT_TRUE(Feed(ArtificialRotate("binlog.000001", kFourGib - 1000)).ok());
  ASSERT_TRUE(Feed(WithLogPos(events[0], 0)).ok());
  const uint64_t end = kFourGib + 500;
  ASSERT_TRUE(Feed(WithLogPos(events[2], static_cast<uint32_t>(end))).ok());
  ASSERT_THAT(segments_, SizeIs(1));
  EXPECT_EQ(segments_[0].header.source_start, end - events[2].size());
}

TEST_F(SessionTest, AnotherServerAtTheSameFileAndPositionBeginsANewSegment) {
  server_.Commit(1);
  Start();
  Connect();
  FeedAll();
  session_->OnDisconnected();
  server_.Commit(1);
  Uuid other = server_.uuid;
  other.bytes[0] ^= 1;
  Connect(other);
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[1].header.server_uuid, other);
  EXPECT_EQ(segments_[1].header.source_start, server_.files[0].transactions[1].begin);
}

TEST_F(SessionTest, CommitTimeHighNeverFalls) {
  server_.Commit(1);
  Start({.next_segment = 1, .commit_high_us = 1'900'000'000'000'000});
  Connect();
  FeedAll();
  EXPECT_EQ(session_->resume().commit_high_us, 1'900'000'000'000'000);
}

// The binary logs were reset, and what was written since has the same file, the same position and
// GTIDs that pass ours: only the moment at which the file was made tells the two histories apart.
TEST_F(SessionTest, AnotherFileOfTheSameNameIsADivergence) {
  server_.Commit(2);
  Start();
  Connect();
  FeedAll();
  ResumePoint resume = session_->resume();
  ASSERT_TRUE(resume.file_created.has_value());
  const SourcePlace place = resume.place;
  server_.Commit(1);

  Start(resume);
  segments_.clear();
  Connect();
  ASSERT_TRUE(Feed(server_.Dump(From(0, place.position))).ok()) << "the same file goes on";

  resume.file_created = *resume.file_created - 1;
  Start(resume);
  segments_.clear();
  Connect();
  const Status status = Feed(server_.Dump(From(0, place.position)));
  EXPECT_EQ(status.code(), Code::kDivergence);
  EXPECT_THAT(status.message(), HasSubstr(place.file));
  EXPECT_EQ(session_->resume().executed, resume.executed);
}

}  // namespace
}  // namespace tidemark
