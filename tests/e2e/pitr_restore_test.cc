// The main promise, from a live primary through the daemon and a base taken under load to a
// restored server: whatever commit is named, by GTID or time, the restored counter is exactly the
// expected one. What is expected comes from stock mysqlbinlog and the primary's own files, not from
// the archive.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <random>
#include <regex>
#include <sstream>
#include <thread>

#include "tests/e2e/archived_primary.h"
#include "tests/support/seed.h"

namespace tidemark::testing {
namespace {

namespace fs = std::filesystem;

constexpr int kWriters = 3;

// One transaction of the primary's binary logs. `counter` is the value that it left behind.
struct Commit {
  Gtid gtid;
  int64_t commit_us = 0;
  int64_t counter = 0;
};

std::vector<Commit> ReadHistory(MySqlServer& primary) {
  std::vector<std::string> argv = {MySqlProgram("mysqlbinlog"), "--no-defaults", "-v",
                                   "--base64-output=decode-rows"};
  const auto files = primary.Query("SHOW BINARY LOGS");
  TM_CHECK(files.ok());
  for (const auto& row : *files) argv.push_back(primary.data_directory() + "/" + row[0]);
  const auto decoded = RunProgram(argv);
  TM_CHECK(decoded.ok() && decoded->exit_code == 0);
  std::vector<Commit> history;
  std::istringstream lines(decoded->out);
  int64_t commit_us = 0, counter = 0;
  bool in_log = false;
  for (std::string line; std::getline(lines, line);) {
    const std::string time = "# immediate_commit_timestamp=", gtid = "SET @@SESSION.GTID_NEXT= '";
    if (line.starts_with(time)) {
      commit_us = std::stoll(line.substr(time.size()));
    } else if (line.starts_with(gtid) && line.find("AUTOMATIC") == std::string::npos) {
      history.push_back({*Gtid::Parse(line.substr(gtid.size(), line.rfind('\'') - gtid.size())),
                         commit_us, counter});
    } else if (line.starts_with("### INSERT INTO `app`.`log`")) {
      in_log = true;
    } else if (in_log && line.starts_with("###   @1=")) {
      history.back().counter = counter = std::stoll(line.substr(9));
      in_log = false;
    }
  }
  return history;
}

// A primary whose first binary log was purged before the archive began, a base from before the
// archive and one in the middle of the load, and everything that was committed.
struct CounterScene {
  static CounterScene& Get() {
    static CounterScene scene;
    return scene;
  }
  CounterScene() : seed(TestSeed()), random(seed) {
    Prepare();
    early_base = rig.Dump("early.sql");
    rig.StartDaemon("adopt_purged = true");
    Write();
    rig.CatchUp();
    history = ReadHistory(*rig.primary);
  }
  void Prepare() {
    TM_CHECK(rig.primary
                 ->Execute("CREATE DATABASE app; CREATE TABLE app.counter (n BIGINT); INSERT INTO "
                           "app.counter VALUES (0);"
                           "CREATE TABLE app.log (n BIGINT PRIMARY KEY, filler VARCHAR(100))")
                 .ok());
    // One statement per transaction: with two, the dump's global read lock, a row lock and a writer
    // wait in a circle.
    TM_CHECK(rig.primary
                 ->Execute("CREATE TRIGGER app.count AFTER UPDATE ON app.counter FOR EACH ROW "
                           "INSERT INTO app.log VALUES (NEW.n, REPEAT('x', NEW.n % 100))")
                 .ok());
    TM_CHECK(rig.primary->Execute("FLUSH BINARY LOGS; PURGE BINARY LOGS TO 'binlog.000002'").ok());
    CommitOne(*rig.primary->Connect().value());
  }
  static void CommitOne(Connection& connection) {
    const Status status = connection.Execute("UPDATE app.counter SET n = n + 1");
    if (!status.ok()) ADD_FAILURE() << status.message();
  }
  void Write() {
    std::atomic<bool> stop = false;
    std::vector<std::thread> writers;
    for (int writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([this, &stop] {
        auto connection = rig.primary->Connect();
        TM_CHECK(connection.ok());
        while (!stop) CommitOne(**connection);
      });
    }
    AwaitMore(150);
    TM_CHECK(rig.primary->Execute("FLUSH BINARY LOGS").ok());
    AwaitMore(50);
    base = rig.Dump("base.sql");
    AwaitMore(150);
    TM_CHECK(rig.primary->Execute("FLUSH BINARY LOGS").ok());
    AwaitMore(150);
    stop = true;
    for (std::thread& writer : writers) writer.join();
  }
  int64_t Counter() { return std::stoll(*rig.primary->QueryValue("SELECT n FROM app.counter")); }
  void AwaitMore(int64_t commits) {
    const int64_t wanted = Counter() + commits;
    TM_CHECK(WaitUntil([&] { return Counter() >= wanted; }));
  }

