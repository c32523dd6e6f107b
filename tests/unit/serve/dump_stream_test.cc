#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "pitr/abridged.h"
#include "pitr/serve/dump.h"
#include "pitr/serve/dump_checks.h"
#include "replication/base/checksum.h"
#include "tests/support/seed.h"
#include "tests/unit/pitr/history.h"
#include "tests/unit/serve/model_replica.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using testing::BuilderUuid;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::History;
using testing::KnownTransaction;
using testing::ModelReplica;
using State = DumpStream::State;

constexpr uint32_t kOurServerId = 4711;
constexpr uint32_t kArchivedServerId = 7;  // binlog_builder.cc
constexpr size_t kCreatedOffset = kEventHeaderSize + 52;
const Uuid kOtherUuid = *Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002");

ServedSource Served(History* history) {
  ServedSource source;
  source.name = "main";
  source.server_id = kOurServerId;
  source.open_feed = ArchiveFeeds(
      [history] { return ArchiveView::Open(PosixFileSystem(), history->dir.path(), "main"); });
  return source;
}

ReplicaRequest Having(const GtidSet& executed) {
  ReplicaRequest request;
  request.executed = executed;
  request.server_id = 100;
  return request;
}

std::unique_ptr<DumpStream> MustOpen(const ServedSource& source, const ReplicaRequest& request) {
  auto stream = DumpStream::Open(source, request);
  EXPECT_TRUE(stream.ok()) << stream.error().message();
  TM_CHECK(stream.ok());  // nothing to go on with
  return std::move(*stream);
}

Status Refusal(const ServedSource& source, const ReplicaRequest& request) {
  auto stream = DumpStream::Open(source, request);
  return stream.ok() ? OkStatus() : stream.error();
}

// Until there is nothing more; the last state.
State Exhaust(DumpStream& stream, ModelReplica* replica) {
  for (;;) {
    std::string out;
    auto state = stream.Produce(64 << 10, &out);
    replica->Take(out);
    if (!state.ok()) {
      ADD_FAILURE() << state.error().message();
      return State::kEnded;
    }
    if (*state != State::kMore) return *state;
  }
}

Status RunToError(DumpStream& stream, ModelReplica* replica) {
  for (;;) {
    std::string out;
    auto state = stream.Produce(64 << 10, &out);
    if (!state.ok() && stream.AppendError(state.error(), &out)) {
      replica->Take(out);
      return state.error();
    }
    replica->Take(out);
    if (!state.ok()) return state.error();
    if (*state != State::kMore) return OkStatus();
  }
}

std::string BytesOf(const History& history, const KnownTransaction& known) {
  return history.builder.FileBytes(known.file).substr(known.begin, known.end - known.begin);
}

std::string BytesBetween(const History& history, size_t from, size_t to) {
  std::string bytes;
  for (size_t i = from; i < to; ++i) bytes += BytesOf(history, history.all[i]);
  return bytes;
}

std::string ArchivedFormatDescription(const History& history, const std::string& file) {
  const std::string& bytes = history.builder.FileBytes(file);
  uint32_t size = ReadEventHeader(AsBytes(bytes).data() + kBinlogMagicSize).size;
  return bytes.substr(kBinlogMagicSize, size);
}

// Two files of 30 transactions, the second with a continuation segment.
void BuildTwoFiles(History* history) {
  history->BeginFile("binlog.000001");
  history->AddMany(30);
  history->BeginFile("binlog.000002");
  history->AddMany(15);
  history->builder.Continue();
  history->AddMany(15);
  history->builder.Publish();
}

TEST(DumpStream, EmptyReplicaGetsEverything) {
  History history;
  BuildTwoFiles(&history);
  auto stream = MustOpen(Served(&history), Having({}));
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_EQ(replica.gtids, BuilderSet(1, 60));
  EXPECT_TRUE(replica.transactions == BytesBetween(history, 0, 60));
  EXPECT_THAT(replica.files, ElementsAre("binlog.000001", "binlog.000002"));
  EXPECT_EQ(replica.format_descriptions.size(), 2U);
  EXPECT_EQ(replica.rotate_server_id, kOurServerId);
  EXPECT_EQ(stream->transactions_sent(), 60U);
  EXPECT_EQ(replica.position, history.all.back().end)
      << "the replica's coordinates are the source's";
}

