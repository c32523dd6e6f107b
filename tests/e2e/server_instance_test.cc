// The server that a restore makes, with a real mysqld: what it is started with, that nobody else
// can start it before its time, and that it outlives a killed `pitr`.
#include "pitr/restore/server_instance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/mysql_paths.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::MySqlProgram;
using ::testing::Not;
using testing::ReadWholeFile;
using ::testing::StartsWith;
using testing::TempDir;
using Mode = ServerInstance::Mode;

#define ASSERT_OK(expression)                           \
  do {                                                  \
    const Status tm_status = (expression);              \
    ASSERT_TRUE(tm_status.ok()) << tm_status.message(); \
  } while (false)

bool Always() { return true; }

class ServerInstanceTest : public ::testing::Test {
 protected:
  ServerInstanceTest() {
    options_.directory = directory_.Path("restored");
    options_.mysqld = MySqlProgram("mysqld");
  }

  std::string Path(const std::string& name) const { return options_.directory + "/" + name; }
  std::string Persisted() const { return Path("data/mysqld-auto.cnf"); }

  Status Make() {
    TM_ASSIGN_OR_RETURN(server_, ServerInstance::Claim(PosixFileSystem(), options_));
    return server_->Initialize(Always);
  }
  Status Reclaim() {
    TM_ASSIGN_OR_RETURN(server_, ServerInstance::Reclaim(PosixFileSystem(), options_, earlier_));
    return OkStatus();
  }
  std::unique_ptr<Connection> Connect(const std::string& user = "root") {
    ConnectionOptions login;
    login.socket = server_->socket();
    login.user = user;
    auto connection = Connection::Open(login);
    if (!connection.ok()) ADD_FAILURE() << connection.error().message();
    return connection.ok() ? std::move(*connection) : nullptr;
  }
  static Status Execute(Connection& connection, const std::vector<std::string>& statements) {
    for (const std::string& sql : statements)
      if (const auto done = connection.Query(sql); !done.ok()) return done.error();
    return OkStatus();
  }
  static std::string Value(Connection& connection, const std::string& sql) {
    const auto answer = connection.Query(sql);
    if (!answer.ok()) return answer.error().message();
    return answer->rows.empty() ? "(no row)" : answer->rows[0][0].value_or("NULL");
  }
  // As a person or an init system would, in spite of everything: without --no-defaults even.
  testing::ProgramResult StartInSpite() {
    std::vector<std::string> argv = {
        options_.mysqld, "--datadir=" + Path("data"), "--socket=" + directory_.Path("other.sock"),
        "--pid-file=" + directory_.Path("other.pid"), "--skip-networking"};
    if (::geteuid() == 0) argv.push_back("--user=root");
    testing::ProgramOptions run;
    run.timeout_ms = 30'000;  // one that starts is killed, and fails the test
    auto result = testing::RunProgram(argv, run);
    EXPECT_TRUE(result.ok()) << "mysqld started on data in quarantine";
    return result.ok() ? *result : testing::ProgramResult();
  }

  TempDir directory_{"tidemark-instance"};
  ServerOptions options_;
  ServerInstance::Earlier earlier_{.server_id = 77};
  std::unique_ptr<ServerInstance> server_;
};

TEST_F(ServerInstanceTest, NobodyElseStartsItBeforeItIsHandedOver) {
  ASSERT_OK(Make());
  EXPECT_THAT(ReadWholeFile(Path("my.cnf")), HasSubstr("\ntidemark-restore-is-not-finished\n"));
  EXPECT_THAT(ReadWholeFile(Path("my.cnf")), HasSubstr("\ndatadir=" + Path("data") + "\n"));
  const testing::ProgramResult refused = StartInSpite();
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.out + refused.err, HasSubstr("mysqld-auto.cnf"));
  EXPECT_THAT(ReadWholeFile(Persisted()), StartsWith("# tidemark: a restore is not finished"));

  ASSERT_OK(server_->Start(Mode::kRestoring, Always));
  EXPECT_THAT(ReadWholeFile(Persisted()), StartsWith("# tidemark"));  // again
  ASSERT_OK(server_->Stop());
  EXPECT_NE(StartInSpite().exit_code, 0);

  ASSERT_OK(server_->WriteOptionFile());
  ASSERT_OK(server_->RemoveMarker());
  EXPECT_FALSE(fs::exists(Persisted()));
  EXPECT_THAT(ReadWholeFile(Path("my.cnf")), Not(HasSubstr("not-finished")));
  ASSERT_OK(server_->Start(Mode::kHandedOver, Always));
  EXPECT_FALSE(fs::exists(Persisted()));
}

