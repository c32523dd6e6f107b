// The archiver on a scripted source and a file system that can fail, tear and lose what was not synced.
#include "replication/sink/source_archiver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <random>
#include <thread>

#include "tests/support/process.h"
#include "tests/support/seed.h"
#include "tests/unit/sink/sink_fixture.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using testing::BuilderSet;
using testing::CheckingListener;
using testing::FaultyFiles;
using testing::ModelServer;
using testing::ModelSource;
using testing::ReadArchive;

// One daemon's life on an archive; what was announced survives it in `listener`.
class Life {
 public:
  Life(FaultyFiles& files, CheckingListener& listener, ModelServer& server, ArchiverOptions options = {})
      : archive_(files, testing::kArchive) {
    options.source = testing::kSource;
    options.server_id = 9;
    options.backoff_us_min = 1;
    options.backoff_us_max = 100;
    auto source = std::make_unique<ModelSource>(server);
    source_ = source.get();
    archiver_ = std::make_unique<SourceArchiver>(archive_, std::move(source), SystemClock(), listener, options);
  }
  ~Life() { (void)Stop(); }

  Status Start() {
    TM_RETURN_IF_ERROR(archiver_->Prepare());
    thread_ = std::thread([this] { result_ = archiver_->Run(); });
    return OkStatus();
  }
  Status Stop() {
    if (!thread_.joinable()) return OkStatus();
    archiver_->Stop();
    thread_.join();
    return result_;
  }
  Status Once() {
    TM_RETURN_IF_ERROR(archiver_->Prepare());
    return archiver_->RunOnce();
  }
  // False after a while.
  bool WaitForError(Code code) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (archiver_->status().last_error.code() != code) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }
  ModelSource& source() { return *source_; }
  SourceArchiver& archiver() { return *archiver_; }

 private:
  ArchiveDirectory archive_;
  ModelSource* source_ = nullptr;
  std::unique_ptr<SourceArchiver> archiver_;
  std::thread thread_;
  Status result_;
};

// Transactions, long ones, DDL; rotations, restarts, files without transactions.
void Grow(ModelServer& server, std::mt19937_64& random, int steps) {
  for (int i = 0; i < steps; ++i) {
    switch (random() % 12) {
      case 0: server.Rotate(); break;
      case 1: server.Restart(); break;
      case 2: server.Commit({.row_bytes = static_cast<uint32_t>(random() % 3000), .events = 8}); break;
      case 3: server.Commit({.ddl = "CREATE TABLE t (a INT)"}); break;
      default: server.Commit({.row_bytes = static_cast<uint32_t>(random() % 100)});
    }
  }
}

ArchiverOptions SmallPieces(std::mt19937_64& random) {
  ArchiverOptions options;
  options.pipeline.ring_bytes = 64 << (random() % 10);
  options.pipeline.batch_raw_bytes = 16 << (random() % 10);
  options.pipeline.batches_max = 1 + random() % 4;
  options.limits.segment_raw_bytes_max = 1024 << (random() % 8);
  return options;
}

class ArchiverTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { spdlog::set_level(spdlog::level::off); }
  FaultyFiles files_;
  CheckingListener listener_{files_};
  ModelServer server_;
};

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

TEST_F(ArchiverTest, LinkBrokenOftenAndAnywhere) {
  const uint64_t seed = testing::TestSeed();
  for (uint64_t round = 0; round < 100; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::mt19937_64 random(seed + round);
    ModelServer server;
    (void)server.Commit();  // the source would not send files in front of the first transaction
    Grow(server, random, 40);
    (void)server.Commit();
    FaultyFiles files;
    CheckingListener listener(files);
    Life life(files, listener, server, SmallPieces(random));
    for (int i = 0; i < 30; ++i) life.source().CutAt(random() % 400);
    ASSERT_TRUE(life.Start().ok());
    ASSERT_TRUE(listener.WaitFor(server.executed));
    ASSERT_TRUE(life.Stop().ok());
    testing::ExpectComplete(files, server);
    if (HasFailure()) break;
  }
}

