// A restore that is killed, interrupted, re-aimed or repaired goes on where it was, and ends
// exactly where it should.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <thread>

#include "tests/e2e/archived_primary.h"
#include "tests/support/seed.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

constexpr int kKills = 10;

std::string Checksums(Connection& connection) {
  std::string text;
  for (const char* table : {"app.a", "app.b"}) {
    auto rows = connection.Query(std::string("CHECKSUM TABLE ") + table);
    text += rows.ok() ? (*rows)[0][1] + " " : rows.error().message();
  }
  return text;
}

// A primary with enough history that applying it can be interrupted, archived; a base from before
// most of it.
struct ResumeScene {
  static ResumeScene& Get() {
    static ResumeScene scene;
    return scene;
  }
  ResumeScene()
      : rig({.extra_args = {"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0"},
             .server_id = {}}) {
    Execute(
        "CREATE DATABASE app; CREATE TABLE app.a (id INT PRIMARY KEY AUTO_INCREMENT, n INT, KEY "
        "(n)); CREATE TABLE app.b LIKE app.a; CREATE TABLE app.keep (id INT PRIMARY KEY); INSERT "
        "INTO app.keep VALUES (1), (2)");
    Execute(
        "CREATE PROCEDURE app.work(times INT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < times DO "
        "INSERT INTO app.a (n) VALUES (i); INSERT INTO app.b (n) VALUES (i * 7 % 1000); UPDATE "
        "app.a SET n = n + 1 WHERE id = 1 + i DIV 2; SET i = i + 1; END WHILE; END");
    base = rig.Dump("base.sql");
    Execute("CALL app.work(4000)");
    middle = At();
    Execute("CALL app.work(2000)");
    const GtidSet before_drop = rig.Executed();
    Execute("DROP TABLE app.keep");
    drop = rig.LastOf(before_drop);
    Execute("CALL app.work(2000)");
    end = At();
    rig.StartDaemon();
    rig.CatchUp();
  }
  struct Moment {
    Gtid last;
    std::string checksums;
  };
  Moment At() {
    const GtidSet set = rig.Executed();
    auto connection = rig.primary->Connect();
    return {{set.map().begin()->first, set.map().begin()->second.back().last},
            Checksums(**connection)};
  }
  void Execute(const std::string& sql) {
    const Status status = rig.primary->Execute(sql);
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
    TM_CHECK(status.ok());
  }

  ArchivedPrimary rig;
  std::string base;
  Moment middle, end;
  Gtid drop;
};

class RestoreResumeTest : public ::testing::Test {
 protected:
  void TearDown() override {
    for (const std::string& name : names_) {
      const std::string pid = ReadWholeFile(Directory(name) + "/mysqld.pid");
      if (!pid.empty() && ProcessRuns(std::stoi(pid))) ::kill(std::stoi(pid), SIGKILL);
    }
  }
  std::string Directory(const std::string& name) { return rig_.directory.Path(name); }
  std::vector<std::string> Command(const std::string& name, std::vector<std::string> more) {
    names_.push_back(name);
    std::vector<std::string> argv = {TidemarkProgram("pitr"), "--json",   rig_.Where()[0],
                                     rig_.Where()[1],         "restore",  "--into",
                                     Directory(name),         "--mysqld", MySqlProgram("mysqld")};
    argv.insert(argv.end(), more.begin(), more.end());
    return ArchivedPrimary::WithTools(std::move(argv));
  }
  std::vector<std::string> FromBase(std::vector<std::string> more) {
    more.insert(more.begin(), {"--dump", scene_.base});
    return more;
  }
  PitrResult Run(const std::vector<std::string>& command) {
    const auto result = RunProgram(command);
    if (!result.ok()) return {.exit_code = -1, .err = result.error().message()};
    return {.exit_code = result->exit_code,
            .out = result->out,
            .err = result->err,
            .json = Json::parse(result->out, nullptr, false)};
  }
  std::string Step(const std::string& name) {
    const Json state =
        Json::parse(ReadWholeFile(Directory(name) + "/restore.json"), nullptr, false);
    return state.is_object() ? state.value("step", "") : "";
  }
  void ExpectAt(const PitrResult& run, const ResumeScene::Moment& moment) {
    ASSERT_EQ(run.exit_code, 0) << run.message();
    EXPECT_TRUE(run.json.at("end_state_reached").get<bool>());
    RestoredServer server(run.json);
    EXPECT_EQ(Checksums(server.sql()), moment.checksums);
    EXPECT_EQ(server.Executed().map().begin()->second.back().last, moment.last.gno);
    EXPECT_EQ(server.Executed(),
              *GtidSet::Parse(run.json.at("plan").at("end_set").get<std::string>()));
    EXPECT_EQ(server.Value("SELECT @@log_bin + @@sync_binlog + @@innodb_flush_log_at_trx_commit"),
              "3");
    EXPECT_EQ(server.Value("SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'tidemark%'"), "0");
  }

