// The archiver on a scripted source: what it archives, where it goes on, what it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replication/sink/source_archiver.h"
#include "tests/support/process.h"
#include "tests/unit/sink/archiver_life.h"

namespace tidemark {
namespace {

using testing::ArchiverTest;
using testing::BuilderSet;
using testing::CheckingListener;
using testing::FaultyFiles;
using ::testing::HasSubstr;
using testing::Life;
using testing::ModelServer;
using testing::ReadArchive;

TEST_F(ArchiverTest, ArchivesTheServersFilesByteForByteAndSealsOnStop) {
  server_.Commit(5);
  server_.Rotate();
  server_.Rotate();
  server_.Commit(5);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  ASSERT_TRUE(life.Stop().ok());
  testing::ExpectComplete(files_, server_);
  EXPECT_EQ(life.archiver().status().state, ArchiverState::kStopped);
}

TEST_F(ArchiverTest, DumpEndedByAnOrderlyShutdownIsOneMoreBrokenLink) {
  server_.Commit(1);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  life.source().WaitForEnd();
  {
    std::lock_guard lock(life.source().mutex());
    server_.Restart();
    server_.Commit(1);
  }
  life.source().EndDump();
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  ASSERT_TRUE(life.Stop().ok());
  testing::ExpectComplete(files_, server_);
  // The open segment stayed open.
  EXPECT_EQ(ReadArchive(files_)[0].raw, server_.files[0].bytes);
}

TEST_F(ArchiverTest, OnceEndsWithTheSource) {
  server_.Commit(5);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  server_.Commit(5);
  server_.Rotate();
  server_.Commit(5);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  testing::ExpectComplete(files_, server_);
  EXPECT_EQ(listener_.announced(), server_.executed);
}

TEST_F(ArchiverTest, LinkBrokenAtEachEvent) {
  server_.Commit({.events = 2});
  server_.Rotate();
  server_.Rotate();
  server_.Commit({.ddl = "DROP TABLE t"});
  server_.Restart();
  server_.Commit(2);
  const size_t events = server_.Dump({}).size();
  for (size_t cut = 0; cut <= events; ++cut) {
    SCOPED_TRACE("cut at event " + std::to_string(cut));
    FaultyFiles files;
    CheckingListener listener(files);
    Life life(files, listener, server_);
    life.source().CutAt(cut);
    ASSERT_TRUE(life.Start().ok());
    if (cut == events) {
      life.source().WaitForEnd();
      life.source().Break();
    }
    ASSERT_TRUE(listener.WaitFor(server_.executed));
    life.source().WaitForEnd();
    ASSERT_TRUE(life.Stop().ok());
    testing::ExpectComplete(files, server_);
    EXPECT_GE(life.source().requests().size(), cut == events ? 1u : 2u);
  }
}

TEST_F(ArchiverTest, WhatTheListenerRefusedIsAnnouncedLater) {
  for (const bool across_segments : {false, true}) {
    SCOPED_TRACE(across_segments);
    FaultyFiles files;
    CheckingListener listener(files);
    ModelServer server;
    server.Commit(2);
    Life life(files, listener, server);
    ASSERT_TRUE(life.Start().ok());
    ASSERT_TRUE(listener.WaitFor(server.executed));
    life.source().WaitForEnd();
    listener.Refuse(true);
    {
      std::lock_guard lock(life.source().mutex());
      server.Commit(2);
      if (across_segments) {
        server.Rotate();
        server.Commit(1);
        server.Rotate();
      }
      server.Commit(1);
    }
    life.source().Break();
    listener.WaitForRefusal();
    // What is durable already is not on the wire again: only the archive can tell the listener.
    ASSERT_TRUE(life.WaitForError(Code::kIo));
    listener.Refuse(false);
    EXPECT_TRUE(listener.WaitFor(server.executed));
    ASSERT_TRUE(life.Stop().ok());
    EXPECT_TRUE(listener.last().sealed);
    testing::ExpectComplete(files, server);
  }
}

TEST_F(ArchiverTest, FailureIsNoticedWhileTheSourceIsIdle) {
  server_.Commit(1);
  Life life(files_, listener_, server_);
  listener_.Refuse(true);
  ASSERT_TRUE(life.Start().ok());
  listener_.WaitForRefusal();
  ASSERT_TRUE(life.WaitForError(Code::kIo));
  listener_.Refuse(false);
  EXPECT_TRUE(listener_.WaitFor(server_.executed));
  EXPECT_TRUE(life.Stop().ok());
}

TEST_F(ArchiverTest, StopWhileTheRingIsFull) {
  server_.Commit({.row_bytes = 1 << 20});
  server_.Commit({.row_bytes = 1 << 20});
  ArchiverOptions options;
  options.pipeline.ring_bytes = 4096;
  Life life(files_, listener_, server_, options);
  ASSERT_TRUE(life.archiver().Prepare().ok());
  files_.HoldSyncs();
  std::thread runner([&] { EXPECT_TRUE(life.archiver().Run().ok()); });
  files_.WaitForBlockedSync();
  life.archiver().Stop();
  files_.ReleaseSyncs();
  runner.join();
  testing::ExpectFaithful(files_, server_);
}

TEST_F(ArchiverTest, StopInsideATransactionCutsItOff) {
  server_.Commit(1);
  server_.Commit({.events = 3});
  Life life(files_, listener_, server_);
  life.source().CutAt(11);  // inside the second one
  life.source().FailConnect(OkStatus());
  ASSERT_TRUE(life.Once().code() == Code::kSourceUnavailable);
  EXPECT_EQ(listener_.announced(), BuilderSet(1, 1));
  testing::ExpectFaithful(files_, server_);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  testing::ExpectComplete(files_, server_);
}

TEST_F(ArchiverTest, GoesOnInTheFileWhereItStopped) {
  server_.Commit(1);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  const uint64_t last = server_.files[0].transactions[0].begin;  // which is compared once more
  // By GTID alone the source would begin in the newest file: the old one's end and the empty one
  // would be lost.
  server_.Rotate();
  server_.Rotate();
  server_.Commit(1);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Once().ok());
  ASSERT_EQ(life.source().requests().size(), 1u);
  EXPECT_EQ(life.source().requests()[0].file, "binlog.000001");
  EXPECT_EQ(life.source().requests()[0].position, last);
  EXPECT_FALSE(life.source().requests()[0].by_position);
  testing::ExpectComplete(files_, server_);
}

TEST_F(ArchiverTest, FileThatTheSourceHasPurgedIsNotAskedFor) {
  server_.Commit(1);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  server_.Rotate();
  server_.Commit(1);
  server_.PurgeFirstFile();
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Once().ok());
  EXPECT_EQ(life.source().requests()[0].file, "");
  testing::ExpectFaithful(files_, server_);
  EXPECT_EQ(listener_.announced(), server_.executed);
}

