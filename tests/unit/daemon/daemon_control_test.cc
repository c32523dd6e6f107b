// What the main loop and the threads of remote calls have to do with each other, with the test in
// the main loop's place; and the index that is exchanged between them.
#include "tools/daemon_control.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <future>

#include "tests/support/archive_builder.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using testing::WaitUntil;

class NoListener : public DurableListener {
 public:
  Status OnDurable(const DurableBatch&) override { return OkStatus(); }
};

class DaemonControlTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { spdlog::set_level(spdlog::level::off); }
  void SetUp() override {
    testing::ArchiveBuilder builder(directory_.path(), "main");
    for (const char* file : {"binlog.000001", "binlog.000002", "binlog.000003"}) {
      builder.BeginFile(file);
      for (int64_t i = 0; i < 20; ++i) builder.Add({.gtid = testing::BuilderGtid(++number_)});
    }
    builder.Finish();
    auto opened = Index::OpenForWriting(archive_.IndexPath());
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    index_ = std::make_unique<SerializedIndex>(std::move(*opened));
    control_ = std::make_unique<DaemonControl>(archive_, *index_, [this] { ++rings_; });
    control_->SetSources({"main"});
  }
  std::string Dump() {
    std::string text;
    EXPECT_TRUE(DumpIndex(*index_, &text).ok());
    return text;
  }
  std::string IndexIdentity() const {
    return testing::ReadWholeFile(directory_.Path("index/IDENTITY"));
  }
  // As the main loop makes one; there is no such server.
  std::shared_ptr<SourceWorker> Worker() {
    SourceConfig config;
    config.archiver.source = "main";
    config.archiver.server_id = 9;
    config.connection.socket = directory_.Path("no-such-socket");
    config.connection.user = "nobody";
    return std::make_shared<SourceWorker>(
        config, SourceWorker::Surroundings{archive_, *index_, listener_, false, [] {},
                                           control_->PauseOf("main")});
  }
  static bool Never() { return false; }
  // Until it has an end.
  static Result<IndexExchange::Progress> Finish(rpc::IndexRebuilding& rebuilding) {
    Result<IndexExchange::Progress> last = rebuilding.Look();
    while (last.ok() && !last->done) last = rebuilding.Look();
    return last;
  }

  testing::TempDir directory_;
  ArchiveDirectory archive_{PosixFileSystem(), directory_.path()};
  int64_t number_ = 0;
  NoListener listener_;
  std::atomic<int> rings_ = 0;
  std::unique_ptr<SerializedIndex> index_;
  std::unique_ptr<DaemonControl> control_;
};

TEST_F(DaemonControlTest, TheIndexIsExchangedOnlyWhenNobodyArchives) {
  const std::string before = Dump(), identity = IndexIdentity();
  auto rebuilding = control_->RebuildIndex();
  ASSERT_TRUE(rebuilding.ok()) << rebuilding.error().message();
  ASSERT_TRUE(WaitUntil([&] { return control_->WantsQuiet(); }));
  EXPECT_GT(rings_, 0);
  EXPECT_EQ(control_->RebuildIndex().error().code(), Code::kLocked);
  const auto worker = Worker();
  control_->NoteWorkers({worker});
  EXPECT_EQ(IndexIdentity(), identity);
  EXPECT_EQ(Dump(), before) << "look-ups go on";
  control_->NoteWorkers({});
  const auto done = Finish(**rebuilding);
  ASSERT_TRUE(done.ok()) << done.error().message();
  EXPECT_EQ(done->segments, 3u);
  EXPECT_FALSE(control_->WantsQuiet());
  EXPECT_NE(IndexIdentity(), identity);
  EXPECT_EQ(Dump(), before);
  EXPECT_FALSE(std::filesystem::exists(directory_.Path("index.old")));
  EXPECT_FALSE(std::filesystem::exists(directory_.Path("index.new")));
}

TEST_F(DaemonControlTest, WhatComesBetweenTheFirstLookAndTheExchangeIsInTheNewIndex) {
  auto rebuilding = control_->RebuildIndex();
  ASSERT_TRUE(rebuilding.ok());
  ASSERT_TRUE(WaitUntil([&] { return control_->WantsQuiet(); }));
  // The third segment goes: as good as one that comes, and easier to make.
  std::filesystem::remove(archive_.SegmentPath("main", 3));
  control_->NoteWorkers({});
  ASSERT_TRUE(Finish(**rebuilding).ok());
  EXPECT_EQ(index_->LastSegment("main").value()->header.number, 2u);
}

TEST_F(DaemonControlTest, ARebuildThatIsGivenUpLeavesTheOldIndexAndRoomForAnother) {
  const std::string identity = IndexIdentity();
  {
    auto rebuilding = control_->RebuildIndex();
    ASSERT_TRUE(rebuilding.ok());
    ASSERT_TRUE(WaitUntil([&] { return control_->WantsQuiet(); }));
  }
  ASSERT_TRUE(WaitUntil([&] { return !control_->WantsQuiet(); }));
  control_->NoteWorkers({});
  EXPECT_EQ(IndexIdentity(), identity);
  auto second = control_->RebuildIndex();
  ASSERT_TRUE(second.ok()) << second.error().message();
  ASSERT_TRUE(WaitUntil([&] { return control_->WantsQuiet(); }));
  control_->Stop();
  EXPECT_EQ(Finish(**second).error().code(), Code::kInterrupted);
  EXPECT_EQ(control_->RebuildIndex().error().code(), Code::kSourceUnavailable);
  EXPECT_FALSE(Dump().empty());
}