  // Index of the first commit that the base does not hold.
  size_t FirstBehind(const GtidSet& set) const {
    size_t at = 0;
    while (at < history.size() && set.Contains(history[at].gtid)) ++at;
    return at;
  }
  GtidSet BaseSet(const std::string& dump) {
    const PitrResult plan = rig.PitrJson({"plan", "--latest", "--dump", dump});
    EXPECT_EQ(plan.exit_code, 0) << plan.message();
    return *GtidSet::Parse(plan.json.at("base").get<std::string>());
  }
  int64_t CounterBefore(size_t at) const { return at == 0 ? 0 : history[at - 1].counter; }

  uint64_t seed;
  std::mt19937_64 random;
  ArchivedPrimary rig;
  std::string early_base, base;
  std::vector<Commit> history;
};

// One way to name a point in the history, and the counter that must be found there.
struct Point {
  std::vector<std::string> flags;
  int64_t counter = 0;
  bool needs_later_commit = false;
};

class PitrRestoreTest : public ::testing::Test {
 protected:
  static std::string TimeText(int64_t time_us) {
    const time_t seconds = static_cast<time_t>(time_us / 1'000'000);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char text[64], whole[96];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(whole, sizeof whole, "%s.%06dZ", text, static_cast<int>(time_us % 1'000'000));
    return whole;
  }
  Point BeforeGtid(size_t at) {
    return {{"--before-gtid", scene_.history[at].gtid.ToString()}, scene_.CounterBefore(at)};
  }
  Point ThroughGtid(size_t at) {
    return {{"--through-gtid", scene_.history[at].gtid.ToString()}, scene_.history[at].counter};
  }
  // The longest prefix in archive order before the first commit past the target (ARCHITECTURE.md).
  Point AtTime(const char* flag, size_t at, bool including) {
    const int64_t time_us = scene_.history[at].commit_us;
    size_t first_past = 0;
    while (first_past < scene_.history.size() &&
           (including ? scene_.history[first_past].commit_us <= time_us
                      : scene_.history[first_past].commit_us < time_us))
      ++first_past;
    return {{flag, TimeText(time_us)}, scene_.CounterBefore(first_past)};
  }
  Point BeforeTime(size_t at) { return AtTime("--before-time", at, false); }
  Point ThroughTime(size_t at) { return AtTime("--through-time", at, true); }

  size_t Pick(size_t from, size_t to) {
    return std::uniform_int_distribution<size_t>(from, to)(scene_.random);
  }

  static std::vector<std::string> Join(std::vector<std::string> left,
                                       const std::vector<std::string>& right) {
    left.insert(left.end(), right.begin(), right.end());
    return left;
  }
  // The receipt says reached; the server, asked itself, stands exactly there.
  static void ExpectAt(Connection& server, const Json& receipt, const Point& point) {
    const std::string what = ::testing::PrintToString(point.flags);
    EXPECT_EQ(receipt.at("outcome"), "restored") << what;
    EXPECT_EQ(receipt.at("end_state_reached"), true) << what;
    EXPECT_EQ(receipt.at("missing"), "") << what;
    EXPECT_EQ(receipt.at("extra"), "") << what;
    EXPECT_EQ(*server.QueryValue("SELECT n FROM app.counter"), std::to_string(point.counter))
        << what;
    EXPECT_EQ(*server.QueryValue("SELECT CONCAT(COUNT(*), ' ', MAX(n)) FROM app.log"),
              std::to_string(point.counter) + " " + std::to_string(point.counter))
        << what;
    const auto executed = GtidSet::Parse(*server.QueryValue("SELECT @@GLOBAL.gtid_executed"));
    EXPECT_EQ(*executed, *GtidSet::Parse(receipt.at("plan").at("end_set").get<std::string>()))
        << what;
  }