TEST(DumpStream, FormatDescriptionIsTheFilesWithOurServerId) {
  History history;
  BuildTwoFiles(&history);
  auto stream = MustOpen(Served(&history), Having(BuilderSet(1, 10)));
  ModelReplica replica;
  Exhaust(*stream, &replica);
  std::string archived = ArchivedFormatDescription(history, "binlog.000001");
  ASSERT_FALSE(replica.format_descriptions.empty());
  std::string sent = replica.format_descriptions[0];
  ASSERT_EQ(sent.size(), archived.size());
  EXPECT_EQ(ReadEventHeader(AsBytes(sent).data()).server_id, kOurServerId);
  EXPECT_EQ(ReadEventHeader(AsBytes(sent).data()).log_pos,
            ReadEventHeader(AsBytes(archived).data()).log_pos);
  sent.replace(5, 4, archived, 5, 4);
  EXPECT_EQ(sent.substr(0, sent.size() - kChecksumSize),
            archived.substr(0, archived.size() - kChecksumSize));
}

// One file whose format description says that the server had just started, and is in use.
std::unique_ptr<History> StartedServersFile() {
  History parts;
  parts.BeginFile("binlog.000001");
  parts.AddMany(10);
  std::string bytes = parts.builder.FileBytes("binlog.000001");
  uint32_t size = ReadEventHeader(AsBytes(bytes).data() + kBinlogMagicSize).size;
  bytes.replace(kBinlogMagicSize + kCreatedOffset, 4, "\x01\x02\x03\x04");
  std::string checksum;
  ByteWriter(&checksum).U32(
      Crc32(0, AsBytes(bytes).subspan(kBinlogMagicSize, size - kChecksumSize)));
  bytes.replace(kBinlogMagicSize + size - kChecksumSize, kChecksumSize, checksum);
  bytes[kBinlogMagicSize + 17] = 1;  // set in place, without touching the checksum
  auto history = std::make_unique<History>();
  history->builder.AddWholeFile("binlog.000001", bytes);
  history->builder.Finish();
  return history;
}

uint32_t CreatedSentTo(const GtidSet& executed) {
  auto history = StartedServersFile();
  auto stream = MustOpen(Served(history.get()), Having(executed));
  ModelReplica replica;
  Exhaust(*stream, &replica);
  if (replica.format_descriptions.size() != 1) {
    ADD_FAILURE() << "format descriptions: " << replica.format_descriptions.size();
    return 0;
  }
  Bytes sent = AsBytes(replica.format_descriptions[0]);
  EXPECT_EQ(ReadEventHeader(sent.data()).flags & kEventFlagBinlogInUse, 0);
  return ParseFormatDescription(sent)->created;
}

TEST(DumpStream, CreatedIsKeptFromTheFilesBeginningOn) {
  EXPECT_EQ(CreatedSentTo({}), 0x04030201U);
}
TEST(DumpStream, CreatedIsClearedInMidFile) {
  EXPECT_EQ(CreatedSentTo(BuilderSet(1, 1)), 0U);
  EXPECT_EQ(CreatedSentTo(BuilderSet(5, 5)), 0U);
  EXPECT_EQ(CreatedSentTo(BuilderSet(1, 10)), 0U) << "nothing to send";
}

TEST(DumpStream, ReplicaInMidFileGetsTheRest) {
  History history;
  BuildTwoFiles(&history);
  auto stream = MustOpen(Served(&history), Having(BuilderSet(1, 37)));
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_TRUE(replica.transactions == BytesBetween(history, 37, 60));
  EXPECT_THAT(replica.files, ElementsAre("binlog.000002"));
  EXPECT_EQ(replica.position, history.all.back().end) << "passes what it was not sent";
}

