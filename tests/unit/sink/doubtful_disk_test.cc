// What a start-up may believe of what it reads: the page cache shows what a killed process wrote
// and never synced, and what a failed fdatasync lost. Each of these was found by tests/sim.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include "replication/sink/resume.h"
#include "replication/sink/source_archiver.h"
#include "tests/support/simulated_disk.h"
#include "tests/unit/sink/model_source.h"
#include "tests/unit/sink/sink_fixture.h"

namespace tidemark {
namespace {

using sim::Dice;
using sim::Disk;
using testing::kArchive;
using testing::kSource;
using testing::ModelServer;
using testing::ModelSource;

class IgnoringListener : public DurableListener {
  Status OnDurable(const DurableBatch&) override { return OkStatus(); }
};

class DoubtfulDiskTest : public ::testing::Test {
 protected:
  void SetUp() override { spdlog::set_level(spdlog::level::off); }
  void Begin(uint64_t seed) {
    dice_.emplace(seed);
    disk_ = std::make_unique<Disk>(*dice_, nullptr);
    disk_->set_shared();
    archive_.emplace(*disk_, kArchive);
    ASSERT_TRUE(disk_->CreateDirectories(kArchive).ok());
  }
  std::unique_ptr<SourceArchiver> Archiver() {
    ArchiverOptions options;
    options.source = kSource;
    options.server_id = 9;
    return std::make_unique<SourceArchiver>(*archive_, std::make_unique<ModelSource>(server_),
                                            SystemClock(), listener_, options);
  }
  // One sealed segment; its last bytes are written, but not synced, by a process that is gone.
  void LeaveUnsynced(uint64_t bytes) {
    server_.Commit(20);
    auto archiver = Archiver();
    ASSERT_TRUE(archiver->Prepare().ok());
    ASSERT_TRUE(archiver->RunOnce().ok());
    path_ = archive_->SegmentPath(kSource, 1);
    const std::string contents = *disk_->Contents(path_);
    auto file = disk_->Open(path_, OpenMode::kReadWrite);
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE((*file)->Truncate(contents.size() - bytes).ok());
    ASSERT_TRUE((*file)->DataSync().ok());
    ASSERT_TRUE((*file)->Append(AsBytes(contents).last(bytes)).ok());
    disk_->Kill();
    disk_->Revive();
    ASSERT_FALSE(WholeFileIsDurable());
  }
  // By a start-up that succeeds; and so a power cut takes nothing.
  void ExpectWrittenAgain(SourceArchiver& archiver) {
    ASSERT_TRUE(archiver.Prepare().ok());
    EXPECT_TRUE(WholeFileIsDurable());
    disk_->PowerCut();
    disk_->Revive();
    testing::ExpectComplete(*disk_, server_);
  }
  bool WholeFileIsDurable() const {
    return disk_->Durable(path_, 0, disk_->Contents(path_)->size());
  }

  std::optional<Dice> dice_;
  std::unique_ptr<Disk> disk_;
  std::optional<ArchiveDirectory> archive_;
  IgnoringListener listener_;
  ModelServer server_;
  std::string path_;
};

TEST_F(DoubtfulDiskTest, FooterThatAKilledProcessDidNotSyncIsSyncedBeforeItIsBelieved) {
  Begin(1);
  LeaveUnsynced(100);
  auto archiver = Archiver();
  ASSERT_TRUE(archiver->Prepare().ok());
  EXPECT_FALSE(archiver->TakeRecovered().has_value());  // nothing was to be cut
  EXPECT_TRUE(WholeFileIsDurable());
}

// The pages count as written, and the process that knew better is gone.
TEST_F(DoubtfulDiskTest, PagesThatAKilledProcessFailedToSyncAreWrittenAgain) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    server_ = ModelServer();
    Begin(seed);
    LeaveUnsynced(100);
    disk_->SetFaults({.sync = 1});
    ASSERT_FALSE((*disk_->Open(path_, OpenMode::kReadWrite))->DataSync().ok());
    disk_->SetFaults({});
    disk_->Kill();
    disk_->Revive();
    lost += WholeFileIsDurable() ? 0 : 1;
    ASSERT_NO_FATAL_FAILURE(ExpectWrittenAgain(*Archiver()));
  }
  EXPECT_GT(lost, 5);
}

TEST_F(DoubtfulDiskTest, PagesThatAFailedSyncAtStartUpLostAreWrittenAgain) {
  int lost = 0;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    server_ = ModelServer();
    Begin(seed);
    LeaveUnsynced(100);
    auto archiver = Archiver();
    disk_->SetFaults({.sync = 1});
    ASSERT_FALSE(archiver->Prepare().ok());
    disk_->SetFaults({});
    lost += WholeFileIsDurable() ? 0 : 1;
    ASSERT_NO_FATAL_FAILURE(ExpectWrittenAgain(*archiver));
  }
  EXPECT_GT(lost, 5);
}

// Killed in front of each operation of its first start-up.
TEST_F(DoubtfulDiskTest, NamesThatAKilledProcessDidNotSyncAreSyncedBeforeAnythingIsInThem) {
  for (int kill_at = 1;; ++kill_at) {
    SCOPED_TRACE("killed at " + std::to_string(kill_at));
    Dice dice(7);
    int operations_left = 0;
    std::unique_ptr<Disk> disk;
    disk = std::make_unique<Disk>(dice, [&](const char*) {
      if (operations_left > 0 && --operations_left == 0) disk->Kill();
    });
    ASSERT_TRUE(disk->CreateDirectories(kArchive).ok());  // its owner's to make
    ArchiveDirectory archive(*disk, kArchive);
    operations_left = kill_at;
    const bool lived = archive.CreateSource(kSource).ok();
    operations_left = 0;
    disk->Revive();
    ASSERT_TRUE(ArchiveDirectory(*disk, kArchive).CreateSource(kSource).ok());
    ASSERT_TRUE(WriteSmallFileDurably(*disk, archive.SegmentPath(kSource, 1), "x").ok());
    EXPECT_TRUE(disk->Durable(archive.SegmentPath(kSource, 1), 0, 1));
    EXPECT_TRUE(disk->Durable(JoinPath(JoinPath(kArchive, kSource), "identity"), 0, 1));
    if (lived) break;
  }
}

}  // namespace
}  // namespace tidemark
