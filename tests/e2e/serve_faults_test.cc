// Replicas that follow tidemarkd while everything around them breaks: they end up with what the
// primary has, and never with what the archive had to take back.
#include "tests/e2e/serve_fixture.h"

namespace tidemark::testing {
namespace {

// What the server has committed is in its redo log, too, when it is killed.
const std::vector<std::string> kKeepsCommits = {"--innodb-flush-log-at-trx-commit=2",
                                                "--max-allowed-packet=256M"};

void ExpectSame(MySqlServer& primary, Replica& replica, const ServingDaemon& daemon) {
  const GtidSet executed = ExecutedOn(primary);
  ASSERT_TRUE(replica.WaitFor(executed)) << replica.Why() << daemon.LogTail();
  EXPECT_EQ(ExecutedOn(*replica.server).ToString(), executed.ToString());
  EXPECT_EQ(Checksums(*replica.server), Checksums(primary));
}

TEST(ServeFaults, ReplicasThatFollowLiveNeverSeeWhatThePrimaryTookBack) {
  auto primary = StartPrimary(kKeepsCommits);
  ASSERT_NE(primary, nullptr);
  ServingDaemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  Load load(*primary);
  ASSERT_TRUE(load.WaitForCommits(100));
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary)));
  Replica follower(daemon.ChangeSource());
  Replica restless(daemon.ChangeSource());
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(primary
                    ->Execute(std::string("SET GLOBAL binlog_checksum = ") +
                              (round % 2 == 0 ? "NONE" : "CRC32"))
                    .ok());
    auto writer = primary->Connect("busy");
    ASSERT_TRUE(writer.ok());
    std::thread big([&] {  // whether it is committed when the server dies is chance
      (void)(*writer)->Execute("INSERT INTO t (filler) VALUES (REPEAT('z', 60000))");
      (void)(*writer)->Execute(
          "BEGIN; INSERT INTO t (w) SELECT 1 FROM information_schema.columns a, "
          "information_schema.tables b LIMIT 200000; COMMIT");
    });
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(restless.server->Execute("STOP REPLICA IO_THREAD; START REPLICA IO_THREAD").ok());
    }
    ASSERT_TRUE(load.WaitForCommits(100));
    primary->Kill9();
    big.join();
    ASSERT_TRUE(primary->Restart().ok());
    ASSERT_TRUE(load.WaitForCommits(100));
  }
  load.Stop();
  ExpectSame(*primary, follower, daemon);
  ExpectSame(*primary, restless, daemon);
  daemon.ExpectVerified();
}

TEST(ServeFaults, AReplicaOfPrimaryAndArchiveAtOnceGetsEachTransactionOnce) {
  auto primary = StartPrimary();
  ASSERT_NE(primary, nullptr);
  ServingDaemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(primary
                  ->Execute("CREATE USER r@'%' IDENTIFIED BY 'r'; GRANT REPLICATION SLAVE ON *.* "
                            "TO r@'%'")
                  .ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary)));
  Replica both("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = " +
               std::to_string(primary->port()) +
               ", SOURCE_USER = 'r', SOURCE_PASSWORD = 'r', SOURCE_AUTO_POSITION = 1, "
               "GET_SOURCE_PUBLIC_KEY = 1 FOR CHANNEL 'primary'; " +
               daemon.ChangeSource(", GET_SOURCE_PUBLIC_KEY = 1 FOR CHANNEL 'archive'"));
  Load load(*primary);
  ASSERT_TRUE(load.WaitForCommits(500));
  load.Stop();
  ExpectSame(*primary, both, daemon);
  EXPECT_EQ(*both.server->QueryValue("SELECT COUNT(*) FROM "
                                     "performance_schema.replication_connection_status WHERE "
                                     "service_state = 'ON' AND last_error_number = 0"),
            "2");
}

// It would time out before it is told, and come back for ever.
TEST(ServeFaults, ADivergedReplicaIsToldThoughItsNetTimeoutIsShort) {
  auto primary = StartPrimary();
  ASSERT_NE(primary, nullptr);
  ServingDaemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(primary->Execute("CREATE DATABASE shop").ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary)));
  const std::string uuid = *primary->QueryValue("SELECT @@GLOBAL.server_uuid");
  auto server = StartPrimary({"--replica-net-timeout=3"});
  ASSERT_NE(server, nullptr);
  ASSERT_TRUE(server
                  ->Execute("RESET BINARY LOGS AND GTIDS; SET GLOBAL gtid_purged = '" + uuid +
                            ":1-1000'; " + daemon.ChangeSource() + "; START REPLICA")
                  .ok());
  EXPECT_TRUE(WaitUntil([&] { return IoError(*server).find("1236") != std::string::npos; }, 30'000))
      << IoError(*server) << daemon.LogTail();
}

}  // namespace
}  // namespace tidemark::testing