TEST(DumpStream, NothingToSendIsTheLastFileAndHeartbeats) {
  History history;
  BuildTwoFiles(&history);
  auto stream = MustOpen(Served(&history), Having(BuilderSet(1, 60)));
  EXPECT_FALSE(stream->CanBeat()) << "it must name a file";
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_THAT(replica.files, ElementsAre("binlog.000002"));
  EXPECT_EQ(replica.format_descriptions.size(), 1U);
  EXPECT_TRUE(replica.transactions.empty());
  ASSERT_TRUE(stream->CanBeat());
  std::string out;
  stream->AppendHeartbeat(&out);
  stream->AppendHeartbeat(&out);
  replica.Take(out);
  EXPECT_GE(replica.heartbeats.size(), 2U);
  EXPECT_EQ(replica.position, history.all.back().end);
  // And what comes then goes on in the same file, without another Rotate.
  history.AddMany(3);
  history.builder.Publish();
  ASSERT_TRUE(stream->Refresh().ok());
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_EQ(replica.gtids, BuilderSet(61, 63));
  EXPECT_EQ(replica.files.size(), 1U);
  EXPECT_EQ(replica.position, history.all.back().end);
}

TEST(DumpStream, EmptyArchiveIsWaitedForInSilence) {
  History history;
  auto stream = MustOpen(Served(&history), Having(BuilderSet(1, 3)));
  ModelReplica replica;
  std::string out;
  EXPECT_EQ(*stream->Produce(1 << 20, &out), State::kCaughtUp);
  EXPECT_FALSE(stream->CanBeat());
  stream->AppendHeartbeat(&out);
  EXPECT_TRUE(out.empty());
  BuildTwoFiles(&history);
  ASSERT_TRUE(stream->Refresh().ok());
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_EQ(replica.gtids, BuilderSet(4, 60));
}

TEST(DumpStream, EmptyArchiveThatTurnsOutToBeginLaterIsAGap) {
  History history;
  auto stream = MustOpen(Served(&history), Having({}));
  std::string out;
  EXPECT_EQ(*stream->Produce(1 << 20, &out), State::kCaughtUp);
  history.builder.StartBehind(BuilderSet(1, 100));
  history.next = 101;
  BuildTwoFiles(&history);
  EXPECT_EQ(stream->Refresh().code(), Code::kGap);
}

TEST(DumpStream, FollowsAGrowingArchiveOverFiles) {
  History history;
  BuildTwoFiles(&history);
  auto stream = MustOpen(Served(&history), Having({}));
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  history.AddMany(5);
  history.builder.Publish();
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_EQ(replica.gtids, BuilderSet(1, 60)) << "not before Refresh";
  ASSERT_TRUE(stream->Refresh().ok());
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_EQ(replica.gtids, BuilderSet(1, 65));
  history.BeginFile("binlog.000003");
  history.AddMany(5);
  history.builder.Publish();
  ASSERT_TRUE(stream->Refresh().ok());
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_TRUE(replica.transactions == BytesBetween(history, 0, 70));
  EXPECT_EQ(replica.files.back(), "binlog.000003");
}

// Transactions 11 to 20 are missing.
void BuildWithGap(History* history) {
  history->BeginFile("binlog.000001");
  history->AddMany(10);
  history->Gap(10);
  history->BeginFile("binlog.000002");
  history->AddMany(10);
  history->builder.Publish();
}

TEST(DumpStream, GapThatTheReplicaLacksIsRefused) {
  History history;
  BuildWithGap(&history);
  Status refused = Refusal(Served(&history), Having(BuilderSet(1, 12)));
  EXPECT_EQ(refused.code(), Code::kGap);
  EXPECT_THAT(refused.message(), HasSubstr("purged required binary logs"));
  EXPECT_THAT(refused.message(),
              HasSubstr("the missing transactions are '" + BuilderSet(13, 20).ToString() + "'"));
  EXPECT_THAT(refused.message(),
              HasSubstr("sent by the replica is '" + BuilderSet(1, 12).ToString() + "'"));
  EXPECT_THAT(refused.hint(), HasSubstr("the source had purged them"));
  auto stream = MustOpen(Served(&history), Having(BuilderSet(11, 20)));
  ModelReplica replica;
  Exhaust(*stream, &replica);
  EXPECT_EQ(replica.gtids, BuilderSet(1, 10).Union(BuilderSet(21, 30)));
}

