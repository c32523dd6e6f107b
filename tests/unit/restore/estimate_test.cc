#include "pitr/restore/estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pitr/restore/blockers.h"
#include "tests/support/memory_file_system.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

constexpr char kPath[] = "/state/tidemark/rates.json";
constexpr uint64_t kMegaByte = 1'000'000;

Plan PlanOf(uint64_t raw_bytes) {
  Plan plan;
  plan.raw_bytes = 3 * raw_bytes;  // most of it is in the base
  plan.apply_bytes = raw_bytes;
  return plan;
}

BaseBackup DumpOf(uint64_t text_bytes) {
  BaseBackup dump;
  dump.bytes = text_bytes / 4;
  dump.text_bytes = text_bytes;
  dump.compressed = true;
  return dump;
}

TEST(EstimateTime, IsTheSumOfItsParts) {
  const BaseBackup dump = DumpOf(200 * kMegaByte);
  const TimeEstimate time =
      EstimateTime(PlanOf(160 * kMegaByte), &dump, true, ApplierKind::kReplica, Rates());
  EXPECT_DOUBLE_EQ(time.load_seconds, 10);
  EXPECT_DOUBLE_EQ(time.apply_seconds, 10);
  EXPECT_DOUBLE_EQ(time.seconds(), 20 + kProvisionSeconds);
  const TimeEstimate pipe =
      EstimateTime(PlanOf(160 * kMegaByte), nullptr, false, ApplierKind::kPipe, Rates());
  EXPECT_DOUBLE_EQ(pipe.seconds(), 160);
  EXPECT_TRUE(ToJson(pipe)["apply_rate"]["measured"].is_null()) << "the reference machine's";
}

TEST(EstimateDisk, CountsOnlyWhatWillBeWritten) {
  const BaseBackup dump = DumpOf(4000);
  const DiskEstimate fresh = EstimateDisk(PlanOf(100), &dump, true, ApplierKind::kReplica);
  EXPECT_EQ(fresh.bytes(), 4000 + 100 + 100 + kFixedDiskBytes);
  const DiskEstimate large =
      EstimateDisk(PlanOf(5 * kRelayLogBytesMax), nullptr, true, ApplierKind::kReplica);
  EXPECT_EQ(large.bytes(), 6 * kRelayLogBytesMax) << "its relay log is limited, and it is there";
  const DiskEstimate pipe = EstimateDisk(PlanOf(100), nullptr, false, ApplierKind::kPipe);
  EXPECT_EQ(pipe.bytes(), 200u) << "a running target logs what it applies";
  const DiskEstimate running =
      EstimateDisk(PlanOf(5 * kRelayLogBytesMax), nullptr, false, ApplierKind::kReplica);
  EXPECT_EQ(running.bytes(), 15 * kRelayLogBytesMax);
  EXPECT_TRUE(ToJson(running)["free_bytes"].is_null());
}

TEST(Rates, AreTheReferenceMachinesUntilMeasured) {
  MemoryFileSystem files;
  const Rates rates = LoadRates(files, kPath);
  EXPECT_EQ(rates.replica.bytes_per_second, kReferenceReplicaBytesPerSecond);
  EXPECT_EQ(rates.replica.measured_us, 0);
}

TEST(Rates, EachApplierHasItsOwn) {
  MemoryFileSystem files;
  RecordRates(files, kPath, {100 * kMegaByte, 4}, {300 * kMegaByte, 10}, ApplierKind::kReplica, 7);
  RecordRates(files, kPath, {}, {20 * kMegaByte, 10}, ApplierKind::kPipe, 8);
  const Rates rates = LoadRates(files, kPath);
  EXPECT_DOUBLE_EQ(rates.load.bytes_per_second, 25e6);
  EXPECT_EQ(rates.load.measured_us, 7);
  EXPECT_DOUBLE_EQ(rates.replica.bytes_per_second, 30e6);
  EXPECT_EQ(rates.replica.measured_us, 7);
  EXPECT_DOUBLE_EQ(rates.pipe.bytes_per_second, 2e6);
  EXPECT_EQ(rates.pipe.measured_us, 8);
}

TEST(Rates, TooLittleTellsNothing) {
  MemoryFileSystem files;
  RecordRates(files, kPath, {kRateBytesMin - 1, 10}, {kRateBytesMin * 100, 0.01},
              ApplierKind::kReplica, 7);
  EXPECT_FALSE(files.Exists(kPath));
}

TEST(Rates, FileThatMakesNoSenseIsPassedOver) {
  for (const char* text :
       {"", "{", "[]",
        R"({"format":"tidemark-rates/1","replica":{"bytes_per_second":0,"measured_us":1}})",
        R"({"format":"tidemark-rates/1","replica":{"bytes_per_second":"x","measured_us":1}})",
        R"({"format":"tidemark-rates/1","replica":5})",
        R"({"format":"another","replica":{"bytes_per_second":5,"measured_us":1}})"}) {
    MemoryFileSystem files;
    files.Put(kPath, text);
    EXPECT_EQ(LoadRates(files, kPath).replica.bytes_per_second, kReferenceReplicaBytesPerSecond)
        << text;
  }
}

TEST(Blockers, DiskTooSmallForTheDumpBlocksAndForTheRestWarns) {
  DiskEstimate disk;
  disk.dump_bytes = 1000;
  disk.raw_bytes = 500;
  const auto check = [&](uint64_t free, size_t blockers_wanted, size_t warnings_wanted) {
    disk.free_bytes = free;
    std::vector<Status> blockers;
    std::vector<std::string> warnings;
    CheckDiskSpace(disk, "/d", &blockers, &warnings);
    EXPECT_EQ(blockers.size(), blockers_wanted) << free;
    EXPECT_EQ(warnings.size(), warnings_wanted) << free;
  };
  check(999, 1, 0);
  check(1000, 0, 1);
  check(1499, 0, 1);
  check(1500, 0, 0);
}

TEST(Blockers, FreeSpaceIsAskedOfTheNearestDirectoryThatIsThere) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectories("/there").ok());
  EXPECT_TRUE(FreeBytesFor(files, "/there/not/yet").ok());
}

TEST(Blockers, VersionsAreReadAsServersWriteThem) {
  EXPECT_EQ(ParseServerVersion("/usr/sbin/mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))"),
            90704u);
  EXPECT_EQ(ParseServerVersion("8.0.36-log"), 80036u);
  EXPECT_EQ(ParseServerVersion("8.4"), 0u);
  EXPECT_EQ(ParseServerVersion("Ver x"), 0u);
  EXPECT_EQ(ParseServerVersion(""), 0u);
}

TEST(Blockers, OlderServerThanTheSourceIsRefusedButNotAnOlderPatch) {
  const Status older = CheckVersions("mysqld", "mysqld  Ver 8.0.44 for Linux", "8.4.2");
  EXPECT_EQ(older.code(), Code::kTargetRefused);
  EXPECT_THAT(older.message(), HasSubstr("8.4.2"));
  EXPECT_TRUE(CheckVersions("mysqld", "mysqld  Ver 8.4.0 for Linux", "8.4.2").ok());
  EXPECT_TRUE(CheckVersions("mysqld", "mysqld  Ver 9.7.4 for Linux", "8.4.2").ok());
  EXPECT_TRUE(CheckVersions("mysqld", "mysqld  Ver 9.7.4 for Linux", "").ok());
  EXPECT_FALSE(CheckVersions("mysqld", "mysqld  Ver 10.11.6-MariaDB for debian", "8.4.2").ok());
}

}  // namespace
}  // namespace tidemark
