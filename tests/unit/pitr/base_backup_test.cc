#include "pitr/restore/base_backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>

#include "pitr/restore/dump_coordinate.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

constexpr char kOne[] = "aaaaaaaa-0000-0000-0000-000000000001:1";
constexpr char kMany[] =
    "aaaaaaaa-0000-0000-0000-000000000001:1:3,aaaaaaaa-0000-0000-0000-000000000002:7:billing:1";

std::string GoldenBackup(const std::string& name) {
  return testing::ReadWholeFile(std::string(TIDEMARK_GOLDEN_DIR) + "/dumps/" + name + ".sql");
}

class BaseBackupTest : public ::testing::Test {
 protected:
  Result<BaseBackup> Read(const std::string& text) {
    const std::string path = directory_.Path("dump");
    std::ofstream(path, std::ios::binary) << text;
    return ReadMysqldump(PosixFileSystem(), path);
  }
  Result<BaseBackup> ReadGolden(const std::string& name) {
    const std::string text = GoldenBackup(name);
    EXPECT_FALSE(text.empty()) << name;
    return Read(text);
  }
  void ExpectBad(const Result<BaseBackup>& result, const std::string& words) {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code(), Code::kBadBackup) << result.error().message();
    EXPECT_THAT(result.error().message(), HasSubstr(words));
    EXPECT_THAT(result.error().message(), HasSubstr(directory_.Path("dump")));
    EXPECT_FALSE(result.error().hint().empty());
  }
  // A dump of our own making around `head`.
  static std::string Dump(const std::string& head,
                          const std::string& body = "CREATE TABLE `t` (a int);\n") {
    return "-- MySQL dump 10.13  Distrib 9.7.4, for Linux (x86_64)\n-- Server version\t9.7.4-2\n" +
           head + "\n" + body + "\n-- Dump completed on 2026-11-21  0:41:25\n";
  }

  testing::TempDir directory_;
};