TEST(DumpStream, WhatIsBeforeTheArchiveMustBeThere) {
  History history;
  history.builder.StartBehind(BuilderSet(1, 100));
  history.next = 101;
  BuildTwoFiles(&history);
  EXPECT_EQ(Refusal(Served(&history), Having({})).code(), Code::kGap);
  EXPECT_EQ(Refusal(Served(&history), Having(BuilderSet(1, 99))).code(), Code::kGap);
  EXPECT_TRUE(Refusal(Served(&history), Having(BuilderSet(1, 100))).ok());
}

TEST(DumpStream, GapThatComesUpLaterEndsTheDump) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(10);
  history.builder.Publish();
  auto stream = MustOpen(Served(&history), Having({}));
  ReplicaRequest once_the_source = Having(BuilderSet(11, 20));
  once_the_source.uuid = BuilderUuid();
  auto has_them = MustOpen(Served(&history), once_the_source);
  history.Gap(10);
  history.BeginFile("binlog.000002");
  history.AddMany(10);
  history.builder.Publish();
  EXPECT_EQ(stream->Refresh().code(), Code::kGap);
  EXPECT_TRUE(has_them->Refresh().ok());
}

TEST(DumpStream, GapThatComesUpWhileTheArchivesBeginningGoesEndsTheDump) {
  History history;
  history.BeginFile("binlog.000001");
  for (int i = 0; i < 3; ++i) {
    history.AddMany(10);
    history.builder.Continue();
  }
  history.AddMany(10);
  history.builder.Publish();
  auto stream = MustOpen(Served(&history), Having({}));
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  history.Gap(10);
  history.BeginFile("binlog.000002");
  history.AddMany(10);
  history.builder.Publish();
  for (uint64_t number : {1, 2, 3}) {
    ASSERT_TRUE(history.builder.index().DropSegment("main", number).ok());
  }
  EXPECT_EQ(stream->Refresh().code(), Code::kGap);
}

TEST(DumpStream, ReplicaBeyondTheArchiveIsDivergent) {
  History history;
  BuildTwoFiles(&history);
  Status refused = Refusal(Served(&history), Having(BuilderSet(1, 61)));
  EXPECT_EQ(refused.code(), Code::kDivergence);
  EXPECT_THAT(refused.message(), HasSubstr("'" + BuilderSet(61, 61).ToString() + "'"));
  history.Add();  // it only lagged
  history.builder.Publish();
  EXPECT_TRUE(Refusal(Served(&history), Having(BuilderSet(1, 61))).ok());
}

TEST(DumpStream, TaggedTransactionsOfAnArchivedServerCountToo) {
  History history;
  BuildTwoFiles(&history);
  GtidSet executed;
  executed.Add(Tsid{BuilderUuid(), "tag"}, {1, 1});
  EXPECT_EQ(Refusal(Served(&history), Having(executed)).code(), Code::kDivergence);
}

TEST(DumpStream, ReplicasOwnAndStrangersTransactionsAreItsBusiness) {
  History history;
  BuildTwoFiles(&history);
  GtidSet executed = BuilderSet(1, 10);
  executed.Add(Tsid{kOtherUuid, ""}, {1, 99});
  EXPECT_TRUE(Refusal(Served(&history), Having(executed)).ok());
  ReplicaRequest once_a_source = Having(BuilderSet(1, 70));
  once_a_source.uuid = BuilderUuid();
  EXPECT_TRUE(Refusal(Served(&history), once_a_source).ok());
}

ServedSource UpTo(History* history, int64_t first_excluded) {
  ServedSource source = Served(history);
  auto view = history->Open();
  auto located = Locator(*view).FindGtid(BuilderGtid(first_excluded));
  EXPECT_TRUE(located.ok()) << located.error().message();
  source.stop_before = *located;
  source.boundary_set = BuilderSet(1, first_excluded - 1);
  return source;
}

TEST(DumpStream, EndsAtTheBoundaryForGood) {
  History history;
  BuildTwoFiles(&history);
  auto stream = MustOpen(UpTo(&history, 41), Having({}));
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kEnded);
  EXPECT_FALSE(replica.eof) << "a replica is kept by heartbeats";
  EXPECT_EQ(replica.gtids, BuilderSet(1, 40));
  EXPECT_TRUE(stream->CanBeat());
  history.AddMany(5);
  history.builder.Publish();
  ASSERT_TRUE(stream->Refresh().ok());
  EXPECT_EQ(Exhaust(*stream, &replica), State::kEnded);
  std::string out;
  stream->AppendHeartbeat(&out);
  replica.Take(out);
  EXPECT_EQ(replica.gtids, BuilderSet(1, 40));
  EXPECT_EQ(replica.position, history.all[40].begin);
}