  CounterScene& scene_ = CounterScene::Get();
  ArchivedPrimary& rig_ = scene_.rig;
};

TEST_F(PitrRestoreTest, HistoryIsWhatTheTestNeeds) {
  ASSERT_GT(scene_.history.size(), 400u);
  for (size_t at = 1; at < scene_.history.size(); ++at)
    ASSERT_GE(scene_.history[at].counter, scene_.history[at - 1].counter);
  EXPECT_EQ(scene_.history.back().counter, scene_.Counter());
  const PitrResult verify = rig_.PitrJson({"verify"});
  EXPECT_EQ(verify.exit_code, 0) << verify.message();
}

// A fresh server, and from there on to later and later points.
TEST_F(PitrRestoreTest, FreshServerBeforeAGtidThenOnwardsByEveryKindOfTarget) {
  const size_t first = scene_.FirstBehind(scene_.BaseSet(scene_.base)),
               last = scene_.history.size() - 2;
  std::vector<size_t> at;
  while (at.size() < 8) at.push_back(Pick(first + 1, last));
  std::sort(at.begin(), at.end());
  const Point point = BeforeGtid(at[0]);
  const PitrResult run = rig_.Restore("fresh", Join({"--dump", scene_.base}, point.flags));
  ASSERT_EQ(run.exit_code, 0) << run.message();
  RestoredServer server(run.json);
  ExpectAt(server.sql(), run.json, point);
  const std::vector<Point> onwards = {ThroughGtid(at[1]), BeforeTime(at[2]),  ThroughTime(at[3]),
                                      BeforeGtid(at[4]),  ThroughTime(at[5]), BeforeTime(at[6]),
                                      ThroughGtid(at[7])};
  int64_t reached = point.counter;
  for (const Point& next : onwards) {
    if (next.counter < reached)
      continue;  // two neighbours: the later one's "before" is the earlier one's "through"
    const PitrResult further = rig_.RestoreRunning(server.socket(), next.flags);
    ASSERT_EQ(further.exit_code, 0) << further.message();
    ExpectAt(server.sql(), further.json, next);
    reached = next.counter;
  }
}

TEST_F(PitrRestoreTest, FreshServerThroughATime) {
  const size_t first = scene_.FirstBehind(scene_.BaseSet(scene_.base));
  const Point point = ThroughTime(Pick(first, scene_.history.size() - 2));
  const PitrResult run = rig_.Restore("through-time", Join({"--dump", scene_.base}, point.flags));
  ASSERT_EQ(run.exit_code, 0) << run.message();
  RestoredServer server(run.json);
  ExpectAt(server.sql(), run.json, point);
  EXPECT_EQ(Json::parse(ReadWholeFile(rig_.directory.Path("through-time/receipt.json"))), run.json);
}

TEST_F(PitrRestoreTest, BaseFromBeforeTheArchiveReachesTheEnd) {
  ASSERT_FALSE(scene_.BaseSet(scene_.early_base).empty());
  const Point point = {{"--latest"}, scene_.history.back().counter};
  const PitrResult run = rig_.Restore("latest", Join({"--dump", scene_.early_base}, point.flags));
  ASSERT_EQ(run.exit_code, 0) << run.message();
  RestoredServer server(run.json);
  ExpectAt(server.sql(), run.json, point);
  EXPECT_EQ(*server.sql().Query("CHECKSUM TABLE app.counter, app.log"),
            *rig_.primary->Query("CHECKSUM TABLE app.counter, app.log"));
  EXPECT_EQ(server.Executed(), rig_.Executed());
}

TEST_F(PitrRestoreTest, BoundaryExactlyAtTheBaseAppliesNothing) {
  const size_t first = scene_.FirstBehind(scene_.BaseSet(scene_.base));
  const Point point = BeforeGtid(first);
  const PitrResult run = rig_.Restore("at-base", Join({"--dump", scene_.base}, point.flags));
  ASSERT_EQ(run.exit_code, 0) << run.message();
  RestoredServer server(run.json);
  ExpectAt(server.sql(), run.json, point);
  EXPECT_EQ(run.json.at("plan").at("transactions"), 0);
  // One commit earlier is beyond reach, and says by which transaction.
  const PitrResult earlier =
      rig_.PitrJson(Join({"plan", "--dump", scene_.base}, BeforeGtid(first - 1).flags));
  EXPECT_EQ(earlier.exit_code, 3) << earlier.message();
  EXPECT_THAT(earlier.json.at("error").at("message").get<std::string>(),
              ::testing::HasSubstr(scene_.history[first - 1].gtid.ToString()));
}

TEST_F(PitrRestoreTest, LoadedRunningTargetIsBroughtThere) {
  auto started = MySqlServer::Start();
  ASSERT_TRUE(started.ok());
  MySqlServer& target = **started;
  ProgramOptions load;
  load.stdin_file = scene_.base;
  const auto loaded = RunProgram(
      {MySqlProgram("mysql"), "--no-defaults", "--user=root", "--socket=" + target.socket()}, load);
  ASSERT_TRUE(loaded.ok() && loaded->exit_code == 0) << loaded->err;
  const std::string executed = *target.QueryValue("SELECT @@GLOBAL.gtid_executed");
  const size_t first = scene_.FirstBehind(*GtidSet::Parse(executed));
  const Point point = BeforeTime(Pick(first + 1, scene_.history.size() - 1));
  const PitrResult dry =
      rig_.RestoreRunning(target.socket(), Join({"--dump", scene_.base, "--dry-run"}, point.flags));
  ASSERT_EQ(dry.exit_code, 0) << dry.message();
  EXPECT_EQ(*target.QueryValue("SELECT @@GLOBAL.gtid_executed"), executed)
      << "--dry-run touched the target";
  const std::string receipt = rig_.directory.Path("running-receipt.json");
  const PitrResult run = rig_.RestoreRunning(
      target.socket(), Join({"--dump", scene_.base, "--receipt", receipt}, point.flags));
  ASSERT_EQ(run.exit_code, 0) << run.message();
  auto connection = target.Connect();
  ASSERT_TRUE(connection.ok());
  ExpectAt(**connection, run.json, point);
  EXPECT_EQ(Json::parse(ReadWholeFile(receipt)).at("outcome"), "restored");
  EXPECT_EQ(run.json.at("plan").at("end_set"), dry.json.at("end_set"));
}

TEST_F(PitrRestoreTest, PlanAndDryRunNeedNoDirectoryAndTouchNothing) {
  const Point point = ThroughGtid(scene_.history.size() - 3);
  const PitrResult plan = rig_.PitrJson(Join({"plan", "--dump", scene_.base}, point.flags));
  ASSERT_EQ(plan.exit_code, 0) << plan.message();
  const PitrResult dry =
      rig_.PitrJson(Join({"restore", "--dry-run", "--dump", scene_.base}, point.flags));
  ASSERT_EQ(dry.exit_code, 0) << dry.message();
  EXPECT_EQ(dry.json, plan.json);
  EXPECT_EQ(plan.json.at("boundary").at("last_included").at("gtid"), point.flags[1]);
  const PitrResult with_directory =
      rig_.Restore("never", Join({"--dry-run", "--dump", scene_.base}, point.flags));
  ASSERT_EQ(with_directory.exit_code, 0) << with_directory.message();
  EXPECT_FALSE(fs::exists(rig_.directory.Path("never")));
}

}  // namespace
}  // namespace tidemark::testing
