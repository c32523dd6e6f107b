#include "replication/archive/operator_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

#include "replication/base/checksum.h"
#include "tests/support/memory_file_system.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

constexpr char kServer[] = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
constexpr char kGaps[] = "/archive/main/acknowledged_gaps";

GtidSet Set(const std::string& numbers) {
  return *GtidSet::Parse(std::string(kServer) + ":" + numbers);
}

const OperatorNote kNote{"alice", 1'763'704'800'000'000,
                         "purged before the first backup, INC-4711"};

class OperatorRecord : public ::testing::Test {
 protected:
  OperatorRecord() { EXPECT_TRUE(archive_.CreateSource("main").ok()); }

  std::vector<GapAcknowledgement> Read() {
    auto read = ReadAcknowledgedGaps(archive_, "main");
    EXPECT_TRUE(read.ok()) << read.error().message();
    return read.ok() ? *read : std::vector<GapAcknowledgement>();
  }
  GtidSet Add(const GtidSet& gtids, const OperatorNote& note = kNote) {
    auto added = AddAcknowledgedGap(archive_, "main", {gtids, note});
    EXPECT_TRUE(added.ok()) << added.error().message();
    return added.ok() ? *added : GtidSet();
  }

  MemoryFileSystem files_;
  ArchiveDirectory archive_{files_, "/archive"};
};

TEST_F(OperatorRecord, NothingIsAcknowledgedWithoutAFile) { EXPECT_TRUE(Read().empty()); }

TEST_F(OperatorRecord, AcknowledgementsSurviveAPowerFailureOneByOne) {
  EXPECT_EQ(Add(Set("5-7")), Set("5-7"));
  const OperatorNote other{"bob", 2, "größer = \"besser\" # nicht"};
  EXPECT_EQ(Add(Set("9"), other), Set("9"));
  files_.Crash();
  const std::vector<GapAcknowledgement> expected = {{Set("5-7"), kNote}, {Set("9"), other}};
  EXPECT_EQ(Read(), expected);
}

TEST_F(OperatorRecord, WhatWasAcknowledgedInTheSharedPastIsSo) {
  (void)Add(Set("5-7"));
  (void)Add(Set("9-12"));
  SourceIdentity identity;
  identity.replica_uuid = ArchiveDirectory::NewReplicaUuid();
  identity.forks = {{"main", 1, Set("1-10"), Set("11-12"), 1}};
  ASSERT_TRUE(archive_.CreateDirectories("next").ok());
  ASSERT_TRUE(archive_.WriteIdentity("next", identity).ok());
  ASSERT_TRUE(archive_.CreateSource("next").ok());
  ASSERT_TRUE(AddAcknowledgedGap(archive_, "next", {Set("20"), kNote}).ok());
  const std::vector<GapAcknowledgement> expected = {
      {Set("5-7"), kNote}, {Set("9-10"), kNote}, {Set("20"), kNote}};
  EXPECT_EQ(*ReadAcknowledgedInLineage(archive_, "next"), expected);
  EXPECT_EQ(ReadAcknowledgedInLineage(archive_, "main")->size(), 2u);
  EXPECT_EQ(*AddAcknowledgedGap(archive_, "next", {Set("10-11"), kNote}), Set("11"));
  // What of the past cannot be read does not count, and the rest does.
  files_.Put(kGaps, "what is this");
  const std::vector<GapAcknowledgement> own = {{Set("20"), kNote}, {Set("11"), kNote}};
  EXPECT_EQ(*ReadAcknowledgedInLineage(archive_, "next"), own);
}

TEST_F(OperatorRecord, TheSameAgainChangesNothingAndMoreAddsTheRest) {
  (void)Add(Set("5-7"));
  const std::string before = files_.Contents(kGaps);
  EXPECT_TRUE(Add(Set("6"), {"bob", 9, "again"}).empty());
  EXPECT_EQ(files_.Contents(kGaps), before);
  EXPECT_EQ(Add(Set("4-8"), {"bob", 9, "more"}), Set("4:8"));
  EXPECT_EQ(Read().size(), 2u);
  EXPECT_EQ(Read()[0].note, kNote);
}

