// `pitr restore` killed at each place that has a name (replication/base/failpoint.h): the same
// command again ends where the first would have, with the same data.
#include <gtest/gtest.h>

#include <filesystem>
#include <thread>

#include "replication/base/failpoint.h"
#include "tests/e2e/archived_primary.h"

namespace tidemark::testing {
namespace {

// Applied while restore.mid-apply is looked for, several times.
constexpr int kTransactions = 12000;

std::string Checksum(Connection& connection) {
  auto rows = connection.Query("CHECKSUM TABLE app.t");
  return rows.ok() ? (*rows)[0][1] : rows.error().message();
}

class RestoreFailpointTest : public ::testing::TestWithParam<std::string> {
 protected:
  static void SetUpTestSuite() {
    rig_ = std::make_unique<ArchivedPrimary>(MySqlServerOptions{
        .extra_args = {"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0"}, .server_id = {}});
    ASSERT_TRUE(rig_->primary
                    ->Execute("CREATE DATABASE app; CREATE TABLE app.t (id INT PRIMARY "
                              "KEY AUTO_INCREMENT, n INT); CREATE PROCEDURE app.work(times "
                              "INT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < times DO "
                              "INSERT INTO app.t (n) VALUES (i * 7 % 1000); SET i = i + 1; "
                              "END WHILE; END; CALL app.work(500)")
                    .ok());
    base_ = rig_->Dump("base.sql");
    ASSERT_TRUE(
        rig_->primary->Execute("CALL app.work(" + std::to_string(kTransactions) + ")").ok());
    rig_->StartDaemon();
    rig_->CatchUp();
  }
  static void TearDownTestSuite() { rig_.reset(); }
  void TearDown() override {
    const std::string pid = ReadWholeFile(Directory() + "/mysqld.pid");
    if (!pid.empty() && ProcessRuns(std::stoi(pid))) ::kill(std::stoi(pid), SIGKILL);
  }
  static std::string Directory() {
    return rig_->directory.Path(GetParam().substr(GetParam().find('.') + 1));
  }
  static PitrResult Restore(const ProgramOptions& options) {
    return RunPitr(
        ArchivedPrimary::WithTools({"--json", rig_->Where()[0], rig_->Where()[1], "restore",
                                    "--dump", base_, "--into", Directory(), "--latest", "--workers",
                                    "2", "--mysqld", MySqlProgram("mysqld")}),
        options);
  }

  static std::unique_ptr<ArchivedPrimary> rig_;
  static std::string base_;
};

std::unique_ptr<ArchivedPrimary> RestoreFailpointTest::rig_;
std::string RestoreFailpointTest::base_;

TEST_P(RestoreFailpointTest, KilledThereAndStartedAgain) {
  ProgramOptions armed;
  armed.env = {{"TIDEMARK_FAILPOINT", GetParam()}};
  const PitrResult killed = Restore(armed);
  ASSERT_EQ(killed.exit_code, 128 + SIGKILL) << killed.message();
  const PitrResult done = Restore({});
  ASSERT_EQ(done.exit_code, 0) << done.message();
  RestoredServer restored(done.json);
  EXPECT_EQ(restored.Executed(), rig_->Executed());
  auto primary = rig_->primary->Connect();
  ASSERT_TRUE(primary.ok());
  EXPECT_EQ(Checksum(restored.sql()), Checksum(**primary));
  EXPECT_FALSE(std::filesystem::exists(Directory() + "/RESTORING"));
}

std::vector<std::string> RestoreNames() {
  std::vector<std::string> names;
  for (const std::string_view name : kFailpoints)
    if (name.starts_with("restore.")) names.emplace_back(name);
  return names;
}

INSTANTIATE_TEST_SUITE_P(At, RestoreFailpointTest, ::testing::ValuesIn(RestoreNames()),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

}  // namespace
}  // namespace tidemark::testing
