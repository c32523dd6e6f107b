// tidemarkd as a semi-synchronous replica of a real MySQL: the source counts each commit as
// acknowledged, and whatever is killed, a commit that a client saw succeed is in the archive.
#include <chrono>
#include <cstdlib>
#include <future>
#include <random>

#include "tests/e2e/semi_sync_primary.h"
#include "tests/support/fault_proxy.h"
#include "tests/support/seed.h"

namespace tidemark {
namespace {

using testing::Daemon;
using testing::ExecutedOn;
using testing::FaultProxy;
using testing::kPatienceMs;
using testing::MySqlServer;
using testing::NamingClients;
using testing::StartPrimary;
using testing::WaitUntil;

constexpr char kInstall[] =
    "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'; "
    "SET GLOBAL rpl_semi_sync_source_timeout = 4294967295";
constexpr int kSemiSyncClients = 32;
constexpr char kAuto[] = "semi_sync = \"auto\"";

std::string SemiSync(const Daemon& daemon) {
  const nlohmann::json status = daemon.Status();
  return status.is_object() && status["daemon"].is_object()
             ? status["daemon"].value("semi_sync", "")
             : "";
}

// And that is what people read.
bool Becomes(const Daemon& daemon, const std::string& state) {
  if (!WaitUntil([&] { return SemiSync(daemon) == state; }, kPatienceMs)) return false;
  const std::string text = daemon.Pitr({"status"}).out;
  EXPECT_THAT(text, ::testing::ContainsRegex("(semi-sync|SEMI-SYNC)   " + state + ": "));
  return true;
}

uint64_t Counter(MySqlServer& server, const std::string& name) {
  auto rows = server.Query("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_source_" + name + "'");
  EXPECT_TRUE(rows.ok() && rows->size() == 1) << name;
  return rows.ok() && rows->size() == 1 ? std::stoull((*rows)[0][1]) : 0;
}

// With the plugin, which is still off: nothing waits before the archive is there.
std::unique_ptr<MySqlServer> StartSemiSyncPrimary() {
  auto primary = StartPrimary({"--innodb-flush-log-at-trx-commit=2"});
  if (primary == nullptr) return nullptr;
  const Status done = primary->Execute(std::string(kInstall) + "; " + testing::kTableForClients);
  EXPECT_TRUE(done.ok()) << done.message();
  return done.ok() ? std::move(primary) : nullptr;
}

size_t TimesSaidThatCommitsDidNotWait(const Daemon& daemon) {
  return daemon.TimesInLog("last commits did not wait for the archive");
}

std::future<bool> Begin(MySqlServer& server, const std::string& statement) {
  return std::async(std::launch::async, [&server, statement] {
    auto connection = server.Connect();
    return connection.ok() && (*connection)->Execute(statement).ok();
  });
}

// All have succeeded within our patience; if not, the server is killed, so that they end.
bool Succeed(MySqlServer& server, std::vector<std::future<bool>> begun) {
  bool all = true;
  for (const auto& one : begun)
    all = all && one.wait_for(std::chrono::milliseconds(kPatienceMs)) == std::future_status::ready;
  if (!all) server.Kill9();
  for (auto& one : begun) all = one.get() && all;
  return all;
}

// But what the next commit wants.
bool SourceIsToldNothingMore(const FaultProxy& proxy) {
  uint64_t said = 0;
  return WaitUntil(
      [&] {
        const uint64_t before =
            std::exchange(said, proxy.forwarded_bytes(FaultProxy::Way::kToServer));
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        return before == said && proxy.open_links() == 1;
      },
      kPatienceMs);
}

// A source that asks for acknowledgements, which go through the proxy as they are.
struct LinkWithoutTls {
  std::unique_ptr<MySqlServer> primary;
  std::unique_ptr<FaultProxy> proxy;

