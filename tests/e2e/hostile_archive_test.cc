// An archive that somebody else made, or has changed to do harm: pitr says what is wrong with it,
// with an exit code of its table, in bounded time and memory; it follows no link out of the
// archive, waits for no FIFO, and writes nothing to the terminal but text. No server is needed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "replication/archive/segment_format.h"
#include "tests/support/archive_builder.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"
#include "tests/support/temp_dir.h"
#include "tools/exit_code.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kSecondsMax = kSanitized ? 300 : 60;
// Address space, so more than is ever resident: RocksDB and the threads' stacks reserve some.
constexpr char kAddressSpaceKiB[] = "3000000";

class HostileArchiveTest : public ::testing::Test {
 protected:
  // Three segments of one source, the last one unsealed.
  void SetUp() override {
    ArchiveBuilder builder(root(), "main");
    builder.BeginFile("binlog.000001");
    Add(builder, 20);
    builder.BeginFile("binlog.000002");
    Add(builder, 20);
    builder.BeginFile("binlog.000003");
    Add(builder, 20);
    builder.Publish();
  }
  void Add(ArchiveBuilder& builder, int count) {
    for (int i = 0; i < count; ++i) {
      TransactionSpec spec;
      spec.gtid = BuilderGtid(++gno_);
      spec.commit_us = 1'700'000'000'000'000 + gno_ * 1'000'000;
      builder.Add(spec);
    }
  }

  std::string root() const { return directory_.Path("archive"); }
  std::string Segment(int number) const {
    return root() + "/main/segments/000000000" + std::to_string(number) + ".binlog.zst";
  }
  static void Replace(const std::string& path, const std::string& contents) {
    fs::remove_all(path);
    std::ofstream(path, std::ios::binary) << contents;
  }
  static void MakeFifo(const std::string& path) {
    fs::remove_all(path);
    ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  }
  static void MakeLink(const std::string& path, const std::string& to) {
    fs::remove_all(path);
    fs::create_symlink(to, path);
  }
  static void MakeSparse(const std::string& path, uint64_t bytes) {
    Replace(path, "");
    fs::resize_file(path, bytes);
  }

  // Within limits of time and memory; what it prints is text. Its exit code.
  int Pitr(const std::vector<std::string>& arguments) {
    std::vector<std::string> argv = {
        "/bin/sh", "-c",
        // A sanitizer's address space has no limit that says anything.
        std::string("ulimit -v ") + (kSanitized ? "unlimited" : kAddressSpaceKiB) + "; exec \"$@\"",
        "sh", std::string(TIDEMARK_BIN_DIR) + "/pitr", "--archive", root()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    ProgramOptions options;
    options.timeout_ms = kSecondsMax * 1000;
    Result<ProgramResult> ran = RunProgram(argv, options);
    if (!ran.ok()) {
      ADD_FAILURE() << arguments.front() << " did not end: " << ran.error().message();
      return -1;
    }
    said_ = ran->out + ran->err;
    const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 && c != '\n'; };
    EXPECT_TRUE(std::none_of(said_.begin(), said_.end(), control) || arguments[0] == "export")
        << said_;
    EXPECT_NE(ran->exit_code, 1) << "a bug: " << said_;
    EXPECT_LT(ran->exit_code, 128) << "killed: " << said_;
    EXPECT_TRUE(ran->exit_code == 0 || ::testing::Matches(::testing::HasSubstr("pitr: "))(ran->err))
        << said_;
    return ran->exit_code;
  }
  // Every command that reads archives. That of verify, which reads all of it.
  int TryAll() {
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"status"},
          {"timeline"},
          {"segments"},
          {"locate", "--gtid", "aaaaaaaa-0000-0000-0000-000000000001:30"},
          {"plan", "--latest"},
          {"gap", "list"},
          {"export", "--latest"},
          {"export", "--source-file", "binlog.000002"}})
      Pitr(command);
    return Pitr({"verify"});
  }

  TempDir directory_;
  int gno_ = 0;
  std::string said_;
};

TEST_F(HostileArchiveTest, AsItWasMadeItIsWhole) { EXPECT_EQ(TryAll(), 0) << said_; }