TEST_F(ServerInstanceTest, RestoringModeHoldsAgainstTheUsersOptions) {
  options_.options = {"--log-bin=mine",       "--log-replica-updates=ON",
                      "--event-scheduler=ON", "--innodb-buffer-pool-size=256M",
                      "--server-id=4711",     "--innodb-doublewrite=ON"};
  options_.workers = 7;
  ASSERT_OK(Make());
  ASSERT_OK(server_->Start(Mode::kRestoring, Always));
  const auto connection = Connect();
  ASSERT_TRUE(connection);
  const auto global = [&](const char* name) {
    return Value(*connection, std::string("SELECT @@GLOBAL.") + name);
  };
  EXPECT_EQ(global("log_bin"), "0");
  EXPECT_EQ(global("log_replica_updates"), "0");
  EXPECT_EQ(global("event_scheduler"), "OFF");
  EXPECT_EQ(global("innodb_doublewrite"), "OFF");
  EXPECT_EQ(global("skip_networking"), "1");
  EXPECT_EQ(global("gtid_mode"), "ON");
  EXPECT_EQ(global("innodb_buffer_pool_size"), std::to_string(256 << 20));
  EXPECT_EQ(global("server_id"), std::to_string(server_->server_id())) << "perhaps the source's";
  EXPECT_EQ(global("replica_parallel_workers"), "7");
  EXPECT_EQ(global("replica_preserve_commit_order"), "0");
  // Every option was understood.
  EXPECT_THAT(ReadWholeFile(server_->log_path()), Not(HasSubstr("unknown ")));
}

TEST_F(ServerInstanceTest, InitSqlRunsFirstAndIsNotLeftBehind) {
  ASSERT_OK(Make());
  ASSERT_OK(server_->Start(Mode::kHandedOver, Always,
                           {"CREATE USER 'first'@'localhost'", "CREATE DATABASE made"}));
  EXPECT_FALSE(fs::exists(Path("init.sql")));
  EXPECT_TRUE(Connect("first"));
  const auto connection = Connect();
  ASSERT_TRUE(connection);
  EXPECT_EQ(Value(*connection, "SHOW DATABASES LIKE 'made'"), "made");
  EXPECT_EQ(Value(*connection, "SELECT @@GLOBAL.gtid_executed"), "");  // made no GTID
  ASSERT_OK(server_->Stop());
  const Status failed = server_->Start(Mode::kRestoring, Always, {"THIS IS NO SQL"});
  EXPECT_EQ(failed.code(), Code::kTargetRefused);
  EXPECT_THAT(failed.message(), HasSubstr("near 'THIS IS NO SQL"));
  EXPECT_FALSE(server_->DataIsLost());
  EXPECT_FALSE(fs::exists(Path("init.sql")));
  EXPECT_EQ(server_->pid(), 0);
}

TEST_F(ServerInstanceTest, OutlivesItsKilledStarterAndIsFoundAgain) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t starter = ::fork();
  ASSERT_GE(starter, 0);
  if (starter == 0) {
    char ok = 0;
    if (Make().ok() && server_->Start(Mode::kRestoring, Always).ok()) {
      const auto connection = Connect();
      ok = connection && ServerInstance::DisableRedo(*connection).ok() &&
           Execute(*connection, {"CREATE DATABASE app", "CREATE TABLE app.t (a INT PRIMARY KEY)",
                                 "INSERT INTO app.t VALUES (42)"})
               .ok();
    }
    (void)!::write(ready[1], &ok, 1);
    while (true) ::pause();
  }
  char ok = 0;
  ASSERT_EQ(::read(ready[0], &ok, 1), 1);
  const auto beside = ServerInstance::Reclaim(PosixFileSystem(), options_, {});
  ::kill(starter, SIGKILL);
  ::waitpid(starter, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  ASSERT_EQ(ok, 1);
  ASSERT_FALSE(beside.ok());
  EXPECT_EQ(beside.error().code(), Code::kLocked);
  EXPECT_THAT(beside.error().message(), HasSubstr("(pid " + std::to_string(starter) + ")"));

  fs::remove(Path("mysqld.pid"));  // as if it had been killed before mysqld wrote it
  ASSERT_OK(Reclaim());
  const pid_t pid = server_->pid();
  ASSERT_NE(pid, 0);
  ASSERT_OK(server_->Start(Mode::kRestoring, Always));  // runs already
  EXPECT_EQ(server_->pid(), pid);
  const auto connection = Connect();
  ASSERT_TRUE(connection);
  EXPECT_EQ(Value(*connection, "SELECT a FROM app.t"), "42");
  ASSERT_OK(ServerInstance::EnableRedo(*connection));
  ASSERT_OK(server_->Stop());  // orderly, though it is not our child
  EXPECT_EQ(ReadWholeFile("/proc/" + std::to_string(pid) + "/cmdline"), "");  // gone, or a zombie
  // It is found no more, and its data are whole though they had no redo log for a while.
  server_.reset();
  ASSERT_OK(Reclaim());
  EXPECT_EQ(server_->pid(), 0);
  ASSERT_OK(server_->Start(Mode::kRestoring, Always));
  const auto again = Connect();
  ASSERT_TRUE(again);
  EXPECT_EQ(Value(*again, "SELECT a FROM app.t"), "42");
}

