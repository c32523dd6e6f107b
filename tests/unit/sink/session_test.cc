// The session against scripted dumps: which bytes go to which segment.
#include "replication/sink/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replication/archive/gap_room.h"
#include "replication/event/control_events.h"
#include "tests/unit/sink/session_fixture.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::IsEmpty;
using testing::PerformedSegment;
using testing::SessionTest;
using ::testing::SizeIs;
using testing::SplitEvents;
using testing::WithLogPos;

TEST_F(SessionTest, FirstFileBecomesANativeSegmentByteForByte) {
  server_.Commit(3);
  Start();
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(1));
  EXPECT_EQ(segments_[0].raw, server_.files[0].bytes);
  const SegmentHeader& header = segments_[0].header;
  EXPECT_EQ(header.number, 1u);
  EXPECT_EQ(header.source_name, "main");
  EXPECT_EQ(header.source_file, "binlog.000001");
  EXPECT_EQ(header.source_start, 0u);
  EXPECT_EQ(header.prefix_bytes, 0u);
  EXPECT_TRUE(header.previous.empty());
  EXPECT_TRUE(header.gap.missing.empty());
  EXPECT_FALSE(segments_[0].sealed);
  EXPECT_EQ(session_->resume().executed, BuilderSet(1, 3));
  EXPECT_EQ(session_->resume().place,
            (SourcePlace{server_.uuid, "binlog.000001", server_.files[0].bytes.size()}));
  EXPECT_EQ(session_->resume().next_segment, 2u);
  EXPECT_EQ(session_->resume().commit_high_us, 1'700'000'000'000'003);
}

TEST_F(SessionTest, NothingIsArchivedOfAFileThatIsStillEmpty) {
  Start();
  Connect();
  FeedAll();
  EXPECT_THAT(segments_, IsEmpty());
  EXPECT_TRUE(session_->resume().place.file.empty());
}

TEST_F(SessionTest, RealRotateSealsAndTheNextFileIsNative) {
  server_.Commit(2);
  server_.Rotate();
  server_.Commit(1);
  Start();
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[0].raw, server_.files[0].bytes);
  EXPECT_EQ(segments_[0].sealed, SealReason::kRotation);
  EXPECT_EQ(segments_[1].raw, server_.files[1].bytes);
  EXPECT_EQ(segments_[1].header.previous, BuilderSet(1, 2));
  EXPECT_EQ(segments_[1].header.source_file, "binlog.000002");
}

TEST_F(SessionTest, StopEventSealsToo) {
  server_.Commit(1);
  server_.Restart();
  server_.Commit(1);
  Start();
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[0].raw, server_.files[0].bytes);
  EXPECT_EQ(segments_[0].sealed, SealReason::kRotation);
}

TEST_F(SessionTest, FileWithoutTransactionsIsArchivedWhole) {
  server_.Rotate();
  server_.Rotate();
  server_.Commit(1);
  Start();
  Connect();
  ASSERT_TRUE(Feed(server_.Dump(From(0, 4))).ok());
  ASSERT_THAT(segments_, SizeIs(3));
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(segments_[i].raw, server_.files[i].bytes) << i;
}

TEST_F(SessionTest, FileThatACrashLeftWithoutAnEndIsSealedAtTheNextOne) {
  server_.Commit(1);
  server_.NextFile();
  server_.Commit(1);
  Start();
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[0].sealed, SealReason::kSourceChange);
  EXPECT_EQ(segments_[0].raw, server_.files[0].bytes);
  EXPECT_EQ(segments_[1].raw, server_.files[1].bytes);
}

TEST_F(SessionTest, ReconnectAtTheSamePlaceGoesOnInTheOpenSegment) {
  server_.Commit(2);
  Start();
  Connect();
  FeedAll();
  session_->OnDisconnected();
  server_.Commit(2);
  for (const bool named : {true, false}) {
    SCOPED_TRACE(named ? "from the place" : "by GTID");
    Connect();
    ASSERT_TRUE(
        Feed(server_.Dump(named ? From(0, session_->resume().place.position) : ByGtid())).ok());
    ASSERT_THAT(segments_, SizeIs(1));
    EXPECT_EQ(segments_[0].raw, server_.files[0].bytes);
    session_->OnDisconnected();
    server_.Commit(1);
  }
}

