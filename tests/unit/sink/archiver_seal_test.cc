// Sealing on request: between transactions, durable before it is answered, whatever the source
// does.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/unit/sink/archiver_life.h"

namespace tidemark {
namespace {

using testing::ArchiverTest;
using testing::Life;
using testing::ReadArchive;

bool Never() { return false; }

TEST_F(ArchiverTest, AnIdleSourcesSegmentIsSealedOnRequestAndTheNextGoesOnBehindIt) {
  server_.Commit(3);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  life.source().WaitForEnd();
  const auto sealed = life.archiver().Seal(Never);
  ASSERT_TRUE(sealed.ok()) << sealed.error().message();
  EXPECT_EQ(sealed->segment, 1u);
  EXPECT_FALSE(sealed->was_sealed);
  const auto archive = ReadArchive(files_);
  ASSERT_EQ(archive.size(), 1u);
  EXPECT_TRUE(archive[0].sealed);
  EXPECT_EQ(archive[0].footer.reason, SealReason::kRequest);

  const auto again = life.archiver().Seal(Never);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->segment, 1u);
  EXPECT_TRUE(again->was_sealed);
  {
    std::lock_guard lock(life.source().mutex());
    server_.Commit(2);
  }
  life.source().Break();
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  const auto next = life.archiver().Seal(Never);
  ASSERT_TRUE(next.ok());
  EXPECT_EQ(next->segment, 2u);
  ASSERT_TRUE(life.Stop().ok());
  testing::ExpectComplete(files_, server_);
}

TEST_F(ArchiverTest, ASegmentLeftOpenByABrokenLinkIsSealedWhileTheSourceIsAway) {
  server_.Commit(3);
  ArchiverOptions options;
  Life life(files_, listener_, server_, options);
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  life.source().FailConnect(Status(Code::kSourceUnavailable, "away"));
  life.source().Break();
  ASSERT_TRUE(life.WaitForError(Code::kSourceUnavailable));
  const auto sealed = life.archiver().Seal(Never);
  ASSERT_TRUE(sealed.ok()) << sealed.error().message();
  EXPECT_EQ(sealed->segment, 1u);
  EXPECT_TRUE(ReadArchive(files_)[0].sealed);
  life.source().FailConnect(OkStatus());
  ASSERT_TRUE(life.Stop().ok());
  testing::ExpectComplete(files_, server_);
}

TEST_F(ArchiverTest, WhoNoLongerWaitsForASealIsLetGo) {
  Life life(files_, listener_, server_);  // prepared by nobody: nothing answers
  const auto sealed = life.archiver().Seal([] { return true; });
  ASSERT_FALSE(sealed.ok());
  EXPECT_EQ(sealed.error().code(), Code::kInterrupted);
}

TEST_F(ArchiverTest, ASealThatComesWhileItStopsIsAnsweredAndSoIsEveryLaterOne) {
  server_.Commit(1);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  auto asked = std::async(std::launch::async, [&] { return life.archiver().Seal(Never); });
  ASSERT_TRUE(life.Stop().ok());
  const auto answer = asked.get();
  EXPECT_TRUE(answer.ok() || answer.error().code() == Code::kSourceUnavailable);
  EXPECT_EQ(life.archiver().Seal(Never).error().code(), Code::kSourceUnavailable);
  EXPECT_TRUE(ReadArchive(files_)[0].sealed);
}

TEST_F(ArchiverTest, ASealThatTheDiskRefusesIsAnsweredOnceItIsRecovered) {
  server_.Commit(3);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  files_.Break({.at = 0, .count = 1});
  const auto sealed = life.archiver().Seal(Never);
  ASSERT_TRUE(sealed.ok()) << sealed.error().message();
  EXPECT_EQ(sealed->segment, 1u);
  EXPECT_TRUE(ReadArchive(files_)[0].sealed);
  ASSERT_TRUE(life.Stop().ok());
  testing::ExpectComplete(files_, server_);
}

}  // namespace
}  // namespace tidemark