TEST_F(ArchiverTest, RewoundSourceIsADivergenceAndNothingIsMixed) {
  server_.Commit(5);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  ModelServer rewound;
  rewound.Commit(3);
  Life life(files_, listener_, rewound);
  const Status status = life.Once();
  EXPECT_EQ(status.code(), Code::kDivergence);
  EXPECT_THAT(status.message(), HasSubstr(BuilderSet(4, 5).ToString()));
  testing::ExpectComplete(files_, server_);
}

TEST_F(ArchiverTest, ShorterFileIsADivergence) {
  server_.Commit(5);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  ModelServer reset;  // the same GTIDs are said to be there, in other files
  reset.executed = server_.executed;
  const Status status = Life(files_, listener_, reset).Once();
  EXPECT_EQ(status.code(), Code::kDivergence);
  EXPECT_THAT(status.message(), HasSubstr("binlog.000001"));
}

TEST_F(ArchiverTest, SourceWhoseFilesAreAllOlderThanOursIsADivergence) {
  server_.Commit(1);
  server_.Rotate();
  server_.Commit(1);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  ModelServer reset;  // the same GTIDs, all in its first file
  reset.Commit(2);
  const Status status = Life(files_, listener_, reset).Once();
  EXPECT_EQ(status.code(), Code::kDivergence);
  EXPECT_THAT(status.message(), HasSubstr("binlog.000002"));
}

TEST_F(ArchiverTest, TransactionsStillBeingCommittedAreNoDivergence) {
  server_.Commit(5);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  server_.executed = BuilderSet(1, 4);
  server_.owned = BuilderSet(5, 5);
  EXPECT_TRUE(Life(files_, listener_, server_).Once().ok());
}