std::string Gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(::deflateInit2_(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                            sizeof stream),
            Z_OK);
  std::string in = text, out(::deflateBound(&stream, in.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(in.data());
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

TEST_F(BaseBackupTest, RealDumpsTellTheirSet) {
  for (const char* name : {"default", "on_commented_position", "on_active_position"}) {
    const Result<BaseBackup> backup = ReadGolden(name);
    ASSERT_TRUE(backup.ok()) << name << ": " << backup.error().message();
    EXPECT_TRUE(backup->has_gtid_set);
    EXPECT_TRUE(backup->sets_gtid_purged);
    EXPECT_EQ(backup->gtid_set.ToString(), kOne) << name;
    EXPECT_THAT(backup->server_version, HasSubstr("9."));
    EXPECT_TRUE(backup->warnings.empty());
  }
}

TEST_F(BaseBackupTest, RealPositionIsReadWhetherCommentedOutOrNot) {
  const Result<BaseBackup> commented = ReadGolden("on_commented_position"),
                           active = ReadGolden("on_active_position");
  ASSERT_TRUE(commented.ok() && active.ok());
  EXPECT_EQ(commented->source_file, "binlog.000001");
  EXPECT_EQ(commented->source_position, 378u);
  EXPECT_FALSE(commented->configures_replication);
  EXPECT_EQ(active->source_position, 378u);
  EXPECT_TRUE(active->configures_replication);
}

TEST_F(BaseBackupTest, RealMultiLineSetWithTagsIsReadWhole) {
  for (const char* name : {"multi_line", "multi_line_commented", "before_8_2"}) {
    const Result<BaseBackup> backup = ReadGolden(name);
    ASSERT_TRUE(backup.ok()) << name << ": " << backup.error().message();
    EXPECT_EQ(backup->gtid_set.ToString(), kMany) << name;
  }
}

TEST_F(BaseBackupTest, RealCommentedSetIsNotSetByTheLoad) {
  const Result<BaseBackup> backup = ReadGolden("multi_line_commented");
  ASSERT_TRUE(backup.ok());
  EXPECT_FALSE(backup->sets_gtid_purged);
  ASSERT_EQ(backup->warnings.size(), 1u);
  EXPECT_THAT(backup->warnings[0], HasSubstr("commented out"));
}

TEST_F(BaseBackupTest, RealEmptySetIsLegalAndWarnedOf) {
  const Result<BaseBackup> backup = ReadGolden("empty_set");
  ASSERT_TRUE(backup.ok()) << backup.error().message();
  EXPECT_TRUE(backup->has_gtid_set);
  EXPECT_TRUE(backup->gtid_set.empty());
  ASSERT_EQ(backup->warnings.size(), 1u);
  EXPECT_THAT(backup->warnings[0], HasSubstr("executed nothing"));
}

TEST_F(BaseBackupTest, RealDumpWithoutSetGivesItsPosition) {
  const Result<BaseBackup> backup = ReadGolden("off_with_position");
  ASSERT_TRUE(backup.ok()) << backup.error().message();
  EXPECT_FALSE(backup->has_gtid_set);
  EXPECT_EQ(backup->source_file, "binlog.000001");
  EXPECT_EQ(backup->source_position, 378u);
}

// It has a GTID_PURGED statement in its data, in a procedure's body and a comment in it: none
// counts.
TEST_F(BaseBackupTest, RealDumpWithoutAnyCoordinateIsRefused) {
  ExpectBad(ReadGolden("off"), "does not tell at which GTID set");
}

TEST_F(BaseBackupTest, RealDumpsThatNothingTellsToBeWholeAreRefused) {
  ExpectBad(ReadGolden("compact"), "nothing tells whether it is whole");
  ExpectBad(ReadGolden("skip_comments"), "nothing tells whether it is whole");
}

TEST_F(BaseBackupTest, RealXmlDumpIsRefused) { ExpectBad(ReadGolden("xml"), "XML"); }

TEST_F(BaseBackupTest, EveryCutOfARealDumpIsRefused) {
  for (const char* name : {"multi_line", "off_with_position"}) {
    const std::string whole = GoldenBackup(name);
    const size_t end = whole.rfind("-- Dump completed");
    ASSERT_NE(end, std::string::npos);
    for (size_t size = 0; size <= end; size += 97) {
      const Result<BaseBackup> backup = Read(whole.substr(0, size));
      ASSERT_FALSE(backup.ok()) << name << " cut to " << size;
      ASSERT_EQ(backup.error().code(), Code::kBadBackup);
    }
    ExpectBad(Read(whole.substr(0, end)), "cut short");
  }
}

TEST_F(BaseBackupTest, GzipAndZstdAreReadThrough) {
  const std::string text = GoldenBackup("multi_line");
  for (const std::string& stored :
       {Gzip(text), Zstd(text), Gzip(text.substr(0, 700)) + Gzip(text.substr(700)),
        Zstd(text.substr(0, 700)) + Zstd(text.substr(700))}) {
    const Result<BaseBackup> backup = Read(stored);
    ASSERT_TRUE(backup.ok()) << backup.error().message();
    EXPECT_TRUE(backup->compressed);
    EXPECT_EQ(backup->gtid_set.ToString(), kMany);
    EXPECT_EQ(backup->bytes, stored.size());
  }
}

TEST_F(BaseBackupTest, CutOrDamagedCompressedDumpIsRefused) {
  const std::string text = GoldenBackup("multi_line");
  for (std::string stored : {Gzip(text), Zstd(text)}) {
    ExpectBad(Read(stored.substr(0, stored.size() - 3)), "cannot be decompressed");
    ExpectBad(Read(stored.substr(0, stored.size() / 2)), "cannot be decompressed");
    stored[stored.size() / 2] = static_cast<char>(stored[stored.size() / 2] ^ 0x55);
    EXPECT_FALSE(Read(stored).ok());
  }
  ExpectBad(Read(Gzip(text.substr(0, 2000))), "cut short");
}

TEST_F(BaseBackupTest, WhatIsNoDumpIsRefused) {
  ExpectBad(Read(""), "is empty");
  ExpectBad(Read("hello\n"), "not a dump");
  ExpectBad(Read(std::string(100000, '\0')), "not a dump");
  ExpectBad(Read("-- MariaDB dump 10.19  Distrib 10.11\nSET GLOBAL gtid_slave_pos='0-1-2';\n-- "
                 "Dump completed on x\n"),
            "MariaDB");
  const Result<BaseBackup> missing = ReadMysqldump(PosixFileSystem(), directory_.Path("nothing"));
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
}

TEST_F(BaseBackupTest, OlderFormsAreRead) {
  const std::string set = "SET @@GLOBAL.GTID_PURGED='" + std::string(kOne) + "';\n";
  EXPECT_EQ(Read(Dump(set))->gtid_set.ToString(), kOne);
  EXPECT_EQ(Read(Dump("set global gtid_purged = \"+" + std::string(kOne) + "\" ;\n"))
                ->gtid_set.ToString(),
            kOne);
  const Result<BaseBackup> master = Read(
      Dump(set +
           "-- CHANGE MASTER TO MASTER_LOG_FILE='mysql-bin.000042', MASTER_LOG_POS=1073741900;\n"));
  ASSERT_TRUE(master.ok());
  EXPECT_EQ(master->source_file, "mysql-bin.000042");
  EXPECT_EQ(master->source_position, 1073741900u);
  // Some 5.7 and 8.0 releases wrote it behind the tables.
  EXPECT_EQ(Read(Dump("", "CREATE TABLE t (a int);\nINSERT INTO t VALUES ('x;');\n" + set))
                ->gtid_set.ToString(),
            kOne);
}

TEST_F(BaseBackupTest, CommentedOutByHandIsRead) {
  const std::string one =
      "-- SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '" + std::string(kOne) + "';\n";
  EXPECT_EQ(Read(Dump(one))->gtid_set.ToString(), kOne);
  EXPECT_EQ(
      Read(Dump("# SET @@GLOBAL.GTID_PURGED='" + std::string(kOne) + "';\n"))->gtid_set.ToString(),
      kOne);
  const Result<BaseBackup> lines =
      Read(Dump("-- SET @@GLOBAL.GTID_PURGED='aaaaaaaa-0000-0000-0000-000000000001:1:3,\n"
                "-- aaaaaaaa-0000-0000-0000-000000000002:7:billing:1';\n"));
  ASSERT_TRUE(lines.ok()) << lines.error().message();
  EXPECT_EQ(lines->gtid_set.ToString(), kMany);
  EXPECT_FALSE(lines->sets_gtid_purged);
}

TEST_F(BaseBackupTest, HalfCommentedOutSetIsRefusedWithItsLine) {
  ExpectBad(Read(Dump("-- SET @@GLOBAL.GTID_PURGED='aaaaaaaa-0000-0000-0000-000000000001:1:3,\n"
                      "aaaaaaaa-0000-0000-0000-000000000002:7';\n")),
            "line 3: the GTID_PURGED statement is cut off");
}

TEST_F(BaseBackupTest, InvalidSetIsRefusedWithItsLine) {
  ExpectBad(Read(Dump("\nSET @@GLOBAL.GTID_PURGED='nonsense';\n")),
            "line 4: the GTID_PURGED statement has no valid set");
  ExpectBad(Read(Dump("SET @@GLOBAL.GTID_PURGED=@saved;\n")), "not one that mysqldump writes");
  ExpectBad(Read(Dump("SET @@GLOBAL.GTID_PURGED=;\n")), "not one that mysqldump writes");
}

TEST_F(BaseBackupTest, StatementCountsForMoreThanComment) {
  const Result<BaseBackup> backup =
      Read(Dump("-- SET @@GLOBAL.GTID_PURGED='bbbbbbbb-0000-0000-0000-000000000001:1';\nSET "
                "@@GLOBAL.GTID_PURGED='" +
                std::string(kOne) + "';\n"));
  ASSERT_TRUE(backup.ok());
  EXPECT_EQ(backup->gtid_set.ToString(), kOne);
  EXPECT_TRUE(backup->sets_gtid_purged);
}

TEST_F(BaseBackupTest, TwoDifferingSetsAreRefused) {
  ExpectBad(Read(Dump("SET @@GLOBAL.GTID_PURGED='" + std::string(kOne) +
                      "';\nSET @@GLOBAL.GTID_PURGED='bbbbbbbb-0000-0000-0000-000000000001:1';\n")),
            "second GTID_PURGED");
}

TEST_F(BaseBackupTest, PositionOfTheSourcesSourceIsNotTheDumps) {
  ExpectBad(Read(Dump("\n--\n-- Position to start replication or point-in-time recovery from (the "
                      "source for this replica)\n"
                      "--\n\n-- CHANGE REPLICATION SOURCE TO SOURCE_HOST='up', SOURCE_PORT=3306, "
                      "SOURCE_LOG_FILE='binlog.000003', SOURCE_LOG_POS=4;\n")),
            "--dump-replica");
}

// A statement in a value, an identifier, a comment inside of a statement, a body under DELIMITER:
// all not one.
TEST_F(BaseBackupTest, WordsInsideOfOtherThingsAreNotTheStatement) {
  const std::string evil =
      "\nSET @@GLOBAL.GTID_PURGED='eeeeeeee-0000-0000-0000-000000000000:1-9';\n";
  std::string escaped;
  for (const char c : evil) escaped += c == '\'' ? "\\'" : std::string(1, c);
  for (const std::string& body :
       {"INSERT INTO t VALUES ('" + escaped + "');\n",
        "INSERT INTO t VALUES (\"x\\\\\",\"" + evil + "\");\n",
        "CREATE TABLE `a;" + evil + "` (b int);\n",
        "INSERT INTO t /* " + evil + " */ VALUES (1);\n",
        "DELIMITER ;;\nCREATE PROCEDURE p() BEGIN" + evil + "END;;\nDELIMITER ;\n",
        "/*!50003 CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET @x='" + escaped + "' */;\n",
        "INSERT INTO t VALUES ('a''" + escaped + "');\n"})
    ExpectBad(Read(Dump("", body)), "does not tell");
}

TEST_F(BaseBackupTest, HugeLinesCostNoMemory) {
  const std::string row = "('" + std::string(5000, 'x') + "'),";
  std::string insert = "INSERT INTO t VALUES ";
  while (insert.size() < (32 << 20)) insert += row;
  insert += "(';');\n";
  const Result<BaseBackup> backup =
      Read(Dump("", insert + "SET @@GLOBAL.GTID_PURGED='" + std::string(kOne) + "';\n"));
  ASSERT_TRUE(backup.ok()) << backup.error().message();
  EXPECT_EQ(backup->gtid_set.ToString(), kOne);
}

std::vector<std::string> Items(const std::string& text, size_t piece) {
  std::vector<std::string> items;
  DumpLexer lexer([&](const DumpItem& item) {
    items.push_back(std::to_string(static_cast<int>(item.kind)) + "@" + std::to_string(item.line) +
                    (item.complete ? "" : "!") + item.text);
    return true;
  });
  for (size_t at = 0; at < text.size(); at += piece)
    EXPECT_TRUE(lexer.Feed(std::string_view(text).substr(at, piece)));
  lexer.Finish();
  return items;
}

TEST(DumpLexerTest, CutsTheSameInPiecesOfAnySize) {
  for (const std::string& text :
       {GoldenBackup("multi_line"), GoldenBackup("off"),
        std::string("a 'x\\'; \\\\' ; -- c\n# d\n/* e */ f;/**/ 'unfinished ;"),
        // Found by mysqldump_fuzz: a delimiter longer than any that is kept.
        "a; b; c;\nDELIMITER ;" + std::string(100, '-') + "\nd; e;-----------\nf"}) {
    const std::vector<std::string> whole = Items(text, text.size());
    EXPECT_GT(whole.size(), 3u);
    for (size_t piece = 1; piece < 140; ++piece)
      ASSERT_EQ(Items(text, piece), whole) << "pieces of " << piece;
  }
}

TEST(DumpLexerTest, UnfinishedStatementSaysSo) {
  const std::vector<std::string> items = Items("SELECT 1; SELECT 'no end ;", 100);
  EXPECT_THAT(items, ::testing::ElementsAre("0@1SELECT 1", "0@1!SELECT 'no end ;"));
}

}  // namespace
}  // namespace tidemark
