// Healing and rebuilding from real segments: whatever the index lacks, has too much or has wrong,
// it ends as ingest made it; and a rebuild may be interrupted anywhere.
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "index/index.h"
#include "tests/support/archive_builder.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/index/index_records.h"

namespace tidemark {
namespace {

using namespace tidemark::testing;  // NOLINT(google-build-using-namespace)

constexpr int64_t kFirstCommit = 1'700'000'000'000'000;

class IndexHeal : public ::testing::Test {
 protected:
  // Three files in three sealed segments and an open one; many frames, an oversized transaction,
  // DDL, a clock that steps back; the index as ingest leaves it.
  void BuildArchive() {
    ArchiveBuilder builder(root(), "db1");
    builder.BeginFile("binlog.000001");
    AddTransactions(builder, 30, 200'000);
    builder.Continue(SealReason::kSize);
    AddTransactions(builder, 10, 100);
    builder.BeginFile("binlog.000002");
    AddBig(builder);
    AddTransactions(builder, 10, 100);
    commit_us_ -= 60'000'000;
    AddTransactions(builder, 10, 300'000);
    builder.BeginFile("binlog.000003");
    AddTransactions(builder, 5, 100);
    builder.Publish();
    open_segment_ = builder.segment_number();
    ingested_ = Dump(builder.index());
  }
  void AddTransactions(ArchiveBuilder& builder, int count, uint32_t row_bytes) {
    for (int i = 0; i < count; ++i) {
      TransactionSpec spec = Next();
      spec.row_bytes = row_bytes;
      if (i % 7 == 3) spec.ddl = "ALTER TABLE t ADD COLUMN c INT";
      builder.Add(spec);
      if (i % 4 == 0) builder.Publish();
    }
  }
  void AddBig(ArchiveBuilder& builder) {
    TransactionSpec big = Next();
    big.events = 40;
    big.row_bytes = 200'000;
    builder.Add(big);
  }
  TransactionSpec Next() {
    TransactionSpec spec;
    spec.gtid = BuilderGtid(++gno_);
    spec.commit_us = commit_us_ += 1'000'000;
    return spec;
  }

  static std::string Dump(Index& index) {
    std::string text;
    const Status status = DumpIndex(index, &text);
    EXPECT_TRUE(status.ok()) << status.message();
    return text;
  }
  std::string DumpOnDisk() { return Dump(*Must(Index::OpenForReading(archive_.IndexPath()))); }
  Result<HealReport> Heal() {
    const auto index = Must(Index::OpenForWriting(archive_.IndexPath()));
    return HealIndex(*index, archive_, "db1", nullptr);
  }
  void RemoveIndex() { std::filesystem::remove_all(archive_.IndexPath()); }
  std::string root() const { return directory_.Path("archive"); }
  std::string Segment(uint64_t number) const { return archive_.SegmentPath("db1", number); }

  TempDir directory_;
  ArchiveDirectory archive_{PosixFileSystem(), directory_.Path("archive")};
  int64_t gno_ = 0;
  int64_t commit_us_ = kFirstCommit;
  uint64_t open_segment_ = 0;
  std::string ingested_;
};

TEST_F(IndexHeal, WhatRecoveryHasReadIsNotReadAgain) {
  BuildArchive();
  {
    const auto index = Must(Index::OpenForWriting(archive_.IndexPath()));
    const int64_t high = Must(index->Segment("db1", 2))->commit_high_us;
    const SegmentContents third = Must(ScanSegment(PosixFileSystem(), Segment(3), "db1", high));
    ASSERT_TRUE(index->DropSegment("db1", 3).ok());
    const HealReport report = Must(HealIndex(*index, archive_, "db1", nullptr, &third));
    EXPECT_EQ(report.segments_scanned, 0u);
    EXPECT_EQ(report.segments_current, 3u);
  }
  EXPECT_EQ(DumpOnDisk(), ingested_);
}

TEST_F(IndexHeal, ARebuildMakesRecordForRecordWhatIngestMade) {
  BuildArchive();
  ASSERT_EQ(open_segment_, 4u);
  for (const char* kind : {"oversize db1/3", "ddl db1/1", "frame db1/1/2", "stepped_back=1",
                           "in_transaction=1", "sealed=0", "sealed=1"}) {
    ASSERT_NE(ingested_.find(kind), std::string::npos)
        << kind << " is not in what this test compares";
  }
  const HealReport report = Must(RebuildIndex(archive_, nullptr));
  EXPECT_EQ(report.segments_scanned, 4u);
  EXPECT_EQ(DumpOnDisk(), ingested_);
  for (const char* leftover : {".new", ".old"}) {
    EXPECT_FALSE(std::filesystem::exists(archive_.IndexPath() + leftover));
  }
}

TEST_F(IndexHeal, LostLeadingSegmentsAreReportedAndTheIndexIsAsARebuildMakesIt) {
  BuildArchive();
  std::filesystem::remove(Segment(1));
  const HealReport report = Must(Heal());
  EXPECT_EQ(report.segments_lost, std::vector<uint64_t>{1});
  EXPECT_EQ(report.gtids_lost, BuilderSet(1, 30));
  const std::string healed = DumpOnDisk();
  EXPECT_TRUE(Must(Heal()).segments_lost.empty());
  Must(RebuildIndex(archive_, nullptr));
  EXPECT_EQ(DumpOnDisk(), healed);
}

TEST_F(IndexHeal, ACopyUnderAnotherNumberIsRefusedAndChangesNothing) {
  BuildArchive();
  std::filesystem::copy_file(Segment(3), Segment(open_segment_ + 1));
  const auto healed = Heal();
  ASSERT_FALSE(healed.has_value());
  EXPECT_EQ(healed.error().code(), Code::kCorruption);
  EXPECT_NE(healed.error().message().find("says it is segment 3"), std::string::npos)
      << healed.error().message();
  std::filesystem::remove(Segment(open_segment_ + 1));
  EXPECT_EQ(DumpOnDisk(), ingested_);
}

TEST_F(IndexHeal, AnIndexThatAgreesIsLeftAloneWithoutReadingSegments) {
  BuildArchive();
  // Nothing of a sealed segment but header and footer may be needed: break all between.
  const uint64_t size = std::filesystem::file_size(Segment(1));
  std::fstream file(Segment(1), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(size / 2));
  file.write("damage", 6);
  file.close();
  const HealReport report = Must(Heal());
  EXPECT_EQ(report.segments_current, 4u);
  EXPECT_EQ(report.segments_scanned, 0u);
  EXPECT_EQ(DumpOnDisk(), ingested_);
}

TEST_F(IndexHeal, AnAbsentIndexComesBackWholeAndReportsProgress) {
  BuildArchive();
  RemoveIndex();
  const auto index = Must(Index::OpenForWriting(archive_.IndexPath()));
  std::vector<uint64_t> scanned;
  const HealReport report = Must(HealIndex(*index, archive_, "db1", [&](const HealReport& so_far) {
    scanned.push_back(so_far.segments_scanned);
  }));
  EXPECT_EQ(scanned, (std::vector<uint64_t>{1, 2, 3, 4}));
  EXPECT_GT(report.raw_bytes_scanned, 15'000'000u);
  EXPECT_EQ(Dump(*index), ingested_);
}

TEST_F(IndexHeal, OnlyWhatTheIndexMissedIsScanned) {
  BuildArchive();
  {
    const auto index = Must(Index::OpenForWriting(archive_.IndexPath()));
    ASSERT_TRUE(index->DropSegment("db1", 3).ok());
    ASSERT_TRUE(index->DropSegment("db1", 4).ok());
  }
  const HealReport report = Must(Heal());
  EXPECT_EQ(report.segments_current, 2u);
  EXPECT_EQ(report.segments_scanned, 2u);
  EXPECT_EQ(DumpOnDisk(), ingested_);
}

TEST_F(IndexHeal, ASegmentOfWhichTheIndexLostTheLastBatchesIsScannedAnew) {
  BuildArchive();
  {
    const auto index = Must(Index::OpenForWriting(archive_.IndexPath()));
    DurableBatch earlier;
    earlier.source = "db1";
    earlier.segment = *Must(index->Segment("db1", 1));
    earlier.segment.sealed = false;
    std::vector<FrameRecord> frames;
    ASSERT_TRUE(index
                    ->EachFrame("db1", 1, 0,
                                [&](const IndexedFrame& frame) {
                                  frames.push_back(frame.record);
                                  return frames.size() < 2;
                                })
                    .ok());
    earlier.frames = frames;
    ASSERT_TRUE(index->DropSegment("db1", 1).ok());
    ASSERT_TRUE(index->Apply(earlier).ok());
  }
  EXPECT_EQ(Must(Heal()).segments_scanned, 1u);
  EXPECT_EQ(DumpOnDisk(), ingested_);
}

TEST_F(IndexHeal, AnOpenSegmentOfWhichTheIndexKnowsLessOrMoreIsScannedAnew) {
  BuildArchive();
  for (const int difference : {-1, 1}) {
    {
      const auto index = Must(Index::OpenForWriting(archive_.IndexPath()));
      DurableBatch changed;
      changed.source = "db1";
      changed.segment = *Must(index->Segment("db1", 4));
      changed.segment.stored_bytes += static_cast<uint64_t>(difference);
      changed.frames = {Must(index->Frame("db1", 4, 0))->record};
      changed.frames[0].gtids.Add(BuilderGtid(1000));
      ASSERT_TRUE(index->Apply(changed).ok());
    }
    EXPECT_EQ(Must(Heal()).segments_scanned, 1u);
    EXPECT_EQ(DumpOnDisk(), ingested_);
  }
}

// After each start the daemon heals, and reads go on beside it: what had been acknowledged is there
// at any moment, also if it is killed then.
TEST_F(IndexHeal, WhatAReaderHasSeenOfASegmentIsThereWhileItIsHealed) {
  BuildArchive();
  const auto index = Must(Index::OpenForWriting(archive_.IndexPath()));
  const SegmentRecord last = *Must(index->LastSegment("db1"));
  DurableBatch shorter;
  shorter.source = "db1";
  shorter.segment = last;
  shorter.segment.stored_bytes -= 1;  // as if something had come since
  std::atomic<bool> done = false;
  std::thread healing([&] {
    for (int round = 0; round < 300 && !HasFailure(); ++round) {
      ASSERT_TRUE(index->Apply(shorter).ok());
      EXPECT_EQ(Must(HealIndex(*index, archive_, "db1", nullptr)).segments_scanned, 1u);
    }
    done = true;
  });
  uint64_t looks = 0;
  for (; !done && !HasFailure(); ++looks) {
    const auto seen = Must(index->LastSegment("db1"));
    EXPECT_TRUE(seen && seen->header.number == last.header.number && seen->gtids == last.gtids);
  }
  healing.join();
  EXPECT_GT(looks, 300u);
  EXPECT_EQ(Dump(*index), ingested_);
}

TEST_F(IndexHeal, RecordsOfSegmentsThatAreGoneAreDropped) {
  BuildArchive();
  {
    const auto index = Must(Index::OpenForWriting(archive_.IndexPath()));
    ASSERT_TRUE(index->Apply(MakeBatch("db1", 5, {MakeFrame(0, A("1-9"), 1, 2, 3)})).ok());
  }
  EXPECT_EQ(Must(Heal()).segments_current, 4u);
  EXPECT_EQ(DumpOnDisk(), ingested_);
}

TEST_F(IndexHeal, ADamagedSegmentStopsItAndIsNamed) {
  BuildArchive();
  RemoveIndex();
  const uint64_t size = std::filesystem::file_size(Segment(3));
  std::fstream file(Segment(3), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(size / 2));
  file.write("damage", 6);
  file.close();
  const auto healed = Heal();
  ASSERT_FALSE(healed.has_value());
  EXPECT_EQ(healed.error().code(), Code::kCorruption);
  EXPECT_NE(healed.error().message().find("0000000003.binlog.zst"), std::string::npos)
      << healed.error().message();
}

TEST_F(IndexHeal, ALastFileWithoutAWholeHeaderHoldsNothing) {
  BuildArchive();
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{20}}) {
    std::filesystem::copy_file(Segment(4), Segment(5),
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(Segment(5), bytes);
    EXPECT_EQ(Must(Heal()).segments_current, 4u);
    EXPECT_EQ(Must(RebuildIndex(archive_, nullptr)).segments_scanned, 4u);
    EXPECT_EQ(DumpOnDisk(), ingested_);
  }
}

TEST_F(IndexHeal, TheRebuiltIndexFindsEveryTransaction) {
  BuildArchive();
  (void)Must(RebuildIndex(archive_, nullptr));
  const auto index = Must(Index::OpenForReading(archive_.IndexPath()));
  for (int64_t number = 1; number <= gno_; ++number) {
    const auto found = Must(index->FindGtid("db1", BuilderGtid(number)));
    ASSERT_TRUE(found.has_value()) << number;
    EXPECT_TRUE(found->record.gtids.Contains(BuilderGtid(number)));
  }
  EXPECT_FALSE(Must(index->FindGtid("db1", BuilderGtid(gno_ + 1))).has_value());
}

TEST_F(IndexHeal, VerifyAgreesWithEveryScannedSegment) {
  BuildArchive();
  const auto index = Must(Index::OpenForReading(archive_.IndexPath()));
  int64_t commit_high_us = 0;
  for (uint64_t number = 1; number <= 4; ++number) {
    const SegmentContents contents =
        Must(ScanSegment(PosixFileSystem(), Segment(number), "db1", commit_high_us));
    commit_high_us = contents.segment.commit_high_us;
    const auto differences = Must(VerifyIndexAgainst(*index, contents, 5));
    EXPECT_TRUE(differences.empty()) << differences.front();
  }
}

// Fails the `fail_at`-th change of a name or sync of a directory, as a crash there would.
class InterruptedFileSystem : public FileSystem {
 public:
  explicit InterruptedFileSystem(int fail_at) : left_(fail_at) {}
  bool interrupted() const { return left_ < 0; }

  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    return disk_.Open(path, mode);
  }
  Result<std::vector<std::string>> List(const std::string& directory) override {
    return disk_.List(directory);
  }
  bool Exists(const std::string& path) override { return disk_.Exists(path); }
  bool IsDirectory(const std::string& path) override { return disk_.IsDirectory(path); }
  Status CreateDirectories(const std::string& path) override {
    return disk_.CreateDirectories(path);
  }
  Status SyncDirectory(const std::string& path) override {
    TM_RETURN_IF_ERROR(Step());
    return disk_.SyncDirectory(path);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    TM_RETURN_IF_ERROR(Step());
    return disk_.Rename(from, to);
  }
  Status Remove(const std::string& path) override { return disk_.Remove(path); }
  Result<uint64_t> FreeBytes(const std::string& path) override { return disk_.FreeBytes(path); }
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    return disk_.Lock(path);
  }

