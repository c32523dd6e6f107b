// The daemon against a source, a configuration or a disk that is not as it should be: a clear
// error, nothing lost, nothing mixed, and it goes on by itself where it can.
#include <sys/mount.h>

#include "tests/e2e/daemon_fixture.h"

namespace tidemark {
namespace {

using testing::Daemon;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::Load;
using testing::MySqlServer;
using testing::ProgramResult;
using testing::StartPrimary;
using testing::TempDir;

TEST(ArchiveFaults, PurgedTransactionsAreAnErrorUntilAdoptedAndThenAGap) {
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  ASSERT_TRUE(
      primary->Execute("CREATE DATABASE d; CREATE TABLE d.t (a INT); FLUSH BINARY LOGS").ok());
  const GtidSet purged = ExecutedOn(*primary);
  ASSERT_TRUE(
      primary->Execute("PURGE BINARY LOGS TO 'binlog.000002'; INSERT INTO d.t VALUES (1)").ok());
  auto first_left = primary->Query("SHOW BINARY LOGS");
  ASSERT_TRUE(first_left.ok());
  if (first_left->front()[0] == "binlog.000001") {  // the template came with files of its own
    ASSERT_TRUE(primary->Execute("PURGE BINARY LOGS TO '" + first_left->back()[0] + "'").ok());
  }
  const auto purged_now = primary->QueryValue("SELECT @@GLOBAL.gtid_purged");
  ASSERT_TRUE(purged_now.ok());
  ASSERT_EQ(*GtidSet::Parse(*purged_now), purged);

  Daemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitForError("gap")) << daemon.LogTail();
  const nlohmann::json error = daemon.Status()["daemon"]["error"];
  EXPECT_THAT(error["message"].get<std::string>(), HasSubstr(purged.ToString()));
  EXPECT_THAT(error["hint"].get<std::string>(), HasSubstr("adopt_purged"));
  EXPECT_TRUE(daemon.Segments().empty());
  EXPECT_EQ(daemon.Stop(), 0);

  daemon.ForgetSources();
  daemon.AddSource("main", *primary, "adopt_purged = true");
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary).Minus(purged))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  const nlohmann::json gaps = daemon.Status()["coverage"]["gaps"];
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(*GtidSet::Parse(gaps[0]["missing"].get<std::string>()), purged);
  daemon.ExpectVerified();

  // Purged while nobody archived: a second gap, in the middle.
  ASSERT_TRUE(primary->Execute("FLUSH BINARY LOGS; INSERT INTO d.t VALUES (2)").ok());
  const GtidSet lost = ExecutedOn(*primary).Minus(daemon.Archived()).Minus(purged);
  ASSERT_TRUE(primary->Execute("FLUSH BINARY LOGS").ok());
  auto files = primary->Query("SHOW BINARY LOGS");
  ASSERT_TRUE(primary->Execute("PURGE BINARY LOGS TO '" + files->back()[0] + "'").ok());
  daemon.Start();
  // Said at once, also while nothing is committed behind it.
  const auto ahead = [&] {
    const nlohmann::json status = daemon.Status();
    return status.is_object() && status["daemon"].is_object()
               ? status["daemon"].value("gap_ahead", nlohmann::json())
               : nlohmann::json();
  };
  ASSERT_TRUE(testing::WaitUntil([&] { return ahead().is_object(); }, 20'000)) << daemon.LogTail();
  EXPECT_EQ(*GtidSet::Parse(ahead()["missing"].get<std::string>()), lost);
  EXPECT_THAT(daemon.Pitr({"status"}).out, HasSubstr("GAP           " + lost.ToString() + ": "));
  ASSERT_TRUE(primary->Execute("INSERT INTO d.t VALUES (3)").ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary).Minus(purged).Minus(lost))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  const nlohmann::json both = daemon.Status()["coverage"]["gaps"];
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(*GtidSet::Parse(both[1]["missing"].get<std::string>()), lost);
  daemon.ExpectVerified();
}

