// A real primary, the real daemon: what the archive holds after orderly days, kills of either side,
// and giants.
#include "tests/e2e/daemon_fixture.h"
#include "tests/support/sanitized.h"

namespace tidemark {
namespace {

using testing::Daemon;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::Load;
using testing::MySqlProgram;
using testing::MySqlServer;
using testing::ProgramResult;
using testing::StartPrimary;

TEST(Archive, TwoSourcesTheirFilesAndTheIndex) {
  auto main = StartPrimary();
  auto plain = StartPrimary({"--binlog-checksum=NONE"});
  ASSERT_TRUE(main && plain);
  Daemon daemon;
  // One over TLS with a verified certificate and a password, one over its socket and without event
  // checksums.
  ASSERT_TRUE(main->Execute("CREATE USER archiver@'%' IDENTIFIED BY 'tide' REQUIRE SSL;"
                            "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO archiver@'%'")
                  .ok());
  daemon.AddSource("main", *main,
                   "host = \"127.0.0.1\"\nuser = \"archiver\"\npassword_file = \"" +
                       daemon.Secret("password", "tide") +
                       "\"\ntls = \"verify-ca\"\ntls_ca_file = \"" + main->data_directory() +
                       "/ca.pem\"");
  daemon.AddSource("plain", *plain);
  daemon.Start();
  {
    Load load(*main), other(*plain);
    ASSERT_TRUE(load.WaitForCommits(1500));
    ASSERT_TRUE(other.WaitForCommits(1500));
    ASSERT_TRUE(main->Execute("CREATE TABLE busy.u (a INT); DROP TABLE busy.u; FLUSH BINARY LOGS; "
                              "FLUSH BINARY LOGS")
                    .ok());
  }
  ASSERT_TRUE(main->Execute("FLUSH BINARY LOGS").ok());
  ASSERT_TRUE(plain->Execute("FLUSH BINARY LOGS").ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*main), "main")) << daemon.LogTail();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*plain), "plain")) << daemon.LogTail();
  EXPECT_THAT(testing::ReadWholeFile(daemon.log()), HasSubstr("TLS_AES"));

  // Nobody else may write this archive.
  auto second =
      testing::RunProgram({testing::Binary("tidemarkd"), "--config", daemon.WriteConfig()});
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->exit_code, 9);
  EXPECT_THAT(second->err, HasSubstr("LOCK"));
  EXPECT_TRUE(daemon.Running());

  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
  daemon.ExpectFilesExact(*main, "main");
  daemon.ExpectFilesExact(*plain, "plain");
  for (const char* source : {"main", "plain"}) {
    EXPECT_EQ(daemon.Archived(source), ExecutedOn(source == std::string("main") ? *main : *plain));
    for (const std::string& segment : daemon.Segments(source)) {
      auto read = testing::RunProgram({"bash", "-c",
                                       "set -o pipefail; zstd -dc '" + segment + "' | '" +
                                           MySqlProgram("mysqlbinlog") +
                                           "' --verify-binlog-checksum - >/dev/null"});
      ASSERT_TRUE(read.ok());
      EXPECT_EQ(read->exit_code, 0) << segment << ": " << read->err;
    }
  }

  // The index is derived: without it, made anew by pitr or by the daemon, everything reads the
  // same.
  const ProgramResult before = daemon.Pitr({"--json", "status"});
  ASSERT_EQ(before.exit_code, 0) << before.err;
  std::filesystem::remove_all(daemon.archive() + "/index");
  EXPECT_EQ(daemon.Pitr({"index", "rebuild"}).exit_code, 0);
  EXPECT_EQ(daemon.Pitr({"--json", "status"}).out, before.out);
  std::filesystem::remove_all(daemon.archive() + "/index");
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*main), "main")) << daemon.LogTail();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*plain), "plain")) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  EXPECT_EQ(daemon.Pitr({"--json", "status"}).out, before.out);
  daemon.ExpectVerified();
  // Of a source that is not archived any more, too.
  std::filesystem::remove_all(daemon.archive() + "/index");
  daemon.ForgetSources();
  daemon.AddSource("main", *main);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*main), "main")) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  EXPECT_EQ(daemon.Pitr({"--json", "status"}).out, before.out);
}

TEST(Archive, DaemonKilledTwentyTimesUnderLoad) {
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  Daemon daemon;
  daemon.AddSource("main", *primary, "segment_mib_max = 1");
  Load load(*primary);
  for (int kill = 0; kill < 20; ++kill) {
    const uint64_t stored = daemon.StoredBytes();
    daemon.Start();
    // Long enough to have archived something more, and each time a little longer.
    ASSERT_TRUE(daemon.process().WaitUntil([&] { return daemon.StoredBytes() > stored; },
                                           testing::kPatienceMs))
        << daemon.LogTail();
    ASSERT_TRUE(load.WaitForCommits(static_cast<uint64_t>(kill) * 7));
    ASSERT_TRUE(daemon.Running()) << daemon.LogTail();
    daemon.Kill9();
  }
  load.Stop();
  ASSERT_TRUE(primary->Execute("FLUSH BINARY LOGS").ok());
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
  EXPECT_EQ(daemon.Archived(), ExecutedOn(*primary));
  daemon.ExpectFilesExact(*primary);
}