TEST(DumpStream, NothingToSendBeforeTheBoundary) {
  History history;
  BuildTwoFiles(&history);
  auto stream = MustOpen(UpTo(&history, 11), Having(BuilderSet(1, 10)));
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kEnded);
  EXPECT_THAT(replica.files, ElementsAre("binlog.000001")) << "not the archive's last";
  EXPECT_EQ(replica.position, history.all[10].begin);
}

TEST(DumpStream, ReplicaBeyondTheBoundaryIsRefused) {
  History history;
  BuildTwoFiles(&history);
  Status refused = Refusal(UpTo(&history, 41), Having(BuilderSet(1, 45)));
  EXPECT_EQ(refused.code(), Code::kSourceRefused);
  EXPECT_THAT(refused.message(), HasSubstr("'" + BuilderSet(41, 45).ToString() + "'"));
}

TEST(DumpStream, GapBehindTheBoundaryDoesNotMatter) {
  History history;
  BuildWithGap(&history);
  auto stream = MustOpen(UpTo(&history, 10), Having({}));
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kEnded);
  EXPECT_EQ(replica.gtids, BuilderSet(1, 9));
}

TEST(DumpStream, SetAloneIsABoundaryToo) {
  History history;
  BuildTwoFiles(&history);
  ServedSource source = Served(&history);
  source.boundary_set = BuilderSet(1, 60);
  auto stream = MustOpen(source, Having(BuilderSet(1, 5)));
  history.AddMany(5);
  history.builder.Publish();
  ASSERT_TRUE(stream->Refresh().ok());
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kEnded);
  EXPECT_EQ(replica.gtids, BuilderSet(6, 60));
  source.boundary_set = BuilderSet(1, 70);
  EXPECT_EQ(Refusal(source, Having({})).code(), Code::kUnreachableTarget);
}

TEST(DumpStream, LeftOutIsNotSentAndNotMissed) {
  History history;
  BuildWithGap(&history);
  ServedSource source = Served(&history);
  source.leave_out = BuilderSet(5, 21);
  auto stream = MustOpen(source, Having({}));
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_EQ(replica.gtids, BuilderSet(1, 4).Union(BuilderSet(22, 30)));
}

TEST(DumpStream, NonBlockingReaderGetsAnEnd) {
  History history;
  BuildTwoFiles(&history);
  ReplicaRequest request = Having({});
  request.non_blocking = true;
  request.server_id = 0;
  request.sequence = 250;  // goes over 255
  auto stream = MustOpen(Served(&history), request);
  ModelReplica replica(250);
  EXPECT_EQ(Exhaust(*stream, &replica), State::kEnded);
  EXPECT_TRUE(replica.eof);
  EXPECT_EQ(replica.gtids, BuilderSet(1, 60));
  EXPECT_FALSE(stream->CanBeat());
  EXPECT_EQ(Exhaust(*stream, &replica), State::kEnded) << "and nothing after it";
}

TEST(DumpStream, NonBlockingReaderOfAnEmptyArchive) {
  History history;
  ReplicaRequest request = Having({});
  request.non_blocking = true;
  auto stream = MustOpen(Served(&history), request);
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kEnded);
  EXPECT_TRUE(replica.eof);
}

TEST(DumpStream, HeartbeatsOfBothVersions) {
  History history;
  BuildTwoFiles(&history);
  for (bool v2 : {false, true}) {
    ReplicaRequest request = Having(BuilderSet(1, 60));
    request.heartbeat_v2 = v2;
    auto stream = MustOpen(Served(&history), request);
    ModelReplica replica;
    Exhaust(*stream, &replica);
    std::string out;
    stream->AppendHeartbeat(&out);
    replica.Take(out);
    ASSERT_FALSE(replica.heartbeats.empty());
    EXPECT_EQ(replica.heartbeat_types.back(), v2 ? EventType::kHeartbeatV2 : EventType::kHeartbeat);
    EXPECT_EQ(replica.heartbeats.back().position, history.all.back().end);
    EXPECT_EQ(replica.heartbeats.back().file, "binlog.000002");
  }
}