// The second history has the same shape as the first, byte for byte in length, and one transaction
// more.
TEST(ArchiveFaults, RewoundSourceThatOvertookTheArchiveIsADivergence) {
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  const auto write_history = [&](int value) {
    const std::string number = std::to_string(value);
    return primary->Execute(
        "RESET BINARY LOGS AND GTIDS; CREATE DATABASE d; CREATE TABLE d.t (a INT); FLUSH BINARY "
        "LOGS;"
        "INSERT INTO d.t VALUES (" +
        number + "); FLUSH BINARY LOGS; INSERT INTO d.t VALUES (" + number + ")");
  };
  ASSERT_TRUE(write_history(1).ok());
  const GtidSet first_history = ExecutedOn(*primary);
  Daemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(first_history)) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);

  // A file's creation is known to the second: the histories must not begin in the same one.
  const std::string second = primary->QueryValue("SELECT UNIX_TIMESTAMP()").value();
  ASSERT_TRUE(testing::WaitUntil(
      [&] { return primary->QueryValue("SELECT UNIX_TIMESTAMP()").value() != second; }, 5000));
  ASSERT_TRUE(primary->Execute("DROP DATABASE d").ok());
  ASSERT_TRUE(write_history(2).ok());
  ASSERT_TRUE(primary->Execute("INSERT INTO d.t VALUES (3)").ok());
  ASSERT_TRUE(first_history.Minus(ExecutedOn(*primary)).empty());
  daemon.Start();
  ASSERT_TRUE(daemon.WaitForError("divergence")) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
  EXPECT_EQ(daemon.Archived(), first_history);
  daemon.ExpectVerified();
}

TEST(ArchiveFaults, RewoundSourceIsADivergenceAndNothingIsMixed) {
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  ASSERT_TRUE(
      primary->Execute("CREATE DATABASE d; CREATE TABLE d.t (a INT); INSERT INTO d.t VALUES (1)")
          .ok());
  const GtidSet first_history = ExecutedOn(*primary);
  Daemon daemon;
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitFor(first_history)) << daemon.LogTail();
  // The link breaks, and the history that follows is another one.
  ASSERT_TRUE(primary->Execute("RESET BINARY LOGS AND GTIDS; INSERT INTO d.t VALUES (2)").ok());
  primary->Kill9();
  ASSERT_TRUE(primary->Restart().ok());
  ASSERT_TRUE(daemon.WaitForError("divergence")) << daemon.LogTail();
  // Overtaken: now every GTID that the archive has is there again, with other contents.
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(primary->Execute("INSERT INTO d.t VALUES (3)").ok());
  ASSERT_TRUE(first_history.Minus(ExecutedOn(*primary)).empty());
  EXPECT_EQ(daemon.Stop(), 0);
  EXPECT_EQ(daemon.Archived(), first_history);
  daemon.ExpectVerified();

  // Another server altogether under the same name.
  auto other = StartPrimary();
  ASSERT_TRUE(other);
  ASSERT_TRUE(other->Execute("CREATE DATABASE other").ok());
  daemon.ForgetSources();
  daemon.AddSource("main", *other);
  daemon.Start();
  ASSERT_TRUE(daemon.WaitForError("divergence")) << daemon.LogTail();
  EXPECT_THAT(daemon.Status()["daemon"]["error"]["message"].get<std::string>(),
              HasSubstr(first_history.ToString()));
  EXPECT_EQ(daemon.Stop(), 0);
  EXPECT_EQ(daemon.Archived(), first_history);
}

