// A promotion that lost transactions, and is accepted: the archive goes on in a lineage of its own,
// with real servers, the real daemon, and restores on both sides of the fork.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "index/index.h"
#include "tests/e2e/archived_primary.h"
#include "tests/e2e/two_servers.h"

namespace tidemark {
namespace {

using nlohmann::json;
using testing::Daemon;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::kPatienceMs;
using testing::MySqlServer;
using testing::ProgramResult;
using testing::ReadWholeFile;
using testing::RunProgram;
using testing::Sql;
using testing::StartPrimary;
using testing::WaitUntil;

class LineageTest : public testing::TwoServersTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(TwoServersTest::SetUp());
    Sql(a(), "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(100))");
    Follow();
    daemon_.Configure("[rpc]\nlisten = [\"" + address() + "\"]\n");
    daemon_.Configure(Source("main", 4200001, ""));
  }

  std::string address() const { return "unix:" + directory_.Path("rpc.sock"); }
  // The base, from before all that follows.
  void Dump() {
    testing::ProgramOptions to_file;
    to_file.stdout_file = dump_;
    const auto dumped = RunProgram(
        {testing::MySqlProgram("mysqldump"), "--no-defaults", "--user=root",
         "--socket=" + a().socket(), "--single-transaction", "--source-data=2", "--all-databases"},
        to_file);
    ASSERT_TRUE(dumped.ok() && dumped->exit_code == 0);
  }
  // Commits on a what reaches b in time, then what does not; a is gone, b is the primary.
  void PromoteWithLoss() {
    daemon_.Start();
    Sql(a(),
        "INSERT INTO d.t VALUES (1, 'kept'); FLUSH BINARY LOGS; INSERT INTO d.t VALUES (2, 'kept');"
        "FLUSH BINARY LOGS; INSERT INTO d.t VALUES (3, 'kept')");
    kept_ = ExecutedOn(a());
    ASSERT_TRUE(CaughtUp());
    Sql(b(), "STOP REPLICA IO_THREAD");
    Sql(a(), "INSERT INTO d.t VALUES (4, 'lost'); UPDATE d.t SET v = 'lost' WHERE id = 3");
    lost_ = ExecutedOn(a()).Minus(kept_);
    ASSERT_EQ(lost_.Count(), 2u);
    ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(a()))) << daemon_.LogTail();
    a().Kill9();
    Promote();
    Sql(b(), "INSERT INTO d.t VALUES (4, 'new')");
    ASSERT_TRUE(daemon_.WaitForError("divergence")) << daemon_.LogTail();
  }
  void Reload(const std::string& outcome) {
    (void)daemon_.WriteConfig();
    const size_t before = ReadWholeFile(daemon_.log()).size();
    daemon_.process().Kill(SIGHUP);
    EXPECT_TRUE(daemon_.process().WaitUntil([&] {
      return ReadWholeFile(daemon_.log()).substr(before).find(outcome) != std::string::npos;
    })) << outcome
        << "\n"
        << daemon_.LogTail();
  }
  void BeginLineage() {
    daemon_.Configure(Source("main-b", 4200002, "continues = \"main\"\n"));
    Reload("source main-b: added");
    ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(b()), "main-b")) << daemon_.LogTail();
  }

  ProgramResult PitrOf(const std::string& source, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--json", "--source", source});
    return daemon_.Pitr(arguments);
  }
  // By the daemon and by its files: the same, and given back.
  json AskBoth(const std::string& source, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--json", "--source", source});
    const ProgramResult local = daemon_.Pitr(arguments);
    arguments.insert(arguments.begin(), {testing::Binary("pitr"), "--server", address()});
    const auto remote = RunProgram(arguments);
    EXPECT_TRUE(remote.ok());
    EXPECT_EQ(remote->exit_code, local.exit_code) << remote->err << local.err;
    json ours = json::parse(local.out, nullptr, false);
    json theirs = json::parse(remote->out, nullptr, false);
    for (json* one : {&ours, &theirs}) {
      if (!one->is_object()) continue;
      one->erase("archive");
      // Which tries and waits while we ask.
      if (one->contains("sources"))
        for (json& state : (*one)["sources"]) state.erase("daemon");
    }
    EXPECT_EQ(theirs, ours);
    return ours;
  }
  json Restore(const std::string& name, const std::string& source,
               std::vector<std::string> target) {
    target.insert(target.begin(),
                  {"restore", "--into", directory_.Path(name), "--dump", dump_, "--mysqld",
                   testing::MySqlProgram("mysqld"), "--mysql", testing::MySqlProgram("mysql"),
                   "--mysqlbinlog", testing::MySqlProgram("mysqlbinlog")});
    const ProgramResult restored = PitrOf(source, std::move(target));
    EXPECT_EQ(restored.exit_code, 0) << restored.err << restored.out;
    return json::parse(restored.out, nullptr, false);
  }
  static std::string Contents(testing::RestoredServer& server) {
    return server.Value("SELECT GROUP_CONCAT(id, v ORDER BY id) FROM d.t");
  }
  Gtid LostOne(int64_t number) const {
    const auto& [tsid, intervals] = *lost_.map().begin();
    return {tsid, intervals.front().first + number};
  }
  std::string IndexDump() {
    std::string text;
    auto index = Index::OpenForReading(daemon_.archive() + "/index");
    EXPECT_TRUE(index.ok());
    if (index.ok()) {
      EXPECT_TRUE(DumpIndex(**index, &text).ok());
    }
    return text;
  }

  testing::TempDir directory_{"tidemark-lineage"};
  const std::string dump_ = directory_.Path("base.sql");
  Daemon daemon_;
  GtidSet kept_, lost_;
};