TEST_F(SessionTest, ContinuationAfterARestartOfOursInMidFile) {
  server_.Commit(2);
  const uint64_t end = server_.files[0].bytes.size();
  server_.Commit(2);
  Start({.executed = BuilderSet(1, 2),
         .place = {server_.uuid, "binlog.000001", end},
         .next_segment = 7});
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(1));
  const PerformedSegment& segment = segments_[0];
  EXPECT_EQ(segment.header.number, 7u);
  EXPECT_EQ(segment.header.source_start, end);
  EXPECT_EQ(segment.header.previous, BuilderSet(1, 2));
  EXPECT_GT(segment.header.prefix_bytes, 0u);
  EXPECT_EQ(segment.own(), server_.files[0].bytes.substr(end));
  // The prefix makes it a binary log of its own, with a Previous_gtids of its own.
  const std::string& raw = segment.raw;
  ASSERT_EQ(raw.substr(0, 4), server_.files[0].bytes.substr(0, 4));
  const auto events = SplitEvents(std::string_view(raw).substr(4));
  EXPECT_EQ(ReadEventHeader(AsBytes(events[0]).data()).type, EventType::kFormatDescription);
  const EventHeader previous = ReadEventHeader(AsBytes(events[1]).data());
  EXPECT_EQ(previous.type, EventType::kPreviousGtids);
  EXPECT_EQ(previous.log_pos, 0u);
  auto set = ParsePreviousGtids(EventBody(AsBytes(events[1]), ChecksumAlgorithm::kCrc32));
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(*set, BuilderSet(1, 2));
}

TEST_F(SessionTest, NativeSegmentCutBackToItsHeadIsContinuedBehindIt) {
  const uint64_t head = server_.files[0].bytes.size();
  server_.Commit(1);
  Start({.place = {server_.uuid, "binlog.000001", head}, .next_segment = 2});
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(1));
  EXPECT_EQ(segments_[0].header.source_start, head);
  EXPECT_EQ(segments_[0].own(), server_.files[0].bytes.substr(head));
}

TEST_F(SessionTest, SkippedTransactionsBeginANewSegment) {
  server_.Commit(4);
  Start({.executed = BuilderSet(2, 3), .next_segment = 1});
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(2));
  const auto& transactions = server_.files[0].transactions;
  EXPECT_EQ(segments_[0].raw, server_.files[0].bytes.substr(0, transactions[0].end));
  EXPECT_EQ(segments_[0].sealed, SealReason::kSourceChange);
  EXPECT_EQ(segments_[1].header.source_start, transactions[3].begin);
  EXPECT_EQ(segments_[1].own(), server_.files[0].bytes.substr(transactions[3].begin));
  EXPECT_EQ(segments_[1].header.previous, BuilderSet(1, 3));
}

TEST_F(SessionTest, SkipRightBehindTheHeadIsAContinuation) {
  server_.Commit(2);
  Start({.executed = BuilderSet(1, 1), .next_segment = 1});
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(1));
  EXPECT_EQ(segments_[0].header.source_start, server_.files[0].transactions[1].begin);
}

TEST_F(SessionTest, GapIsPartOfTheResumeSetAndOfTheNextSegmentsHeaderOnce) {
  server_.Commit(1);
  server_.Rotate();
  server_.Commit(1);
  server_.PurgeFirstFile();
  Start();
  Connect({.missing = BuilderSet(1, 1), .reason = "purged", .noticed_us = 5});
  EXPECT_EQ(session_->resume().executed, BuilderSet(1, 1));
  FeedAll();
  server_.Rotate();
  server_.Commit(1);
  session_->OnDisconnected();
  Connect();
  ASSERT_TRUE(Feed(server_.Dump(From(0, session_->resume().place.position))).ok());
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[0].raw, server_.files[0].bytes);
  EXPECT_EQ(segments_[0].header.gap.missing, BuilderSet(1, 1));
  EXPECT_EQ(segments_[0].header.gap.reason, "purged");
  EXPECT_EQ(segments_[0].header.gap.noticed_us, 5);
  EXPECT_EQ(segments_[0].header.previous, BuilderSet(1, 1));
  EXPECT_EQ(segments_[0].header.number, kSegmentNumbersPerGap + 1) << "leaves room";
  EXPECT_EQ(segments_[1].header.number, kSegmentNumbersPerGap + 2);
  EXPECT_EQ(session_->resume().missing, BuilderSet(1, 1));
  EXPECT_TRUE(segments_[1].header.gap.missing.empty());
  EXPECT_EQ(segments_[1].header.previous, BuilderSet(1, 2));
}

