#include "replication/archive/archive_directory.h"

#include <gtest/gtest.h>

#include "tests/support/memory_file_system.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

TEST(ArchiveDirectory, NamesOfSources) {
  for (const char* good : {"a", "db1", "Primary_eu-1.example", "-", "Index"})
    EXPECT_TRUE(ArchiveDirectory::CheckSourceName(good).ok()) << good;
  EXPECT_TRUE(ArchiveDirectory::CheckSourceName(std::string(64, 'x')).ok());
  for (const char* bad : {"", ".", "..", ".hidden", "index", "index.new", "LOCK", "reserve", "a/b",
                          "a b", "a\nb", "\xC3\xA9"})
    EXPECT_EQ(ArchiveDirectory::CheckSourceName(bad).code(), Code::kUsage) << bad;
  EXPECT_FALSE(ArchiveDirectory::CheckSourceName(std::string(65, 'x')).ok());
}

TEST(ArchiveDirectory, SecondWriterIsToldWhoHoldsTheLock) {
  testing::TempDir directory;
  const std::string root = directory.Path("deep/archive");
  ArchiveDirectory archive(PosixFileSystem(), root);
  EXPECT_EQ(archive.CheckExists().code(), Code::kNotFound);
  {
    auto lock = archive.LockForWriting();
    ASSERT_TRUE(lock.ok()) << lock.error().message();
    EXPECT_TRUE(archive.CheckExists().ok());
    auto second = ArchiveDirectory(PosixFileSystem(), root).LockForWriting();
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code(), Code::kLocked);
    EXPECT_NE(second.error().message().find(std::to_string(getpid())), std::string::npos);
  }
  EXPECT_TRUE(archive.LockForWriting().ok());
}