// A heartbeat that goes further than the replica's own count makes it write a Rotate to its relay
// log: behind skipped transactions, but not inside the one that follows them.
TEST(DumpStream, HeartbeatsInsideATransactionDoNotGoFurther) {
  History history;
  BuildTwoFiles(&history);
  ServedSource source = Served(&history);
  source.leave_out = BuilderSet(61, 65);
  auto stream = MustOpen(source, Having({}));
  ModelReplica replica;
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  history.AddMany(5, {.row_bytes = 300'000});
  history.Add({.row_bytes = 8000, .events = 100});
  history.builder.Publish();
  ASSERT_TRUE(stream->Refresh().ok());
  for (State state = State::kMore; state == State::kMore;) {
    std::string out;
    state = *stream->Produce(1, &out);
    stream->AppendHeartbeat(&out);
    replica.Take(out);
  }
  EXPECT_EQ(replica.gtids, BuilderSet(1, 60).Union(BuilderSet(66, 66)));
  EXPECT_GT(replica.heartbeats.size(), 5U);
  EXPECT_EQ(replica.position, history.all.back().end);
}

TEST(DumpStream, EventsWithTheReplicasServerIdAreRefused) {
  History history;
  BuildTwoFiles(&history);
  ReplicaRequest request = Having({});
  request.server_id = kArchivedServerId;
  auto stream = MustOpen(Served(&history), request);
  ModelReplica replica;
  Status refused = RunToError(*stream, &replica);
  EXPECT_EQ(refused.code(), Code::kSourceRefused);
  EXPECT_EQ(replica.error, 1236);
  EXPECT_THAT(replica.error_message, HasSubstr("server id 7"));
  EXPECT_TRUE(replica.gtids.empty());
  // With nothing to send there is nothing to skip.
  request.executed = BuilderSet(1, 60);
  auto idle = MustOpen(Served(&history), request);
  ModelReplica idle_replica;
  EXPECT_EQ(Exhaust(*idle, &idle_replica), State::kCaughtUp);
}

TEST(DumpStream, ChecksumsThatTheClientDoesNotKnow) {
  History history;
  BuildTwoFiles(&history);
  ReplicaRequest request = Having({});
  request.knows_checksums = false;
  auto stream = MustOpen(Served(&history), request);
  ModelReplica replica(1, false);
  EXPECT_EQ(RunToError(*stream, &replica).code(), Code::kSourceRefused);
  EXPECT_EQ(replica.error, 1236);
}

TEST(DumpStream, ArchiveWithoutChecksums) {
  History history({.checksum = ChecksumAlgorithm::kOff});
  BuildTwoFiles(&history);
  for (bool knows : {false, true}) {
    ReplicaRequest request = Having({});
    request.knows_checksums = knows;
    auto stream = MustOpen(Served(&history), request);
    ModelReplica replica(1, knows);
    EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
    EXPECT_TRUE(replica.transactions == BytesBetween(history, 0, 60));
  }
}

TEST(DumpStream, FirstRotateWithoutChecksum) {  // as mysqlbinlog wants it
  History history;
  BuildTwoFiles(&history);
  ReplicaRequest request = Having({});
  request.first_checksum = ChecksumAlgorithm::kOff;
  auto stream = MustOpen(Served(&history), request);
  ModelReplica replica(1, false);
  EXPECT_EQ(Exhaust(*stream, &replica), State::kCaughtUp);
  EXPECT_THAT(replica.files, ElementsAre("binlog.000001", "binlog.000002"));
}

TEST(DumpStream, ProduceKeepsToItsLimit) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(400, {.row_bytes = 7000, .events = 3});
  history.Add({.row_bytes = 3'000'000});
  history.builder.Publish();
  auto stream = MustOpen(Served(&history), Having({}));
  ModelReplica replica;
  constexpr size_t kPieceBytes = 128 << 10;
  size_t largest = 0;
  for (State state = State::kMore; state == State::kMore;) {
    std::string out;
    state = *stream->Produce(1000, &out);
    largest = std::max(largest, out.size());
    replica.Take(out);
  }
  EXPECT_LE(largest, 1000 + kPieceBytes + (16U << 10) + 4096);
  EXPECT_EQ(replica.gtids, BuilderSet(1, 401));
}

TEST(DumpStream, InsideALongEventNothingElseIsSent) {
  History history;
  history.BeginFile("binlog.000001");
  history.Add({.row_bytes = 20'000'000});  // two packets
  history.builder.Publish();
  auto stream = MustOpen(Served(&history), Having({}));
  ModelReplica replica;
  int inside = 0;
  for (State state = State::kMore; state == State::kMore;) {
    std::string out;
    state = *stream->Produce(1, &out);
    replica.Take(out);
    EXPECT_EQ(stream->CanBeat(), replica.at_event_end() && !replica.files.empty());
    std::string error;
    if (!stream->CanBeat()) {
      EXPECT_FALSE(stream->AppendError(Status(Code::kInterrupted, "stop"), &error));
      ++inside;
    }
    EXPECT_TRUE(error.empty());
  }
  EXPECT_GT(inside, 0);
  EXPECT_EQ(replica.transactions, BytesBetween(history, 0, 1));
  std::string out;
  EXPECT_TRUE(stream->AppendError(Status(Code::kInterrupted, "stop"), &out));
  replica.Take(out);
  EXPECT_EQ(replica.error, 1053);
}

TEST(DumpStream, DamageIsTold) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(3000, {.row_bytes = 1000});
  history.builder.Finish();
  std::string path = history.builder.SegmentPath(1);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(0, std::ios::end);
    auto middle = static_cast<std::streamoff>(file.tellg()) / 2;
    file.seekp(middle);
    file.write("damage, plain to see", 20);
  }
  auto stream = MustOpen(Served(&history), Having({}));
  ModelReplica replica;
  Status damaged = RunToError(*stream, &replica);
  EXPECT_EQ(damaged.code(), Code::kCorruption) << damaged.message();
  EXPECT_EQ(replica.error, 1236);
  EXPECT_EQ(replica.transactions,
            BytesBetween(history, 0, 3000).substr(0, replica.transactions.size()));
}