TEST_F(DaemonControlTest, ADamagedSegmentIsAnErrorAndTheOldIndexStays) {
  const std::string before = Dump();
  std::filesystem::resize_file(archive_.SegmentPath("main", 2), 100);
  auto rebuilding = control_->RebuildIndex();
  ASSERT_TRUE(rebuilding.ok());
  const auto ended = Finish(**rebuilding);
  ASSERT_FALSE(ended.ok());
  EXPECT_FALSE(control_->WantsQuiet());
  EXPECT_EQ(Dump(), before);
}

TEST_F(DaemonControlTest, AnExchangeThatFailsLeavesWhatIsOnTheDiskOpen) {
  const std::string before = Dump();
  const Status failed = index_->Replace(
      archive_.IndexPath(), [] { return Status(Code::kDiskFull, "no room for a name"); });
  EXPECT_EQ(failed.code(), Code::kDiskFull);
  EXPECT_EQ(Dump(), before);
}

TEST_F(DaemonControlTest, APauseIsWrittenBeforeItIsWaitedFor) {
  control_->NoteWorkers({Worker()});
  const auto paused = control_->Pause("main", {"alice", 7, "why"}, [] { return true; });
  ASSERT_FALSE(paused.ok()) << "the worker of before is still there";
  EXPECT_EQ(paused.error().code(), Code::kInterrupted);
  EXPECT_EQ(ReadPause(archive_, "main")->value().by, "alice");
  EXPECT_EQ(control_->PauseOf("main")->reason, "why");
  EXPECT_GT(rings_, 0);
}

TEST_F(DaemonControlTest, APauseIsAnsweredWhenThePausedWorkerIsThere) {
  control_->NoteWorkers({Worker()});
  auto asked = std::async(std::launch::async, [&] {
    return control_->Pause("main", {"alice", 7, "why"}, Never);
  });
  ASSERT_TRUE(WaitUntil([&] { return control_->PauseOf("main").has_value(); }));
  control_->NoteWorkers({});
  EXPECT_EQ(asked.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  const auto resting = Worker();
  control_->NoteWorkers({resting});
  EXPECT_FALSE(asked.get()->was_paused);
  ASSERT_TRUE(WaitUntil([&] { return resting->condition().started; }));
  EXPECT_STREQ(SourceWorker::StateName(resting->condition()), "paused");
  const auto sealed = control_->Seal("main", Never);
  ASSERT_TRUE(sealed.ok()) << sealed.error().message();
  EXPECT_EQ(sealed->segment, 3u);
  EXPECT_TRUE(sealed->was_sealed);
  const auto again = control_->Pause("main", {"bob", 8, "other"}, Never);
  EXPECT_TRUE(again->was_paused);
  EXPECT_EQ(again->note.by, "alice");
}

TEST_F(DaemonControlTest, ReadsAnewWhoIsPausedAndTakesTheUnreadableForPaused) {
  ASSERT_TRUE(WritePause(archive_, "main", {"alice", 7, "why"}).ok());
  EXPECT_FALSE(control_->PauseOf("main").has_value());
  control_->SetSources({"main"});
  EXPECT_EQ(control_->PauseOf("main")->by, "alice");
  std::filesystem::resize_file(directory_.Path("main/paused"), 10);
  control_->SetSources({"main"});
  ASSERT_TRUE(control_->PauseOf("main").has_value());
  EXPECT_THAT(control_->PauseOf("main")->reason, HasSubstr("main/paused"));
  ASSERT_TRUE(RemovePause(archive_, "main").ok());
  control_->SetSources({"main"});
  EXPECT_FALSE(control_->PauseOf("main").has_value());
}

TEST_F(DaemonControlTest, WhoWaitsWhenTheDaemonStopsIsToldSo) {
  control_->NoteWorkers({Worker()});
  auto asked = std::async(std::launch::async, [&] {
    return control_->Pause("main", {"alice", 7, "why"}, Never);
  });
  ASSERT_TRUE(WaitUntil([&] { return control_->PauseOf("main").has_value(); }));
  control_->Stop();
  EXPECT_EQ(asked.get().error().code(), Code::kSourceUnavailable);
  EXPECT_EQ(control_->Seal("main", Never).error().code(), Code::kSourceUnavailable);
}

TEST_F(DaemonControlTest, WhoWaitsForAPauseThatSomebodyEndsIsToldSo) {
  const auto working = Worker();
  control_->NoteWorkers({working});
  ASSERT_TRUE(WaitUntil([&] { return working->tried(); }));
  auto asked = std::async(std::launch::async, [&] {
    return control_->Pause("main", {"alice", 7, "why"}, Never);
  });
  ASSERT_TRUE(WaitUntil([&] { return control_->PauseOf("main").has_value(); }));
  const auto resumed = control_->Resume("main", Never);
  ASSERT_TRUE(resumed.ok()) << resumed.error().message();
  EXPECT_TRUE(*resumed);
  EXPECT_EQ(asked.get().error().code(), Code::kLocked);
}

TEST_F(DaemonControlTest, ASourceThatIsNotConfiguredIsNotFoundAndNothingIsWritten) {
  control_->SetSources({"other"});
  EXPECT_EQ(control_->Pause("main", {"alice", 7, "why"}, Never).error().code(), Code::kNotFound);
  EXPECT_EQ(control_->Resume("main", Never).error().code(), Code::kNotFound);
  EXPECT_EQ(control_->Seal("main", Never).error().code(), Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(directory_.Path("main/paused")));
}

TEST_F(DaemonControlTest, APauseThatCannotBeWrittenIsNone) {
  control_->NoteWorkers({Worker()});
  std::filesystem::create_directories(directory_.Path("main/paused.new/in-the-way"));
  const auto paused = control_->Pause("main", {"alice", 7, "why"}, Never);
  ASSERT_FALSE(paused.ok());
  EXPECT_FALSE(control_->PauseOf("main").has_value());
}

}  // namespace
}  // namespace tidemark