 private:
  Status Step() { return --left_ < 0 ? Status(Code::kIo, "interrupted") : OkStatus(); }

  FileSystem& disk_ = PosixFileSystem();
  int left_;
};

TEST_F(IndexHeal, ARebuildInterruptedAnywhereIsDoneByTheNextOneOrByHealing) {
  BuildArchive();
  int interruptions = 0;
  for (int fail_at = 0;; ++fail_at) {
    InterruptedFileSystem files(fail_at);
    ArchiveDirectory interrupted(files, root());
    const auto rebuilt = RebuildIndex(interrupted, nullptr);
    if (!files.interrupted()) {
      ASSERT_TRUE(rebuilt.has_value()) << rebuilt.error().message();
      break;
    }
    ++interruptions;
    EXPECT_FALSE(rebuilt.has_value());
    if (fail_at % 2 == 0) {
      (void)Must(Heal());  // what the daemon does, with whatever index the crash left
    } else {
      (void)Must(RebuildIndex(archive_, nullptr));
    }
    ASSERT_EQ(DumpOnDisk(), ingested_) << "after an interruption at step " << fail_at;
  }
  EXPECT_EQ(interruptions, 4);
  for (const char* leftover : {".new", ".old"}) {
    EXPECT_FALSE(std::filesystem::exists(archive_.IndexPath() + leftover));
  }
}

}  // namespace
}  // namespace tidemark
