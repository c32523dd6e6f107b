#include "pitr/acknowledge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pitr/json.h"
#include "pitr/timeline.h"
#include "tests/unit/pitr/history.h"

namespace tidemark {
namespace {

using testing::BuilderSet;
using ::testing::HasSubstr;
using testing::History;

const OperatorNote kNote{"alice", 7, "INC-4711"};

// 1-10 | gap 11-13 | 14-15 | gap 16-17 | 18
class AcknowledgeTest : public ::testing::Test {
 protected:
  AcknowledgeTest() {
    history_.BeginFile("binlog.000001");
    history_.AddMany(10);
    history_.Gap(3);
    history_.BeginFile("binlog.000002");
    history_.AddMany(2);
    history_.Gap(2);
    history_.BeginFile("binlog.000003");
    history_.Add();
    history_.builder.Publish();
  }
  Result<Acknowledged> Acknowledge(const GtidSet& gtids) {
    return AcknowledgeGaps(*history_.Open(), {gtids, kNote});
  }
  std::string File() const { return history_.dir.Path("main/acknowledged_gaps"); }

  History history_;
};

TEST_F(AcknowledgeTest, WhatIsInNoGapIsShownAndNothingIsWritten) {
  const auto strange = Acknowledge(BuilderSet(10, 14));
  ASSERT_FALSE(strange.ok());
  EXPECT_EQ(strange.error().code(), Code::kUsage);
  EXPECT_THAT(strange.error().message(),
              HasSubstr(BuilderSet(10, 10).Union(BuilderSet(14, 14)).ToString()));
  EXPECT_EQ(Acknowledge({}).error().code(), Code::kUsage);
  EXPECT_EQ(Acknowledge(BuilderSet(1000, 1000)).error().code(), Code::kUsage);
  EXPECT_FALSE(std::filesystem::exists(File()));
}

TEST_F(AcknowledgeTest, PartsOfGapsAndSeveralGapsAtOnce) {
  const auto part = Acknowledge(BuilderSet(12, 12));
  ASSERT_TRUE(part.ok()) << part.error().message();
  EXPECT_EQ(part->coverage.acknowledged, BuilderSet(12, 12));
  const auto rest = Acknowledge(BuilderSet(11, 13).Union(BuilderSet(16, 17)));
  ASSERT_TRUE(rest.ok()) << rest.error().message();
  EXPECT_EQ(rest->added.Count(), 4u);
  const Coverage coverage = history_.Open()->ComputeCoverage();
  EXPECT_EQ(coverage.acknowledged, BuilderSet(11, 13).Union(BuilderSet(16, 17)));
  ASSERT_EQ(coverage.acknowledgements.size(), 2u);
  EXPECT_EQ(coverage.acknowledgements[0].note, kNote);
  // The gaps are there as before.
  EXPECT_EQ(coverage.gaps.size(), 2u);
  EXPECT_EQ(coverage.end, BuilderSet(1, 18));
}

TEST_F(AcknowledgeTest, JsonSaysWhichOfEachGap) {
  ASSERT_TRUE(Acknowledge(BuilderSet(12, 13)).ok());
  const auto view = history_.Open();
  const Json coverage = ToJson(view->ComputeCoverage());
  EXPECT_EQ(coverage["acknowledged"], BuilderSet(12, 13).ToString());
  EXPECT_EQ(coverage["gaps"][0]["acknowledged"], BuilderSet(12, 13).ToString());
  EXPECT_EQ(coverage["gaps"][1]["acknowledged"], "");
  EXPECT_EQ(coverage["acknowledgements"][0]["by"], "alice");
  EXPECT_EQ(coverage["acknowledgements"][0]["at_us"], 7);
  EXPECT_TRUE(coverage["acknowledgements_error"].is_null());
  const Json timeline = ToJson(*MakeTimeline(*view, {}));
  size_t gaps = 0;
  for (const Json& entry : timeline["entries"])
    if (entry["kind"] == "gap" && entry["acknowledged"] != "") ++gaps;
  EXPECT_EQ(gaps, 1u);
}

TEST_F(AcknowledgeTest, AnUnreadableFileQuietsNothingAndIsSaid) {
  ASSERT_TRUE(Acknowledge(BuilderSet(12, 13)).ok());
  std::filesystem::resize_file(File(), 50);
  const Coverage coverage = history_.Open()->ComputeCoverage();
  EXPECT_TRUE(coverage.acknowledged.empty());
  EXPECT_EQ(coverage.gaps.size(), 2u);
  EXPECT_THAT(coverage.acknowledgements_error, HasSubstr("acknowledged_gaps"));
  EXPECT_EQ(Acknowledge(BuilderSet(11, 11)).error().code(), Code::kCorruption);
  EXPECT_EQ(std::filesystem::file_size(File()), 50u);
}

TEST_F(AcknowledgeTest, ADifferentIndexDoesNotForget) {
  ASSERT_TRUE(Acknowledge(BuilderSet(12, 13)).ok());
  history_.builder.Finish();
  std::filesystem::remove_all(history_.dir.Path("index"));
  ArchiveDirectory archive(PosixFileSystem(), history_.dir.path());
  ASSERT_TRUE(RebuildIndex(archive, nullptr).ok());
  EXPECT_EQ(history_.Open()->ComputeCoverage().acknowledged, BuilderSet(12, 13));
}

TEST_F(AcknowledgeTest, WhatIsNoGapAnyMoreIsNotShown) {
  ASSERT_TRUE(Acknowledge(BuilderSet(12, 13)).ok());
  ArchiveDirectory archive(PosixFileSystem(), history_.dir.path());
  ASSERT_TRUE(AddAcknowledgedGap(archive, "main", {BuilderSet(900, 900), kNote}).ok());
  const Coverage coverage = history_.Open()->ComputeCoverage();
  EXPECT_EQ(coverage.acknowledged, BuilderSet(12, 13));
  EXPECT_EQ(coverage.acknowledgements.size(), 1u);
}

}  // namespace
}  // namespace tidemark
