// The archive as a replication source: stock MySQL servers replicate from tidemarkd, and end up
// with what the primary has.
#include "tests/e2e/serve_fixture.h"
#include "tests/support/sanitized.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;

// A primary with some history of all kinds, archived by a daemon that serves it.
class ServeTest : public ::testing::Test {
 protected:
  void Begin(const std::string& serve_settings = {}, const std::string& source_settings = {},
             std::vector<std::string> primary_args = {}) {
    primary_ = StartPrimary(std::move(primary_args));
    ASSERT_NE(primary_, nullptr);
    WriteHistory();
    daemon_ = std::make_unique<ServingDaemon>(serve_settings);
    daemon_->AddSource("main", *primary_, source_settings);
    daemon_->Start();
    ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_).Minus(Purged()))) << daemon_->LogTail();
  }
  GtidSet Purged() { return *GtidSet::Parse(*primary_->QueryValue("SELECT @@GLOBAL.gtid_purged")); }
  void Execute(const std::string& sql) {
    const Status status = primary_->Execute(sql);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  void WriteHistory() {
    Execute(
        "CREATE DATABASE shop; CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, what "
        "TEXT, big LONGBLOB); INSERT INTO shop.orders (what) VALUES ('a'), ('b'); "
        "UPDATE shop.orders SET what = 'c' WHERE id = 1; DELETE FROM shop.orders WHERE id = 2");
    Execute(
        "SET SESSION binlog_transaction_compression = ON; INSERT INTO shop.orders (what) SELECT "
        "REPEAT('x', 1000) FROM information_schema.columns LIMIT 500; SET SESSION "
        "binlog_transaction_compression = OFF");
    Execute(
        "SET SESSION gtid_next = 'automatic:tagged'; INSERT INTO shop.orders (what) VALUES "
        "('tagged'); SET SESSION gtid_next = 'automatic'");
    Execute(
        "FLUSH BINARY LOGS; INSERT INTO shop.orders (what, big) VALUES ('longer than a packet', "
        "REPEAT('y', 20000000)); XA START 'x'; INSERT INTO shop.orders (what) VALUES ('xa'); XA "
        "END 'x'; XA PREPARE 'x'; XA COMMIT 'x'");
  }
  void ExpectSame(Replica& replica) {
    const GtidSet executed = ExecutedOn(*primary_);
    ASSERT_TRUE(replica.WaitFor(executed)) << replica.Why() << daemon_->LogTail();
    EXPECT_EQ(ExecutedOn(*replica.server).ToString(), executed.ToString());
    EXPECT_EQ(Checksums(*replica.server), Checksums(*primary_));
  }

  std::unique_ptr<MySqlServer> primary_;
  std::unique_ptr<ServingDaemon> daemon_;
};

TEST_F(ServeTest, CatchesUpFromEmptyAndStaysCurrentWhileThePrimaryIsWrittenTo) {
  Begin();
  Replica replica(daemon_->ChangeSource());
  ExpectSame(replica);
  {
    Load load(*primary_);
    ASSERT_TRUE(load.WaitForCommits(600));
  }
  ExpectSame(replica);
  Execute("INSERT INTO shop.orders (what) VALUES ('last')");
  ExpectSame(replica);
  const nlohmann::json replicas = daemon_->Status()["daemon"]["replicas"];
  ASSERT_EQ(replicas.size(), 1u) << replicas;
  EXPECT_EQ(replicas[0]["server_id"], replica.server->server_id());
  EXPECT_EQ(replicas[0]["user"], "replica");
}

TEST_F(ServeTest, FiveReplicasAtOnceWithinBoundedMemory) {
  Begin();
  Load earlier(*primary_);  // which all five have to catch up with
  ASSERT_TRUE(earlier.WaitForCommits(1500));
  earlier.Stop();
  std::vector<std::unique_ptr<Replica>> replicas;
  const uint64_t alone = daemon_->PeakMemoryBytes();
  for (int i = 0; i < 5; ++i)
    replicas.push_back(std::make_unique<Replica>(
        daemon_->ChangeSource(),
        std::vector<std::string>{"--innodb-buffer-pool-size=64M", "--performance-schema=ON"}));
  Load load(*primary_);
  ASSERT_TRUE(load.WaitForCommits(500));
  load.Stop();
  for (auto& replica : replicas) ExpectSame(*replica);
  const uint64_t grown = daemon_->PeakMemoryBytes() - alone;
  EXPECT_TRUE(testing::kSanitized || grown < 5 * (uint64_t{16} << 20)) << grown;
}

TEST_F(ServeTest, AfterThePrimaryPurgedItsBinaryLogs) {
  Begin();
  Execute("FLUSH BINARY LOGS; INSERT INTO shop.orders (what) VALUES ('after the purge')");
  ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_)));
  const std::string current = (*primary_->Query("SHOW BINARY LOG STATUS"))[0][0];
  Execute("PURGE BINARY LOGS TO '" + current + "'");
  ASSERT_FALSE(Purged().empty());
  Replica replica(daemon_->ChangeSource());
  ExpectSame(replica);
}