  ResumeScene& scene_ = ResumeScene::Get();
  ArchivedPrimary& rig_ = scene_.rig;
  std::vector<std::string> names_;
};

TEST_F(RestoreResumeTest, KilledAtTenMomentsAndStartedAgainEachTime) {
  std::mt19937_64 random(TestSeed());
  const auto command = Command("killed", FromBase({"--through-gtid", scene_.end.last.ToString()}));
  const std::vector<std::string> steps = {"", "claimed", "loaded", "applying", "applied"};
  std::map<std::string, int> killed_at;
  size_t reached = 0;
  for (int kill = 0; kill < kKills; ++kill) {
    auto pitr = BackgroundProgram::Start(command, rig_.directory.Path("killed.log"));
    ASSERT_TRUE(pitr.ok());
    // Every step is met twice; from there on a random moment.
    reached = std::max<size_t>(reached, std::min<size_t>(kill / 2, steps.size() - 1));
    const auto met = [&] {
      const auto at = std::find(steps.begin(), steps.end(), Step("killed"));
      return at != steps.end() && static_cast<size_t>(at - steps.begin()) >= reached;
    };
    ASSERT_TRUE((*pitr)->WaitUntil(met)) << (*pitr)->Output();
    std::this_thread::sleep_for(std::chrono::milliseconds(
        std::uniform_int_distribution<int>(0, kill % 2 == 0 ? 100 : 900)(random)));
    if (!(*pitr)->Running()) break;  // it was quicker than we
    (*pitr)->Kill(SIGKILL);
    ASSERT_TRUE((*pitr)->Wait().ok());
    ++killed_at[Step("killed")];
  }
  EXPECT_GE(killed_at["applying"], 1) << ::testing::PrintToString(killed_at);
  ExpectAt(Run(command), scene_.end);
}

// What an unfinished restore left behind cannot be taken for a server.
TEST_F(RestoreResumeTest, AnUnfinishedRestoreRefusesToBeStartedByOthers) {
  const auto command = Command("refuses", FromBase({"--through-gtid", scene_.end.last.ToString()}));
  auto pitr = BackgroundProgram::Start(command, rig_.directory.Path("refuses.log"));
  ASSERT_TRUE(pitr.ok());
  ASSERT_TRUE((*pitr)->WaitUntil([&] { return Step("refuses") == "applying"; }));
  (*pitr)->Kill(SIGTERM);
  const auto code = (*pitr)->Wait();
  ASSERT_TRUE(code.ok());
  EXPECT_NE(*code, 0);
  EXPECT_THAT((*pitr)->Output(), HasSubstr("run the same command"));
  EXPECT_TRUE(fs::exists(Directory("refuses") + "/RESTORING"));
  const std::string pid = ReadWholeFile(Directory("refuses") + "/mysqld.pid");
  EXPECT_TRUE(pid.empty() || !ProcessRuns(std::stoi(pid)))
      << "an orderly interruption stops mysqld";
  std::vector<std::string> start = {
      MySqlProgram("mysqld"), "--datadir=" + Directory("refuses") + "/data",
      "--socket=" + Directory("refuses") + "/other.sock", "--skip-networking",
      "--log-error=" + Directory("refuses") + "/other.log"};
  if (::geteuid() == 0) start.push_back("--user=root");
  ProgramOptions briefly;
  briefly.timeout_ms = 30'000;
  const auto refused = RunProgram(start, briefly);
  ASSERT_TRUE(refused.ok()) << "mysqld ran: " << refused.error().message();
  EXPECT_NE(refused->exit_code, 0);
  ExpectAt(Run(command), scene_.end);
}

