// The archiver with links that break anywhere, power failures at any moment, and a disk on which
// any change may fail. Seeded: a failure prints the seed and the round.
#include <gtest/gtest.h>

#include "tests/support/seed.h"
#include "tests/unit/sink/archiver_life.h"

namespace tidemark {
namespace {

using testing::ArchiverTest;
using testing::BuilderSet;
using testing::CheckingListener;
using testing::FaultyFiles;
using testing::Life;
using testing::ModelServer;

// Transactions, long ones, DDL; rotations, restarts, files without transactions.
void Grow(ModelServer& server, std::mt19937_64& random, int steps) {
  for (int i = 0; i < steps; ++i) {
    switch (random() % 12) {
      case 0: server.Rotate(); break;
      case 1: server.Restart(); break;
      case 2:
        server.Commit({.row_bytes = static_cast<uint32_t>(random() % 3000), .events = 8});
        break;
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

// What a power failure leaves at some moment: what was synced, and of the rest as much as the disk
// liked.
void TearInto(const FaultyFiles& files, MemoryFileSystem& memory, std::mt19937_64& random,
              MemoryFileSystem* torn) {
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
    // A segment gets its name with its header on the disk: this one was removed a moment ago.
    if (bytes.empty()) return;
    if (!last && all.size() > bytes.size()) return torn->Put(path, bytes);
    if (all.size() > bytes.size())
      bytes += all.substr(bytes.size(), random() % (all.size() - bytes.size() + 1));
    // Blocks that were allocated and never written: garbage from before, or zeros; at most as long
    // as the file was.
    if (last && files.OnDisk(path).size() > 0)
      for (uint64_t garbage = random() % 40; garbage > 0 && bytes.size() < all.size(); --garbage)
        bytes += static_cast<char>(random());
    if (last && bytes.size() < all.size())
      bytes.append(random() % (all.size() - bytes.size() + 1), '\0');
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
      for (int spins = 0; spins < 20000 && listener.batches() < batches; ++spins)
        std::this_thread::yield();
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
      for (int spins = 0; spins < 20000 && listener.batches() < batches; ++spins)
        std::this_thread::yield();
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
      second.memory().Put(directory + "/segments/" + name,
                          torn.Contents(directory + "/segments/" + name));
    ASSERT_TRUE(Life(second, heard, server, SmallPieces(random)).Once().ok());
    testing::ExpectComplete(second, server);
  }
}

// Every change of a file fails once, then `count` more; after that the disk is well again.
class DiskFaultTest : public ArchiverTest,
                      public ::testing::WithParamInterface<std::pair<Code, uint64_t>> {};

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
      while (files.failures() == 0 && !server_.executed.Minus(listener.announced()).empty())
        std::this_thread::yield();
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

INSTANTIATE_TEST_SUITE_P(Faults, DiskFaultTest,
                         ::testing::Values(std::pair(Code::kIo, uint64_t{1}),
                                           std::pair(Code::kIo, uint64_t{3}),
                                           std::pair(Code::kDiskFull, uint64_t{1}),
                                           std::pair(Code::kDiskFull, uint64_t{2}),
                                           std::pair(Code::kDiskFull, UINT64_MAX)),
                         [](const auto& tested) {
                           return std::string(tested.param.first == Code::kIo ? "Io" : "DiskFull") +
                                  (tested.param.second == UINT64_MAX
                                       ? "UntilHealed"
                                       : std::to_string(tested.param.second));
                         });

}  // namespace
}  // namespace tidemark