TEST_F(ServeTest, OverTlsWithVerification) {
  TempDir keys("tidemark-keys");
  const auto openssl = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    const auto result = RunProgram(arguments);
    ASSERT_TRUE(result.ok() && result->exit_code == 0) << (result.ok() ? result->err : "");
  };
  openssl({"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test ca",
           "-keyout", keys.Path("ca.key"), "-out", keys.Path("ca.pem")});
  openssl({"req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tidemark", "-keyout",
           keys.Path("server.key"), "-out", keys.Path("server.csr")});
  std::ofstream(keys.Path("names")) << "subjectAltName=IP:127.0.0.1\n";
  openssl({"x509", "-req", "-in", keys.Path("server.csr"), "-CA", keys.Path("ca.pem"), "-CAkey",
           keys.Path("ca.key"), "-CAcreateserial", "-days", "2", "-extfile", keys.Path("names"),
           "-out", keys.Path("server.pem")});
  Begin("tls_certificate_file = \"" + keys.Path("server.pem") + "\"\ntls_key_file = \"" +
        keys.Path("server.key") + "\"\ntls_required = true");
  Replica replica(
      daemon_->ChangeSource(", SOURCE_SSL = 1, SOURCE_SSL_VERIFY_SERVER_CERT = 1, "
                            "SOURCE_SSL_CA = '" +
                            keys.Path("ca.pem") + "'"));
  ExpectSame(replica);
  EXPECT_TRUE(daemon_->Status()["daemon"]["replicas"][0]["tls"].get<bool>());

  Replica plain(daemon_->ChangeSource(", SOURCE_SSL = 0, GET_SOURCE_PUBLIC_KEY = 1"));
  ASSERT_TRUE(WaitUntil([&] { return IoError(*plain.server).starts_with("3159 "); }))
      << plain.Why();
}

TEST_F(ServeTest, APromotedReplicaGetsTheLastTransactionsOfADeadPrimary) {
  Begin();
  // It replicates from the primary, falls behind, and the primary dies.
  Execute("CREATE USER r@'%' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO r@'%'");
  Replica promoted("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = " +
                   std::to_string(primary_->port()) +
                   ", SOURCE_USER = 'r', SOURCE_PASSWORD = 'r', SOURCE_AUTO_POSITION = 1, "
                   "GET_SOURCE_PUBLIC_KEY = 1");
  ASSERT_TRUE(promoted.WaitFor(ExecutedOn(*primary_))) << promoted.Why();
  ASSERT_TRUE(promoted.server->Execute("STOP REPLICA").ok());
  Execute("INSERT INTO shop.orders (what) VALUES ('acknowledged'), ('and lost')");
  const GtidSet all = ExecutedOn(*primary_);
  const std::string checksums = Checksums(*primary_);
  ASSERT_TRUE(daemon_->WaitFor(all));
  primary_->Kill9();
  // Promoted: it has transactions of its own by now.
  ASSERT_TRUE(promoted.server
                  ->Execute("RESET REPLICA ALL; CREATE DATABASE own; CREATE TABLE own.t (i INT "
                            "PRIMARY KEY)")
                  .ok());
  const Status change = promoted.server->Execute(daemon_->ChangeSource() + "; START REPLICA");
  ASSERT_TRUE(change.ok()) << change.message();
  ASSERT_TRUE(promoted.WaitFor(all)) << promoted.Why();
  ASSERT_TRUE(promoted.server->Execute("STOP REPLICA; DROP DATABASE own").ok());
  EXPECT_EQ(Checksums(*promoted.server), checksums);
}

TEST_F(ServeTest, AReplicaThatNeedsWhatTheArchiveDoesNotHaveIsToldSo) {
  primary_ = StartPrimary();
  Execute("CREATE DATABASE early; FLUSH BINARY LOGS");
  Execute("PURGE BINARY LOGS TO '" + (*primary_->Query("SHOW BINARY LOG STATUS"))[0][0] + "'");
  WriteHistory();
  daemon_ = std::make_unique<ServingDaemon>();
  daemon_->AddSource("main", *primary_, "adopt_purged = true");
  daemon_->Start();
  ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_).Minus(Purged()))) << daemon_->LogTail();

  Replica replica(daemon_->ChangeSource());
  ASSERT_TRUE(WaitUntil([&] { return IoError(*replica.server).find("1236") != std::string::npos; }))
      << replica.Why();
  EXPECT_THAT(IoError(*replica.server), HasSubstr("purged"));
  EXPECT_THAT(IoError(*replica.server), HasSubstr(Purged().ToString()));
  EXPECT_TRUE(ExecutedOn(*replica.server).empty());
  // With the missing part from elsewhere it goes on.
  ASSERT_TRUE(replica.server
                  ->Execute("SET GLOBAL gtid_purged = '" + Purged().ToString() +
                            "'; CREATE DATABASE IF NOT EXISTS early; RESET BINARY LOGS AND GTIDS; "
                            "SET GLOBAL gtid_purged = '" +
                            Purged().ToString() + "'; START REPLICA")
                  .ok());
  ExpectSame(replica);
}

