#include "pitr/archive_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/pitr/history.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::HasSubstr;
using testing::History;

void BuildThree(History* history) {
  history->builder.StartBehind(BuilderSet(1, 9));
  history->next = 10;
  history->BeginFile("binlog.000001");
  history->AddMany(5);
  history->builder.Continue();
  history->AddMany(5);
  history->Gap(2);
  history->BeginFile("binlog.000002");
  history->AddMany(5);
}

Status OpenStatus(const std::string& root, const std::string& source,
                  OpenCheck check = OpenCheck::kStrict) {
  auto view = ArchiveView::Open(PosixFileSystem(), root, source, check);
  return view.ok() ? OkStatus() : view.error();
}

TEST(ArchiveView, CoverageTellsWhatThereIs) {
  History history;
  BuildThree(&history);
  history.builder.Finish();
  auto view = history.Open();
  ASSERT_EQ(view->segments().size(), 3u);
  Coverage coverage = view->ComputeCoverage();
  EXPECT_EQ(coverage.before, BuilderSet(1, 9));
  EXPECT_EQ(coverage.archived, BuilderSet(10, 19).Union(BuilderSet(22, 26)));
  ASSERT_EQ(coverage.gaps.size(), 1u);
  EXPECT_EQ(coverage.gaps[0].missing, BuilderSet(20, 21));
  EXPECT_EQ(coverage.end, BuilderSet(1, 26));
  EXPECT_EQ(view->segment(2)->gtids, BuilderSet(15, 19));
  EXPECT_EQ(view->segment(4), nullptr);
}

TEST(ArchiveView, TheOnlySourceNeedsNoName) {
  History history;
  BuildThree(&history);
  history.builder.Finish();
  EXPECT_TRUE(OpenStatus(history.dir.path(), "").ok());
  Status unknown = OpenStatus(history.dir.path(), "other");
  EXPECT_EQ(unknown.code(), Code::kNotFound);
  EXPECT_THAT(unknown.hint(), HasSubstr("main"));
  ArchiveDirectory archive(PosixFileSystem(), history.dir.path());
  ASSERT_TRUE(archive.CreateSource("second").ok());
  Status which = OpenStatus(history.dir.path(), "");
  EXPECT_EQ(which.code(), Code::kUsage);
  EXPECT_THAT(which.message(), HasSubstr("main, second"));
}

TEST(ArchiveView, NoArchiveThere) {
  testing::TempDir empty;
  EXPECT_EQ(OpenStatus(empty.path(), "").code(), Code::kNotFound);
  EXPECT_EQ(OpenStatus(empty.Path("absent"), "").code(), Code::kNotFound);
}

TEST(ArchiveView, LostIndexHasTheRebuildAsHint) {
  History history;
  BuildThree(&history);
  history.builder.Finish();
  std::filesystem::remove_all(history.dir.Path("index"));
  Status status = OpenStatus(history.dir.path(), "main");
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.hint(), HasSubstr("pitr index rebuild"));
}

TEST(ArchiveView, IndexBehindByMoreThanOneSegmentIsRefused) {
  History history;
  BuildThree(&history);
  history.builder.Finish();
  auto index = Index::OpenForWriting(history.dir.Path("index"));
  ASSERT_TRUE(index.ok());
  ASSERT_TRUE((*index)->DropSegment("main", 3).ok());
  EXPECT_TRUE(OpenStatus(history.dir.path(), "main").ok()) << "one new segment is a running daemon";
  ASSERT_TRUE((*index)->DropSegment("main", 2).ok());
  Status status = OpenStatus(history.dir.path(), "main");
  EXPECT_EQ(status.code(), Code::kCorruption);
  EXPECT_THAT(status.hint(), HasSubstr("pitr index rebuild"));
  EXPECT_TRUE(OpenStatus(history.dir.path(), "main", OpenCheck::kEvenIfBehind).ok());
}

TEST(ArchiveView, HoleInTheIndexAndLostSegmentAreRefused) {
  History history;
  BuildThree(&history);
  history.builder.Finish();
  std::string second = history.builder.SegmentPath(2);
  std::filesystem::rename(second, history.dir.Path("aside"));
  Status lost = OpenStatus(history.dir.path(), "main");
  EXPECT_EQ(lost.code(), Code::kCorruption);
  EXPECT_THAT(lost.message(), HasSubstr(second));
  std::filesystem::rename(history.dir.Path("aside"), second);
  auto index = Index::OpenForWriting(history.dir.Path("index"));
  ASSERT_TRUE((*index)->DropSegment("main", 2).ok());
  Status hole = OpenStatus(history.dir.path(), "main");
  EXPECT_EQ(hole.code(), Code::kCorruption);
  EXPECT_THAT(hole.message(), HasSubstr(second));
}

TEST(ArchiveView, RefreshSeesWhatTheDaemonPublished) {
  History history;
  BuildThree(&history);
  history.builder.Publish();
  auto view = history.Open();
  EXPECT_FALSE(view->segments().back().sealed);
  EXPECT_EQ(view->ComputeCoverage().end, BuilderSet(1, 26));
  history.AddMany(3);
  history.builder.Publish();
  EXPECT_EQ(view->ComputeCoverage().end, BuilderSet(1, 26));
  ASSERT_TRUE(view->Refresh().ok());
  EXPECT_EQ(view->ComputeCoverage().end, BuilderSet(1, 29));
}

TEST(ArchiveView, FirstContactGapIsBothBeforeTheStartAndNamed) {
  History history;
  history.builder.Gap(BuilderSet(1, 9), "adopted gtid_purged");
  history.next = 10;
  history.BeginFile("binlog.000001");
  history.AddMany(2);
  history.builder.Finish();
  Coverage coverage = history.Open()->ComputeCoverage();
  EXPECT_EQ(coverage.before, BuilderSet(1, 9));
  ASSERT_EQ(coverage.gaps.size(), 1u);
  EXPECT_EQ(coverage.gaps[0].missing, BuilderSet(1, 9));
  EXPECT_EQ(coverage.end, BuilderSet(1, 11));
}

}  // namespace
}  // namespace tidemark
