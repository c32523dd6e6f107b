// The preflight against real servers that are fit, unfit in many ways, and without a binary log.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "replication/source/preflight.h"
#include "tests/support/mysql_server.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using tidemark::testing::MySqlServer;

ConnectionOptions Socket(const MySqlServer& server, const std::string& user) {
  ConnectionOptions options;
  options.socket = server.socket();
  options.user = user;
  return options;
}

PreflightReport Check(const MySqlServer& server, const PreflightOptions& options,
                      const std::string& user = "root") {
  Result<std::unique_ptr<Connection>> connection = Connection::Open(Socket(server, user));
  EXPECT_TRUE(connection.ok()) << connection.error().message();
  if (!connection.ok()) return {};
  Result<PreflightReport> report = CheckSource(**connection, options);
  EXPECT_TRUE(report.ok()) << report.error().message();
  return report.ok() ? *report : PreflightReport();
}

// The checks of that severity, by name.
std::map<std::string, Finding> Findings(const PreflightReport& report, Severity severity) {
  std::map<std::string, Finding> found;
  for (const Finding& finding : report.findings) {
    if (finding.severity == severity) found[finding.check] = finding;
  }
  return found;
}

std::vector<std::string> Names(const std::map<std::string, Finding>& findings) {
  std::vector<std::string> names;
  for (const auto& [name, finding] : findings) names.push_back(name);
  return names;
}

std::unique_ptr<MySqlServer> Start(std::vector<std::string> extra_args) {
  testing::MySqlServerOptions options;
  options.extra_args = std::move(extra_args);
  options.server_id = 31;
  Result<std::unique_ptr<MySqlServer>> server = MySqlServer::Start(options);
  EXPECT_TRUE(server.ok()) << server.error().message();
  return server.ok() ? std::move(*server) : nullptr;
}

TEST(SourcePreflight, AFitServerUntilItsHistoryDisagrees) {
  std::unique_ptr<MySqlServer> server = Start({});
  ASSERT_NE(server, nullptr);
  ASSERT_TRUE(server
                  ->Execute("RESET BINARY LOGS AND GTIDS; CREATE DATABASE a; CREATE DATABASE b;"
                            " FLUSH BINARY LOGS; CREATE DATABASE c")
                  .ok());
  std::string uuid = server->QueryValue("SELECT @@server_uuid").value();
  PreflightOptions options;
  options.server_id = 32;
  options.our_uuid = Uuid::Parse("00000000-0000-0000-0000-000000000007").value();
  options.resume_set = GtidSet();

  PreflightReport report = Check(*server, options);
  EXPECT_TRUE(report.fit()) << report.ToStatus().message();
  EXPECT_EQ(Names(Findings(report, Severity::kWarning)), std::vector<std::string>());
  ASSERT_TRUE(report.facts.has_value());
  EXPECT_EQ(report.facts->server_uuid.ToString(), uuid);
  EXPECT_EQ(report.facts->server_id, 31u);
  EXPECT_GE(report.facts->version_number, 80000u);
  EXPECT_EQ(report.facts->gtid_executed.ToString(), uuid + ":1-3");
  ASSERT_EQ(report.facts->binlogs.size(), 2u);
  EXPECT_EQ(report.facts->binlogs.back().name, "binlog.000002");
  EXPECT_GT(report.facts->binlogs.back().bytes, 100u);

  ASSERT_TRUE(server->Execute("PURGE BINARY LOGS TO 'binlog.000002'").ok());
  report = Check(*server, options);
  Finding gap = Findings(report, Severity::kError)["gap"];
  EXPECT_EQ(gap.gtids.ToString(), uuid + ":1-2");
  EXPECT_EQ(report.ToStatus().code(), Code::kGap);

  options.resume_set = GtidSet::Parse(uuid + ":1-9").value();
  report = Check(*server, options);
  EXPECT_EQ(Findings(report, Severity::kError)["divergence"].gtids.ToString(), uuid + ":4-9");
  EXPECT_EQ(report.ToStatus().code(), Code::kDivergence);

  options.resume_set = GtidSet::Parse(uuid + ":1-3").value();
  options.server_id = 31;
  report = Check(*server, options);
  EXPECT_EQ(Names(Findings(report, Severity::kError)), std::vector<std::string>({"server-id"}));

  ASSERT_TRUE(server
                  ->Execute("CREATE USER poor@localhost; CREATE USER reader@localhost;"
                            " GRANT REPLICATION SLAVE ON *.* TO reader@localhost")
                  .ok());
  options.server_id = 32;
  report = Check(*server, options, "poor");
  EXPECT_EQ(Names(Findings(report, Severity::kError)),
            std::vector<std::string>({"replication-slave"}));
  EXPECT_THAT(report.ToStatus().hint(), HasSubstr("TO 'poor'"));
  report = Check(*server, options, "reader");
  EXPECT_TRUE(report.fit()) << report.ToStatus().message();
  EXPECT_EQ(Names(Findings(report, Severity::kWarning)),
            std::vector<std::string>({"replication-client"}));
  EXPECT_FALSE(report.facts->binlogs_visible);
}

TEST(SourcePreflight, EveryBadSettingHasItsOwnFinding) {
  std::unique_ptr<MySqlServer> server =
      Start({"--gtid-mode=OFF", "--enforce-gtid-consistency=OFF", "--binlog-format=STATEMENT",
             "--binlog-row-image=MINIMAL", "--binlog-checksum=NONE", "--sync-binlog=0",
             "--innodb-flush-log-at-trx-commit=2", "--binlog-expire-logs-seconds=3600"});
  ASSERT_NE(server, nullptr);
  PreflightReport report = Check(*server, {});
  EXPECT_EQ(Names(Findings(report, Severity::kError)),
            std::vector<std::string>({"enforce-gtid-consistency", "gtid-mode"}));
  EXPECT_EQ(
      Names(Findings(report, Severity::kWarning)),
      std::vector<std::string>({"binlog-checksum", "binlog-format", "binlog-row-image",
                                "innodb-flush-log-at-trx-commit", "retention", "sync-binlog"}));

  ASSERT_TRUE(server->Restart({"--skip-log-bin", "--gtid-mode=OFF"}).ok());
  report = Check(*server, {});
  EXPECT_EQ(Names(Findings(report, Severity::kError)),
            std::vector<std::string>({"gtid-mode", "log-bin"}));
  EXPECT_FALSE(report.facts->binlogs_visible);
}

}  // namespace
}  // namespace tidemark