TEST_F(ArchiverTest, PurgedTransactionsAreRefusedUnlessAdopted) {
  server_.Commit(3);
  server_.Rotate();
  server_.Commit(2);
  server_.PurgeFirstFile();
  const Status status = Life(files_, listener_, server_).Once();
  EXPECT_EQ(status.code(), Code::kGap);
  EXPECT_THAT(status.message(), HasSubstr(BuilderSet(1, 3).ToString()));
  EXPECT_TRUE(ReadArchive(files_).empty());

  ArchiverOptions options;
  options.adopt_purged = true;
  ASSERT_TRUE(Life(files_, listener_, server_, options).Once().ok());
  const auto segments = ReadArchive(files_);
  ASSERT_EQ(segments.size(), 1u);
  EXPECT_EQ(segments[0].header.gap.missing, BuilderSet(1, 3));
  EXPECT_EQ(segments[0].raw, server_.files[0].bytes);
}

// It is told at once, although nothing records it before something is archived behind it.
TEST_F(ArchiverTest, AdoptedGapIsInTheStatusUntilASegmentRecordsIt) {
  server_.Commit(3);
  server_.Rotate();
  server_.PurgeFirstFile();
  ArchiverOptions options;
  options.adopt_purged = true;
  Life life(files_, listener_, server_, options);
  ASSERT_TRUE(life.Start().ok());
  life.source().WaitForEnd();
  EXPECT_EQ(life.archiver().status().gap_ahead.missing, BuilderSet(1, 3));
  EXPECT_THAT(life.archiver().status().gap_ahead.reason, HasSubstr("adopt_purged"));
  {
    std::lock_guard lock(life.source().mutex());
    server_.Commit(1);
  }
  life.source().Break();
  ASSERT_TRUE(listener_.WaitFor(BuilderSet(4, 4)));
  EXPECT_TRUE(life.archiver().status().gap_ahead.missing.empty());
  ASSERT_TRUE(life.Stop().ok());
  EXPECT_EQ(ReadArchive(files_).back().header.gap.missing, BuilderSet(1, 3));
}

