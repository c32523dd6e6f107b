// pitr --server beside pitr --archive: the same words, the same bytes, the same restored server,
// also if the daemon is killed meanwhile. (The other pitr_* files run through a daemon as a whole:
// e2e_remote_*.)
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/e2e/archived_primary.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

// Some files, DDL, a transaction of several megabytes, and enough to be streamed for a while.
struct LongTextScene {
  static LongTextScene& Get() {
    static LongTextScene scene;
    return scene;
  }
  LongTextScene()
      : rig({.extra_args = {"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0"},
             .server_id = {}}) {
    Sql("CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v LONGTEXT)");
    base = rig.Dump("base.sql");
    rig.StartDaemon({}, true);
    Sql("INSERT INTO app.t (v) VALUES ('first')");
    const GtidSet before = rig.Executed();
    Sql("ALTER TABLE app.t ADD COLUMN w INT");
    ddl = rig.LastOf(before).ToString();
    Sql("CREATE PROCEDURE app.work(times INT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < times DO "
        "INSERT INTO app.t (v) VALUES (REPEAT(CHAR(65 + i % 26), 4000)); SET i = i + 1; END "
        "WHILE; END");
    after_ddl = rig.Dump("after_ddl.sql");
    Sql("CALL app.work(2000)");
    Sql("INSERT INTO app.t (v) VALUES (REPEAT('long', 1000000))");
    Sql("FLUSH BINARY LOGS");
    Sql("CALL app.work(1000)");
    rig.CatchUp();
  }
  void Sql(const std::string& sql) {
    const Status status = rig.primary->Execute(sql);
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
    TM_CHECK(status.ok());
  }

  ArchivedPrimary rig;
  std::string base, after_ddl;  // dumps
  std::string ddl;              // a GTID between them
};

class PitrServerTest : public ::testing::Test {
 protected:
  void TearDown() override {
    const std::string pid = ReadWholeFile(directory_.Path("restored/mysqld.pid"));
    if (!pid.empty() && ProcessRuns(std::stoi(pid))) ::kill(std::stoi(pid), SIGKILL);
  }
  static std::vector<std::string> With(const std::string& flag, const std::string& value,
                                       std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {flag, value});
    return arguments;
  }
  PitrResult Local(const std::vector<std::string>& arguments) {
    return RunPitr(With("--archive", rig_.archive(), arguments));
  }
  PitrResult Remote(const std::vector<std::string>& arguments) {
    return RunPitr(With("--server", rig_.address(), arguments));
  }
  // What says where the archive is, as the files' user has it.
  std::string AsLocal(std::string text) {
    for (size_t at; (at = text.find(rig_.address())) != std::string::npos;)
      text.replace(at, rig_.address().size(), rig_.archive());
    return text;
  }
  void ExpectSame(std::vector<std::string> arguments) {
    for (const bool json : {false, true}) {
      if (json) arguments.insert(arguments.begin(), "--json");
      SCOPED_TRACE(::testing::PrintToString(arguments));
      const PitrResult here = Local(arguments), there = Remote(arguments);
      EXPECT_EQ(there.exit_code, here.exit_code);
      EXPECT_EQ(AsLocal(there.out), here.out);
      EXPECT_EQ(there.err, here.err);
    }
  }
  // The daemon is gone, and comes back.
  void KillAndStartAgain() {
    rig_.KillDaemon();
    rig_.StartDaemon({}, true);
  }
  std::string Step() {
    const Json state =
        Json::parse(ReadWholeFile(directory_.Path("restored/restore.json")), nullptr, false);
    return state.is_object() ? state.value("step", "") : "";
  }
  std::vector<std::string> RestoreLatest() {
    return ArchivedPrimary::WithTools({"--json", "restore", "--latest", "--dump", scene_.after_ddl,
                                       "--into", directory_.Path("restored"), "--mysqld",
                                       MySqlProgram("mysqld")});
  }
  void ExpectIsThePrimary(const Json& receipt) {
    RestoredServer server(receipt);
    EXPECT_EQ(server.Executed(), rig_.Executed());
    EXPECT_EQ(*server.sql().Query("CHECKSUM TABLE app.t"),
              *rig_.primary->Query("CHECKSUM TABLE app.t"));
  }

  LongTextScene& scene_ = LongTextScene::Get();
  ArchivedPrimary& rig_ = scene_.rig;
  TempDir directory_{"tidemark-server"};
};

