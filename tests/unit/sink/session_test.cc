// The session against scripted dumps: which bytes go to which segment, and what is refused.
#include "replication/sink/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replication/event/control_events.h"
#include "tests/unit/sink/model_source.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::ArtificialRotate;
using testing::BuilderGtid;
using testing::BuilderSet;
using testing::ModelServer;
using testing::SplitEvents;
using testing::WithLogPos;

struct Segment {
  SegmentHeader header;
  std::string raw;  // prefix included
  std::optional<SealReason> sealed;

  std::string own() const { return raw.substr(header.prefix_bytes); }
};

// Performs the session's actions on strings, as the archiver does on files.
class SessionTest : public ::testing::Test {
 protected:
  void Start(ResumePoint resume = {}, SessionLimits limits = {}) {
    session_ = std::make_unique<Session>("main", std::move(resume), limits);
  }
  void Connect(const GapRecord& gap = {}) { Connect(server_.uuid, gap); }
  void Connect(const Uuid& uuid, const GapRecord& gap = {}) {
    session_->OnConnected(uuid, gap);
    scanner_ = std::make_unique<StreamScanner>(ScannerOptions{});
  }
  Status Feed(const std::string& packet) {
    ScannedEvent event;
    TM_RETURN_IF_ERROR(scanner_->FeedEvent(AsBytes(packet), &event));
    SessionAction action;
    TM_RETURN_IF_ERROR(session_->OnEvent(AsBytes(packet), event, &action));
    if (action.seal_before) Seal(*action.seal_before);
    if (action.begin) {
      EXPECT_TRUE(segments_.empty() || segments_.back().sealed);
      segments_.push_back({action.begin->header, action.begin->prefix + action.begin->file_head, {}});
      EXPECT_EQ(action.begin->header.prefix_bytes, action.begin->prefix.size());
    }
    if (action.archive) {
      segments_.back().raw += packet;
      EXPECT_EQ(action.raw_end, segments_.back().raw.size());
    }
    if (action.seal_after) Seal(*action.seal_after);
    EXPECT_EQ(session_->segment_open(), !segments_.empty() && !segments_.back().sealed);
    return OkStatus();
  }
  Status Feed(const std::vector<std::string>& packets) {
    for (const std::string& packet : packets) TM_RETURN_IF_ERROR(Feed(packet));
    return OkStatus();
  }
  DumpRequest From(uint64_t file, uint64_t position) {
    DumpRequest request;
    request.exclude = session_->resume().executed;
    request.file = server_.files[file].name;
    request.position = position;
    return request;
  }
  DumpRequest ByGtid() {
    DumpRequest request;
    request.exclude = session_->resume().executed;
    return request;
  }
  void FeedAll() {
    const Status status = Feed(server_.Dump(ByGtid()));
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void Seal(SealReason reason) {
    EXPECT_FALSE(segments_.back().sealed);
    segments_.back().sealed = reason;
  }

  ModelServer server_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<StreamScanner> scanner_;
  std::vector<Segment> segments_;
};

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
    ASSERT_TRUE(Feed(server_.Dump(named ? From(0, session_->resume().place.position) : ByGtid())).ok());
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
  Start({.executed = BuilderSet(1, 2), .place = {server_.uuid, "binlog.000001", end}, .next_segment = 7});
  Connect();
  FeedAll();
  ASSERT_THAT(segments_, SizeIs(1));
  const Segment& segment = segments_[0];
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
    if (lost + 1 == packets.size()) EXPECT_TRUE(session_->in_transaction());
    else EXPECT_EQ(status.code(), Code::kCorruption) << status.message();
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
  ASSERT_TRUE(Feed(WithLogPos(SplitEvents(std::string_view(server_.files[0].bytes).substr(4))[0], 0)).ok());
  ASSERT_TRUE(Feed(EncodeEvent(EventType::kIgnorable, {0, 7, 0, kEventFlagArtificial}, "x",
                               ChecksumAlgorithm::kCrc32)).ok());
  EXPECT_EQ(segments_[0].raw, raw);
  EXPECT_FALSE(segments_[0].sealed);
}

TEST_F(SessionTest, UnknownEventBetweenTransactionsIsArchived) {
  server_.Commit(1);
  Start();
  Connect();
  FeedAll();
  const std::string raw = segments_[0].raw;
  std::string event = EncodeEvent(static_cast<EventType>(99), {0, 7, 1, 0}, "whatever", ChecksumAlgorithm::kCrc32);
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
  ASSERT_TRUE(Feed(std::vector<std::string>(packets.begin() + 2, packets.end())).ok());  // the same connection goes on
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
  Start({.executed = BuilderSet(1, 1), .place = {server_.uuid, "binlog.000001", end}, .next_segment = 2});
  Connect();
  ASSERT_TRUE(Feed(server_.Dump(From(0, end))).ok());
  ASSERT_THAT(segments_, SizeIs(2));
  EXPECT_EQ(segments_[0].own(), server_.files[0].bytes.substr(end));
  EXPECT_EQ(segments_[0].sealed, SealReason::kRotation);
  EXPECT_EQ(segments_[1].raw, server_.files[1].bytes);
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

}  // namespace
}  // namespace tidemark