TEST(ArchiveDirectory, SourceIsMadeOnceAndDurably) {
  MemoryFileSystem files;
  ArchiveDirectory archive(files, "/archive");
  ASSERT_TRUE(archive.LockForWriting().ok());
  EXPECT_TRUE(archive.Sources()->empty());
  ASSERT_TRUE(archive.CreateSource("b").ok());
  ASSERT_TRUE(archive.CreateSource("a").ok());
  files.Crash();
  auto identity = archive.ReadIdentity("a");
  ASSERT_TRUE(identity.ok()) << identity.error().message();
  EXPECT_NE(identity->replica_uuid, Uuid());
  EXPECT_NE(identity->replica_uuid, archive.ReadIdentity("b")->replica_uuid);
  ASSERT_TRUE(archive.CreateSource("a").ok());
  EXPECT_EQ(archive.ReadIdentity("a")->replica_uuid, identity->replica_uuid);
  EXPECT_EQ(*archive.Sources(), (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(archive.Segments("a")->empty());
}

TEST(ArchiveDirectory, DirectoryWithoutIdentityIsNoSource) {
  MemoryFileSystem files;
  ArchiveDirectory archive(files, "/archive");
  ASSERT_TRUE(files.CreateDirectories("/archive/half/segments").ok());
  ASSERT_TRUE(files.CreateDirectories("/archive/index").ok());
  files.Put("/archive/index/identity", "not this one");
  EXPECT_TRUE(archive.Sources()->empty());
  EXPECT_EQ(archive.CheckExists().code(), Code::kNotFound);
}

TEST(ArchiveDirectory, IdentityGivesBackEveryField) {
  MemoryFileSystem files;
  ArchiveDirectory archive(files, "/archive");
  ASSERT_TRUE(archive.CreateSource("a").ok());
  SourceIdentity identity;
  identity.replica_uuid = *Uuid::Parse("11111111-71ca-11e1-9e33-c80aa9429562");
  identity.server_uuids = {*Uuid::Parse("33333333-71ca-11e1-9e33-c80aa9429562"),
                           *Uuid::Parse("22222222-71ca-11e1-9e33-c80aa9429562")};
  ASSERT_TRUE(archive.WriteIdentity("a", identity).ok());
  auto read = archive.ReadIdentity("a");
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read->replica_uuid, identity.replica_uuid);
  EXPECT_EQ(read->server_uuids, identity.server_uuids);
}

// Programs that know nothing of lineages must not take such a source for one of theirs.
TEST(ArchiveDirectory, OnlyAnIdentityWithALineageIsOfTheNewerVersion) {
  MemoryFileSystem files;
  ArchiveDirectory archive(files, "/archive");
  ASSERT_TRUE(archive.CreateSource("a").ok());
  const std::string path = "/archive/a/identity";
  EXPECT_NE(files.Contents(path).find("format_version = 1\n"), std::string::npos);
  SourceIdentity identity = *archive.ReadIdentity("a");
  GtidSet set = *GtidSet::Parse("33333333-71ca-11e1-9e33-c80aa9429562:1-5:7");
  identity.forks = {{"x", 3, set, {}, 1'700'000'000'000'000}, {"y", 9, set, set, 1}};
  ASSERT_TRUE(archive.WriteIdentity("a", identity).ok());
  EXPECT_NE(files.Contents(path).find("format_version = 2\n"), std::string::npos);
  EXPECT_EQ(archive.ForksOf("a"), identity.forks);
  // As when another server takes the source's place.
  SourceIdentity again = *archive.ReadIdentity("a");
  again.server_uuids.push_back(again.replica_uuid);
  ASSERT_TRUE(archive.WriteIdentity("a", again).ok());
  EXPECT_EQ(archive.ForksOf("a"), identity.forks);
}

TEST(ArchiveDirectory, SegmentIsOfItsSourceOrUpToTheForkOfOneThatThatContinues) {
  const std::vector<SourceFork> forks = {{"x", 3, {}, {}, 1}, {"y", 9, {}, {}, 1}};
  const auto code_of = [&](uint64_t number, const std::string& name, uint64_t says) {
    SegmentHeader header;
    header.number = says;
    header.source_name = name;
    return CheckSegmentIsOf("a", forks, number, "/s", header).code();
  };
  EXPECT_EQ(code_of(10, "a", 10), Code::kOk);
  EXPECT_EQ(code_of(2, "a", 2), Code::kOk) << "imported into a gap";
  EXPECT_EQ(code_of(3, "x", 3), Code::kOk);
  EXPECT_EQ(code_of(4, "x", 4), Code::kCorruption);
  EXPECT_EQ(code_of(9, "y", 9), Code::kOk);
  EXPECT_EQ(code_of(10, "y", 10), Code::kCorruption);
  EXPECT_EQ(code_of(1, "z", 1), Code::kCorruption);
  EXPECT_EQ(code_of(3, "x", 2), Code::kCorruption);
}

TEST(ArchiveDirectory, BadIdentityIsNamedByFileAndLine) {
  MemoryFileSystem files;
  ArchiveDirectory archive(files, "/archive");
  ASSERT_TRUE(archive.CreateSource("a").ok());
  const auto code_of = [&](const std::string& text) {
    files.Put("/archive/a/identity", text);
    auto identity = archive.ReadIdentity("a");
    return identity.ok() ? Code::kOk : identity.error().code();
  };
  const std::string uuid = "replica_uuid = 11111111-71ca-11e1-9e33-c80aa9429562\n";
  EXPECT_EQ(code_of("# comment\n\nformat_version=1\n" + uuid), Code::kOk);
  EXPECT_EQ(code_of("format_version = 3\n" + uuid), Code::kUnsupportedFormat);
  const std::string fork = "format_version = 2\n" + uuid + "continues = b\n";
  EXPECT_EQ(code_of(fork + "fork_segment = 7\nfork_set = \nfork_us = 1\n"), Code::kOk);
  EXPECT_EQ(code_of(fork + "fork_segment = x\n"), Code::kCorruption);
  EXPECT_EQ(code_of(fork + "fork_set = nonsense\n"), Code::kCorruption);
  EXPECT_EQ(code_of(fork + "fork_colour = blue\n"), Code::kCorruption);
  EXPECT_EQ(code_of("format_version = 2\nfork_us = 1\n" + uuid), Code::kCorruption);
  EXPECT_EQ(code_of("format_version = 2\ncontinues = a/b\n" + uuid), Code::kCorruption);
  EXPECT_EQ(code_of(uuid), Code::kCorruption);
  EXPECT_EQ(code_of("format_version = 1\n"), Code::kCorruption);
  EXPECT_EQ(code_of("format_version = one\n" + uuid), Code::kCorruption);
  EXPECT_EQ(code_of("format_version = 1\nnonsense\n" + uuid), Code::kCorruption);
  EXPECT_EQ(code_of("format_version = 1\ncolour = blue\n" + uuid), Code::kCorruption);
  files.Put("/archive/a/identity", "format_version = 1\nserver_uuid = xyz\n" + uuid);
  EXPECT_NE(archive.ReadIdentity("a").error().message().find("/archive/a/identity line 2"),
            std::string::npos);
}

TEST(ArchiveDirectory, SegmentsAreNumberedWithoutGaps) {
  MemoryFileSystem files;
  ArchiveDirectory archive(files, "/archive");
  ASSERT_TRUE(archive.CreateSource("a").ok());
  EXPECT_EQ(archive.SegmentPath("a", 42), "/archive/a/segments/0000000042.binlog.zst");
  // The oldest ones may be gone: they expired.
  for (uint64_t number : {41, 42, 43}) files.Put(archive.SegmentPath("a", number), "");
  files.Put("/archive/a/segments/0000000043.binlog.zst.new", "");
  EXPECT_EQ(*archive.Segments("a"), (std::vector<uint64_t>{41, 42, 43}));
  ASSERT_TRUE(files.Remove(archive.SegmentPath("a", 42)).ok());
  auto gap = archive.Segments("a");
  EXPECT_EQ(gap.error().code(), Code::kGap);
  EXPECT_NE(gap.error().message().find("0000000042.binlog.zst"), std::string::npos);
}

TEST(ArchiveDirectory, ForeignNamesAreNamed) {
  for (const char* name : {"1.binlog.zst", "0000000000.binlog.zst", "00000000001.binlog.zst",
                           "000000000x.binlog.zst", "0000000001.binlog", "notes.txt"}) {
    MemoryFileSystem files;
    ArchiveDirectory archive(files, "/archive");
    ASSERT_TRUE(archive.CreateSource("a").ok());
    files.Put(std::string("/archive/a/segments/") + name, "");
    auto segments = archive.Segments("a");
    ASSERT_FALSE(segments.ok()) << name;
    EXPECT_EQ(segments.error().code(), Code::kCorruption);
    EXPECT_NE(segments.error().message().find(name), std::string::npos);
  }
}

TEST(ArchiveDirectory, MissingSourceIsNotFound) {
  MemoryFileSystem files;
  ArchiveDirectory archive(files, "/archive");
  EXPECT_EQ(archive.Segments("nobody").error().code(), Code::kNotFound);
  EXPECT_EQ(archive.ReadIdentity("nobody").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace tidemark
