// Scans real binary logs (tests/golden/make_binlogs) and compares with what mysqlbinlog says of
// them.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/unit/event/scan_report.h"

namespace tidemark::testing {
namespace {

const char* const kFiles[] = {"rows",       "types",        "ddl",       "xa",         "tagged",
                              "compressed", "partial_json", "statement", "no_checksum"};

std::string ReadGolden(const std::string& name) {
  std::ifstream file(std::string(TIDEMARK_GOLDEN_DIR) + "/binlog/" + name, std::ios::binary);
  EXPECT_TRUE(file) << name;
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

class GoldenBinlogTest : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string bytes_ = ReadGolden(std::string(GetParam()) + ".binlog");
};

TEST_P(GoldenBinlogTest, AgreesWithMysqlbinlog) {
  const ScanReport report = Scan(bytes_);
  ASSERT_TRUE(report.feed.ok()) << report.feed.message();
  EXPECT_TRUE(report.finish.ok()) << report.finish.message();
  const std::vector<std::string> expected =
      Lines(ReadGolden(std::string(GetParam()) + ".expected"));
  ASSERT_FALSE(expected.empty());
  EXPECT_EQ(report.transactions, expected);
}

TEST_P(GoldenBinlogTest, PiecesOfAnySizeGiveTheSame) {
  const ScanReport whole = Scan(bytes_);
  const size_t all_sizes = bytes_.size() < 3000 ? bytes_.size() : 64;
  for (size_t size = 1; size <= bytes_.size(); size = size < all_sizes ? size + 1 : size * 3 / 2) {
    const ScanReport pieces = Scan(bytes_, size);
    ASSERT_TRUE(pieces.feed.ok()) << size << ": " << pieces.feed.message();
    ASSERT_EQ(pieces.transactions, whole.transactions) << "pieces of " << size;
    ASSERT_EQ(pieces.events, whole.events) << "pieces of " << size;
    ASSERT_EQ(pieces.ddl, whole.ddl) << "pieces of " << size;
  }
}

TEST_P(GoldenBinlogTest, EventByEventGivesTheSame) {
  const ScanReport whole = Scan(bytes_);
  ScanReport single;
  StreamScanner scanner({.start_offset = kBinlogMagicSize});
  for (size_t at = kBinlogMagicSize; at < bytes_.size();) {
    const Bytes rest = AsBytes(bytes_).subspan(at);
    const Bytes event = rest.first(ReadEventHeader(rest.data()).size);
    ScannedEvent scanned;
    const Status status = scanner.FeedEvent(event, &scanned);
    ASSERT_TRUE(status.ok()) << status.message();
    ASSERT_TRUE(Record(scanned, scanner.in_transaction(), &single).ok());
    at += event.size();
  }
  EXPECT_EQ(single.events, whole.events);
  EXPECT_EQ(single.transactions, whole.transactions);
}

TEST_P(GoldenBinlogTest, TruncationIsToldFromACleanEnd) {
  const ScanReport whole = Scan(bytes_);
  const size_t step = bytes_.size() < 8000 ? 1 : 97;
  for (size_t size = 0; size < bytes_.size(); size += step) {
    const ScanReport cut = Scan(std::string_view(bytes_).substr(0, size));
    ASSERT_TRUE(cut.feed.ok()) << size << ": " << cut.feed.message();
    const bool boundary =
        size == kBinlogMagicSize ||
        std::find(whole.boundaries.begin(), whole.boundaries.end(), size) != whole.boundaries.end();
    ASSERT_EQ(cut.finish.code(), boundary ? Code::kOk : Code::kTruncated)
        << size << ": " << cut.finish.message();
    ASSERT_LE(cut.transactions.size(), whole.transactions.size());
    for (size_t i = 0; i < cut.transactions.size(); ++i)
      ASSERT_EQ(cut.transactions[i], whole.transactions[i]);
  }
}

TEST_P(GoldenBinlogTest, WithoutCountingTransactionsAreTheSame) {
  const ScanReport whole = Scan(bytes_);
  const ScanReport plain = Scan(bytes_, 0, {.count_rows = false, .expect_magic = true});
  ASSERT_TRUE(plain.feed.ok()) << plain.feed.message();
  EXPECT_EQ(plain.ends, whole.ends);
  EXPECT_EQ(plain.events, whole.events);
}

INSTANTIATE_TEST_SUITE_P(Files, GoldenBinlogTest, ::testing::ValuesIn(kFiles),
                         [](const auto& file) { return std::string(file.param); });

TEST(GoldenBinlogBitFlip, EverySingleBitIsNoticed) {
  for (const char* name : {"xa", "tagged"}) {
    const std::string bytes = ReadGolden(std::string(name) + ".binlog");
    const ScanReport whole = Scan(bytes);
    constexpr size_t kInUseFlagByte =
        kBinlogMagicSize + 17;  // set and cleared by the server without a new checksum
    for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
      if (bit == kInUseFlagByte * 8) continue;
      std::string damaged = bytes;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
      const ScanReport report = Scan(damaged);
      ASSERT_FALSE(report.feed.ok() && report.finish.ok()) << name << " bit " << bit;
      ASSERT_LE(report.transactions.size(), whole.transactions.size());
      for (size_t i = 0; i < report.transactions.size(); ++i) {
        ASSERT_EQ(report.transactions[i], whole.transactions[i]) << name << " bit " << bit;
      }
    }
  }
}

TEST(GoldenBinlogGeometry, RowsAreCounted) {
  const ScanReport report = Scan(ReadGolden("geometry.binlog"));
  ASSERT_TRUE(report.feed.ok() && report.finish.ok());
  ASSERT_EQ(report.transactions.size(), 4U);
  EXPECT_TRUE(report.transactions[1].ends_with(" test.ge+3~0-0")) << report.transactions[1];
  EXPECT_TRUE(report.transactions[2].ends_with(" test.ge+0~2-0")) << report.transactions[2];
  EXPECT_TRUE(report.transactions[3].ends_with(" test.ge+0~0-3")) << report.transactions[3];
}

TEST(GoldenBinlogDdl, StatementsAreKeptWithTheirSchema) {
  const ScanReport report = Scan(ReadGolden("ddl.binlog"));
  ASSERT_GE(report.ddl.size(), 10U);
  EXPECT_EQ(report.ddl[0], "test: CREATE TABLE d1 (id INT PRIMARY KEY, v INT)");
  EXPECT_EQ(report.ddl[2], "test: /* a comment first */ CREATE INDEX iv ON d1 (v)");
  EXPECT_EQ(report.ddl[4].substr(0, 24), "test: CREATE TABLE `d3` ")
      << "CREATE TABLE … SELECT, though rows follow";
}

TEST(GoldenBinlogDdl, StatementFormatChangesAreNotDdl) {
  const ScanReport report = Scan(ReadGolden("statement.binlog"));
  for (const std::string& ddl : report.ddl) EXPECT_EQ(ddl.find("INSERT"), std::string::npos) << ddl;
  EXPECT_EQ(report.ddl.size(), 3U);
}

}  // namespace
}  // namespace tidemark::testing