TEST_F(LineageTest, TheNewHistoryIsArchivedBesideTheOldAndBothAreRestored) {
  Dump();
  PromoteWithLoss();
  EXPECT_THAT(daemon_.Status()["daemon"]["error"]["hint"], HasSubstr("continues = \"main\""));

  BeginLineage();
  EXPECT_EQ(daemon_.Status()["daemon"]["error"]["code"], "divergence") << "the old one stays as is";
  Sql(b(), "INSERT INTO d.t VALUES (5, 'new')");
  const std::string moment = *b().QueryValue("SELECT UTC_TIMESTAMP(6)");
  Sql(b(), "FLUSH BINARY LOGS; DELETE FROM d.t WHERE id = 1");
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(b()), "main-b")) << daemon_.LogTail();
  EXPECT_EQ(daemon_.Archived("main-b"), ExecutedOn(b()));
  EXPECT_EQ(daemon_.Archived("main"), kept_.Union(lost_));
  EXPECT_EQ(std::filesystem::hard_link_count(daemon_.Segments("main-b")[0]), 2u);

  // Everybody says which lineage it is.
  const json fork = AskBoth("main-b", {"status"})["sources"][0]["lineage"]["continues"][0];
  EXPECT_EQ(fork["source"], "main-b");
  EXPECT_EQ(fork["continues"], "main");
  EXPECT_EQ(fork["behind"], kept_.ToString());
  EXPECT_EQ(fork["lost"], lost_.ToString());
  EXPECT_EQ(AskBoth("main", {"status"})["sources"][0]["lineage"]["continued_by"][0], fork);
  for (const char* name : {"main", "main-b"}) {
    int forks = 0;
    const json timeline = AskBoth(name, {"timeline"});
    for (const json& entry : timeline["entries"]) forks += entry["kind"] == "lineage" ? 1 : 0;
    EXPECT_EQ(forks, 1) << name;
  }
  const std::string time = moment.substr(0, 10) + "T" + moment.substr(11) + "Z";
  const json plan =
      AskBoth("main-b", {"plan", "--base-gtids", ExecutedOn(b()).Intersection(kept_).ToString(),
                         "--through-time", time});
  EXPECT_EQ(plan["lineage"]["continues"][0], fork);
  const json of_lost = AskBoth(
      "main", {"plan", "--base-gtids", kept_.ToString(), "--through-gtid", LostOne(1).ToString()});
  EXPECT_EQ(of_lost["lineage"]["continued_by"][0], fork);
  EXPECT_THAT(of_lost["warnings"].dump(), HasSubstr("beyond the point where main-b"));
  const json refused = AskBoth(
      "main-b", {"plan", "--base-gtids", kept_.ToString(), "--before-gtid", LostOne(0).ToString()});
  EXPECT_EQ(refused["error"]["code"], "unreachable-target");
  EXPECT_THAT(refused["error"]["message"], HasSubstr("in that of main"));
  EXPECT_EQ(refused["error"]["hint"], "--source main");
  const ProgramResult which = daemon_.Pitr({"timeline"});
  EXPECT_EQ(which.exit_code, 2);
  EXPECT_THAT(which.err, HasSubstr("main-b (continues main)"));
  EXPECT_THAT(daemon_.Pitr({"status"}).out, HasSubstr("main-b continues main since "));
  EXPECT_THAT(daemon_.Pitr({"status"}).out, HasSubstr("continued by main-b since "));

  // From before the fork to behind it, in either.
  {
    testing::RestoredServer across(Restore("across", "main-b", {"--through-time", time}));
    EXPECT_EQ(Contents(across), "1kept,2kept,3kept,4new,5new");
    EXPECT_EQ(across.receipt()["plan"]["lineage"]["continues"][0], fork);
  }
  {
    testing::RestoredServer given_up(
        Restore("given-up", "main", {"--through-gtid", LostOne(0).ToString()}));
    EXPECT_EQ(Contents(given_up), "1kept,2kept,3kept,4lost");
    EXPECT_EQ(given_up.Executed(), kept_.Union(*GtidSet::Parse(LostOne(0).ToString())));
  }

  // A daemon that is killed finds both as they were, also without the setting.
  daemon_.Kill9();
  daemon_.Start();
  Sql(b(), "INSERT INTO d.t VALUES (6, 'new')");
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(b()), "main-b")) << daemon_.LogTail();
  EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
  daemon_.ExpectVerified();
  const std::string before = IndexDump();
  EXPECT_EQ(daemon_.Pitr({"index", "rebuild"}).exit_code, 0);
  EXPECT_EQ(IndexDump(), before);
}