TEST_F(OperatorRecord, NotesMustBeLines) {
  const auto refused = [&](const OperatorNote& note) {
    const auto added = AddAcknowledgedGap(archive_, "main", {Set("1"), note});
    EXPECT_EQ(WritePause(archive_, "main", note).code(), Code::kUsage);
    return !added.ok() && added.error().code() == Code::kUsage;
  };
  EXPECT_TRUE(refused({"", 1, "why"}));
  EXPECT_TRUE(refused({"alice", 1, ""}));
  EXPECT_TRUE(refused({"alice\nby = bob", 1, "why"}));
  EXPECT_TRUE(refused({"alice", 1, "why\n"}));
  EXPECT_TRUE(refused({"alice", 1, std::string("w\0hy", 4)}));
  EXPECT_TRUE(refused({std::string(kOperatorNameBytesMax + 1, 'a'), 1, "why"}));
  EXPECT_TRUE(refused({"alice", 1, std::string(kOperatorReasonBytesMax + 1, 'w')}));
  EXPECT_FALSE(files_.Exists(kGaps));
  (void)Add(Set("1"), {std::string(kOperatorNameBytesMax, 'a'), 1,
                       std::string(kOperatorReasonBytesMax, 'w')});
  EXPECT_EQ(Read().size(), 1u);
}

// Whatever is changed or cut off: an error that names the file, and nobody writes over it.
TEST_F(OperatorRecord, AFileThatIsNotWholeIsAnErrorAndStays) {
  (void)Add(Set("5-7"));
  (void)Add(Set("9"));
  const std::string good = files_.Contents(kGaps);
  const auto expect_bad = [&](const std::string& text, const std::string& what) {
    files_.Put(kGaps, text);
    const auto read = ReadAcknowledgedGaps(archive_, "main");
    ASSERT_FALSE(read.ok()) << what;
    EXPECT_THAT(read.error().message(), HasSubstr(kGaps)) << what;
    EXPECT_TRUE(read.error().code() == Code::kCorruption ||
                read.error().code() == Code::kUnsupportedFormat)
        << what;
    const auto added = AddAcknowledgedGap(archive_, "main", {Set("11"), kNote});
    EXPECT_FALSE(added.ok()) << what;
    EXPECT_EQ(files_.Contents(kGaps), text) << what;
  };
  for (size_t size = 0; size < good.size(); ++size)
    expect_bad(good.substr(0, size), "cut to " + std::to_string(size));
  for (size_t at = 0; at < good.size(); ++at) {
    std::string changed = good;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    expect_bad(changed, "changed at " + std::to_string(at));
  }
  expect_bad(good + good, "twice");
  expect_bad(good + "\n", "more behind it");
  expect_bad(std::string(kOperatorFileBytesMax + 1, '#'), "too long");
  files_.Put(kGaps, good);
  EXPECT_EQ(Read().size(), 2u);
}

std::string WithCrc(std::string body) {
  char digits[9];
  std::snprintf(digits, sizeof(digits), "%08x", Crc32(0, AsBytes(body)));
  return body + "crc32 = " + digits + "\n";
}

TEST_F(OperatorRecord, AWholeFileMayStillSayWhatCannotBe) {
  const std::string head = "format_version = 1\n";
  const std::string note = "by = a\nat_us = 1\nreason = r\n";
  const std::string gtids = "gtids = " + std::string(kServer) + ":1\n";
  const auto code = [&](const std::string& body) {
    files_.Put(kGaps, WithCrc(body));
    const auto read = ReadAcknowledgedGaps(archive_, "main");
    return read.ok() ? Code::kOk : read.error().code();
  };
  EXPECT_EQ(code(head), Code::kOk);
  EXPECT_EQ(code(head + gtids + note), Code::kOk);
  EXPECT_EQ(code("format_version = 2\nsomething else\n"), Code::kUnsupportedFormat);
  EXPECT_EQ(code("format_version = 0\n"), Code::kCorruption);
  EXPECT_EQ(code("format_version = one\n"), Code::kCorruption);
  EXPECT_EQ(code(head + "gtids = \n" + note), Code::kCorruption);
  EXPECT_EQ(code(head + "gtids = nothing\n" + note), Code::kCorruption);
  EXPECT_EQ(code(head + note), Code::kCorruption);
  EXPECT_EQ(code(head + gtids + note + note), Code::kCorruption);
  EXPECT_EQ(code(head + gtids + "by = \nat_us = 1\nreason = r\n"), Code::kCorruption);
  EXPECT_EQ(code(head + gtids + "by = a\nat_us = -1\nreason = r\n"), Code::kCorruption);
  EXPECT_EQ(code(head + gtids + "by = a\nat_us = 99999999999999999999\nreason = r\n"),
            Code::kCorruption);
  EXPECT_EQ(code(head + gtids + "by = a\nreason = r\nat_us = 1\n"), Code::kCorruption);
}