TEST(ArchiveFaults, WrongPasswordIsRetriedAndShown) {
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  ASSERT_TRUE(primary
                  ->Execute("CREATE USER a@'%' IDENTIFIED BY 'right'; GRANT REPLICATION SLAVE, "
                            "REPLICATION CLIENT ON *.* TO a@'%'")
                  .ok());
  Daemon daemon;
  const std::string secret = daemon.Secret("password", "wrong");
  daemon.AddSource("main", *primary,
                   "host = \"127.0.0.1\"\nuser = \"a\"\npassword_file = \"" + secret + "\"");
  daemon.Start();
  ASSERT_TRUE(daemon.WaitForError("source-refused")) << daemon.LogTail();
  EXPECT_THAT(daemon.Status()["daemon"]["error"]["message"].get<std::string>(),
              HasSubstr("refused the login"));
  EXPECT_THAT(testing::ReadWholeFile(daemon.log()), ::testing::Not(HasSubstr("wrong\n")));
  daemon.Secret("password", "right");
  EXPECT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0);
}

TEST(ArchiveFaults, FullDiskIsSaidAndOutlived) {
  TempDir directory("tidemark-full");
  const std::string mount_point = directory.Path("disk");
  std::filesystem::create_directories(mount_point);
  if (::mount("tmpfs", mount_point.c_str(), "tmpfs", 0, "size=24m") != 0)
    GTEST_SKIP() << "mount(2) is not permitted here: the full disk is not tested";
  struct Unmount {
    std::string path;
    ~Unmount() { ::umount2(path.c_str(), MNT_DETACH); }
  } unmount{mount_point};
  auto primary = StartPrimary();
  ASSERT_TRUE(primary);
  Daemon daemon(mount_point + "/archive");
  daemon.AddSource("main", *primary);
  daemon.Start();
  ASSERT_TRUE(primary->Execute("CREATE DATABASE d; CREATE TABLE d.t (b MEDIUMBLOB)").ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  std::error_code ignored;
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    // Somebody else fills the disk but for a little, then all of it.
    const uint64_t leave = round == 0 ? 600'000 : round == 1 ? 20'000 : 0;
    const uint64_t free = std::filesystem::space(mount_point).available;
    {
      std::ofstream filler(mount_point + "/filler", std::ios::binary);
      filler << std::string(free > leave ? free - leave : 0, 'x');
    }
    Load load(*primary, 1);
    ASSERT_TRUE(
        primary->Execute("INSERT INTO d.t VALUES (RANDOM_BYTES(1024)), (RANDOM_BYTES(1024))").ok());
    for (int i = 0; i < 700; ++i)
      ASSERT_TRUE(primary->Execute("INSERT INTO d.t VALUES (RANDOM_BYTES(1024))").ok());
    ASSERT_TRUE(daemon.WaitForError("disk-full")) << daemon.LogTail() << daemon.Status().dump(2);
    load.Stop();
    std::filesystem::remove(mount_point + "/filler", ignored);
    ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
    EXPECT_TRUE(daemon.Running());
  }
  ASSERT_TRUE(primary->Execute("FLUSH BINARY LOGS; INSERT INTO d.t VALUES ('')").ok());
  ASSERT_TRUE(daemon.WaitFor(ExecutedOn(*primary))) << daemon.LogTail();
  EXPECT_EQ(daemon.Stop(), 0) << daemon.LogTail();
  daemon.ExpectVerified();
  daemon.ExpectFilesExact(*primary);
}

class BadConfiguration : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};

TEST_P(BadConfiguration, IsAUsageErrorThatNamesTheTrouble) {
  const auto [text, expected] = GetParam();
  TempDir directory;
  const std::string path = directory.Path("tidemarkd.toml");
  std::ofstream(path) << text;
  testing::ProgramOptions brief;
  brief.timeout_ms = 10'000;
  auto result = testing::RunProgram({testing::Binary("tidemarkd"), "--config", path}, brief);
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->exit_code, 2) << result->err;
  EXPECT_THAT(result->err, HasSubstr(expected));
  EXPECT_THAT(result->err, HasSubstr("tidemarkd.toml"));
  EXPECT_FALSE(std::filesystem::exists("/tmp/tidemark-never"));
}