TEST_F(ServeTest, AReplicaWithTransactionsThatTheArchiveNeverSawIsRefused) {
  Begin();
  const std::string uuid = *primary_->QueryValue("SELECT @@GLOBAL.server_uuid");
  auto server = StartPrimary();
  ASSERT_TRUE(server
                  ->Execute("RESET BINARY LOGS AND GTIDS; SET GLOBAL gtid_purged = '" + uuid +
                            ":1-1000000'; " + daemon_->ChangeSource() + "; START REPLICA")
                  .ok());
  ASSERT_TRUE(WaitUntil([&] { return IoError(*server).find("1236") != std::string::npos; }))
      << server->ErrorLogTail();
  EXPECT_THAT(IoError(*server), HasSubstr("-1000000'"));
}

TEST_F(ServeTest, AReplicaWithAnArchivedServerIdIsRefusedNotSilentlyEmpty) {
  Begin();
  MySqlServerOptions options;
  options.server_id = primary_->server_id();
  auto server = MySqlServer::Start(options);
  ASSERT_TRUE(server.ok());
  ASSERT_TRUE(
      (*server)
          ->Execute("RESET BINARY LOGS AND GTIDS; " + daemon_->ChangeSource() + "; START REPLICA")
          .ok());
  ASSERT_TRUE(WaitUntil([&] { return IoError(**server).find("1236") != std::string::npos; }))
      << (*server)->ErrorLogTail();
  EXPECT_THAT(IoError(**server), HasSubstr("server id"));
  EXPECT_TRUE(ExecutedOn(**server).empty());
}

TEST_F(ServeTest, GoesOnAfterTheDaemonWasKilledAndStartedAgain) {
  Begin();
  Replica replica(daemon_->ChangeSource());
  ExpectSame(replica);
  Load load(*primary_);
  ASSERT_TRUE(load.WaitForCommits(200));
  daemon_->Kill9();
  ASSERT_TRUE(load.WaitForCommits(200));
  daemon_->Start();
  ASSERT_TRUE(load.WaitForCommits(200));
  load.Stop();
  ExpectSame(replica);
}

TEST_F(ServeTest, WrongPasswordsAndStatementsOfOthersGetAHelpfulError) {
  Begin();
  const auto mysql = [&](const std::string& password, const std::string& sql) {
    ProgramOptions options;
    options.env = {{"MYSQL_PWD", password}};
    return RunProgram({MySqlProgram("mysql"), "--no-defaults", "--protocol=TCP", "-h127.0.0.1",
                       "-P" + std::to_string(daemon_->port()), "-ureplica", "-e", sql},
                      options);
  };
  auto wrong = mysql("not it", "SELECT 1");
  ASSERT_TRUE(wrong.ok());
  EXPECT_THAT(wrong->err, HasSubstr("ERROR 1045"));
  auto curious = mysql("secret", "SELECT * FROM shop.orders");
  ASSERT_TRUE(curious.ok());
  EXPECT_THAT(curious->err, HasSubstr("Tidemark"));
  EXPECT_THAT(curious->err, HasSubstr("SOURCE_AUTO_POSITION"));
}

TEST_F(ServeTest, StockMysqlbinlogReadsTheArchiveAsItReadsTheSource) {
  Begin();
  const auto read = [&](int port, const std::string& user, const std::string& password) {
    ProgramOptions options;
    options.env = {{"MYSQL_PWD", password}};
    auto result = RunProgram({MySqlProgram("mysqlbinlog"), "--no-defaults", "--protocol=TCP",
                              "-h127.0.0.1", "-P" + std::to_string(port), "-u" + user,
                              "--get-server-public-key", "-v", "--base64-output=decode-rows",
                              "--skip-gtids=false", "--read-from-remote-source=BINLOG-DUMP-GTIDS",
                              "--to-last-log", (*primary_->Query("SHOW BINARY LOGS"))[0][0]},
                             options);
    EXPECT_TRUE(result.ok() && result->exit_code == 0) << (result.ok() ? result->err : "");
    std::string rows;
    if (!result.ok()) return rows;
    std::istringstream lines(result->out);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("###") || line.starts_with("SET @@SESSION.GTID_NEXT"))
        rows += line + "\n";
    return rows;
  };
  Execute("CREATE USER reader@'%' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* TO reader@'%'");
  ASSERT_TRUE(daemon_->WaitFor(ExecutedOn(*primary_)));
  const std::string from_archive = read(daemon_->port(), "replica", "secret");
  EXPECT_FALSE(from_archive.empty());
  EXPECT_EQ(from_archive, read(primary_->port(), "reader", "r"));
}

}  // namespace
}  // namespace tidemark::testing
