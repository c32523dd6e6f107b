#include "replication/archive/space_reserve.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/memory_file_system.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

constexpr uint64_t kBytes = 100'000;

class SpaceReserveTest : public ::testing::Test {
 protected:
  SpaceReserveTest() { files_.Put("/archive/LOCK", "1\n"); }
  uint64_t FileBytes() { return files_.Contents("/archive/reserve").size(); }
  bool Exists() { return files_.Exists("/archive/reserve"); }

  MemoryFileSystem files_;
};

TEST_F(SpaceReserveTest, IsMadeWhereThereIsRoomAndFoundByTheNextStart) {
  SpaceReserve reserve(files_, "/archive", kBytes);
  ASSERT_TRUE(reserve.Open().ok());
  EXPECT_EQ(FileBytes(), kBytes);
  EXPECT_EQ(files_.DurableContents("/archive/reserve").size(), kBytes);
  EXPECT_EQ(reserve.held_bytes(), kBytes);
  files_.set_free_bytes(0);
  SpaceReserve again(files_, "/archive", kBytes);
  EXPECT_TRUE(again.Open().ok());
  EXPECT_EQ(again.held_bytes(), kBytes);
}

TEST_F(SpaceReserveTest, GivenUpItWaitsForRoomToSpareAlsoAcrossARestart) {
  SpaceReserve reserve(files_, "/archive", kBytes);
  ASSERT_TRUE(reserve.Open().ok());
  files_.set_free_bytes(0);
  EXPECT_TRUE(reserve.GiveUp());
  EXPECT_TRUE(reserve.given_up());
  EXPECT_EQ(FileBytes(), 0u);
  EXPECT_FALSE(reserve.GiveUp()) << "there is nothing left to free";
  files_.Crash();

  SpaceReserve again(files_, "/archive", kBytes);
  EXPECT_EQ(again.Open().code(), Code::kDiskFull);
  EXPECT_TRUE(again.given_up());
  files_.set_free_bytes(SpaceReserve::NeededBytes(kBytes) - 1);
  const Status waits = again.Keep();
  EXPECT_EQ(waits.code(), Code::kDiskFull);
  EXPECT_NE(waits.hint().find("by itself"), std::string::npos) << waits.hint();
  EXPECT_EQ(FileBytes(), 0u);
  files_.set_free_bytes(SpaceReserve::NeededBytes(kBytes));
  EXPECT_TRUE(again.Keep().ok());
  EXPECT_FALSE(again.given_up());
  EXPECT_EQ(FileBytes(), kBytes);
}

// The empty file of one that was given up, found late, when there shall be none any more.
TEST_F(SpaceReserveTest, WhereThereShallBeNoneNothingStaysGivenUp) {
  files_.Put("/archive/reserve", "");
  SpaceReserve reserve(files_, "/archive", 0);
  EXPECT_TRUE(reserve.Keep().ok());
  EXPECT_FALSE(reserve.given_up());
  EXPECT_FALSE(Exists());
}

TEST_F(SpaceReserveTest, OneThatWasNeverMadeIsNotWaitedFor) {
  files_.set_free_bytes(kBytes);
  SpaceReserve reserve(files_, "/archive", kBytes);
  EXPECT_EQ(reserve.Open().code(), Code::kDiskFull);
  EXPECT_FALSE(Exists());
  EXPECT_TRUE(reserve.Keep().ok());
  EXPECT_EQ(reserve.held_bytes(), 0u);
  EXPECT_FALSE(reserve.given_up());
  // Nor after a full disk: the file system may be too small for it.
  EXPECT_FALSE(reserve.GiveUp());
  EXPECT_FALSE(reserve.given_up());
  files_.set_free_bytes(SpaceReserve::NeededBytes(kBytes));
  EXPECT_TRUE(reserve.Keep().ok());
  EXPECT_EQ(FileBytes(), kBytes);
}

TEST_F(SpaceReserveTest, NoneIsWanted) {
  files_.Put("/archive/reserve", std::string(kBytes, 'x'));
  SpaceReserve reserve(files_, "/archive", 0);
  EXPECT_TRUE(reserve.Open().ok());
  EXPECT_FALSE(Exists());
  EXPECT_FALSE(reserve.GiveUp());
  EXPECT_FALSE(reserve.given_up());
  EXPECT_TRUE(reserve.Keep().ok());
}

TEST_F(SpaceReserveTest, GrowsShrinksAndStaysWhatItIsWhereItCannotGrow) {
  SpaceReserve reserve(files_, "/archive", kBytes);
  ASSERT_TRUE(reserve.Open().ok());
  EXPECT_TRUE(reserve.Resize(2 * kBytes).ok());
  EXPECT_EQ(FileBytes(), 2 * kBytes);
  files_.set_free_bytes(kBytes);
  EXPECT_EQ(reserve.Resize(3 * kBytes).code(), Code::kDiskFull);
  EXPECT_EQ(FileBytes(), 2 * kBytes);
  EXPECT_TRUE(reserve.Keep().ok()) << "a smaller one is one";
  EXPECT_TRUE(reserve.Resize(10).ok());
  EXPECT_EQ(FileBytes(), 10u);
  EXPECT_TRUE(reserve.Resize(0).ok());
  EXPECT_FALSE(Exists());
}

// Whatever fails while it is made, and whenever power does: a whole one or none.
TEST_F(SpaceReserveTest, FailedOrInterruptedMakingLeavesAWholeOneOrNone) {
  for (const bool power_cut : {false, true})
    for (uint64_t at = 0;; ++at) {
      SCOPED_TRACE(std::to_string(at) + (power_cut ? " and a power cut" : ""));
      MemoryFileSystem files;
      files.Put("/archive/LOCK", "1\n");
      SpaceReserve reserve(files, "/archive", kBytes);
      files.FailAfter(at);
      const bool made = reserve.Open().ok();
      files.StopFailing();
      if (power_cut) {
        files.Crash();
      } else {
        EXPECT_EQ(reserve.held_bytes(), made ? kBytes : 0);
      }
      const uint64_t there = files.Contents("/archive/reserve").size();
      EXPECT_TRUE(there == kBytes || !files.Exists("/archive/reserve")) << there;
      SpaceReserve next(files, "/archive", kBytes);
      EXPECT_TRUE(next.Open().ok());
      EXPECT_EQ(files.Contents("/archive/reserve").size(), kBytes);
      EXPECT_EQ(files.used_bytes(), 2 + kBytes) << "what was begun is gone";
      ASSERT_LT(at, 100u);
      if (made && at > 5) break;
    }
}

TEST_F(SpaceReserveTest, OneThatCannotBeGivenUpIsStillHeld) {
  SpaceReserve reserve(files_, "/archive", kBytes);
  ASSERT_TRUE(reserve.Open().ok());
  files_.FailAfter(0);
  EXPECT_FALSE(reserve.GiveUp());
  EXPECT_FALSE(reserve.given_up());
  files_.StopFailing();
  EXPECT_TRUE(reserve.GiveUp());
}

TEST(SpaceReserveOnDisk, ItsBytesAreAllocatedAndGivenBack) {
  testing::TempDir directory;
  SpaceReserve reserve(PosixFileSystem(), directory.path(), 1 << 20);
  ASSERT_TRUE(reserve.Open().ok());
  struct stat info {};
  ASSERT_EQ(::stat(reserve.path().c_str(), &info), 0);
  EXPECT_GE(info.st_blocks * 512, 1 << 20);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_TRUE(reserve.GiveUp());
  ASSERT_EQ(::stat(reserve.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_blocks, 0);
}

}  // namespace
}  // namespace tidemark