#define TIDEMARK_HEAD "archive = \"/tmp/tidemark-never\"\n"
#define TIDEMARK_SOURCE "[[source]]\nname = \"main\"\nhost = \"h\"\nuser = \"u\"\nserver_id = 1\n"
INSTANTIATE_TEST_SUITE_P(
    Cases, BadConfiguration,
    ::testing::Values(
        std::pair("", "names no archive"), std::pair(TIDEMARK_HEAD, "names no source"),
        std::pair("archive = [", "toml"),
        std::pair(TIDEMARK_HEAD "source = 3\n", "names no source"),
        std::pair(TIDEMARK_HEAD "source = [3]\n", "must be a table"),
        std::pair(TIDEMARK_HEAD "log = 3\n" TIDEMARK_SOURCE, "log must be a table"),
        std::pair(TIDEMARK_HEAD "archiv = 1\n" TIDEMARK_SOURCE, ":2: archiv is not a setting"),
        std::pair(TIDEMARK_HEAD TIDEMARK_SOURCE "colour = 1\n", "source.colour is not a setting"),
        std::pair(TIDEMARK_HEAD TIDEMARK_SOURCE TIDEMARK_SOURCE, "two sources"),
        std::pair(TIDEMARK_HEAD TIDEMARK_SOURCE "port = 70000\n",
                  "source.port must be a whole number from 1 to 65535"),
        std::pair(TIDEMARK_HEAD TIDEMARK_SOURCE "port = \"3306\"\n", "source.port"),
        std::pair(TIDEMARK_HEAD TIDEMARK_SOURCE "adopt_purged = \"yes\"\n",
                  "must be true or false"),
        std::pair(TIDEMARK_HEAD TIDEMARK_SOURCE "tls = \"maybe\"\n", "maybe"),
        std::pair(TIDEMARK_HEAD TIDEMARK_SOURCE "tls = \"verify-ca\"\n", "CA file"),
        std::pair(TIDEMARK_HEAD TIDEMARK_SOURCE "retry_ms_min = 500\nretry_ms_max = 100\n",
                  "retry_ms_min"),
        std::pair(TIDEMARK_HEAD "[log]\nlevel = \"loud\"\n" TIDEMARK_SOURCE, "log.level"),
        std::pair(TIDEMARK_HEAD
                  "[[source]]\nname = \"../x\"\nhost = \"h\"\nuser = \"u\"\nserver_id = 1\n",
                  "../x"),
        std::pair(TIDEMARK_HEAD "[[source]]\nname = \"main\"\nhost = \"h\"\nuser = \"u\"\n",
                  "server_id"),
        std::pair(TIDEMARK_HEAD "[[source]]\nname = \"main\"\nuser = \"u\"\nserver_id = 1\n",
                  "host")));

TEST(ArchiveFaults, NoConfigurationFile) {
  auto result =
      testing::RunProgram({testing::Binary("tidemarkd"), "--config", "/nowhere/tidemarkd.toml"});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 2) << result->err;
  EXPECT_THAT(result->err, HasSubstr("/nowhere/tidemarkd.toml"));
}

TEST(ArchiveFaults, CheckConfigOnlySaysThatTheFileIsGood) {
  TempDir directory;
  const std::string path = directory.Path("tidemarkd.toml");
  std::ofstream(path) << TIDEMARK_HEAD TIDEMARK_SOURCE
      "[[source]]\nname = \"b\"\nhost = \"h\"\nuser = \"u\"\nserver_id = 2\n";
  auto result =
      testing::RunProgram({testing::Binary("tidemarkd"), "--config", path, "--check-config"});
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->exit_code, 0) << result->err;
  EXPECT_THAT(result->out, HasSubstr("2 source(s)"));
  EXPECT_FALSE(std::filesystem::exists("/tmp/tidemark-never"));
}

}  // namespace
}  // namespace tidemark
