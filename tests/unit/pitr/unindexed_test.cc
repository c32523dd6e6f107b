// The end of an archive whose index knows less of it than is on the disk.
#include "pitr/unindexed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "pitr/local_archive.h"
#include "tests/unit/pitr/history.h"

namespace tidemark {
namespace {

using testing::BuilderSet;
using ::testing::HasSubstr;
using testing::History;
using testing::TransactionSpec;

class UnindexedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    history_.BeginFile("binlog.000001");
    history_.AddMany(5);
    history_.builder.Continue();
    history_.AddMany(5);
    history_.builder.Publish();
  }
  // The eleventh.
  void WriteUnpublished() {
    TransactionSpec next;
    next.gtid = testing::BuilderGtid(11);
    next.commit_us = history_.now_us + 1000;
    history_.builder.WriteUnpublished(next);
  }
  // As the disk is, and held by nobody.
  std::string Copy() {
    std::filesystem::copy(history_.dir.path(), copy_.Path("archive"),
                          std::filesystem::copy_options::recursive);
    return copy_.Path("archive");
  }
  static Result<Boundary> Resolve(const std::string& root, const Target& target) {
    LocalArchive archive(PosixFileSystem(), root, "main");
    TM_ASSIGN_OR_RETURN(const auto source, archive.OpenSource());
    return source->Resolve(target);
  }
  static Result<Boundary> Latest(const std::string& root) { return Resolve(root, Target{}); }

  History history_;
  testing::TempDir copy_;
};

TEST_F(UnindexedTest, LatestIsNotLessThanWhatTheLastSegmentHas) {
  WriteUnpublished();

  const std::string copy = Copy();
  const Result<Boundary> latest = Latest(copy);
  ASSERT_FALSE(latest.ok());
  EXPECT_EQ(latest.error().code(), Code::kCorruption);
  EXPECT_THAT(latest.error().message(), HasSubstr(BuilderSet(11, 11).ToString()));
  EXPECT_THAT(latest.error().hint(), HasSubstr("pitr index rebuild"));
  EXPECT_THAT(latest.error().hint(),
              HasSubstr("--through-gtid " + testing::BuilderGtid(10).ToString()));
  Target known;
  known.kind = TargetKind::kGtid;
  known.gtid = testing::BuilderGtid(10);
  EXPECT_TRUE(Resolve(copy, known).ok()) << "what is known can be reached";

  ArchiveDirectory archive(PosixFileSystem(), copy);
  ASSERT_TRUE(RebuildIndex(archive, nullptr).ok());
  const Result<Boundary> rebuilt = Latest(copy);
  ASSERT_TRUE(rebuilt.ok()) << rebuilt.error().message();
  EXPECT_EQ(rebuilt->set, BuilderSet(1, 11));
}

TEST_F(UnindexedTest, WhatARunningDaemonIsAboutToTellIsWaitedForAndInLatest) {
  WriteUnpublished();
  LocalArchive archive(PosixFileSystem(), history_.dir.path(), "main");
  const auto source = archive.OpenSource();
  ASSERT_TRUE(source.ok());
  std::thread daemon([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    history_.builder.Publish();
  });
  const Result<Boundary> latest = (*source)->Resolve(Target{});
  daemon.join();
  ASSERT_TRUE(latest.ok()) << latest.error().message();
  EXPECT_EQ(latest->set, BuilderSet(1, 11));
}

TEST_F(UnindexedTest, AViewThatIsOlderThanTheIndexIsNotTheIndex) {
  LocalArchive archive(PosixFileSystem(), history_.dir.path(), "main");
  const auto source = archive.OpenSource();
  ASSERT_TRUE(source.ok());
  history_.AddMany(3);
  history_.builder.Finish();
  const Result<Boundary> latest = (*source)->Resolve(Target{});
  ASSERT_TRUE(latest.ok()) << latest.error().message();
  EXPECT_EQ(latest->set, BuilderSet(1, 13));
}

TEST_F(UnindexedTest, ASegmentThatIsNotInTheIndexAtAllCounts) {
  history_.builder.Finish();
  const std::string copy = Copy();
  ASSERT_TRUE(Latest(copy).ok());
  {
    auto index = Index::OpenForWriting(copy + "/index");
    ASSERT_TRUE(index.ok());
    ASSERT_TRUE((*index)->DropSegment("main", 2).ok());
  }
  const Result<Boundary> latest = Latest(copy);
  ASSERT_FALSE(latest.ok());
  EXPECT_THAT(latest.error().message(), HasSubstr(BuilderSet(6, 10).ToString()));
}

TEST_F(UnindexedTest, BytesThatAreNoWholeTransactionDoNotCount) {
  const std::string copy = Copy();
  const std::string last = ArchiveDirectory(PosixFileSystem(), copy).SegmentPath("main", 2);
  std::filesystem::resize_file(last, std::filesystem::file_size(last) + 100);
  const Result<Boundary> latest = Latest(copy);
  ASSERT_TRUE(latest.ok()) << latest.error().message();
  EXPECT_EQ(latest->set, BuilderSet(1, 10));
}

}  // namespace
}  // namespace tidemark