TEST_F(HostileArchiveTest, FifosInPlaceOfFilesAreNotWaitedFor) {
  for (const std::string& path :
       {Segment(1), Segment(3), root() + "/main/acknowledged_gaps", root() + "/main/paused",
        root() + "/main/daemon.json", root() + "/LOCK", root() + "/main/identity"}) {
    SCOPED_TRACE(path);
    const std::string kept = path + ".kept";
    if (fs::exists(path)) fs::rename(path, kept);
    MakeFifo(path);
    TryAll();
    fs::remove(path);
    if (fs::exists(kept)) fs::rename(kept, path);
  }
  EXPECT_EQ(Pitr({"verify"}), 0) << said_;
}

TEST_F(HostileArchiveTest, LinksOutOfTheArchiveAreNotFollowed) {
  const std::string outside = directory_.Path("outside");
  fs::rename(Segment(2), outside);
  for (const std::string& to : {outside, std::string("/dev/zero"), std::string("/dev/full"),
                                Segment(2), std::string("/etc/passwd")}) {
    SCOPED_TRACE(to);
    MakeLink(Segment(2), to);
    EXPECT_NE(TryAll(), 0) << said_;
  }
  fs::remove(Segment(2));
  fs::rename(outside, Segment(2));
  MakeLink(root() + "/main/identity", "/etc/passwd");
  EXPECT_NE(Pitr({"verify"}), 0);
  EXPECT_THAT(said_, ::testing::Not(::testing::HasSubstr("root:")));
}

TEST_F(HostileArchiveTest, DirectoriesAndForeignNamesInPlaceOfSegmentsAreSaid) {
  fs::create_directory(root() + "/main/segments/0000000004.binlog.zst");
  EXPECT_NE(TryAll(), 0);
  fs::remove(root() + "/main/segments/0000000004.binlog.zst");
  // A name that would clear the screen and write a command into the terminal's title.
  Replace(root() + "/main/segments/\x1b[2J\x1b]0;rm -rf\x07.binlog.zst", "x");
  EXPECT_NE(TryAll(), 0);
}

TEST_F(HostileArchiveTest, ControlCharactersFromInsideTheArchiveDoNotReachTheTerminal) {
  fs::remove_all(root());
  gno_ = 0;
  {
    ArchiveBuilder builder(root(), "main");
    builder.BeginFile("\x1b[31mbinlog.000001");
    Add(builder, 3);
    TransactionSpec ddl;
    ddl.gtid = BuilderGtid(++gno_);
    ddl.commit_us = 1'700'000'100'000'000;
    ddl.schema = "\x1b[2Jshop";
    ddl.ddl = "DROP TABLE \x1b]0;owned\x07 t";
    builder.Add(ddl);
    TransactionSpec rows;
    rows.gtid = BuilderGtid(++gno_);
    rows.commit_us = 1'700'000'101'000'000;
    rows.schema = "\x1b[1A";
    rows.table = "\x9b\x07t";
    builder.Add(rows);
    builder.Gap(BuilderSet(6, 9), "because \x1b[5m of it");
    gno_ = 9;
    builder.BeginFile("binlog.000002");
    Add(builder, 3);
    builder.Finish();
  }
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"status"},
        {"timeline"},
        {"segments"},
        {"locate", "--gtid", "aaaaaaaa-0000-0000-0000-000000000001:4"},
        {"locate", "--gtid", "aaaaaaaa-0000-0000-0000-000000000001:5"},
        {"plan", "--latest"},
        {"gap", "list"},
        {"verify"}})
    for (const bool json : {false, true}) {
      std::vector<std::string> arguments = command;
      if (json) arguments.push_back("--json");
      Pitr(arguments);
    }
}