// What a power failure leaves at some moment: what was synced, and of the rest as much as the disk liked.
void TearInto(const FaultyFiles& files, MemoryFileSystem& memory, std::mt19937_64& random, MemoryFileSystem* torn) {
  const std::string directory = std::string(testing::kArchive) + "/" + testing::kSource;
  torn->Put(directory + "/identity", memory.Contents(directory + "/identity"));
  auto names = memory.List(directory + "/segments");
  ASSERT_TRUE(names.ok());
  EXPECT_TRUE(torn->CreateDirectories(directory + "/segments").ok());
  for (const std::string& name : *names) {
    const std::string path = directory + "/segments/" + name;
    std::string bytes = files.OnDisk(path);
    const std::string all = memory.Contents(path);
    const bool last = name == names->back();
    if (bytes.empty() && (!last || random() % 2 == 0)) return;  // the name was not durable, nor are later ones
    if (!last && all.size() > bytes.size()) return torn->Put(path, bytes);
    if (all.size() > bytes.size()) bytes += all.substr(bytes.size(), random() % (all.size() - bytes.size() + 1));
    // Blocks that were allocated and never written: garbage from before, or zeros; at most as long as the file was.
    if (last && files.OnDisk(path).size() > 0)
      for (uint64_t garbage = random() % 40; garbage > 0 && bytes.size() < all.size(); --garbage)
        bytes += static_cast<char>(random());
    if (last && bytes.size() < all.size()) bytes.append(random() % (all.size() - bytes.size() + 1), '\0');
    torn->Put(path, bytes);
  }
}

TEST_F(ArchiverTest, WhateverWasAnnouncedSurvivesAPowerFailureAtAnyMoment) {
  const uint64_t seed = testing::TestSeed();
  for (uint64_t round = 0; round < 300 && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::mt19937_64 random(seed + round);
    ModelServer server;
    Grow(server, random, 60);
    FaultyFiles files;
    CheckingListener listener(files);
    Life life(files, listener, server, SmallPieces(random));
    for (int i = 0; i < 5; ++i) life.source().CutAt(random() % 400);
    ASSERT_TRUE(life.Start().ok());
    for (int moment = 0; moment < 4; ++moment) {
      // Some way on, which is another moment each time.
      const uint64_t batches = listener.batches() + random() % 4;
      for (int spins = 0; spins < 20000 && listener.batches() < batches; ++spins) std::this_thread::yield();
      const GtidSet announced = listener.announced();  // before looking at the disk
      MemoryFileSystem torn;
      TearInto(files, files.memory(), random, &torn);
      ArchiveDirectory archive(torn, testing::kArchive);
      auto recovery = RecoverSource(archive, SystemClock(), testing::kSource);
      ASSERT_TRUE(recovery.ok()) << recovery.error().message();
      const GtidSet& executed = recovery->resume.executed;
      EXPECT_TRUE(announced.Minus(executed).empty())
          << "announced " << announced.ToString() << ", recovered " << executed.ToString();
      EXPECT_EQ(executed, BuilderSet(1, static_cast<int64_t>(executed.Count())));
      testing::ExpectFaithful(torn, server);
      auto again = RecoverSource(archive, SystemClock(), testing::kSource);
      ASSERT_TRUE(again.ok());
      EXPECT_EQ(again->resume.executed, executed);
      EXPECT_FALSE(again->sealed.has_value());
    }
    ASSERT_TRUE(life.Stop().ok());
  }
}