  void Begin(Daemon& daemon) {
    primary = StartSemiSyncPrimary();
    ASSERT_TRUE(primary);
    auto started = FaultProxy::Start(primary->port());
    ASSERT_TRUE(started.ok()) << started.error().message();
    proxy = std::move(*started);
    daemon.AddSourceAtPort("main", proxy->port(), std::string(kAuto) + "\ntls = \"disabled\"\n");
    daemon.Start();
    ASSERT_TRUE(Becomes(daemon, "ready")) << daemon.LogTail();
    ASSERT_TRUE(primary->Execute("SET GLOBAL rpl_semi_sync_source_enabled = ON").ok());
  }
};

class SemiSyncLink : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(SemiSyncLink, EveryCommitIsAcknowledged) {
  auto primary = StartSemiSyncPrimary();
  ASSERT_TRUE(primary);
  Daemon daemon;
  daemon.AddSource("main", *primary, std::string(GetParam().second) + kAuto);
  daemon.Start();
  ASSERT_TRUE(Becomes(daemon, "ready")) << daemon.LogTail();
  // So that each commit is counted; AFTER_SYNC, the default, counts groups of them.
  ASSERT_TRUE(primary
                  ->Execute("SET GLOBAL rpl_semi_sync_source_wait_point = AFTER_COMMIT; "
                            "SET GLOBAL rpl_semi_sync_source_enabled = ON")
                  .ok());
  NamingClients writers(*primary, 0, kSemiSyncClients);
  ASSERT_TRUE(writers.WaitForCommits(3000)) << daemon.LogTail();
  EXPECT_EQ(SemiSync(daemon), "on");
  // A file ends, a transaction is longer than any buffer, a DDL: all in the midst of it.
  ASSERT_TRUE(primary
                  ->Execute("FLUSH BINARY LOGS; CREATE TABLE d.u (b LONGBLOB); "
                            "INSERT INTO d.u VALUES (REPEAT('x', 20000000)); FLUSH BINARY LOGS")
                  .ok());
  ASSERT_TRUE(writers.WaitForCommits(1000)) << daemon.LogTail();
  writers.Stop();
  EXPECT_EQ(Counter(*primary, "yes_tx"), writers.commits() + 2);
  EXPECT_EQ(Counter(*primary, "no_tx"), 0u);
  EXPECT_EQ(Counter(*primary, "clients"), 1u);
  EXPECT_EQ(TimesSaidThatCommitsDidNotWait(daemon), 0u);
  EXPECT_EQ(daemon.Archived(), ExecutedOn(*primary)) << "what was acknowledged is published";
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
  daemon.ExpectFilesExact(*primary);
}

INSTANTIATE_TEST_SUITE_P(
    Over, SemiSyncLink,
    ::testing::Values(
        std::pair("Socket", ""),
        std::pair("Tcp", "host = \"127.0.0.1\"\nuser = \"root\"\ntls = \"disabled\"\n"),
        std::pair("Tls", "host = \"127.0.0.1\"\nuser = \"root\"\ntls = \"required\"\n")),
    [](const auto& link) { return link.param.first; });

// TIDEMARK_SEMISYNC_ROUNDS: how often.
TEST(SemiSync, WhateverIsKilledWhatAClientSawSucceedIsArchived) {
  const char* given = std::getenv("TIDEMARK_SEMISYNC_ROUNDS");
  const int rounds = given != nullptr ? std::atoi(given) : 10;
  std::mt19937_64 random(testing::TestSeed());
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  ASSERT_TRUE(
      primary
          ->Execute("CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY AUTO_INCREMENT, b INT)")
          .ok());
  ASSERT_TRUE(primary->Restart(testing::kSemiSyncFromTheStart).ok());
  Daemon daemon;
  daemon.AddSource("main", *primary, kAuto);
  uint64_t commits = 0;
  for (int round = 0; round < rounds; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    daemon.Start();
    NamingClients writers(*primary, round, kSemiSyncClients);
    ASSERT_TRUE(writers.WaitForCommits(random() % 1500)) << daemon.LogTail();
    EXPECT_EQ(Counter(*primary, "no_tx"), 0u) << "the source does not wait";
    // The daemon alone at times: the commits under way then wait for its return.
    const auto order = random() % 3;
    if (order == 0) {
      daemon.Kill9();
      daemon.Start();
      ASSERT_TRUE(writers.WaitForCommits(100)) << "nobody acknowledges what is archived\n"
                                               << daemon.LogTail();
    }
    if (order == 1) daemon.Kill9();
    primary->Kill9();
    if (order != 1) daemon.Kill9();
    writers.Stop();
    const testing::ProgramResult status = daemon.Pitr({"status"});
    ASSERT_EQ(status.exit_code, 0) << status.err;
    const GtidSet lost = writers.succeeded().Minus(daemon.Archived());
    ASSERT_TRUE(lost.empty()) << lost.ToString() << "\nof " << writers.succeeded().ToString()
                              << "\norder " << order << status.out << daemon.LogTail();
    // The segments alone have it, too.
    const testing::ProgramResult rebuilt = daemon.Pitr({"index", "rebuild"});
    ASSERT_EQ(rebuilt.exit_code, 0) << rebuilt.err;
    ASSERT_TRUE(writers.succeeded().Minus(daemon.Archived()).empty());
    commits += writers.commits();
    ASSERT_TRUE(primary->Restart().ok()) << primary->ErrorLogTail();
  }
  EXPECT_EQ(TimesSaidThatCommitsDidNotWait(daemon), 0u) << daemon.LogTail();
  RecordProperty("commits", static_cast<int>(commits));
  std::cout << rounds << " rounds, " << commits << " commits seen to succeed, none lost\n";
  daemon.ExpectVerified();
}

// A rotation waits, with LOCK_log, for commits that wait for an acknowledgement: whoever asks the
// source for anything behind that lock before it acknowledges waits for ever.
TEST(SemiSync, ARotationUnderWaitingCommitsDoesNotKeepUsFromAcknowledgingThem) {
  auto primary = StartSemiSyncPrimary();
  ASSERT_TRUE(primary);
  Daemon daemon;
  daemon.AddSource("main", *primary, kAuto);
  daemon.Start();
  ASSERT_TRUE(Becomes(daemon, "ready")) << daemon.LogTail();
  ASSERT_TRUE(primary->Execute("SET GLOBAL rpl_semi_sync_source_enabled = ON").ok());
  ASSERT_TRUE(primary->Execute("INSERT INTO d.t (b) VALUES (1)").ok());
  daemon.Kill9();
  std::vector<std::future<bool>> begun;
  begun.push_back(Begin(*primary, "INSERT INTO d.t (b) VALUES (2)"));
  EXPECT_TRUE(WaitUntil([&] { return Counter(*primary, "wait_sessions") == 1; }, kPatienceMs));
  begun.push_back(Begin(*primary, "FLUSH BINARY LOGS"));
  const auto waits = [&] {
    const auto found = primary->QueryValue(
        "SELECT COUNT(*) FROM information_schema.processlist WHERE info = 'FLUSH BINARY LOGS'");
    return found.ok() && *found == "1";
  };
  EXPECT_TRUE(WaitUntil(waits, kPatienceMs));
  daemon.Start();
  ASSERT_TRUE(Succeed(*primary, std::move(begun))) << daemon.LogTail();
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
}

// One byte of an acknowledgement: its length, its number, what it begins with. The source does not
// answer to those, and after some it does not read the next one either, while its clients wait.
TEST(SemiSync, ADamagedAcknowledgementDoesNotLeaveCommitsWaiting) {
  LinkWithoutTls link;
  Daemon daemon;
  ASSERT_NO_FATAL_FAILURE(link.Begin(daemon));
  const auto& [primary, proxy] = link;
  const std::vector<std::pair<uint64_t, uint8_t>> damages = {{0, 0x01}, {0, 0x40}, {1, 0x01},
                                                             {2, 0x10}, {3, 0x10}, {4, 0x01}};
  for (const auto& [offset, mask] : damages) {
    SCOPED_TRACE(offset);
    ASSERT_TRUE(primary->Execute("INSERT INTO d.t (b) VALUES (1)").ok());
    ASSERT_TRUE(SourceIsToldNothingMore(*proxy));
    const uint64_t harmed = proxy->harmed_bytes();
    proxy->Damage(FaultProxy::Way::kToServer, offset, FaultProxy::Harm::kFlip, mask);
    std::vector<std::future<bool>> begun;
    begun.push_back(Begin(*primary, "INSERT INTO d.t (b) VALUES (2)"));
    ASSERT_TRUE(Succeed(*primary, std::move(begun))) << daemon.LogTail();
    EXPECT_EQ(proxy->harmed_bytes(), harmed + 1);
  }
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
}

// What a source believes cannot be helped (GUARANTEES.md, 2); that it stopped asking can be seen.
TEST(SemiSync, ADamagedAcknowledgementThatIsBelievedDoesNotGoUnnoticed) {
  LinkWithoutTls link;
  Daemon daemon;
  ASSERT_NO_FATAL_FAILURE(link.Begin(daemon));
  const auto& [primary, proxy] = link;
  ASSERT_TRUE(primary->Execute("INSERT INTO d.t (b) VALUES (1)").ok());
  ASSERT_TRUE(Becomes(daemon, "on")) << daemon.LogTail();
  ASSERT_TRUE(SourceIsToldNothingMore(*proxy));
  constexpr uint64_t kHighestByteOfThePosition = 4 + 1 + 7;
  proxy->Damage(FaultProxy::Way::kToServer, kHighestByteOfThePosition, FaultProxy::Harm::kFlip,
                0x40);
  ASSERT_TRUE(primary->Execute("INSERT INTO d.t (b) VALUES (2)").ok());
  ASSERT_TRUE(WaitUntil([&] { return proxy->harmed_bytes() == 1; }, kPatienceMs));
  proxy->Stall(true);
  std::vector<std::future<bool>> begun;
  begun.push_back(Begin(*primary, "INSERT INTO d.t (b) VALUES (3)"));
  ASSERT_TRUE(Succeed(*primary, std::move(begun))) << "so the source does not believe it";
  // Also over a new connection, by what is committed from then on.
  proxy->Cut(FaultProxy::CutBy::kReset);
  proxy->Heal();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(TimesSaidThatCommitsDidNotWait(daemon), 0u);
  ASSERT_TRUE(primary->Execute("INSERT INTO d.t (b) VALUES (4)").ok());
  EXPECT_TRUE(Becomes(daemon, "not-waiting")) << daemon.LogTail();
  EXPECT_EQ(TimesSaidThatCommitsDidNotWait(daemon), 1u);
  // As the log says to do.
  ASSERT_TRUE(primary
                  ->Execute("SET GLOBAL rpl_semi_sync_source_enabled = OFF; "
                            "SET GLOBAL rpl_semi_sync_source_enabled = ON; "
                            "INSERT INTO d.t (b) VALUES (5)")
                  .ok());
  EXPECT_TRUE(Becomes(daemon, "on")) << daemon.LogTail();
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
}

TEST(SemiSync, WithoutThePluginArchivingIsAsynchronousAndSaysSoOnce) {
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  Daemon daemon;
  daemon.AddSource("main", *primary, kAuto);
  daemon.Start();
  ASSERT_TRUE(Becomes(daemon, "unavailable")) << daemon.LogTail();
  const auto break_link = [&] {
    auto id = primary->QueryValue(
        "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'");
    ASSERT_TRUE(id.ok()) << id.error().message();
    ASSERT_TRUE(primary->Execute("KILL " + *id).ok());
  };
  break_link();
  ASSERT_TRUE(primary->Execute("CREATE DATABASE d; CREATE TABLE d.t (a INT)").ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  ASSERT_TRUE(Becomes(daemon, "unavailable")) << daemon.LogTail();
  EXPECT_EQ(daemon.TimesInLog("no plugin for semi-synchronous replication"), 1u)
      << testing::ReadWholeFile(daemon.log());
  // Installed while it runs: there from the next connection on.
  ASSERT_TRUE(primary->Execute(kInstall).ok());
  ASSERT_TRUE(primary->Execute("SET GLOBAL rpl_semi_sync_source_timeout = 10").ok());
  ASSERT_TRUE(primary->Execute("SET GLOBAL rpl_semi_sync_source_enabled = ON").ok());
  break_link();
  ASSERT_TRUE(Becomes(daemon, "ready")) << daemon.LogTail();
  ASSERT_TRUE(primary->Execute("INSERT INTO d.t VALUES (1)").ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_TRUE(Becomes(daemon, "on")) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
}

TEST(SemiSync, SwitchedOffAndOnAtTheSourceWhileItRuns) {
  auto primary = StartSemiSyncPrimary();
  ASSERT_TRUE(primary);
  Daemon daemon;
  daemon.AddSource("main", *primary, kAuto);
  daemon.Start();
  ASSERT_TRUE(Becomes(daemon, "ready")) << daemon.LogTail();
  for (int i = 0; i < 3; ++i) {
    SCOPED_TRACE(i);
    ASSERT_TRUE(primary->Execute("SET GLOBAL rpl_semi_sync_source_enabled = ON").ok());
    ASSERT_TRUE(primary->Execute("INSERT INTO d.t (b) VALUES (1)").ok());
    EXPECT_TRUE(Becomes(daemon, "on")) << daemon.LogTail();
    const uint64_t acknowledged = Counter(*primary, "yes_tx");
    EXPECT_EQ(acknowledged, static_cast<uint64_t>(i) + 1);
    ASSERT_TRUE(primary->Execute("SET GLOBAL rpl_semi_sync_source_enabled = OFF").ok());
    ASSERT_TRUE(primary->Execute("INSERT INTO d.t (b) VALUES (2)").ok());
    EXPECT_TRUE(Becomes(daemon, "not-waiting")) << daemon.LogTail();
    EXPECT_EQ(TimesSaidThatCommitsDidNotWait(daemon), 1u) << "once an hour";
    EXPECT_EQ(Counter(*primary, "yes_tx"), acknowledged);
    EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  }
  EXPECT_EQ(daemon.Status()["daemon"]["state"], "archiving");
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
}

TEST(SemiSync, OffUnlessItIsAskedFor) {
  auto primary = StartSemiSyncPrimary();
  ASSERT_TRUE(primary);
  Daemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(SemiSync(daemon), "off");
  ASSERT_TRUE(primary->Execute("SET GLOBAL rpl_semi_sync_source_enabled = ON").ok());
  EXPECT_EQ(Counter(*primary, "clients"), 0u);
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
}

}  // namespace
}  // namespace tidemark