TEST(Archive, KilledBetweenAFilesLastTransactionAndItsEnd) {
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  ASSERT_TRUE(primary->Execute("CREATE DATABASE d; CREATE TABLE d.t (a INT)").ok());
  Daemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  daemon.Kill9();
  // The end of this file, and the files without a transaction, only exist while nobody looks.
  ASSERT_TRUE(
      primary
          ->Execute(
              "FLUSH BINARY LOGS; FLUSH BINARY LOGS; INSERT INTO d.t VALUES (1); FLUSH BINARY LOGS")
          .ok());
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  daemon.ExpectFilesExact(*primary);
  daemon.ExpectVerified();
}

TEST(Archive, PrimaryKilledUnderLoad) {
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  Daemon daemon;
  daemon.AddSource("main", *primary);
  Load load(*primary);
  daemon.Start();
  for (int kill = 0; kill < 2; ++kill) {
    ASSERT_TRUE(load.WaitForCommits(500));
    primary->Kill9();
    ASSERT_TRUE(daemon.WaitForError("source-unavailable")) << daemon.LogTail();
    ASSERT_TRUE(primary->Restart().ok()) << primary->ErrorLogTail();
    ASSERT_TRUE(load.WaitForCommits(500));
  }
  load.Stop();
  // What is archived of the last file tells that all before it, even one without transactions, is.
  ASSERT_TRUE(primary->Execute("FLUSH BINARY LOGS; CREATE DATABASE behind_them_all").ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
  EXPECT_EQ(daemon.Archived(), ExecutedOn(*primary));
  daemon.ExpectFilesExact(*primary, "main", /*crashed=*/true);
}

// TIDEMARK_TRANSACTION_MIB and TIDEMARK_EVENT_MIB make it larger by hand.
TEST(Archive, MemoryStaysBoundedWhateverTheTransaction) {
  const auto from_environment = [](const char* name, uint64_t otherwise) {
    const char* text = std::getenv(name);
    return text == nullptr ? otherwise : std::stoull(text);
  };
  const uint64_t transaction_mib = from_environment("TIDEMARK_TRANSACTION_MIB", 256);
  const uint64_t event_mib = from_environment("TIDEMARK_EVENT_MIB", 100);
  auto primary = StartPrimary({"--max-allowed-packet=1G", "--default-storage-engine=MyISAM",
                               "--binlog-row-event-max-size=8192"});
  ASSERT_TRUE(primary);
  ASSERT_TRUE(primary
                  ->Execute("CREATE DATABASE big; CREATE TABLE big.seed (b MEDIUMBLOB); CREATE "
                            "TABLE big.rows_ (b MEDIUMBLOB);"
                            "CREATE TABLE big.blobs (b LONGBLOB);"
                            "INSERT INTO big.seed VALUES (REPEAT(RANDOM_BYTES(1024), 64));")
                  .ok());
  for (uint64_t rows = 1; rows < transaction_mib * 16; rows *= 2)
    ASSERT_TRUE(primary
                    ->Execute("SET sql_log_bin = 0; INSERT INTO big.seed SELECT * FROM big.seed; "
                              "SET sql_log_bin = 1")
                    .ok());
  Daemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();

  const Status rows = primary->Execute("INSERT INTO big.rows_ SELECT * FROM big.seed LIMIT " +
                                       std::to_string(transaction_mib * 16));
  ASSERT_TRUE(rows.ok()) << rows.message();
  ASSERT_TRUE(testing::WaitUntil(
      [&] { return ExecutedOn(*primary).Minus(daemon.Archived()).empty(); }, 600'000))
      << daemon.LogTail();
  const uint64_t after_rows = daemon.PeakMemoryBytes();
  EXPECT_TRUE(testing::kSanitized || after_rows <= 256u << 20) << after_rows;

  const Status blob = primary->Execute("INSERT INTO big.blobs VALUES (REPEAT(RANDOM_BYTES(1024), " +
                                       std::to_string(event_mib * 1024) + "))");
  ASSERT_TRUE(blob.ok()) << blob.message();
  ASSERT_TRUE(testing::WaitUntil(
      [&] { return ExecutedOn(*primary).Minus(daemon.Archived()).empty(); }, 600'000))
      << daemon.LogTail();
  const uint64_t after_event = daemon.PeakMemoryBytes();
  // libmysqlclient holds the event whole.
  EXPECT_TRUE(testing::kSanitized || after_event <= (256u << 20) + (event_mib << 20) * 5 / 4)
      << after_event;
  std::printf(
      "VmHWM: %.1f MiB after a transaction of %llu MiB, %.1f MiB after an event of %llu MiB\n",
      static_cast<double>(after_rows) / 1048576, static_cast<unsigned long long>(transaction_mib),
      static_cast<double>(after_event) / 1048576, static_cast<unsigned long long>(event_mib));
  ASSERT_TRUE(primary->Execute("FLUSH BINARY LOGS").ok());
  ASSERT_TRUE(primary->Execute("CREATE TABLE big.last (a INT)").ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  daemon.ExpectVerified();
  daemon.ExpectFilesExact(*primary);
}

}  // namespace
}  // namespace tidemark