uint16_t NumberOf(Code code) {
  std::string payload = DumpErrorPayload(Status(code, "why"));
  EXPECT_THAT(payload, HasSubstr("why"));
  return static_cast<uint16_t>(LoadLittleEndian(AsBytes(payload).data() + 1, 2));
}

TEST(DumpErrorPayload, OnlyWhatWillNotChangeStopsAReplicaForGood) {
  for (Code fatal : {Code::kGap, Code::kDivergence, Code::kSourceRefused, Code::kCorruption,
                     Code::kTruncated, Code::kUnsupportedFormat, Code::kUnreachableTarget}) {
    EXPECT_EQ(NumberOf(fatal), 1236) << CodeName(fatal);
  }
  for (Code transient : {Code::kIo, Code::kLocked, Code::kNotFound, Code::kDiskFull}) {
    EXPECT_EQ(NumberOf(transient), 1105) << CodeName(transient);
  }
  EXPECT_EQ(NumberOf(Code::kInterrupted), 1053);
}

GtidSet Holey(int64_t intervals) {
  GtidSet set;
  Tsid longest{kOtherUuid, std::string(kGtidTagBytesMax, 't')};
  for (int64_t i = 0; i < intervals; ++i) {
    int64_t first = kGnoMax - 10 * intervals + 10 * i;
    set.Add(longest, {first, first + 3});
  }
  return set;
}