TEST_F(SessionTest, GapNoticedWithASegmentOpenEndsIt) {
  server_.Commit(2);
  Start();
  Connect();
  FeedAll();
  session_->OnDisconnected();
  server_.Commit(1);
  GtidSet missing;
  missing.Add({BuilderGtid(1).tsid.uuid, "tag"}, {1, 9});
  Connect({.missing = missing, .reason = "lost", .noticed_us = 1});
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[0].sealed, SealReason::kSourceChange);
  EXPECT_EQ(segments_[1].header.gap.missing, missing);
  EXPECT_EQ(segments_[1].header.previous, BuilderSet(1, 2).Union(missing));
}

TEST_F(SessionTest, GapsNoticedBeforeAnythingIsArchivedAddUp) {
  server_.Commit(3);
  Start();
  Connect({.missing = BuilderSet(1, 1), .reason = "purged", .noticed_us = 1});
  session_->OnDisconnected();
  Connect({.missing = BuilderSet(2, 2), .reason = "purged", .noticed_us = 2});
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(1));
  EXPECT_EQ(segments_[0].header.gap.missing, BuilderSet(1, 2));
}

TEST_F(SessionTest, SizeLimitHoldsAtTheEndOfATransactionOnly) {
  server_.Commit({.row_bytes = 300, .events = 10});
  server_.Commit(2);
  Start({}, {.segment_raw_bytes_max = 1000});
  Connect();
  FeedAll();
  const auto& transactions = server_.files[0].transactions;
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[0].sealed, SealReason::kSize);
  EXPECT_EQ(segments_[0].raw, server_.files[0].bytes.substr(0, transactions[0].end));
  EXPECT_EQ(segments_[1].header.source_start, transactions[1].begin);
  EXPECT_EQ(segments_[1].own(), server_.files[0].bytes.substr(transactions[1].begin));
}

TEST_F(SessionTest, SealedForItsAgeAndContinued) {
  server_.Commit(1);
  Start();
  Connect();
  FeedAll();
  session_->OnSealed();
  Seal(SealReason::kAge);
  server_.Commit(1);
  const auto packets = server_.Dump(From(0, session_->resume().place.position));
  ASSERT_TRUE(Feed(std::vector<std::string>(packets.begin() + 2, packets.end()))
                  .ok());  // the same connection goes on
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[0].own() + segments_[1].own(), server_.files[0].bytes);
}

TEST_F(SessionTest, ReconnectInAnIdleNewFileStaysNative) {
  server_.Commit(1);
  server_.Rotate();
  Start();
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(1));
  session_->OnDisconnected();
  Connect();
  ASSERT_TRUE(Feed(server_.Dump(From(1, 4))).ok());
  ASSERT_THAT(segments_, SizeIs(1));
  server_.Commit(1);
  session_->OnDisconnected();
  Connect();
  ASSERT_TRUE(Feed(server_.Dump(From(1, 4))).ok());
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[1].raw, server_.files[1].bytes);
}

TEST_F(SessionTest, RotateLostByACrashOfOursIsArchivedAfterwards) {
  server_.Commit(1);
  const uint64_t end = server_.files[0].bytes.size();
  server_.Rotate();
  server_.Commit(1);
  Start({.executed = BuilderSet(1, 1),
         .place = {server_.uuid, "binlog.000001", end},
         .next_segment = 2});
  Connect();
  ASSERT_TRUE(Feed(server_.Dump(From(0, end))).ok());
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[0].own(), server_.files[0].bytes.substr(end));
  EXPECT_EQ(segments_[0].sealed, SealReason::kRotation);
  EXPECT_EQ(segments_[1].raw, server_.files[1].bytes);
}

// As of a file of which `pitr import` takes only what stands far behind.
TEST_F(SessionTest, MoreMayBeLeftOutThanLogPosCanTell) {
  server_.Commit(1);
  Start();
  Connect();
  FeedAll();
  const uint64_t far = uint64_t{11} << 30;
  server_.Commit(1);
  std::vector<std::string> packets = server_.Dump(From(0, server_.files[0].transactions[1].begin));
  packets.erase(packets.begin(), packets.begin() + 2);  // Rotate and format description
  session_->SkipTo(far);
  uint64_t at = far;
  for (std::string& packet : packets) {
    at += packet.size();
    ASSERT_TRUE(Feed(WithLogPos(packet, static_cast<uint32_t>(at))).ok());
  }
  EXPECT_EQ(session_->resume().place.position, at);
  ASSERT_EQ(segments_.size(), 2u);
  EXPECT_EQ(segments_[1].header.source_start, far);
}

}  // namespace
}  // namespace tidemark
