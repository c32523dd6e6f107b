// Servers that lost their last transactions and were written to since, under the same GTIDs: real
// ones, whose data directory is put back to an older copy. Sets of GTIDs do not show it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/e2e/two_servers.h"

namespace tidemark {
namespace {

using nlohmann::json;
using testing::Daemon;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::kPatienceMs;
using testing::MySqlServer;
using testing::ReadWholeFile;
using testing::Sql;
using testing::WaitUntil;

class SetBackTest : public testing::TwoServersTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(TwoServersTest::SetUp());
    Sql(a(), "CREATE DATABASE d; CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)");
    daemon_.Configure(Source("main", 4200001, ""));
  }

  void Insert(const std::string& value, int count) {
    for (int i = 0; i < count; ++i)
      Sql(a(), "INSERT INTO d.t (v) VALUES ('" + value + std::to_string(i) + "')");
  }
  // Archived are three rows that stay, and four that a loses.
  void SetBack() {
    Insert("kept", 3);
    ASSERT_TRUE(a().Shutdown().ok());
    const std::string copy = directory_.Path("copy");
    std::filesystem::copy(a().data_directory(), copy, std::filesystem::copy_options::recursive);
    ASSERT_TRUE(a().Restart().ok());
    kept_ = ExecutedOn(a());
    daemon_.Start();
    Insert("lost", 4);
    archived_ = ExecutedOn(a());
    ASSERT_TRUE(daemon_.WaitFor(archived_)) << daemon_.LogTail();
    a().Kill9();
    std::filesystem::remove_all(a().data_directory());
    std::filesystem::rename(copy, a().data_directory());
    ASSERT_TRUE(a().Restart().ok());
  }
  json Error() { return daemon_.Status()["daemon"]["error"]; }
  testing::ProgramResult Rescue(std::vector<std::string> more) {
    std::vector<std::string> arguments = {"--json",        "--source",
                                          "main",          "rescue",
                                          "--missing-on",  HostOf(a()),
                                          "--mysql",       testing::MySqlProgram("mysql"),
                                          "--mysqlbinlog", testing::MySqlProgram("mysqlbinlog")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return daemon_.Pitr(arguments);
  }
  // All that `source` holds, as a binlog.
  std::string Exported(const std::string& source) {
    const std::string path = directory_.Path("export-" + source);
    const auto exported =
        daemon_.Pitr({"--source", source, "export", "--latest", "--output", path});
    EXPECT_EQ(exported.exit_code, 0) << exported.err;
    return ReadWholeFile(path);
  }
  // It goes on where the histories part, with what a has made anew.
  void ExpectLineage() {
    daemon_.Configure(Source("main-b", 4200002, "continues = \"main\"\n"));
    (void)daemon_.WriteConfig();
    daemon_.process().Kill(SIGHUP);
    ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(a()), "main-b")) << daemon_.LogTail();
    const std::string child = Exported("main-b");
    EXPECT_THAT(child, HasSubstr("kept2"));
    EXPECT_THAT(child, HasSubstr("anew0"));
    EXPECT_EQ(child.find("lost"), std::string::npos);
    const std::string parent = Exported("main");
    EXPECT_THAT(parent, HasSubstr("lost3"));
    EXPECT_EQ(parent.find("anew"), std::string::npos);
  }

  testing::TempDir directory_{"tidemark-set-back"};
  Daemon daemon_;
  GtidSet kept_, archived_;
};

TEST_F(SetBackTest, WhatIsMissingIsNotAppliedOnTopOfWhatWasMadeAnew) {
  SetBack();
  const auto before = Rescue({});
  ASSERT_EQ(before.exit_code, 0) << before.err;
  EXPECT_EQ(json::parse(before.out)["made_anew"], "") << "it only lacks them";
  EXPECT_EQ(json::parse(before.out)["compared"], true);
  Insert("anew", 2);
  const GtidSet executed = ExecutedOn(a());
  const GtidSet missing = archived_.Minus(executed);
  ASSERT_EQ(missing.Count(), 2u);
  EXPECT_TRUE(WaitUntil(
      [&] {
        const json error = Error();
        return error.is_object() && error["message"].dump().ends_with(missing.ToString() + "\"");
      },
      kPatienceMs))
      << Error();

  const auto listed = Rescue({});
  ASSERT_EQ(listed.exit_code, 0) << listed.err;
  EXPECT_EQ(json::parse(listed.out)["missing"], missing.ToString());
  const GtidSet made_anew =
      *GtidSet::Parse(json::parse(listed.out)["made_anew"].get<std::string>());
  EXPECT_EQ(made_anew.Count(), 1u) << "the last one tells";
  EXPECT_TRUE(made_anew.IsSubsetOf(executed.Minus(kept_)));
  const auto refused = Rescue({"--apply"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr("another transaction " + made_anew.ToString()));
  EXPECT_EQ(ExecutedOn(a()), executed);
  ExpectLineage();
}

// Then it has every GTID that the archive has.
TEST_F(SetBackTest, MoreMadeAnewThanWasLostIsADivergenceAllTheSame) {
  SetBack();
  daemon_.Kill9();
  Insert("anew", 7);
  ASSERT_TRUE(archived_.IsSubsetOf(ExecutedOn(a())));
  daemon_.Start();
  ASSERT_TRUE(daemon_.WaitForError("divergence")) << daemon_.LogTail();
  const auto nothing_lacks = Rescue({});
  ASSERT_EQ(nothing_lacks.exit_code, 0) << nothing_lacks.err;
  EXPECT_EQ(json::parse(nothing_lacks.out)["missing"], "");
  EXPECT_NE(json::parse(nothing_lacks.out)["made_anew"], "");
  ExpectLineage();
}

// Its binary logs have nothing in common with those of the server that was archived.
TEST_F(SetBackTest, ReplicaOfWhatWasMadeAnewIsADivergence) {
  SetBack();
  daemon_.Kill9();
  Insert("anew", 7);
  Follow();
  ASSERT_TRUE(CaughtUp());
  a().Kill9();
  Promote();
  ASSERT_TRUE(archived_.IsSubsetOf(ExecutedOn(b())));
  daemon_.Start();
  ASSERT_TRUE(daemon_.WaitForError("divergence")) << daemon_.LogTail();
  EXPECT_THAT(Error()["message"], HasSubstr("has another transaction "));
  EXPECT_EQ(Exported("main").find("anew"), std::string::npos);
}

// An operator has a replica pass over a transaction by an empty one of its GTID: that is no other
// history.
TEST_F(SetBackTest, TransactionThatAnOperatorPassedOverIsNone) {
  Insert("kept", 3);
  Follow();
  ASSERT_TRUE(CaughtUp());
  Sql(b(), "STOP REPLICA IO_THREAD");
  daemon_.Start();
  Insert("passed over", 1);
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(a()))) << daemon_.LogTail();
  const GtidSet one = ExecutedOn(a()).Minus(ExecutedOn(b()));
  a().Kill9();
  Promote();
  ASSERT_TRUE(daemon_.WaitForError("divergence")) << daemon_.LogTail();
  Sql(b(), "SET gtid_next = '" + one.ToString() +
               "'; BEGIN; COMMIT; SET gtid_next = AUTOMATIC; INSERT INTO d.t (v) VALUES ('next')");
  EXPECT_TRUE(daemon_.WaitFor(ExecutedOn(b()))) << daemon_.LogTail();
  EXPECT_EQ(daemon_.Stop(), 0);
}

}  // namespace
}  // namespace tidemark