TEST_F(ArchiverTest, PowerFailureThenASecondLifeCompletesTheArchive) {
  const uint64_t seed = testing::TestSeed();
  for (uint64_t round = 0; round < 100 && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::mt19937_64 random(seed + round);
    ModelServer server;
    (void)server.Commit();
    Grow(server, random, 40);
    FaultyFiles files;
    CheckingListener listener(files);
    MemoryFileSystem torn;
    {
      Life life(files, listener, server, SmallPieces(random));
      ASSERT_TRUE(life.Start().ok());
      const uint64_t batches = random() % 8;
      for (int spins = 0; spins < 20000 && listener.batches() < batches; ++spins) std::this_thread::yield();
      TearInto(files, files.memory(), random, &torn);
    }
    Grow(server, random, 10);
    (void)server.Commit();
    FaultyFiles second;
    CheckingListener heard(second);
    const std::string directory = std::string(testing::kArchive) + "/" + testing::kSource;
    ASSERT_TRUE(second.memory().CreateDirectories(directory + "/segments").ok());
    second.memory().Put(directory + "/identity", torn.Contents(directory + "/identity"));
    const auto names = torn.List(directory + "/segments");
    for (const std::string& name : *names)
      second.memory().Put(directory + "/segments/" + name, torn.Contents(directory + "/segments/" + name));
    ASSERT_TRUE(Life(second, heard, server, SmallPieces(random)).Once().ok());
    testing::ExpectComplete(second, server);
  }
}

// Every change of a file fails once, then `count` more; after that the disk is well again.
class DiskFaultTest : public ArchiverTest, public ::testing::WithParamInterface<std::pair<Code, uint64_t>> {};

TEST_P(DiskFaultTest, AnyChangeMayFailAndNothingIsLost) {
  const auto [code, count] = GetParam();
  server_.Commit(3);
  server_.Rotate();
  server_.Commit({.row_bytes = 2000, .events = 6});
  server_.Commit(3);
  ArchiverOptions options;
  options.pipeline.batch_raw_bytes = 256;
  options.limits.segment_raw_bytes_max = 4096;
  for (uint64_t at = 0;; ++at) {
    SCOPED_TRACE("fault at change " + std::to_string(at));
    FaultyFiles files;
    CheckingListener listener(files);
    Life life(files, listener, server_, options);
    ASSERT_TRUE(life.archiver().Prepare().ok());
    files.Break({.at = at, .count = count, .code = code});
    std::thread runner([&] { EXPECT_TRUE(life.archiver().Run().ok()); });
    if (count == UINT64_MAX) {
      // Until space is back. A fault past the script's end is the last round.
      while (files.failures() == 0 && !server_.executed.Minus(listener.announced()).empty()) std::this_thread::yield();
      if (files.failures() > 0) {
        EXPECT_TRUE(life.WaitForError(code));
      }
      files.Heal();
    }
    EXPECT_TRUE(listener.WaitFor(server_.executed));
    files.Heal();
    life.archiver().Stop();
    runner.join();
    testing::ExpectComplete(files, server_);
    // And on the disk, whatever the failed fdatasyncs dropped.
    MemoryFileSystem disk;
    std::mt19937_64 random(at);
    TearInto(files, files.memory(), random, &disk);
    testing::ExpectComplete(disk, server_);
    if (files.failures() == 0 || HasFailure()) break;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Faults, DiskFaultTest,
    ::testing::Values(std::pair(Code::kIo, uint64_t{1}), std::pair(Code::kIo, uint64_t{3}),
                      std::pair(Code::kDiskFull, uint64_t{1}), std::pair(Code::kDiskFull, uint64_t{2}),
                      std::pair(Code::kDiskFull, UINT64_MAX)),
    [](const auto& tested) {
      return std::string(tested.param.first == Code::kIo ? "Io" : "DiskFull") +
             (tested.param.second == UINT64_MAX ? "UntilHealed" : std::to_string(tested.param.second));
    });

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
  const uint64_t end = server_.files[0].bytes.size();
  // By GTID alone the source would begin in the newest file: the old one's end and the empty one would be lost.
  server_.Rotate();
  server_.Rotate();
  server_.Commit(1);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Once().ok());
  ASSERT_EQ(life.source().requests().size(), 1u);
  EXPECT_EQ(life.source().requests()[0].file, "binlog.000001");
  EXPECT_EQ(life.source().requests()[0].position, end);
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

}  // namespace
}  // namespace tidemark