TEST_F(PitrServerTest, EveryQuestionHasTheSameAnswer) {
  const std::string gtid = scene_.ddl, uuid = gtid.substr(0, 36);
  ExpectSame({"status"});
  ExpectSame({"segments"});
  ExpectSame({"timeline"});
  ExpectSame({"timeline", "--limit", "1", "--from", "2020-01-01T00:00:00Z"});
  ExpectSame({"timeline", "--limit", "0"});
  ExpectSame({"timeline", "--to", "2020-01-01T00:00:00Z"});
  ExpectSame({"locate", "--gtid", gtid});
  ExpectSame({"locate", "--time", "2020-01-01T00:00:00Z"});
  ExpectSame({"locate", "--position", "binlog.000002:5"});
  ExpectSame({"verify"});
  for (const std::string& target : {std::string("--before-gtid"), std::string("--through-gtid")}) {
    ExpectSame({"plan", target, gtid, "--from-nothing"});
    ExpectSame({"plan", target, gtid, "--dump", scene_.base});
  }
  ExpectSame({"plan", "--latest", "--base-gtids", uuid + ":1-3"});
  ExpectSame(
      {"plan", "--latest", "--dump", scene_.base, "--skip-gtid", gtid, "--without-table", "app.x"});
  ExpectSame({"plan", "--latest", "--from-nothing", "--applier", "pipe"});
  ExpectSame({"restore", "--dry-run", "--latest", "--dump", scene_.base});
}

TEST_F(PitrServerTest, EveryRefusalHasTheSameWordsAndExitCode) {
  const std::string uuid = scene_.ddl.substr(0, 36);
  ExpectSame({"--source", "nobody", "status"});
  ExpectSame({"--source", "nobody", "verify"});
  ExpectSame({"--source", "nobody", "segments"});
  ExpectSame({"locate", "--gtid", uuid + ":900000"});
  ExpectSame({"locate", "--time", "2099-01-01T00:00:00Z"});
  ExpectSame({"locate", "--position", "nowhere:4"});
  ExpectSame({"plan", "--through-gtid", uuid + ":900000", "--from-nothing"});
  ExpectSame({"plan", "--through-time", "2099-01-01T00:00:00Z", "--from-nothing"});
  ExpectSame({"plan", "--before-gtid", scene_.ddl, "--base-gtids", uuid + ":1-100"});
  ExpectSame({"plan", "--latest", "--from-nothing", "--skip-gtid", uuid + ":900000"});
  ExpectSame({"export", "--source-file", "binlog.999999"});
  ExpectSame({"export", "--before-gtid", uuid + ":900000"});
}

TEST_F(PitrServerTest, ExportsAreTheSameBytes) {
  const std::string uuid = scene_.ddl.substr(0, 36);
  const std::vector<std::vector<std::string>> exports = {
      {"export", "--latest"},
      {"export", "--before-gtid", scene_.ddl},
      {"export", "--latest", "--exclude", uuid + ":1-2000"},
      {"export", "--latest", "--only", uuid + ":5-7"},
      {"export", "--latest", "--only", uuid + ":800000"},
      {"export", "--source-file", "binlog.000002"}};
  for (const auto& arguments : exports) {
    SCOPED_TRACE(::testing::PrintToString(arguments));
    const PitrResult here = Local(arguments), there = Remote(arguments);
    EXPECT_EQ(here.exit_code, 0) << here.err;
    EXPECT_EQ(there.exit_code, 0) << there.err;
    EXPECT_TRUE(there.out == here.out) << there.out.size() << " " << here.out.size();
    EXPECT_EQ(there.err, here.err);
  }
}