TEST_F(ServerInstanceTest, AStalePidFileMeansNobody) {
  ASSERT_OK(Make());
  server_.reset();
  // This process runs, but it is no mysqld.
  std::ofstream(Path("mysqld.pid")) << ::getpid() << "\n";
  ASSERT_OK(Reclaim());
  EXPECT_EQ(server_->pid(), 0);
  // Nor does the lock of its socket keep the next one from it.
  std::ofstream(Path("mysqld.sock.lock")) << ::getpid() << "\n";
  ASSERT_OK(server_->Start(Mode::kRestoring, Always));
  EXPECT_NE(server_->pid(), 0);
}

TEST_F(ServerInstanceTest, KilledWithoutRedoLogIsSaidToBeLost) {
  ASSERT_OK(Make());
  ASSERT_OK(server_->Start(Mode::kRestoring, Always));
  {
    const auto connection = Connect();
    ASSERT_TRUE(connection);
    ASSERT_OK(ServerInstance::DisableRedo(*connection));
    ASSERT_OK(ServerInstance::DisableRedo(*connection));  // already
    ASSERT_OK(Execute(*connection, {"CREATE DATABASE app"}));
  }
  const pid_t pid = server_->pid();
  ::kill(pid, SIGKILL);
  ASSERT_TRUE(testing::WaitUntil([&] { return !server_->running(); }));
  EXPECT_EQ(server_->Alive().code(), Code::kTargetRefused);
  EXPECT_THAT(server_->Alive().message(), HasSubstr("137"));

  const Status lost = server_->Start(Mode::kRestoring, Always);
  EXPECT_EQ(lost.code(), Code::kTargetRefused);
  EXPECT_THAT(lost.message(), HasSubstr("its data is lost"));
  EXPECT_TRUE(server_->DataIsLost());

  std::ofstream(Path("restore.json")) << "{}";
  ASSERT_OK(server_->Wipe());
  std::vector<std::string> left;
  for (const auto& entry : fs::directory_iterator(options_.directory))
    left.push_back(entry.path().filename());
  EXPECT_THAT(
      left, ::testing::UnorderedElementsAre("RESTORING", "restore.lock", "restore.json", "my.cnf"));
  ASSERT_OK(server_->Initialize(Always));
  ASSERT_OK(server_->Start(Mode::kRestoring, Always));
  EXPECT_FALSE(server_->DataIsLost());
}

// mysqld starts again as if nothing were wrong, but with old counters in its dictionary.
TEST_F(ServerInstanceTest, StoppedWithoutRedoLogIsSaidToBeLostAndWithItIsNot) {
  ASSERT_OK(Make());
  for (const bool enabled : {true, false}) {
    ASSERT_OK(server_->Start(Mode::kRestoring, Always));
    {
      const auto connection = Connect();
      ASSERT_TRUE(connection);
      ASSERT_OK(ServerInstance::DisableRedo(*connection));
      ASSERT_OK(Execute(*connection, {"CREATE DATABASE app" + std::to_string(enabled)}));
      if (enabled) ASSERT_OK(ServerInstance::EnableRedo(*connection));
    }
    ASSERT_OK(server_->Stop());
  }
  const Status lost = server_->Start(Mode::kRestoring, Always);
  EXPECT_EQ(lost.code(), Code::kTargetRefused);
  EXPECT_THAT(lost.message(), HasSubstr("was stopped while its redo log was off"));
  EXPECT_TRUE(server_->DataIsLost());
}

