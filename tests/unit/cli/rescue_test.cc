// What a server lost is the same, from the archive's files and from a daemon.
#include "pitr/restore/rescue.h"

#include <gmock/gmock.h>

#include "tests/unit/cli/remote_fixture.h"

namespace tidemark::cli {
namespace {

using testing::BuilderSet;

constexpr const char* kOther = "aaaaaaaa-0000-0000-0000-000000000000:1-2";

struct Rescued {
  std::vector<std::string> gtids;
  std::string bytes;
};

Rescued ReadAll(SourceAccess& source, const Rescue& rescue) {
  Rescued read;
  const Status status = ReadRescued(
      source, rescue, rescue.missing,
      [&](const Transaction& transaction) {
        read.gtids.push_back(transaction.gtid.ToString());
        return true;
      },
      [&](Bytes bytes) {
        read.bytes += AsText(bytes);
        return OkStatus();
      });
  EXPECT_TRUE(status.ok()) << status.message();
  return read;
}

// 232 transactions in two files, a gap of 3, and 40 more.
class RescueTest : public testing::RemoteArchiveTest {
 protected:
  void SetUp() override {
    history_.Gap(3, "lost");
    history_.BeginFile("binlog.000003");
    history_.AddMany(40);
    history_.builder.Publish();
    Start();
    archives_.push_back(Local());
    archives_.push_back(Remote());
    for (const auto& archive : archives_) {
      auto source = archive->OpenSource();
      ASSERT_TRUE(source.ok()) << source.error().message();
      sources_.push_back(std::move(*source));
    }
  }
  std::vector<std::unique_ptr<ArchiveAccess>> archives_;
  std::vector<std::unique_ptr<SourceAccess>> sources_;  // the files', the daemon's
};

TEST_F(RescueTest, ExactlyWhatItLacksInArchiveOrderByteForByte) {
  // Holes at the begin, around a DDL and at the end; and more than the archive has.
  const GtidSet lost = BuilderSet(2, 3).Union(BuilderSet(150, 152)).Union(BuilderSet(230, 275));
  const GtidSet executed = BuilderSet(1, 275).Minus(lost).Union(*GtidSet::Parse(kOther));
  std::vector<Rescued> read;
  for (const auto& source : sources_) {
    const auto rescue = PlanRescue(*source, executed);
    ASSERT_TRUE(rescue.ok()) << rescue.error().message();
    const GtidSet gap = source->ReadCoverage()->gaps[0].missing;
    EXPECT_EQ(rescue->missing, lost.Minus(gap));
    EXPECT_EQ(rescue->out_of_reach, gap);
    EXPECT_EQ(rescue->own, *GtidSet::Parse(kOther));
    EXPECT_EQ(rescue->newer, rescue->own.Union(BuilderSet(4, 275).Minus(lost)));
    read.push_back(ReadAll(*source, *rescue));
    GtidSet given;
    for (const std::string& gtid : read.back().gtids) given.Add(*Gtid::Parse(gtid));
    EXPECT_EQ(given, rescue->missing);
    EXPECT_EQ(read.back().gtids.size(), rescue->missing.Count());
    EXPECT_TRUE(std::is_sorted(
        read.back().gtids.begin(), read.back().gtids.end(),
        [](const auto& a, const auto& b) { return Gtid::Parse(a)->gno < Gtid::Parse(b)->gno; }));
  }
  EXPECT_EQ(read[0].gtids, read[1].gtids);
  EXPECT_TRUE(read[0].bytes == read[1].bytes);
  // As stock tools read it, and whole.
  EXPECT_TRUE(
      read[0].bytes.starts_with("\xfe"
                                "bin"));
}

TEST_F(RescueTest, EndsWhereEnoughIsKnown) {
  for (const auto& source : sources_) {
    const auto rescue = PlanRescue(*source, BuilderSet(1, 10));
    ASSERT_TRUE(rescue.ok()) << rescue.error().message();
    int seen = 0;
    EXPECT_TRUE(ReadRescued(*source, *rescue, rescue->missing,
                            [&](const Transaction& transaction) {
                              EXPECT_EQ(transaction.gtid.gno, 11);
                              ++seen;
                              return false;
                            },
                            {})
                    .ok());
    EXPECT_EQ(seen, 1);
  }
}

TEST_F(RescueTest, WhatWasLostAtTheEndHasNothingNewerOnTopOfIt) {
  for (const auto& source : sources_) {
    const auto rescue = PlanRescue(*source, BuilderSet(1, 250));
    ASSERT_TRUE(rescue.ok()) << rescue.error().message();
    EXPECT_EQ(rescue->missing, BuilderSet(251, 275));
    EXPECT_TRUE(rescue->newer.empty()) << rescue->newer.ToString();
  }
}

TEST_F(RescueTest, NothingIsMissingOnOneThatHasAll) {
  for (const auto& source : sources_) {
    const auto rescue = PlanRescue(*source, BuilderSet(1, 1000));
    ASSERT_TRUE(rescue.ok()) << rescue.error().message();
    EXPECT_TRUE(rescue->missing.empty());
    EXPECT_TRUE(rescue->out_of_reach.empty());
    EXPECT_TRUE(rescue->newer.empty());
  }
}

TEST_F(RescueTest, OneThatHasNothingOfTheArchiveIsForARestore) {
  for (const GtidSet& executed : {GtidSet(), *GtidSet::Parse(kOther)}) {
    const auto rescue = PlanRescue(*sources_[0], executed);
    ASSERT_FALSE(rescue.ok());
    EXPECT_EQ(rescue.error().code(), Code::kUsage);
    EXPECT_THAT(rescue.error().hint(), ::testing::HasSubstr("pitr restore"));
  }
}

}  // namespace
}  // namespace tidemark::cli
