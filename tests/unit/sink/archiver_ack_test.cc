// The archiver as a semi-synchronous replica of a scripted source: never a word about what a power
// failure could take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.h"
#include "tests/support/seed.h"
#include "tests/unit/sink/archiver_life.h"

namespace tidemark {
namespace {

using testing::ArchiverTest;
using testing::CheckingListener;
using testing::FaultyFiles;
using testing::Life;
using testing::ModelServer;

ArchiverOptions SemiSyncOptions() {
  ArchiverOptions options;
  options.semi_sync = SemiSyncMode::kAuto;
  return options;
}

// Everything in front of the place, in the order of the server's files.
GtidSet Before(const ModelServer& server, const std::string& name, uint64_t position) {
  GtidSet set;
  for (const ModelServer::File& file : server.files) {
    for (const ModelServer::Transaction& transaction : file.transactions)
      if (file.name != name || transaction.end <= position) set.Add(transaction.gtid);
    if (file.name == name) return set;
  }
  ADD_FAILURE() << "acknowledged in " << name << ", which the server does not have";
  return set;
}

// What is acknowledged has been announced; that what is announced is on the disk, CheckingListener
// sees to.
void CheckAcks(Life& life, CheckingListener& listener, const ModelServer& server) {
  life.source().on_ack = [&listener, &server](const std::string& file, uint64_t position) {
    const GtidSet unsafe = Before(server, file, position).Minus(listener.announced());
    EXPECT_TRUE(unsafe.empty()) << file << ":" << position << " is acknowledged, and "
                                << unsafe.ToString() << " was not announced";
  };
}

bool AllAcknowledged(Life& life, const ModelServer& server) {
  return life.source().WaitForAck(server.files.back().name,
                                  server.files.back().transactions.back().end);
}

// They are counted after they are sent.
bool Answered(Life& life, uint64_t count) {
  return testing::WaitUntil([&] { return life.archiver().status().acks.answered == count; },
                            20'000);
}

TEST_F(ArchiverTest, AcknowledgesWhatIsPublishedUpToTheLast) {
  server_.Commit(5);
  server_.Rotate();
  server_.Commit({.ddl = "DROP TABLE t"});
  server_.Restart();
  server_.Commit({.events = 3});
  Life life(files_, listener_, server_, SemiSyncOptions());
  life.source().GrantSemiSync();
  CheckAcks(life, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  EXPECT_TRUE(AllAcknowledged(life, server_));
  EXPECT_TRUE(Answered(life, 7));
  const ArchiverStatus status = life.archiver().status();
  EXPECT_EQ(status.semi_sync, SemiSyncState::kOn);
  EXPECT_EQ(status.acks.wanted, 7u);
  EXPECT_GE(status.acks.sent, 1u);
  EXPECT_LE(status.acks.sent, 7u);
  ASSERT_TRUE(life.Stop().ok());
  testing::ExpectComplete(files_, server_);
}

TEST_F(ArchiverTest, NothingIsAcknowledgedWhileTheDiskIsBusyThenAllTogether) {
  server_.Commit(1);
  Life life(files_, listener_, server_, SemiSyncOptions());
  life.source().GrantSemiSync();
  CheckAcks(life, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(AllAcknowledged(life, server_));
  life.source().WaitForEnd();
  const size_t acks = life.source().acks().size();
  files_.HoldSyncs();
  {
    std::lock_guard lock(life.source().mutex());
    server_.Commit(100);
  }
  life.source().Break();
  files_.WaitForBlockedSync();
  life.source().WaitForUnanswered();
  EXPECT_EQ(life.source().acks().size(), acks + 1) << "more than where the archive ends";
  EXPECT_EQ(life.source().acks().back(),
            std::pair(server_.files[0].name, server_.files[0].transactions[0].end));
  files_.ReleaseSyncs();
  EXPECT_TRUE(AllAcknowledged(life, server_));
  // What one fdatasync held up, and the rest behind it.
  EXPECT_LE(life.source().acks().size(), acks + 3);
  EXPECT_TRUE(Answered(life, 101));
}

TEST_F(ArchiverTest, FailedSyncAcknowledgesNothingOfIt) {
  server_.Commit(1);
  Life life(files_, listener_, server_, SemiSyncOptions());
  life.source().GrantSemiSync();
  CheckAcks(life, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(AllAcknowledged(life, server_));
  life.source().WaitForEnd();
  files_.HoldSyncs();
  {
    std::lock_guard lock(life.source().mutex());
    server_.Commit(3);
  }
  life.source().Break();
  files_.WaitForBlockedSync();
  life.source().WaitForUnanswered();
  files_.Break({.at = 0, .count = UINT64_MAX, .code = Code::kIo});
  files_.ReleaseSyncs();
  ASSERT_TRUE(life.WaitForError(Code::kIo))
      << "who waits for the pipeline does not hear of its end";
  EXPECT_EQ(life.source().acks().back().second, server_.files[0].transactions[0].end);
  files_.Heal();
  EXPECT_TRUE(AllAcknowledged(life, server_));
  ASSERT_TRUE(life.Stop().ok());
  testing::ExpectFaithful(files_, server_);
}

TEST_F(ArchiverTest, RefusingListenerKeepsItFromBeingAcknowledged) {
  server_.Commit(1);
  Life life(files_, listener_, server_, SemiSyncOptions());
  life.source().GrantSemiSync();
  CheckAcks(life, listener_, server_);
  listener_.Refuse(true);
  ASSERT_TRUE(life.Start().ok());
  listener_.WaitForRefusal();
  ASSERT_TRUE(life.WaitForError(Code::kIo));
  EXPECT_TRUE(life.source().acks().empty());
  listener_.Refuse(false);
  EXPECT_TRUE(AllAcknowledged(life, server_));
}

TEST_F(ArchiverTest, LinkCutAtEachEventWhileAcknowledging) {
  server_.Commit({.events = 2});
  server_.Rotate();
  server_.Commit(2);
  server_.Restart();
  server_.Commit(1);
  const size_t events = server_.Dump({}).size();
  for (size_t cut = 0; cut < events; ++cut) {
    SCOPED_TRACE("cut at event " + std::to_string(cut));
    FaultyFiles files;
    CheckingListener listener(files);
    Life life(files, listener, server_, SemiSyncOptions());
    life.source().GrantSemiSync();
    life.source().CutAt(cut);
    CheckAcks(life, listener, server_);
    ASSERT_TRUE(life.Start().ok());
    EXPECT_TRUE(AllAcknowledged(life, server_));
    ASSERT_TRUE(life.Stop().ok());
    testing::ExpectComplete(files, server_);
  }
}

TEST_F(ArchiverTest, DiskThatFailsAtAnyMomentMakesNoAcknowledgementUntrue) {
  const auto seed = static_cast<uint32_t>(testing::TestSeed());
  std::minstd_rand random(seed);
  for (int round = 0; round < 60; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", round " + std::to_string(round));
    FaultyFiles files;
    CheckingListener listener(files);
    ModelServer server;
    for (int i = 0; i < 3; ++i) {
      server.Commit(static_cast<int>(random() % 6));
      if (random() % 2 == 0) server.Rotate();
    }
    server.Commit(2);
    ArchiverOptions options = SemiSyncOptions();
    options.limits.segment_raw_bytes_max = 200 + random() % 2000;  // sealed in between, too
    Life life(files, listener, server, options);
    life.source().GrantSemiSync();
    CheckAcks(life, listener, server);
    files.Break({.at = random() % 30, .count = 1 + random() % 3, .code = Code::kIo});
    life.source().CutAt(random() % 60);
    Status started = life.Start();
    while (!started.ok()) started = life.Start();
    EXPECT_TRUE(AllAcknowledged(life, server));
    files.Heal();  // what is left of the fault may as well be stopping's
    ASSERT_TRUE(life.Stop().ok());
    testing::ExpectFaithful(files, server);
  }
}

TEST_F(ArchiverTest, AskedInsideATransactionItAnswersAtItsEnd) {
  server_.Commit({.events = 4});
  server_.Commit({.events = 4});
  Life life(files_, listener_, server_, SemiSyncOptions());
  life.source().GrantSemiSync([](const std::string&) { return true; });  // the sender's own, too
  CheckAcks(life, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  EXPECT_TRUE(AllAcknowledged(life, server_));
  ASSERT_TRUE(life.Stop().ok());
  for (const auto& [file, position] : life.source().acks()) {
    const auto& transactions = server_.files[0].transactions;
    EXPECT_TRUE(position == transactions[0].end || position == transactions[1].end) << position;
  }
}

TEST_F(ArchiverTest, SourceWithoutThePluginIsArchivedAsynchronously) {
  server_.Commit(3);
  Life life(files_, listener_, server_, SemiSyncOptions());
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  life.source().WaitForEnd();
  EXPECT_EQ(life.archiver().status().semi_sync, SemiSyncState::kUnavailable);
  EXPECT_TRUE(life.source().acks().empty());
}

TEST_F(ArchiverTest, NotAskedToItIsNoSemiSyncReplica) {
  server_.Commit(3);
  Life life(files_, listener_, server_);
  life.source().GrantSemiSync();
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  life.source().WaitForEnd();
  EXPECT_EQ(life.archiver().status().semi_sync, SemiSyncState::kOff);
  EXPECT_FALSE(life.source().requests().back().semi_sync);
  EXPECT_TRUE(life.source().acks().empty());
}

TEST_F(ArchiverTest, SourceThatStopsAskingIsSaidNotToWait) {
  server_.Commit(1);
  std::atomic<bool> asks = true;
  Life life(files_, listener_, server_, SemiSyncOptions());
  // As if each one were committed right after the dump has begun.
  life.source().on_facts = [&](SourceFacts* facts) {
    facts->gtid_owned.Add(server_.files.back().transactions.back().gtid);
    facts->gtid_executed.Subtract(facts->gtid_owned);
  };
  life.source().GrantSemiSync([&](const std::string&) { return asks.load(); });
  const auto becomes = [&](SemiSyncState state) {
    return testing::WaitUntil([&] { return life.archiver().status().semi_sync == state; }, 20'000);
  };
  ASSERT_TRUE(life.Start().ok());
  EXPECT_TRUE(becomes(SemiSyncState::kOn));
  for (const bool asking : {false, true}) {
    asks = asking;
    {
      std::lock_guard lock(life.source().mutex());
      server_.Commit(1);
    }
    life.source().Break();
    EXPECT_TRUE(becomes(asking ? SemiSyncState::kOn : SemiSyncState::kNotWaiting));
    ASSERT_TRUE(listener_.WaitFor(server_.executed));
  }
}

TEST_F(ArchiverTest, AnIdleSourceIsAskedOnceWhetherItsCommitsHeardUs) {
  server_.Commit(1);
  std::atomic<int> asked = 0;
  Life life(files_, listener_, server_, SemiSyncOptions());
  life.source().GrantSemiSync();
  life.source().commits_wait = [&] { return ++asked < 0; };
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(testing::WaitUntil([&] { return asked == 1; }, 20'000));
  life.source().WaitForEnd();
  ASSERT_TRUE(life.Stop().ok());
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(life.source().acks().size(), 1u) << "said again, it could complete a damaged one";
  EXPECT_EQ(life.source().requests().size(), 1u);
}

// Two times: more would not help commits that wait for another replica.
TEST_F(ArchiverTest, CommitsThatWaitForWhatWasAcknowledgedGetAnotherDumpTwoTimes) {
  server_.Commit(1);
  std::atomic<int> asked = 0;
  Life life(files_, listener_, server_, SemiSyncOptions());
  life.source().GrantSemiSync();
  life.source().commits_wait = [&] { return ++asked > 0; };
  ASSERT_TRUE(life.Start().ok());
  const auto dumps = [&] { return life.source().requests().size(); };
  ASSERT_TRUE(testing::WaitUntil([&] { return dumps() == 3; }, 20'000));
  const int asked_before = asked;
  for (int heartbeat = 0; heartbeat < 20; ++heartbeat) life.source().WaitForEnd();
  EXPECT_EQ(dumps(), 3u);
  EXPECT_EQ(asked, asked_before);
  // The next commit that asks counts anew.
  {
    std::lock_guard lock(life.source().mutex());
    server_.Commit(1);
  }
  life.source().Break();
  EXPECT_TRUE(testing::WaitUntil([&] { return dumps() == 6; }, 20'000));
}

}  // namespace
}  // namespace tidemark