TEST_F(ArchiverTest, WhatNoSegmentRecordsAsAGapIsTakenFromAServerThatHasIt) {
  server_.Commit(2);
  ModelServer replica(*Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002"));
  replica.Commit(6);
  ArchiverOptions options;
  options.adopt_purged = true;
  ASSERT_TRUE(Life(files_, listener_, server_, options).Once().ok());
  server_.Rotate();
  server_.Commit(3);
  server_.Rotate();
  server_.PurgeFirstFile();
  server_.PurgeFirstFile();
  Life life(files_, listener_, server_, options);
  ASSERT_TRUE(life.Start().ok());
  life.source().WaitForEnd();
  ASSERT_EQ(life.archiver().status().gap_ahead.missing, BuilderSet(3, 5));
  {
    std::lock_guard lock(life.source().mutex());
    server_ = std::move(replica);
  }
  life.source().Break();
  ASSERT_TRUE(listener_.WaitFor(BuilderSet(1, 6)));
  ASSERT_TRUE(life.Stop().ok());
  for (const auto& segment : ReadArchive(files_)) EXPECT_TRUE(segment.header.gap.missing.empty());
}

// The archive does not have it either. A source refuses who claims transactions of its own UUID
// that it never had.
TEST_F(ArchiverTest, SourceThatLacksOnlyWhatIsARecordedGapIsNoDivergence) {
  server_.Commit(3);
  server_.Rotate();
  server_.Commit(2);
  server_.PurgeFirstFile();
  GtidSet others;
  others.Add({*Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002"), ""}, {1, 7});
  server_.purged.Add(others);
  server_.executed.Add(others);
  ArchiverOptions options;
  options.adopt_purged = true;
  ASSERT_TRUE(Life(files_, listener_, server_, options).Once().ok());

  server_.executed = BuilderSet(2, 5);
  server_.purged = BuilderSet(2, 3);
  server_.Commit(1);
  Life life(files_, listener_, server_, options);
  const Status archived = life.Once();
  EXPECT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(life.source().requests().back().exclude, BuilderSet(2, 4).Union(others));
  EXPECT_EQ(ReadArchive(files_).back().footer.gtids, BuilderSet(6, 6));
  EXPECT_TRUE(ReadArchive(files_).back().header.gap.missing.empty());

  server_.executed = BuilderSet(2, 4).Union(BuilderSet(6, 6));
  const Status lost = Life(files_, listener_, server_, options).Once();
  EXPECT_EQ(lost.code(), Code::kDivergence);
  EXPECT_THAT(lost.message(), HasSubstr("does not have: " + BuilderSet(5, 5).ToString()));
}

TEST_F(ArchiverTest, SourceThatMakesAnotherTransactionInAGapsNameIsADivergence) {
  server_.Commit(3);
  server_.Rotate();
  server_.Commit(2);
  server_.PurgeFirstFile();
  ArchiverOptions options;
  options.adopt_purged = true;
  ASSERT_TRUE(Life(files_, listener_, server_, options).Once().ok());
  server_.executed = BuilderSet(2, 5);
  server_.purged = BuilderSet(2, 3);
  Life life(files_, listener_, server_, options);
  ASSERT_TRUE(life.Start().ok());
  life.source().WaitForEnd();
  {
    std::lock_guard lock(life.source().mutex());
    server_.last_number = 0;
    server_.Commit(1);
    server_.executed = BuilderSet(2, 5);  // it comes before it counts
  }
  life.source().Break();
  EXPECT_TRUE(life.WaitForError(Code::kDivergence));
}

TEST_F(ArchiverTest, OldSegmentIsSealedAtAHeartbeat) {
  server_.Commit(1);
  ArchiverOptions options;
  options.limits.segment_age_us_max = 0;
  Life life(files_, listener_, server_, options);
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  EXPECT_TRUE(testing::WaitUntil([&] { return listener_.last().sealed; }));
  ASSERT_TRUE(life.Stop().ok());
  EXPECT_EQ(ReadArchive(files_)[0].footer.reason, SealReason::kAge);
}

TEST_F(ArchiverTest, StopWhileWaitingToTryAgain) {
  Life life(files_, listener_, server_);
  life.source().FailConnect(Status(Code::kSourceRefused, "wrong password"));
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(life.WaitForError(Code::kSourceRefused));
  EXPECT_TRUE(life.Stop().ok());
}

TEST_F(ArchiverTest, EachServerIsRemembered) {
  server_.Commit(1);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  ModelServer promoted;
  promoted.uuid.bytes[0] ^= 1;
  promoted.Commit(2);
  ASSERT_TRUE(Life(files_, listener_, promoted).Once().ok());
  ArchiveDirectory archive(files_, testing::kArchive);
  EXPECT_THAT(archive.ReadIdentity(testing::kSource)->server_uuids,
              ::testing::ElementsAre(server_.uuid, promoted.uuid));
  const auto segments = ReadArchive(files_);
  ASSERT_EQ(segments.size(), 2u);
  EXPECT_EQ(segments[1].header.server_uuid, promoted.uuid);
}

TEST_F(ArchiverTest, SourceIsToldWhatIsArchivedBeforeItIsConnectedAndWhileItIsIdle) {
  server_.Commit(3);
  {
    Life life(files_, listener_, server_);
    ASSERT_TRUE(life.Start().ok());
    const std::pair<GtidSet, std::optional<Uuid>> all{server_.executed, server_.uuid};
    EXPECT_TRUE(testing::WaitUntil([&] { return life.source().noted() == all; }));
    ASSERT_TRUE(life.Stop().ok());
  }
  Life life(files_, listener_, server_);
  life.source().FailConnect(Status(Code::kSourceUnavailable, "no primary among the hosts"));
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(life.WaitForError(Code::kSourceUnavailable));
  EXPECT_EQ(life.source().noted().first, server_.executed);
  EXPECT_EQ(life.source().noted().second, server_.uuid);
  ASSERT_TRUE(life.Stop().ok());
}

// The primary crashes behind a rotation, without what it had not synced: the end of the file
// before. Afterwards it gives the same GTIDs to other transactions.
TEST_F(ArchiverTest, FileThatLostItsEndIsADivergenceAlsoWhereWeAreAtTheBeginOfTheNext) {
  server_.Commit(5);
  server_.Rotate();
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  life.source().WaitForEnd();
  ASSERT_TRUE(listener_.WaitFor(BuilderSet(1, 5)));
  {
    std::lock_guard lock(life.source().mutex());
    server_.files.pop_back();
    ModelServer::File& file = server_.files.back();
    file.bytes.resize(file.transactions.back().begin);
    file.transactions.pop_back();
    server_.last_number = 4;
    server_.executed = BuilderSet(1, 4);
    server_.NextFile();
    server_.Commit(3);
  }
  life.source().Break();
  EXPECT_TRUE(life.WaitForError(Code::kDivergence));
  EXPECT_EQ(listener_.announced(), BuilderSet(1, 5));
  ASSERT_TRUE(life.Stop().ok());
}

}  // namespace
}  // namespace tidemark
