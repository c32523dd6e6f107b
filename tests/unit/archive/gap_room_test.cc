// Numbers that are missing in front of a gap are room; elsewhere, and where sets do not fit, a file
// is lost. What was imported is no gap any more.
#include "replication/archive/gap_room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "replication/archive/segment_writer.h"
#include "tests/support/binlog_builder.h"
#include "tests/support/memory_file_system.h"

namespace tidemark {
namespace {

using testing::BuilderSet;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr uint64_t kBehind = 3 + kSegmentNumbersPerGap;

class GapRoomTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(archive_.CreateSource("a").ok()); }

  struct Spec {
    GtidSet previous = {}, gap = {}, gtids = {};
    int64_t commit_high_us = 0;
    bool imported = false;
  };
  void Put(uint64_t number, const Spec& spec) {
    SegmentHeader header;
    header.number = number;
    header.source_name = "a";
    header.previous = spec.previous;
    header.gap.missing = spec.gap;
    header.imported = spec.imported;
    auto writer = SegmentWriter::Create(files_, archive_.SegmentPath("a", number), header, {}, {});
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Append(AsBytes("abcd")).ok());
    SegmentFooter footer;
    footer.raw_bytes = 4;
    footer.gtids = spec.gtids;
    footer.commit_high_us = spec.commit_high_us;
    ASSERT_TRUE((*writer)->Seal(footer).ok());
  }
  // 1: 1-4, 2: 5-6, the gap 7-20, then 21 and what is behind it.
  void PutGap() {
    Put(1, {.gtids = BuilderSet(1, 4)});
    Put(2, {.previous = BuilderSet(1, 4), .gtids = BuilderSet(5, 6), .commit_high_us = 60});
    Put(kBehind,
        {.previous = BuilderSet(1, 20), .gap = BuilderSet(7, 20), .gtids = BuilderSet(21, 21)});
    Put(kBehind + 1, {.previous = BuilderSet(1, 21), .gtids = BuilderSet(22, 22)});
  }
  void Remove(uint64_t number) {
    ASSERT_TRUE(files_.Remove(archive_.SegmentPath("a", number)).ok());
  }
  RoomContents Rooms() {
    auto rooms = ReadRooms(archive_, "a", *archive_.Segments("a"));
    EXPECT_TRUE(rooms.ok());
    return rooms.ok() ? *rooms : RoomContents{};
  }

  MemoryFileSystem files_;
  ArchiveDirectory archive_{files_, "/archive"};
};

TEST_F(GapRoomTest, NumbersMayBeMissingInFrontOfAGap) {
  PutGap();
  ASSERT_TRUE(archive_.Segments("a").ok());
  EXPECT_THAT(*archive_.Segments("a"), ElementsAre(1, 2, kBehind, kBehind + 1));
}

TEST_F(GapRoomTest, ASegmentThatIsLostBesideTheRoomShowsInTheSets) {
  PutGap();
  Remove(2);
  const auto segments = archive_.Segments("a");
  ASSERT_FALSE(segments.ok());
  EXPECT_EQ(segments.error().code(), Code::kGap);
  EXPECT_THAT(segments.error().message(), HasSubstr("0000000002.binlog.zst"));
  EXPECT_THAT(segments.error().message(), HasSubstr(BuilderSet(5, 6).ToString()));
}

TEST_F(GapRoomTest, TheSegmentWithTheGapMayNotBeLostItself) {
  PutGap();
  Remove(kBehind);
  EXPECT_EQ(archive_.Segments("a").error().code(), Code::kGap);
}

TEST_F(GapRoomTest, OfImportedSegmentsNoneMayBeLostButTheLastOfARun) {
  PutGap();
  Put(3, {.previous = BuilderSet(1, 6), .gtids = BuilderSet(7, 9), .imported = true});
  Put(4, {.previous = BuilderSet(1, 9), .gtids = BuilderSet(10, 12), .imported = true});
  Put(500, {.previous = BuilderSet(1, 14),
            .gap = BuilderSet(13, 14),
            .gtids = BuilderSet(15, 15),
            .imported = true});
  ASSERT_TRUE(archive_.Segments("a").ok());
  Remove(3);
  EXPECT_EQ(archive_.Segments("a").error().code(), Code::kGap);
  Put(3, {.previous = BuilderSet(1, 6), .gtids = BuilderSet(7, 9), .imported = true});
  Remove(4);
  EXPECT_EQ(archive_.Segments("a").error().code(), Code::kGap);
}