TEST(Abridged, FitsWhateverTheSet) {
  EXPECT_EQ(Abridged({}, kAbridgedBytesMax), "");
  EXPECT_EQ(Abridged(BuilderSet(1, 5), kAbridgedBytesMax), BuilderSet(1, 5).ToString());
  EXPECT_EQ(Abridged(Holey(1), kAbridgedBytesMax), Holey(1).ToString());
  EXPECT_LE(Abridged(Holey(100'000), kAbridgedBytesMax).size(), kAbridgedBytesMax);
  EXPECT_THAT(Abridged(Holey(100'000), kAbridgedBytesMax), HasSubstr("400000 transactions"));
  GtidSet short_ones = BuilderSet(1, 1);
  for (int64_t i = 3; i < 1000; i += 2) short_ones.Add(BuilderGtid(i));
  EXPECT_LE(Abridged(short_ones, kAbridgedBytesMax).size(), kAbridgedBytesMax);
  EXPECT_THAT(Abridged(short_ones, kAbridgedBytesMax), HasSubstr(":1:3:5"));
}

TEST(CheckReplicaSet, MessagesOfHugeSetsAreNotCut) {
  Coverage coverage;
  coverage.end = Holey(10'000);
  ServedSource source;
  Status gap = CheckReplicaSet(coverage, {}, source, Having(BuilderSet(1, 5)));
  EXPECT_EQ(gap.code(), Code::kGap);
  EXPECT_LE(gap.message().size(), kErrorMessageBytesMax);
  coverage.end = BuilderSet(1, 5);
  coverage.archived = Holey(1000);
  coverage.end.Add(coverage.archived);
  GtidSet ahead = Holey(1000);
  for (int64_t i = 1; i < 1000; i += 2) ahead.Add(Tsid{kOtherUuid, "x"}, {i, i});
  Status divergent = CheckReplicaSet(coverage, {}, source, Having(ahead));
  EXPECT_EQ(divergent.code(), Code::kDivergence);
  EXPECT_LE(divergent.message().size(), kErrorMessageBytesMax);
}

// Any archive, replica, growth, buffer size and heartbeat: what is not there yet, in order, whole,
// and never a packet that a replica would stop at.
TEST(DumpStreamProperty, RandomReplicas) {
  std::mt19937_64 random(testing::TestSeed());
  auto up_to = [&random](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
  };
  for (int round = 0; round < 12; ++round) {
    History history(
        {.checksum = round % 4 == 3 ? ChecksumAlgorithm::kOff : ChecksumAlgorithm::kCrc32});
    int file = 1;
    history.BeginFile("binlog.1");
    GtidSet executed;
    for (int64_t pieces = up_to(3); pieces > 0; --pieces) {
      int64_t first = 1 + up_to(150);
      executed.Add(BuilderSet(first, first + up_to(60)));
    }
    ServedSource source = Served(&history);
    for (int64_t pieces = up_to(3); pieces > 0; --pieces) {
      source.leave_out.Add(BuilderGtid(200 + up_to(60)));
    }
    auto grow = [&](int count) {
      for (int i = 0; i < count; ++i) {
        if (up_to(20) == 0) history.BeginFile("binlog." + std::to_string(++file));
        if (up_to(20) == 0) history.builder.Continue();
        uint32_t size = static_cast<uint32_t>(up_to(up_to(9) == 0 ? 400'000 : 4000));
        history.Add({.row_bytes = size, .events = static_cast<uint32_t>(1 + up_to(5))});
      }
      history.builder.Publish();
    };
    grow(210);  // more than `executed` may have
    ReplicaRequest request = Having(executed);
    request.heartbeat_v2 = up_to(1) == 0;
    auto stream = MustOpen(source, request);
    ModelReplica replica;
    for (int growth = 0; growth < 4; ++growth) {
      for (State state = State::kMore; state == State::kMore;) {
        std::string out;
        auto produced = stream->Produce(static_cast<size_t>(up_to(300'000)), &out);
        ASSERT_TRUE(produced.ok()) << produced.error().message();
        state = *produced;
        if (up_to(2) == 0) stream->AppendHeartbeat(&out);
        replica.Take(out);
        ASSERT_FALSE(HasFatalFailure());
      }
      std::string expected;
      for (const KnownTransaction& known : history.all) {
        bool wanted = !executed.Contains(known.gtid) && !source.leave_out.Contains(known.gtid);
        if (wanted) expected += BytesOf(history, known);
      }
      ASSERT_TRUE(replica.transactions == expected);
      ASSERT_TRUE(stream->CanBeat());
      grow(static_cast<int>(up_to(10)));
      ASSERT_TRUE(stream->Refresh().ok());
    }
  }
}

}  // namespace
}  // namespace tidemark