TEST_F(ServerInstanceTest, IsDurableWhenHandedOver) {
  ASSERT_OK(Make());
  ASSERT_OK(server_->Start(Mode::kRestoring, Always));
  {
    const auto connection = Connect();
    ASSERT_TRUE(connection);
    ASSERT_OK(ServerInstance::DisableRedo(*connection));
    const Status unsafe = ServerInstance::CheckDurable(*connection);
    EXPECT_EQ(unsafe.code(), Code::kTargetRefused);
    for (const char* why : {"log_bin is 0", "innodb_doublewrite is OFF", "redo log is off",
                            "innodb_flush_log_at_trx_commit is 0"})
      EXPECT_THAT(unsafe.message(), HasSubstr(why));
    // What its data makes it persist is the server's, and is handed over.
    ASSERT_OK(Execute(*connection, {"SET PERSIST max_connections = 99"}));
    ASSERT_OK(ServerInstance::EnableRedo(*connection));
  }
  ASSERT_OK(server_->Start(Mode::kHandedOver, Always));  // stops it first
  EXPECT_THAT(ReadWholeFile(Persisted()), StartsWith("# tidemark"));
  {
    const auto connection = Connect();
    ASSERT_TRUE(connection);
    ASSERT_OK(ServerInstance::CheckDurable(*connection));
    ASSERT_OK(Execute(*connection, {"CHANGE REPLICATION SOURCE TO SOURCE_HOST='nowhere'"}));
    EXPECT_THAT(ServerInstance::CheckDurable(*connection).message(),
                HasSubstr("replication is configured"));
    ASSERT_OK(Execute(*connection, {"RESET REPLICA ALL"}));
  }
  ASSERT_OK(server_->WriteOptionFile());
  ASSERT_OK(server_->RemoveMarker());
  EXPECT_THAT(ReadWholeFile(Persisted()), HasSubstr("max_connections"));
  const pid_t pid = server_->pid();
  const uint32_t server_id = server_->server_id();
  server_->Release();
  server_.reset();
  EXPECT_EQ(::kill(pid, 0), 0);

  // Taken back, to bring it further: in quarantine again, and started anew in the other mode.
  earlier_.server_id = server_id;
  ASSERT_OK(Reclaim());
  EXPECT_EQ(server_->pid(), pid);
  EXPECT_TRUE(fs::exists(Path("RESTORING")));
  EXPECT_THAT(ReadWholeFile(Path("my.cnf")), HasSubstr("not-finished"));
  EXPECT_EQ(server_->KeptOptionFile(), "") << "nobody edited it";
  ASSERT_OK(server_->Start(Mode::kRestoring, Always));
  EXPECT_NE(server_->pid(), pid);
  EXPECT_THAT(ReadWholeFile(Persisted()), StartsWith("# tidemark"));
}

TEST_F(ServerInstanceTest, OnlyOneGetsADirectory) {
  auto first = ServerInstance::Claim(PosixFileSystem(), options_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(ServerInstance::Claim(PosixFileSystem(), options_).error().code(),
            Code::kTargetRefused);
  EXPECT_EQ(ServerInstance::Reclaim(PosixFileSystem(), options_, {}).error().code(), Code::kLocked);
  first->reset();
  fs::remove(Path("RESTORING"));
  // What was looked at is another's by now: not touched.
  const ServerInstance::Earlier changed{
      .still_so = [] { return Status(Code::kTargetRefused, "changed"); }};
  EXPECT_EQ(ServerInstance::Reclaim(PosixFileSystem(), options_, changed).error().message(),
            "changed");
  EXPECT_FALSE(fs::exists(Path("RESTORING")));
  std::ofstream(Path("RESTORING")) << "";
  EXPECT_EQ(ServerInstance::CheckDirectory(PosixFileSystem(), options_.directory).code(),
            Code::kTargetRefused);
  EXPECT_TRUE(ServerInstance::Reclaim(PosixFileSystem(), options_, {}).ok());
  // One that was killed before it could set the marker has left nothing.
  for (const char* name : {"RESTORING", "my.cnf"}) fs::remove(Path(name));
  EXPECT_TRUE(ServerInstance::Claim(PosixFileSystem(), options_).ok());
}

}  // namespace
}  // namespace tidemark