TEST_F(LineageTest, WhatCannotBeContinuedIsRefusedAndChangesNothing) {
  PromoteWithLoss();
  const std::string good = ReadWholeFile(daemon_.WriteConfig());
  const std::string path = daemon_.WriteConfig();
  const auto check = [&](const std::string& source) {
    std::ofstream(path) << good << source;
    const auto checked =
        RunProgram({testing::Binary("tidemarkd"), "--check-config", "--config", path});
    return checked.ok() ? *checked : ProgramResult{};
  };
  EXPECT_EQ(check(Source("main-b", 4200002, "continues = \"main\"\n")).exit_code, 0);
  for (const auto& [continues, says] :
       {std::pair("nobody", "no such source"), std::pair("main-b", "continue itself")}) {
    const ProgramResult refused =
        check(Source("main-b", 4200002, "continues = \"" + std::string(continues) + "\"\n"));
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_THAT(refused.err, HasSubstr(says));
    daemon_.process().Kill(SIGHUP);
    EXPECT_TRUE(daemon_.process().WaitUntil([&] {
      return daemon_.LogTail().find(says) != std::string::npos;
    })) << daemon_.LogTail();
  }
  EXPECT_FALSE(std::filesystem::exists(daemon_.archive() + "/main-b"));
  // A server with a history of its own has nothing to continue.
  auto stranger = StartPrimary();
  ASSERT_TRUE(stranger);
  Sql(*stranger, "CREATE DATABASE other");
  daemon_.AddSource("strange", *stranger, "continues = \"main\"");
  Reload("source strange: added");
  EXPECT_TRUE(daemon_.process().WaitUntil([&] {
    return daemon_.LogTail().find("nothing in common with the archive of main") !=
           std::string::npos;
  })) << daemon_.LogTail();
  EXPECT_FALSE(std::filesystem::exists(daemon_.archive() + "/strange"));
  EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
  daemon_.ExpectVerified();
}

}  // namespace
}  // namespace tidemark