TEST_F(PitrServerTest, ExportGoesOnWhenTheDaemonWasKilled) {
  const std::string out = directory_.Path("out"), go = directory_.Path("go");
  // Takes a piece, and the rest when it is told to: the stream then stands.
  auto started = BackgroundProgram::Start(
      {"bash", "-c",
       "set -o pipefail; " + TidemarkProgram("pitr") + " --server " + rig_.address() +
           " export --latest | { dd bs=4096 count=32 iflag=fullblock status=none > " + out +
           "; while [ ! -e " + go + " ]; do sleep 0.05; done; cat >> " + out + "; }"},
      directory_.Path("log"));
  ASSERT_TRUE(started.ok());
  BackgroundProgram& exporting = **started;
  ASSERT_TRUE(exporting.WaitUntil([&] { return fs::exists(out) && fs::file_size(out) > 100'000; }));
  KillAndStartAgain();
  std::ofstream(go) << "";
  const auto ended = exporting.Wait();
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(*ended, 0) << exporting.Output();
  EXPECT_TRUE(ReadWholeFile(out) == Local({"export", "--latest"}).out);
}

TEST_F(PitrServerTest, RestoreGoesOnWhenTheDaemonWasKilled) {
  std::vector<std::string> argv = With("--server", rig_.address(), RestoreLatest());
  argv.insert(argv.begin(), TidemarkProgram("pitr"));
  auto started = BackgroundProgram::Start(argv, directory_.Path("log"));
  ASSERT_TRUE(started.ok());
  BackgroundProgram& restore = **started;
  ASSERT_TRUE(restore.WaitUntil([&] { return Step() == "applying"; })) << restore.Output();
  KillAndStartAgain();
  const auto ended = restore.Wait(120'000);
  ASSERT_TRUE(ended.ok());
  ASSERT_EQ(*ended, 0) << restore.Output();
  ExpectIsThePrimary(Json::parse(ReadWholeFile(directory_.Path("restored/receipt.json"))));
}

TEST_F(PitrServerTest, RestoreThatLosesTheDaemonForGoodSaysSoAndGoesOnLater) {
  std::vector<std::string> argv = With("--server", rig_.address(), RestoreLatest());
  argv.insert(argv.begin(), TidemarkProgram("pitr"));
  auto started = BackgroundProgram::Start(argv, directory_.Path("log"));
  ASSERT_TRUE(started.ok());
  BackgroundProgram& restore = **started;
  ASSERT_TRUE(restore.WaitUntil([&] { return Step() == "loaded" || Step() == "applying"; }))
      << restore.Output();
  rig_.KillDaemon();
  const auto ended = restore.Wait(120'000);
  ASSERT_TRUE(ended.ok());
  // It may have had everything already.
  if (*ended != 0) {
    EXPECT_EQ(*ended, 17) << restore.Output();
    EXPECT_THAT(restore.Output(), HasSubstr("run the same command again"));
  }
  rig_.StartDaemon({}, true);
  ASSERT_TRUE(WaitUntil([&] { return Remote({"status"}).exit_code == 0; }));
  const PitrResult again = Remote(RestoreLatest());
  ASSERT_EQ(again.exit_code, 0) << again.message();
  ExpectIsThePrimary(again.json);
}

TEST_F(PitrServerTest, ThePipeAppliesTheServersStream) {
  std::vector<std::string> arguments = RestoreLatest();
  arguments.insert(arguments.end(), {"--applier", "pipe"});
  const PitrResult run = Remote(arguments);
  ASSERT_EQ(run.exit_code, 0) << run.message();
  ExpectIsThePrimary(run.json);
}

}  // namespace
}  // namespace tidemark::testing