TEST_F(RestoreResumeTest, AFinishedRestoreMovesForwardAndNeverBack) {
  const auto first =
      Run(Command("forward", FromBase({"--through-gtid", scene_.middle.last.ToString()})));
  ASSERT_EQ(first.exit_code, 0) << first.message();
  const PitrResult other = Run(Command("forward", FromBase({"--latest"})));
  EXPECT_EQ(other.exit_code, 7) << other.message();
  EXPECT_THAT(other.json.at("error").at("hint").get<std::string>(), HasSubstr("--resume"));
  const PitrResult same =
      Run(Command("forward", FromBase({"--through-gtid", scene_.middle.last.ToString()})));
  EXPECT_EQ(same.exit_code, 0) << same.message();
  const PitrResult further =
      Run(Command("forward", {"--resume", "--through-gtid", scene_.end.last.ToString()}));
  ASSERT_EQ(further.exit_code, 0) << further.message();
  const PitrResult back =
      Run(Command("forward", {"--resume", "--through-gtid", scene_.middle.last.ToString()}));
  EXPECT_EQ(back.exit_code, 3) << back.message();
  ExpectAt(further, scene_.end);
}

TEST_F(RestoreResumeTest, AUsedServerIsNotMovedForward) {
  const auto first =
      Run(Command("used", FromBase({"--through-gtid", scene_.middle.last.ToString()})));
  ASSERT_EQ(first.exit_code, 0) << first.message();
  RestoredServer server(first.json);
  ASSERT_TRUE(server.sql().Execute("CREATE DATABASE mine").ok());
  const PitrResult further = Run(Command("used", {"--resume", "--latest"}));
  EXPECT_EQ(further.exit_code, 7) << further.message();
  EXPECT_THAT(further.json.at("error").at("message").get<std::string>(), HasSubstr(":1"));
}

// A restore whose mysqld is killed with its redo log off has lost its data, and begins again.
TEST_F(RestoreResumeTest, AKilledTargetIsMadeAnew) {
  const auto command = Command("lost", FromBase({"--through-gtid", scene_.end.last.ToString()}));
  auto pitr = BackgroundProgram::Start(command, rig_.directory.Path("lost.log"));
  ASSERT_TRUE(pitr.ok());
  ASSERT_TRUE((*pitr)->WaitUntil([&] { return Step("lost") == "applying"; }));
  ::kill(std::stoi(ReadWholeFile(Directory("lost") + "/mysqld.pid")), SIGKILL);
  const auto code = (*pitr)->Wait();
  ASSERT_TRUE(code.ok());
  EXPECT_EQ(*code, 7) << (*pitr)->Output();
  const PitrResult again = Run(command);
  EXPECT_THAT(again.err + again.out, HasSubstr("redo log"));
  ExpectAt(again, scene_.end);
}

