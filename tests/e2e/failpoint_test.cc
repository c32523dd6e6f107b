// tidemarkd killed at each place that has a name (replication/base/failpoint.h), under clients
// whose commits wait for it; and the primary killed while tidemarkd stands still there. What a
// client saw succeed is archived at that very moment, and everything goes on afterwards. A
// rebuilding index, too. restore_failpoint_test.cc does the rest of the names.
#include "replication/base/failpoint.h"

#include "tests/e2e/semi_sync_primary.h"

namespace tidemark {
namespace {

using testing::Daemon;
using testing::ExecutedOn;
using testing::kPatienceMs;
using testing::MySqlServer;
using testing::NamingClients;
using testing::WaitUntil;

constexpr int kClients = 8;

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

// One primary for all; an archive of its own for each.
class FailpointTest : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    primary_ = testing::StartPrimary();
    ASSERT_TRUE(primary_);
    ASSERT_TRUE(primary_->Execute(testing::kTableForClients).ok());
    ASSERT_TRUE(primary_->Restart(testing::kSemiSyncFromTheStart).ok());
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
  static bool Recovers() { return GetParam().starts_with("recovery."); }
  // What recovers needs a segment that is not sealed yet: no rotation may come just before the
  // kill.
  static bool Rotate() { return !Recovers(); }
  // With clients at work.
  void StartArmed(NamingClients& clients, const std::string& action) {
    if (Recovers()) {
      StartUnarmed();
      ASSERT_TRUE(clients.WaitForCommits(100)) << daemon_.LogTail();
      daemon_.Kill9();
    }
    Arm(action);
    daemon_.Start();
  }
  void ExpectNothingLost(NamingClients& clients) {
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
  NamingClients clients(*primary_, ++series_, kClients, Rotate());
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
  NamingClients clients(*primary_, ++series_, kClients, Rotate());
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
  NamingClients more(*primary_, ++series_, kClients, /*rotate=*/true);
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
  NamingClients clients(*primary_, ++series_, kClients, /*rotate=*/true);
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
