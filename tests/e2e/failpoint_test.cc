// tidemarkd killed at each place that has a name (replication/base/failpoint.h), under clients
// whose commits wait for it; and the primary killed while tidemarkd stands still there. What a
// client saw succeed is archived at that very moment, and everything goes on afterwards. A
// rebuilding index, too. restore_failpoint_test.cc does the rest of the names.
#include "replication/base/failpoint.h"

#include "tests/e2e/daemon_fixture.h"

namespace tidemark {
namespace {

using testing::Daemon;
using testing::ExecutedOn;
using testing::kPatienceMs;
using testing::MySqlServer;
using testing::WaitUntil;

const std::vector<std::string> kSemiSync = {
    "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--plugin-load-add=semisync_source.so",
    "--rpl-semi-sync-source-enabled=ON", "--rpl-semi-sync-source-timeout=4294967295"};

// How often such a place is passed before it is the one: so that there is something before it.
int PassesOf(const std::string& name) {
  if (name.starts_with("sink.")) return 20;
  return name.starts_with("segment.") || name.starts_with("identity.") ? 2 : 1;
}

std::vector<std::string> NamesOf(const std::vector<std::string>& groups) {
  std::vector<std::string> names;
  for (const std::string_view name : kFailpoints)
    for (const std::string& group : groups)
      if (name.starts_with(group + ".")) names.emplace_back(name);
  return names;
}

// Clients that name their transactions themselves, and so know which of them they saw succeed; and
// one that has a file ended now and then.
class Clients {
 public:
  Clients(MySqlServer& server, int series) {
    for (int i = 0; i < 8; ++i)
      threads_.emplace_back([this, &server, i, series] { Write(server, i, series); });
    threads_.emplace_back([this, &server] { Rotate(server); });
  }
  ~Clients() { Stop(); }
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
  }
  bool WaitForCommits(uint64_t more) {
    const uint64_t goal = commits_ + more;
    return WaitUntil([&] { return commits_ >= goal; }, kPatienceMs);
  }
  GtidSet succeeded() {
    std::lock_guard lock(mutex_);
    return succeeded_;
  }

 private:
  // Until it is told to stop, or the server goes.
  void Write(MySqlServer& server, int writer, int series) {
    auto connection = server.Connect();
    if (!connection.ok()) return;
    char uuid[37];
    std::snprintf(uuid, sizeof(uuid), "%08x-0000-0000-0000-%012x", series, writer + 1);
    for (int64_t number = 1; !stop_; ++number) {
      const std::string gtid = std::string(uuid) + ":" + std::to_string(number);
      if (!(*connection)
               ->Execute("SET gtid_next = '" + gtid + "'; INSERT INTO d.t (b) VALUES (1)")
               .ok())
        return;
      std::lock_guard lock(mutex_);
      succeeded_.Add(*GtidSet::Parse(gtid));
      ++commits_;
    }
  }
  void Rotate(MySqlServer& server) {
    auto connection = server.Connect();
    while (connection.ok() && !stop_ && (*connection)->Execute("FLUSH BINARY LOGS").ok())
      (void)WaitUntil([this] { return stop_.load(); }, 100);
  }

  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> commits_ = 0;
  std::mutex mutex_;
  GtidSet succeeded_;
  std::vector<std::thread> threads_;
};

// One primary for all; an archive of its own for each.
class FailpointTest : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    primary_ = testing::StartPrimary();
    ASSERT_TRUE(primary_);
    ASSERT_TRUE(
        primary_
            ->Execute(
                "CREATE DATABASE d; CREATE TABLE d.t (a INT PRIMARY KEY AUTO_INCREMENT, b INT)")
            .ok());
    ASSERT_TRUE(primary_->Restart(kSemiSync).ok());
  }
  static void TearDownTestSuite() { primary_.reset(); }
  void SetUp() override {
    ASSERT_TRUE(primary_);
    daemon_.AddSource("main", *primary_, "semi_sync = \"auto\"");
  }
  // Of the daemon that is started next.
  void Arm(const std::string& action) {
    daemon_.SetEnvironment("TIDEMARK_FAILPOINT",
                           GetParam() + ":" + std::to_string(PassesOf(GetParam())) + "=" + action);
  }
  void StartUnarmed() {
    daemon_.SetEnvironment("TIDEMARK_FAILPOINT", "");
    daemon_.Start();
  }
  // With clients at work. What recovers needs something to recover from.
  void StartArmed(Clients& clients, const std::string& action) {
    if (GetParam().starts_with("recovery.")) {
      StartUnarmed();
      ASSERT_TRUE(clients.WaitForCommits(100)) << daemon_.LogTail();
      daemon_.Kill9();
    }
    Arm(action);
    daemon_.Start();
  }
  void ExpectNothingLost(Clients& clients) {
    const GtidSet succeeded = clients.succeeded();
    // Before a first segment is there, nothing is archived, and nothing can have succeeded.
    const GtidSet lost = succeeded.Minus(daemon_.Archived());
    ASSERT_TRUE(lost.empty()) << lost.ToString() << "\nof " << succeeded.ToString() << "\n"
                              << daemon_.LogTail();
  }
  void ExpectAllWellAtTheEnd() {
    ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_))) << daemon_.LogTail();
    EXPECT_EQ(daemon_.Archived(), ExecutedOn(*primary_));
    EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
    daemon_.ExpectVerified();  // the index against its segments included
  }

  static std::unique_ptr<MySqlServer> primary_;
  static int series_;
  Daemon daemon_;
};

