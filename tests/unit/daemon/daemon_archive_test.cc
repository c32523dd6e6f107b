// Sources that are archived no more and are not whole in the index: whole again at the start.
#include "tools/daemon_archive.h"

#include <gtest/gtest.h>

#include "tests/support/archive_builder.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

constexpr uint64_t kSegments = 4;

class ForgottenSource : public ::testing::TestWithParam<std::vector<uint64_t>> {};

TEST_P(ForgottenSource, IsReadAgainUnlessAWorkerHasIt) {
  testing::TempDir directory;
  std::string whole;
  {
    testing::ArchiveBuilder builder(directory.path(), "main");
    for (uint64_t number = 1; number <= kSegments; ++number) {
      builder.BeginFile("binlog.00000" + std::to_string(number));
      builder.Add({.gtid = testing::BuilderGtid(static_cast<int64_t>(number)), .commit_us = 1});
    }
    builder.Publish();
    ASSERT_TRUE(DumpIndex(builder.index(), &whole).ok());
    for (const uint64_t number : GetParam())
      ASSERT_TRUE(builder.index().DropSegment("main", number).ok());
  }
  DaemonArchive archive(directory.path(), 0);
  ASSERT_TRUE(archive.Open([] {}).ok());
  int rebuilding = 0;
  archive.IndexForgotten({"main"}, [&] { ++rebuilding; });
  EXPECT_EQ(rebuilding, 0);
  archive.IndexForgotten({}, [&] { ++rebuilding; });
  EXPECT_EQ(rebuilding > 0, !GetParam().empty());
  std::string healed;
  ASSERT_TRUE(DumpIndex(archive.index(), &healed).ok());
  EXPECT_EQ(healed, whole);
}

// An archive that was copied while it was written, with an index of a moment before.
TEST(ForgottenSourceTest, OfWhichTheIndexLacksTheEnd) {
  testing::TempDir directory;
  {
    testing::ArchiveBuilder builder(directory.path(), "main");
    builder.BeginFile("binlog.000001");
    builder.Add({.gtid = testing::BuilderGtid(1), .commit_us = 1});
    builder.Publish();
    builder.WriteUnpublished({.gtid = testing::BuilderGtid(2), .commit_us = 2});
  }
  DaemonArchive archive(directory.path(), 0);
  ASSERT_TRUE(archive.Open([] {}).ok());
  archive.IndexForgotten({}, [] {});
  const auto last = archive.index().LastSegment("main");
  ASSERT_TRUE(last.ok() && last->has_value());
  EXPECT_EQ((*last)->gtids, testing::BuilderSet(1, 2));
}

INSTANTIATE_TEST_SUITE_P(Without, ForgottenSource,
                         ::testing::Values(std::vector<uint64_t>{},      // nothing is missing
                                           std::vector<uint64_t>{2, 3},  // a killed import
                                           std::vector<uint64_t>{4},
                                           std::vector<uint64_t>{1, 2, 3, 4}));

}  // namespace
}  // namespace tidemark