TEST_F(RestoreResumeTest, TheDroppedTableIsThereIfTheDropIsSkippedAndAllBehindItToo) {
  const PitrResult run =
      Run(Command("skip", FromBase({"--latest", "--skip-gtid", scene_.drop.ToString()})));
  ASSERT_EQ(run.exit_code, 0) << run.message();
  {
    RestoredServer server(run.json);
    EXPECT_EQ(server.Value("SELECT COUNT(*) FROM app.keep"), "2");
    EXPECT_TRUE(server.Executed().Contains(scene_.drop));
    EXPECT_EQ(server.Executed(), rig_.Executed());
    EXPECT_EQ(Checksums(server.sql()), scene_.end.checksums);
  }
  EXPECT_THAT(run.json.at("plan").at("surgery").dump(), HasSubstr(scene_.drop.ToString()));
  EXPECT_THAT(run.json.at("warnings").dump(), HasSubstr("not the source's state"));
}

TEST_F(RestoreResumeTest, LeftOutTransactionsAreHolesOnPurpose) {
  const PitrResult run =
      Run(Command("holes", FromBase({"--latest", "--leave-out", scene_.drop.ToString()})));
  ASSERT_EQ(run.exit_code, 0) << run.message();
  RestoredServer server(run.json);
  EXPECT_EQ(server.Value("SELECT COUNT(*) FROM app.keep"), "2");
  GtidSet missing = rig_.Executed();
  missing.Subtract(server.Executed());
  EXPECT_EQ(missing.ToString(), scene_.drop.ToString());
}

TEST_F(RestoreResumeTest, FiltersWriteOnlyWhatTheySay) {
  const PitrResult only = Run(Command("only", FromBase({"--latest", "--only-table", "app.a"})));
  ASSERT_EQ(only.exit_code, 0) << only.message();
  {
    RestoredServer server(only.json);
    EXPECT_EQ(server.Executed(), rig_.Executed());
    EXPECT_EQ(server.Value("SELECT COUNT(*) FROM app.a"), "8000");
    EXPECT_EQ(server.Value("SELECT COUNT(*) FROM app.b"), "0");
    EXPECT_EQ(server.Value("SELECT COUNT(*) FROM app.keep"), "2");
  }
  const PitrResult without =
      Run(Command("without", FromBase({"--latest", "--without-table", "app.b"})));
  ASSERT_EQ(without.exit_code, 0) << without.message();
  RestoredServer server(without.json);
  EXPECT_EQ(server.Value("SELECT COUNT(*) FROM app.a"), "8000");
  EXPECT_EQ(server.Value("SELECT COUNT(*) FROM app.b"), "0");
}

// A transaction that does not apply stops the restore; with --skip-gtid it goes on from there.
TEST_F(RestoreResumeTest, AFailedTransactionIsNamedAndTheRestoreGoesOnWithoutIt) {
  const std::string broken = rig_.directory.Path("broken.sql");
  std::string dump = ReadWholeFile(scene_.base);
  const size_t at = dump.find("CREATE TABLE `keep`");
  ASSERT_NE(at, std::string::npos);
  dump.replace(at, 19, "CREATE TABLE `kept`");
  for (size_t next; (next = dump.find("`keep`")) != std::string::npos;)
    dump.replace(next, 6, "`kept`");
  std::ofstream(broken) << dump;
  const PitrResult run = Run(Command("fails", {"--dump", broken, "--latest"}));
  EXPECT_EQ(run.exit_code, 7) << run.message();
  const std::string message = run.json.at("error").at("message");
  EXPECT_THAT(message, HasSubstr(scene_.drop.ToString()));
  EXPECT_THAT(message, HasSubstr("keep"));
  EXPECT_THAT(message, HasSubstr("Unknown table"));
  ExpectAt(Run(Command("fails", {"--resume", "--latest", "--skip-gtid", scene_.drop.ToString()})),
           scene_.end);
}

TEST_F(RestoreResumeTest, OneFourAndSixteenWorkersEndAtTheSameState) {
  for (const char* workers : {"1", "4", "16"})
    ExpectAt(Run(Command(std::string("workers-") + workers,
                         FromBase({"--through-gtid", scene_.middle.last.ToString(), "--workers",
                                   workers}))),
             scene_.middle);
}

}  // namespace
}  // namespace tidemark::testing
