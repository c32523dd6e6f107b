// Binary logs of a real server through archive, locator and stream; and what stock mysqlbinlog
// makes of the result.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "pitr/event_stream.h"
#include "pitr/verify.h"
#include "tests/support/archive_builder.h"
#include "tests/support/mysql_paths.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

using testing::ArchiveBuilder;
using testing::TempDir;

std::string GoldenPath(const std::string& name) {
  return std::string(TIDEMARK_GOLDEN_DIR) + "/binlog/" + name + ".binlog";
}

class Golden : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    file_ = std::string(GetParam()) + ".binlog";
    bytes_ = testing::ReadWholeFile(GoldenPath(GetParam()));
    ASSERT_FALSE(bytes_.empty());
    ArchiveBuilder builder(dir_.path(), "main");
    builder.AddWholeFile(file_, bytes_);
    builder.Finish();
    auto view = ArchiveView::Open(PosixFileSystem(), dir_.path(), "main");
    ASSERT_TRUE(view.ok()) << view.error().message();
    view_ = std::move(*view);
    StreamScanner scanner(ScannerOptions{.expect_magic = true});
    Status fed = scanner.FeedBytes(AsBytes(bytes_), [this](const ScannedEvent& event) {
      if (event.finished != nullptr) expected_.push_back(*event.finished);
      return OkStatus();
    });
    ASSERT_TRUE(fed.ok()) << fed.message();
  }

  std::string Range(const StreamRange& range) {
    std::string stream;
    Status status = EventStream(*view_).WriteRange(
        range,
        [&stream](Bytes piece) {
          stream.append(AsText(piece));
          return OkStatus();
        },
        nullptr);
    EXPECT_TRUE(status.ok()) << status.message();
    return stream;
  }

  TempDir dir_;
  std::string file_;
  std::string bytes_;
  std::vector<Transaction> expected_;
  std::unique_ptr<ArchiveView> view_;
};

TEST_P(Golden, EveryTransactionIsLocatedWithItsDetails) {
  Locator locator(*view_);
  for (const Transaction& expected : expected_) {
    auto found = locator.FindGtid(expected.gtid);
    ASSERT_TRUE(found.ok()) << found.error().message();
    const Transaction& transaction = found->transaction;
    EXPECT_EQ(transaction.gtid, expected.gtid);
    EXPECT_EQ(transaction.kind, expected.kind);
    EXPECT_EQ(transaction.begin_offset, expected.begin_offset);
    EXPECT_EQ(transaction.end_offset, expected.end_offset);
    EXPECT_EQ(transaction.immediate_commit_us, expected.immediate_commit_us);
    EXPECT_EQ(transaction.tables, expected.tables);
    EXPECT_EQ(transaction.ddl_statement, expected.ddl_statement);
    EXPECT_EQ(transaction.compressed, expected.compressed);
    EXPECT_EQ(found->source_begin, expected.begin_offset);
    EXPECT_EQ(found->transaction.source_end_pos, expected.end_offset);
  }
}

TEST_P(Golden, SourceFileAndTransactionsComeBackByteForByte) {
  std::string file;
  bool complete = false;
  Status status = EventStream(*view_).WriteSourceFile(
      file_,
      [&file](Bytes piece) {
        file.append(AsText(piece));
        return OkStatus();
      },
      &complete);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_TRUE(file == bytes_);
  EXPECT_TRUE(complete);

  std::string transactions;
  for (const Transaction& expected : expected_) {
    transactions += bytes_.substr(expected.begin_offset, expected.size());
  }
  std::string stream = Range({});
  ASSERT_GT(stream.size(), transactions.size());
  EXPECT_TRUE(stream.ends_with(transactions));
  EXPECT_TRUE(bytes_.starts_with(stream.substr(0, stream.size() - transactions.size())))
      << "what precedes is not the file's own magic and format description";
}

TEST_P(Golden, VerifiesClean) {
  auto report = VerifyArchive(*view_, nullptr);
  ASSERT_TRUE(report.ok());
  for (const VerifyFinding& finding : report->findings) ADD_FAILURE() << finding.message;
  EXPECT_EQ(report->transactions, expected_.size());
}

// Stock mysqlbinlog says the same of our stream as of the file, from the first transaction on.
TEST_P(Golden, MysqlbinlogReadsTheStreamAsItReadsTheFile) {
  std::string program = testing::MySqlProgram("mysqlbinlog");
  if (!std::filesystem::exists(program)) GTEST_SKIP() << "no mysqlbinlog at " << program;
  auto run = [this, &program](const std::string& input) {
    testing::ProgramOptions options;
    options.stdin_file = input;
    auto result = testing::RunProgram(
        {program, "--no-defaults", "--verify-binlog-checksum", "--local-load=" + dir_.path(), "-"},
        options);
    EXPECT_TRUE(result.ok());
    EXPECT_EQ(result->exit_code, 0) << result->err;
    // "# at N" counts from the stream's begin, which lacks Previous_gtids. LOAD DATA names a
    // temporary file.
    std::string text;
    std::istringstream lines(
        result->out.substr(std::min(result->out.size(), result->out.find("GTID\t"))));
    for (std::string line; std::getline(lines, line);) {
      if (!line.starts_with("# at ") && !line.starts_with("LOAD DATA")) text += line + "\n";
    }
    return text.substr(0, text.find("Rotate to"));
  };
  std::string stream_path = dir_.Path("stream");
  std::ofstream(stream_path, std::ios::binary) << Range({});
  std::string of_stream = run(stream_path);
  std::string of_file = run(GoldenPath(GetParam()));
  // The file's Rotate line begins with its time; the stream ends before it.
  of_file.resize(of_file.rfind("\n#") + 1);
  ASSERT_GT(of_file.size(), 100u);
  EXPECT_TRUE(of_stream.starts_with(of_file));
}

INSTANTIATE_TEST_SUITE_P(Files, Golden,
                         ::testing::Values("rows", "types", "compressed", "ddl", "statement",
                                           "partial_json", "tagged", "xa", "no_checksum"));

}  // namespace
}  // namespace tidemark