TEST_F(GapRoomTest, WhatWasImportedOnEitherSideOfTheRoomIsNotMissing) {
  PutGap();
  EXPECT_EQ(Rooms().missing, BuilderSet(7, 20));
  EXPECT_EQ(Rooms().commit_high_us, 0);
  Put(3, {.previous = BuilderSet(1, 6), .gtids = BuilderSet(7, 9), .imported = true});
  Put(4, {.previous = BuilderSet(1, 9),
          .gtids = BuilderSet(10, 12),
          .commit_high_us = 700,
          .imported = true});
  EXPECT_EQ(Rooms().missing, BuilderSet(13, 20));
  Put(kBehind - 1, {.previous = BuilderSet(1, 18),
                    .gap = BuilderSet(13, 18),
                    .gtids = BuilderSet(19, 20),
                    .commit_high_us = 800,
                    .imported = true});
  EXPECT_EQ(Rooms().missing, BuilderSet(13, 18));
  EXPECT_EQ(Rooms().commit_high_us, 800) << "not that of segments that were archived: their "
                                            "footers say it of what is behind them, too";
  Put(9000, {.previous = BuilderSet(1, 18), .gtids = BuilderSet(13, 18), .imported = true});
  EXPECT_EQ(archive_.Segments("a").error().code(), Code::kGap) << "it does not say that 4 is next";
  Remove(9000);
  Put(5, {.previous = BuilderSet(1, 12), .gtids = BuilderSet(13, 18), .imported = true});
  EXPECT_TRUE(Rooms().missing.empty());
}

TEST_F(GapRoomTest, AtTheArchivesBeginning) {
  Put(kSegmentNumbersPerGap + 1,
      {.previous = BuilderSet(1, 9), .gap = BuilderSet(1, 9), .gtids = BuilderSet(10, 10)});
  EXPECT_EQ(Rooms().missing, BuilderSet(1, 9));
  Put(77, {.previous = BuilderSet(1, 3),
           .gap = BuilderSet(1, 3),
           .gtids = BuilderSet(4, 5),
           .imported = true});
  EXPECT_EQ(Rooms().missing, BuilderSet(1, 3).Union(BuilderSet(6, 9)));
}

TEST_F(GapRoomTest, LeftoversOfAnImportAreNoSegmentsAndAreRemoved) {
  PutGap();
  const std::string leftover = archive_.SegmentPath("a", 3) + kImportSuffix;
  files_.Put(leftover, "half");
  files_.Put(leftover + ".new", "");
  ASSERT_THAT(*archive_.Segments("a"), SizeIs(4));
  ASSERT_TRUE(RemoveUnfinishedImport(archive_, "a").ok());
  EXPECT_FALSE(files_.Exists(leftover));
  EXPECT_FALSE(files_.Exists(leftover + ".new"));
  EXPECT_THAT(*archive_.Segments("a"), SizeIs(4));
}

TEST(RemainingGaps, NothingIsInTwoOfThem) {
  const auto gaps = RemainingGaps(
      {{BuilderSet(5, 29), "purged", 1}, {BuilderSet(5, 100), "purged", 1}}, BuilderSet(30, 60));
  ASSERT_EQ(gaps.size(), 2u);
  EXPECT_EQ(gaps[0].missing, BuilderSet(5, 29));
  EXPECT_EQ(gaps[1].missing, BuilderSet(61, 100));
  EXPECT_TRUE(RemainingGaps({{BuilderSet(5, 9), "purged", 1}}, BuilderSet(1, 9)).empty());
}

}  // namespace
}  // namespace tidemark