std::unique_ptr<MySqlServer> FailpointTest::primary_;
int FailpointTest::series_ = 0;

TEST_P(FailpointTest, KilledThere) {
  Clients clients(*primary_, ++series_);
  StartArmed(clients, "kill");
  const auto code = daemon_.process().Wait(kPatienceMs);
  ASSERT_TRUE(code.ok()) << "it was never there\n" << daemon_.LogTail();
  ASSERT_EQ(*code, 128 + SIGKILL) << daemon_.LogTail();
  ExpectNothingLost(clients);
  StartUnarmed();
  ASSERT_TRUE(clients.WaitForCommits(100)) << daemon_.LogTail();
  clients.Stop();
  ExpectAllWellAtTheEnd();
}

TEST_P(FailpointTest, PrimaryKilledWhileItStandsThere) {
  Clients clients(*primary_, ++series_);
  StartArmed(clients, "stop");
  const std::string stat = "/proc/" + std::to_string(daemon_.process().pid()) + "/stat";
  ASSERT_TRUE(WaitUntil(
      [&] { return testing::ReadWholeFile(stat).find(") T ") != std::string::npos; }, kPatienceMs))
      << "it was never there\n"
      << daemon_.LogTail();
  primary_->Kill9();
  clients.Stop();
  ExpectNothingLost(clients);
  ASSERT_TRUE(primary_->Restart().ok()) << primary_->ErrorLogTail();
  daemon_.process().Kill(SIGCONT);
  Clients more(*primary_, ++series_);
  ASSERT_TRUE(more.WaitForCommits(100)) << daemon_.LogTail();
  more.Stop();
  ExpectAllWellAtTheEnd();
}

std::string TestName(const ::testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(At, FailpointTest,
                         ::testing::ValuesIn(NamesOf({"sink", "segment", "recovery", "identity"})),
                         TestName);

class IndexFailpointTest : public FailpointTest {};

TEST_P(IndexFailpointTest, KilledThere) {
  Clients clients(*primary_, ++series_);
  StartUnarmed();
  ASSERT_TRUE(clients.WaitForCommits(200)) << daemon_.LogTail();
  daemon_.Kill9();
  testing::ProgramOptions armed;
  armed.env = {{"TIDEMARK_FAILPOINT", GetParam()}};
  const auto killed = testing::RunProgram(
      {testing::Binary("pitr"), "--archive", daemon_.archive(), "index", "rebuild"}, armed);
  ASSERT_TRUE(killed.ok()) << killed.error().message();
  ASSERT_EQ(killed->exit_code, 128 + SIGKILL) << killed->out << killed->err;
  StartUnarmed();
  ASSERT_TRUE(clients.WaitForCommits(100)) << daemon_.LogTail();
  clients.Stop();
  ExpectAllWellAtTheEnd();
}

INSTANTIATE_TEST_SUITE_P(At, IndexFailpointTest, ::testing::ValuesIn(NamesOf({"index"})), TestName);

// Whoever adds a name adds it to a group that is gone through, here or for restores.
TEST(Failpoints, EachIsInAGroupThatIsGoneThrough) {
  const size_t here = NamesOf({"sink", "segment", "recovery", "identity", "index"}).size();
  EXPECT_EQ(here + NamesOf({"restore"}).size(), kFailpoints.size());
}

}  // namespace
}  // namespace tidemark