TEST_F(HostileArchiveTest, SizesThatAFileClaimsAreNotAllocated) {
  const std::string whole = ReadWholeFile(Segment(1));
  // The header's frame says that 4 GiB follow; then a header of the right size whose own lengths
  // lie.
  for (size_t at : {size_t{4}, size_t{72}, size_t{76}, size_t{79}, size_t{94}, size_t{98}}) {
    SCOPED_TRACE(at);
    std::string lying = whole;
    for (size_t i = 0; i < 4; ++i) lying[at + i] = '\xff';
    Replace(Segment(1), lying);
    EXPECT_NE(TryAll(), 0);
  }
  // The footer's lengths, from the end: size of the footer, the frame table, the GTID set.
  for (size_t from_end : {size_t{16}, size_t{32}, size_t{48}, size_t{200}}) {
    SCOPED_TRACE(from_end);
    std::string lying = whole;
    for (size_t i = 0; i < 4; ++i) lying[lying.size() - from_end + i] = '\xff';
    Replace(Segment(1), lying);
    EXPECT_NE(TryAll(), 0);
  }
  Replace(Segment(1), whole);
  EXPECT_EQ(Pitr({"verify"}), 0) << said_;
}

TEST_F(HostileArchiveTest, SparseFilesOfATerabyteAreRefusedInTime) {
  for (const char* name : {"acknowledged_gaps", "paused", "daemon.json"}) {
    MakeSparse(root() + "/main/" + name, uint64_t{1} << 40);
    TryAll();
    fs::remove(root() + "/main/" + name);
  }
  // Behind a good header nothing but zeros: no frame begins there, and the rest is not searched
  // byte by byte by the commands that only look something up.
  const std::string whole = ReadWholeFile(Segment(1));
  fs::resize_file(Segment(1), 300);
  fs::resize_file(Segment(1), uint64_t{1} << 40);
  EXPECT_NE(Pitr({"status"}), -1);
  EXPECT_NE(Pitr({"locate", "--gtid", "aaaaaaaa-0000-0000-0000-000000000001:10"}), 0);
  Replace(Segment(1), whole);
}

// 128 KiB of one byte each in four bytes: tens of thousands of times what it takes on disk.
std::string BombFrame(size_t blocks) {
  std::string frame("\x28\xb5\x2f\xfd\x04\x88", 6);  // with a checksum; a window of 128 MiB
  for (size_t i = 0; i < blocks; ++i) {
    const uint32_t header = (i + 1 == blocks ? 1u : 0u) | 1u << 1 | uint32_t{128 * 1024} << 3;
    for (int shift : {0, 8, 16}) frame += static_cast<char>(header >> shift & 0xff);
    frame += 'A';
  }
  return frame + std::string(4, '\0');
}

TEST_F(HostileArchiveTest, DecompressionBombsCostNoMemory) {
  const std::string whole = ReadWholeFile(Segment(3));
  size_t header_bytes = 0;
  ASSERT_TRUE(DecodeSegmentHeader(AsBytes(whole), &header_bytes).ok());
  // 64 KiB on disk that become 2 GiB.
  Replace(Segment(3), whole.substr(0, header_bytes) + BombFrame(16 * 1024));
  EXPECT_NE(TryAll(), 0);
  // A window of 2 TiB, which the frame's header may ask for.
  std::string window = BombFrame(4);
  window[5] = '\xff';
  Replace(Segment(3), whole.substr(0, header_bytes) + window);
  EXPECT_NE(TryAll(), 0);
}

// Three bytes each, and nothing in them.
TEST_F(HostileArchiveTest, BlocksOfNothingCostNoMemory) {
  const std::string whole = ReadWholeFile(Segment(3));
  size_t header_bytes = 0;
  ASSERT_TRUE(DecodeSegmentHeader(AsBytes(whole), &header_bytes).ok());
  Replace(Segment(3), whole.substr(0, header_bytes) + BombFrame(1).substr(0, 6));
  fs::resize_file(Segment(3), 128 << 20);
  EXPECT_NE(Pitr({"verify"}), 0);
}

TEST_F(HostileArchiveTest, WhatTidemarkWritesNobodyElseMayRead) {
  for (const auto& entry : fs::recursive_directory_iterator(root())) {
    const fs::perms rights = entry.status().permissions();
    if (entry.path().string().find("/index/") != std::string::npos) continue;  // below a 0700 one
    EXPECT_EQ(rights & (fs::perms::group_all | fs::perms::others_all), fs::perms::none)
        << entry.path();
  }
  EXPECT_EQ(fs::status(root()).permissions(), fs::perms::owner_all);
  EXPECT_EQ(fs::status(root() + "/index").permissions() & fs::perms::others_all, fs::perms::none);
}

}  // namespace
}  // namespace tidemark::testing