TEST_F(OperatorRecord, AFailedWriteLeavesWhatWasThere) {
  (void)Add(Set("5-7"));
  for (uint64_t changes = 0;; ++changes) {
    files_.FailAfter(changes, Code::kDiskFull);
    const auto added = AddAcknowledgedGap(archive_, "main", {Set("9"), kNote});
    files_.StopFailing();
    if (added.ok()) break;
    ASSERT_LT(changes, 20u);
    EXPECT_FALSE(Read().empty());
    EXPECT_EQ(Read()[0].gtids, Set("5-7"));
  }
  EXPECT_EQ(Read().size(), 2u);
}

TEST_F(OperatorRecord, TwoAtATimeDoNotOverwriteEachOther) {
  testing::TempDir directory;
  ArchiveDirectory archive(PosixFileSystem(), directory.path());
  ASSERT_TRUE(archive.CreateSource("main").ok());
  const auto lock = PosixFileSystem().Lock(directory.Path("main/acknowledged_gaps.lock"));
  ASSERT_TRUE(lock.ok());
  const auto added = AddAcknowledgedGap(archive, "main", {Set("9"), kNote});
  ASSERT_FALSE(added.ok());
  EXPECT_EQ(added.error().code(), Code::kLocked);
}

TEST_F(OperatorRecord, ThereIsAnEndOfRoom) {
  const OperatorNote longest{"a", 1, std::string(kOperatorReasonBytesMax, 'w')};
  Status full;
  for (int64_t number = 1; full.ok(); number += 2) {
    ASSERT_LT(number, 4000);
    const auto added = AddAcknowledgedGap(archive_, "main", {Set(std::to_string(number)), longest});
    if (!added.ok()) full = added.error();
  }
  EXPECT_EQ(full.code(), Code::kUsage);
  EXPECT_GT(Read().size(), 900u);
}

TEST_F(OperatorRecord, APauseHoldsUntilItIsRemoved) {
  EXPECT_FALSE(ReadPause(archive_, "main")->has_value());
  ASSERT_TRUE(WritePause(archive_, "main", kNote).ok());
  files_.Crash();
  EXPECT_EQ(*ReadPause(archive_, "main"), std::optional(kNote));
  ASSERT_TRUE(RemovePause(archive_, "main").ok());
  files_.Crash();
  EXPECT_FALSE(ReadPause(archive_, "main")->has_value());
  EXPECT_TRUE(RemovePause(archive_, "main").ok());
}

TEST_F(OperatorRecord, APauseThatCannotBeReadIsAnErrorNotNone) {
  ASSERT_TRUE(WritePause(archive_, "main", kNote).ok());
  const std::string good = files_.Contents("/archive/main/paused");
  for (size_t size = 0; size < good.size(); ++size) {
    files_.Put("/archive/main/paused", good.substr(0, size));
    EXPECT_FALSE(ReadPause(archive_, "main").ok()) << size;
  }
  EXPECT_TRUE(RemovePause(archive_, "main").ok());
  EXPECT_FALSE(ReadPause(archive_, "main")->has_value());
}

TEST_F(OperatorRecord, DocumentShowsWhatTheCodeWrites) {
  (void)Add(Set("5-7"));
  std::ifstream file(std::string(TIDEMARK_GOLDEN_DIR) + "/../../replication/archive/FORMAT.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  const std::string text = files_.Contents(kGaps);
  EXPECT_NE(document.find("```\n" + text + "```"), std::string::npos) << "FORMAT.md should show:\n"
                                                                      << text;
}

}  // namespace
}  // namespace tidemark
