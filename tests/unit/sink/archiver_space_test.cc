// The archiver on a full disk with a space reserve: what it does with it, and what it waits for.
#include <gtest/gtest.h>

#include "tests/support/seed.h"
#include "tests/unit/sink/archiver_life.h"

namespace tidemark {
namespace {

using testing::ArchiverTest;
using testing::BuilderSet;
using testing::CheckingListener;
using testing::FaultyFiles;
using testing::kArchive;
using testing::Life;
using testing::ModelServer;

constexpr uint64_t kReserveBytes = 20'000;

ArchiverOptions With(SpaceReserve& reserve) {
  ArchiverOptions options;
  options.reserve = &reserve;
  return options;
}

class ArchiverSpaceTest : public ArchiverTest {
 protected:
  void SetUp() override {
    files_.memory().Put("/archive/LOCK", "1\n");
    ASSERT_TRUE(reserve_.Open().ok());
    (void)server_.Commit();
  }
  // And has them sent: a dump ends where the server did when it began.
  void Commit(Life& life, int count) {
    {
      std::lock_guard lock(life.source().mutex());
      for (int i = 0; i < count; ++i) (void)server_.Commit({.row_bytes = 500});
    }
    life.source().Break();
  }
  // Leaves this much, beside what the reserve has.
  void Fill(uint64_t free) {
    files_.memory().set_capacity_bytes(files_.memory().used_bytes() + free);
  }
  uint64_t ReserveBytes() { return files_.memory().Contents(reserve_.path()).size(); }
  // Otherwise than by an error.
  bool WaitForSeal() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!listener_.last().sealed) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::yield();
    }
    return true;
  }

  SpaceReserve reserve_{files_, kArchive, kReserveBytes};
};

TEST_F(ArchiverSpaceTest, GivesItUpSealsAndWaitsUntilItCanBeMadeAgain) {
  Life life(files_, listener_, server_, With(reserve_));
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  Fill(300);
  Commit(life, 100);
  ASSERT_TRUE(life.WaitForError(Code::kDiskFull));
  ASSERT_TRUE(WaitForSeal()) << "there was the reserve's room to do it in";
  EXPECT_EQ(ReserveBytes(), 0u);
  for (const testing::ReadSegment& segment : testing::ReadArchive(files_))
    EXPECT_TRUE(segment.sealed) << segment.header.number;

  // Room for the reserve alone: archiving would eat it.
  const GtidSet before = listener_.announced();
  const uint64_t connections = life.archiver().status().connections;
  Fill(kReserveBytes);
  for (uint64_t failures = life.archiver().status().meter.failures[Code::kDiskFull] + 5;
       life.archiver().status().meter.failures[Code::kDiskFull] < failures;)
    std::this_thread::yield();
  EXPECT_EQ(life.archiver().status().connections, connections);
  EXPECT_EQ(listener_.announced(), before);
  EXPECT_TRUE(reserve_.given_up());

  files_.memory().set_capacity_bytes(UINT64_MAX);
  ASSERT_TRUE(listener_.WaitFor(server_.executed)) << "by itself";
  EXPECT_EQ(ReserveBytes(), kReserveBytes);
  ASSERT_TRUE(life.Stop().ok());
  testing::ExpectComplete(files_, server_);
}

TEST_F(ArchiverSpaceTest, AnotherSourcesFullDiskIsOursToo) {
  Life life(files_, listener_, server_, With(reserve_));
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  Fill(0);
  ASSERT_TRUE(reserve_.GiveUp());
  ASSERT_TRUE(life.WaitForError(Code::kDiskFull)) << "it must not eat what the other one needs";
  ASSERT_TRUE(WaitForSeal());
  Commit(life, 1);
  files_.memory().set_capacity_bytes(UINT64_MAX);
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  EXPECT_EQ(ReserveBytes(), kReserveBytes);
  ASSERT_TRUE(life.Stop().ok());
  testing::ExpectComplete(files_, server_);
}

void WaitForFullOr(const GtidSet& all, Life& life, CheckingListener& listener) {
  while (life.archiver().status().last_error.code() != Code::kDiskFull &&
         !all.IsSubsetOf(listener.announced()))
    std::this_thread::yield();
}

// The disk is full from some byte on, which is another one each time; started anew on it, too.
TEST_F(ArchiverSpaceTest, FullAtAnyByteNothingIsLostAndTheReserveComesBack) {
  const uint64_t seed = testing::TestSeed();
  for (uint64_t round = 0; round < 150 && !HasFailure(); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    std::mt19937_64 random(seed + round);
    ModelServer server;
    FaultyFiles files;
    files.memory().Put("/archive/LOCK", "1\n");
    for (int i = 0; i < 30; ++i)
      (void)server.Commit({.row_bytes = static_cast<uint32_t>(random() % 500)});
    ArchiverOptions options;
    options.limits.segment_raw_bytes_max = 1024 << (random() % 6);
    options.pipeline.batch_raw_bytes = 16 << (random() % 10);
    // One time in four there never was room for the reserve.
    if (random() % 4 == 0) {
      files.memory().set_capacity_bytes(SpaceReserve::NeededBytes(kReserveBytes) - 1);
      options.limits.segment_raw_bytes_max = 1024;
    }
    for (uint64_t lives = 1 + random() % 3; lives > 0; --lives) {
      SpaceReserve reserve(files, kArchive, kReserveBytes);
      (void)reserve.Open();
      options.reserve = &reserve;
      files.memory().set_capacity_bytes(files.memory().used_bytes() + random() % 1500);
      CheckingListener listener(files);
      (void)server.Commit();
      const GtidSet last = BuilderSet(static_cast<int64_t>(server.executed.Count()),
                                      static_cast<int64_t>(server.executed.Count()));
      Life life(files, listener, server, options);
      const bool begun = life.Start().ok();
      if (begun) WaitForFullOr(last, life, listener);
      if (lives > 1) continue;
      files.memory().set_capacity_bytes(UINT64_MAX);
      if (!begun) {
        ASSERT_TRUE(life.Start().ok());
      }
      EXPECT_TRUE(listener.WaitFor(last)) << life.archiver().status().last_error.message();
      EXPECT_TRUE(life.Stop().ok());
      EXPECT_TRUE(reserve.Keep().ok());
      EXPECT_EQ(files.memory().Contents(reserve.path()).size(), kReserveBytes);
    }
    testing::ExpectComplete(files, server);
  }
}

}  // namespace
}  // namespace tidemark
