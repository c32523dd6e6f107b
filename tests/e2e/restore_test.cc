// Restores from a real mysqldump and an archive made of a real server's binary logs into real
// servers.
#include "pitr/restore/restore.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "pitr/local_archive.h"
#include "tests/support/archive_builder.h"
#include "tests/support/mysql_paths.h"
#include "tests/support/mysql_server.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testing::MySqlProgram;
using testing::MySqlServer;
using testing::TempDir;

#define ASSERT_OK(expression)                                          \
  do {                                                                 \
    const auto& tm_result = (expression);                              \
    ASSERT_TRUE(tm_result.ok()) << testing_detail::Explain(tm_result); \
  } while (false)

namespace testing_detail {
std::string Explain(const Status& status) { return status.message() + " / " + status.hint(); }
template <typename T>
std::string Explain(const Result<T>& result) {
  return result.ok() ? "" : Explain(result.error());
}
}  // namespace testing_detail

// Every kind of transaction that must survive the pipe.
constexpr char kWorkload[] = R"(
ALTER TABLE shop.c ADD COLUMN note TEXT;
UPDATE shop.c SET n = n + 1, note = 'after ddl';
CREATE TABLE shop.j (id INT PRIMARY KEY, j JSON, b LONGBLOB);
INSERT INTO shop.j VALUES (1, '{"a": [1, 2, 3], "b": "text"}', REPEAT(x'00ff0d0a27', 3000));
SET binlog_row_value_options = PARTIAL_JSON;
UPDATE shop.j SET j = JSON_SET(j, '$.a[1]', 9);
SET binlog_row_value_options = '';
SET binlog_transaction_compression = ON;
INSERT INTO shop.j SELECT id + 10, j, b FROM shop.j;
SET binlog_transaction_compression = OFF;
XA START 'one'; INSERT INTO shop.c VALUES (100, 0, 'xa'); XA END 'one'; XA PREPARE 'one'; XA COMMIT 'one';
XA START 'two'; INSERT INTO shop.c VALUES (101, 0, 'xa'); XA END 'two'; XA PREPARE 'two'; XA ROLLBACK 'two';
SET gtid_next = 'AUTOMATIC:billing'; UPDATE shop.c SET n = n + 1;
SET gtid_next = 'bbbbbbbb-0000-0000-0000-000000000001:7'; UPDATE shop.c SET n = n + 1;
SET gtid_next = AUTOMATIC;
SET SESSION binlog_format = STATEMENT;
SET @v = 'from a variable'; INSERT INTO shop.c VALUES (200, 0, @v);
SET SESSION binlog_format = ROW;
CREATE PROCEDURE shop.p() BEGIN UPDATE shop.c SET n = n + 1; UPDATE shop.c SET n = n + 1; END;
CALL shop.p();
CREATE USER app@localhost IDENTIFIED BY 'Secret-1';
GRANT SELECT ON shop.* TO app@localhost;
)";

// A source with a base, a history behind it, and its archive; made once.
class Scene {
 public:
  static Scene& Get() {
    static Scene scene;  // destroyed at exit: the source goes with it
    return scene;
  }

  std::string Dump(const std::string& name, const std::vector<std::string>& options) {
    const std::string path = directory.Path(name + ".sql");
    std::vector<std::string> argv = {MySqlProgram("mysqldump"), "--no-defaults", "--user=root",
                                     "--socket=" + source->socket(), "--single-transaction"};
    argv.insert(argv.end(), options.begin(), options.end());
    testing::ProgramOptions run;
    run.stdout_file = path;
    const auto result = testing::RunProgram(argv, run);
    TM_CHECK(result.ok() && result->exit_code == 0);
    return path;
  }
  Status Sql(const std::string& sql) { return source->Execute(sql); }
  std::string Value(const std::string& sql) {
    auto value = source->QueryValue(sql);
    return value.ok() ? *value : value.error().message();
  }
  GtidSet Executed() { return *GtidSet::Parse(Value("SELECT @@GLOBAL.gtid_executed")); }
  // Runs one transaction and gives its GTID.
  Gtid Transaction(const std::string& sql) {
    const GtidSet before = Executed();
    const Status status = Sql(sql);
    if (!status.ok()) ADD_FAILURE() << status.message();
    const GtidSet own = Executed().Minus(before);
    TM_CHECK(own.Count() == 1);
    return {own.map().begin()->first, own.map().begin()->second.front().first};
  }
  std::unique_ptr<ArchiveView> Open() {
    auto view = ArchiveView::Open(PosixFileSystem(), directory.Path("archive"), "main");
    if (!view.ok()) ADD_FAILURE() << view.error().message();
    return view.ok() ? std::move(*view) : nullptr;
  }

  TempDir directory{"tidemark-restore"};
  std::unique_ptr<MySqlServer> source;
  std::string dump, dump_all, dump_commented, dump_off;
  GtidSet base;
  Gtid workload_end;      // everything of kWorkload is before it or it
  std::string checksums;  // of the tables right after it
  Gtid counter[4];        // n becomes 1000, 1001, …
  Gtid xa_prepare;        // the transaction that leaves an XA transaction undecided
  Gtid drop;              // DROP DATABASE

 private:
  Scene() {
    auto started = MySqlServer::Start();
    TM_CHECK(started.ok());
    source = std::move(*started);
    Prepare();
    Continue();
    Archive();
  }
  void Prepare() {
    TM_CHECK(Sql("CREATE DATABASE shop; CREATE TABLE shop.c (id INT PRIMARY KEY, n INT);"
                 "INSERT INTO shop.c VALUES (1, 0), (2, 0); SET GLOBAL event_scheduler = OFF")
                 .ok());
    // Alone: in a multi-statement query the server keeps the ';' in its body, and mysqldump then
    // writes what no server takes.
    TM_CHECK(
        Sql("CREATE EVENT shop.e ON SCHEDULE EVERY 1 SECOND DO UPDATE shop.c SET n = n + 1000000")
            .ok());
    TM_CHECK(Sql("FLUSH BINARY LOGS; UPDATE shop.c SET n = 1").ok());
    base = Executed();
    dump = Dump("shop", {"--set-gtid-purged=ON", "--source-data=2", "--events", "--routines",
                         "--databases", "shop"});
    dump_commented = Dump("commented", {"--set-gtid-purged=COMMENTED", "--databases", "shop"});
    dump_off = Dump("off", {"--set-gtid-purged=OFF", "--source-data=1", "--databases", "shop"});
    // Its root is somebody else than the new server's.
    TM_CHECK(Sql("SET sql_log_bin=0; CREATE USER boss@localhost IDENTIFIED BY 'Boss-1'; GRANT ALL "
                 "ON *.* TO boss@localhost;"
                 "ALTER USER root@localhost IDENTIFIED BY 'Changed-1'")
                 .ok());
    testing::ProgramOptions run;
    run.env = {{"MYSQL_PWD", "Changed-1"}};
    run.stdout_file = dump_all = directory.Path("all.sql");
    auto result = testing::RunProgram(
        {MySqlProgram("mysqldump"), "--no-defaults", "--user=root", "--socket=" + source->socket(),
         "--single-transaction", "--all-databases", "--events", "--routines", "--triggers",
         "--source-data=1"},
        run);
    TM_CHECK(result.ok() && result->exit_code == 0);
    TM_CHECK(Sql("ALTER USER root@localhost IDENTIFIED BY ''; SET sql_log_bin=1").ok());
  }
  void Continue() {
    const Status status = Sql(kWorkload);
    if (!status.ok()) std::fprintf(stderr, "%s\n", status.message().c_str());
    TM_CHECK(status.ok());
    workload_end = Transaction("UPDATE shop.c SET n = 999");
    checksums = Checksums(*source);
    TM_CHECK(Sql("FLUSH BINARY LOGS").ok());
    for (int i = 0; i < 4; ++i)
      counter[i] = Transaction("UPDATE shop.c SET n = " + std::to_string(1000 + i));
    xa_prepare = Transaction(
        "XA START 'left'; INSERT INTO shop.c VALUES (300, 0, 'x'); XA END 'left'; XA PREPARE "
        "'left'");
    TM_CHECK(Sql("XA COMMIT 'left'").ok());
    drop = Transaction("DROP DATABASE shop");
    TM_CHECK(Sql("FLUSH BINARY LOGS").ok());
  }
  void Archive() {
    testing::ArchiveBuilder builder(directory.Path("archive"), "main");
    const auto files = source->Query("SHOW BINARY LOGS");
    TM_CHECK(files.ok());
    for (size_t i = 0; i + 1 < files->size(); ++i)
      builder.AddWholeFile((*files)[i][0],
                           testing::ReadWholeFile(source->data_directory() + "/" + (*files)[i][0]));
    builder.Finish();
  }

 public:
  template <typename Server>
  static std::string Checksums(Server& server) {
    std::string text;
    for (const char* table : {"shop.c", "shop.j"}) {
      const auto rows = server.Query(std::string("CHECKSUM TABLE ") + table);
      text += rows.ok() ? (*rows)[0][1] + " " : rows.error().message();
    }
    return text;
  }
};

bool Lives(int64_t pid) { return pid > 0 && ::kill(static_cast<pid_t>(pid), 0) == 0; }

class RestoreTest : public ::testing::Test {
 protected:
  ~RestoreTest() override {
    for (const pid_t pid : pids_) {  // handed over, but still children of this process
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
    if (!socket_directory_.empty()) fs::remove_all(socket_directory_);
  }
  static Target At(Edge edge, const Gtid& gtid) {
    Target target;
    target.kind = TargetKind::kGtid;
    target.edge = edge;
    target.gtid = gtid;
    return target;
  }
  RestoreOptions Options(const Target& point) {
    RestoreOptions options;
    options.dump_path = scene_.dump;
    options.point = point;
    options.target.directory = directory_.Path("restored");
    options.target.mysqld = MySqlProgram("mysqld");
    options.target.mysqlbinlog = MySqlProgram("mysqlbinlog");
    options.target.mysql = MySqlProgram("mysql");
    return options;
  }
  Result<Receipt> Restore(
      const RestoreOptions& options,
      const OnRestoreProgress& progress = [](const auto&) { return true; }) {
    LocalSource archive(scene_.Open());
    Result<Receipt> receipt =
        RunRestore(PosixFileSystem(), SystemClock(), archive, options, progress);
    if (receipt.ok() && receipt->mysqld_pid != 0)
      pids_.push_back(static_cast<pid_t>(receipt->mysqld_pid));
    return receipt;
  }
  static Result<std::unique_ptr<testing::Connection>> Connect(const Receipt& receipt,
                                                              const std::string& user = "root",
                                                              const std::string& password = {}) {
    testing::ConnectionOptions options;
    options.socket = receipt.socket;
    options.user = user;
    options.password = password;
    return testing::Connection::Open(options);
  }
  // Between our look at a finished restore and our lock, another `pitr` has done something with it.
  void ExpectNotTakenBackBehindAnothersBack(RestoreOptions options) {
    options.resume = true;
    options.point = At(Edge::kThrough, scene_.counter[1]);
    const std::string state = options.target.directory + "/restore.json";
    const auto receipt = Restore(options, [&](const RestoreProgress& at) {
      if (at.phase != RestorePhase::kProvision) return true;
      auto json = nlohmann::json::parse(testing::ReadWholeFile(state));
      json["runs"] = json["runs"].get<uint64_t>() + 1;
      std::ofstream(state) << json;
      return true;
    });
    ASSERT_FALSE(receipt.ok());
    EXPECT_EQ(receipt.error().code(), Code::kLocked) << receipt.error().message();
    EXPECT_FALSE(fs::exists(options.target.directory + "/RESTORING"));
  }
  // Failed, with words on what becomes of it; nothing of it is running or usable.
  void ExpectUnusable(const Result<Receipt>& result, Code code, const std::string& directory,
                      const std::string& fate = "the same command begins there anew") {
    ASSERT_FALSE(result.ok());
    EXPECT_EQ(result.error().code(), code) << result.error().message();
    EXPECT_THAT(result.error().message(), HasSubstr("is not usable"));
    EXPECT_THAT(result.error().message(), HasSubstr(fate));
    EXPECT_TRUE(fs::exists(directory + "/RESTORING"));
    if (fs::exists(directory + "/my.cnf")) {
      EXPECT_THAT(testing::ReadWholeFile(directory + "/my.cnf"), HasSubstr("not-finished"));
    }
    EXPECT_FALSE(fs::exists(directory + "/restore.secret")) << "secrets left behind";
    const auto receipt = nlohmann::json::parse(testing::ReadWholeFile(directory + "/receipt.json"));
    EXPECT_EQ(receipt["outcome"], CodeName(code));
    EXPECT_EQ(receipt["end_state_reached"], false);
    for (const auto& entry : fs::directory_iterator(directory))
      EXPECT_FALSE(entry.path().filename().string().starts_with("tidemark-"))
          << "secrets left behind";
    std::ifstream pid_file(directory + "/mysqld.pid");
    int64_t pid = 0;
    if (pid_file >> pid) {
      EXPECT_FALSE(Lives(pid)) << "mysqld left running";
    }
  }

  Scene& scene_ = Scene::Get();
  TempDir directory_{"tidemark-restored"};
  std::vector<pid_t> pids_;
  fs::path socket_directory_;  // to be removed, too
};

TEST_F(RestoreTest, EveryKindOfTransactionComesBackExactly) {
  const auto receipt = Restore(Options(At(Edge::kThrough, scene_.workload_end)));
  ASSERT_OK(receipt);
  EXPECT_TRUE(receipt->end_state_reached);
  EXPECT_EQ(receipt->outcome, "restored");
  EXPECT_TRUE(Lives(receipt->mysqld_pid));
  auto server = Connect(*receipt);
  ASSERT_OK(server);
  EXPECT_EQ(Scene::Checksums(**server), scene_.checksums);
  EXPECT_EQ(*(*server)->QueryValue("SELECT GTID_SUBTRACT(@@gtid_executed, '" +
                                   receipt->plan.end_set.ToString() + "')"),
            "");
  EXPECT_EQ(*(*server)->QueryValue("SELECT n FROM shop.c WHERE id = 1"), "999");
  // As it is handed over: durable, closed to the network, events off, nothing of ours left.
  EXPECT_EQ(*(*server)->QueryValue(
                "SELECT CONCAT_WS(' ', @@sync_binlog, @@innodb_flush_log_at_trx_commit, "
                "@@event_scheduler, @@skip_networking, @@gtid_mode)"),
            "1 1 OFF 1 ON");
  EXPECT_EQ(*(*server)->QueryValue("SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'tidemark%'"),
            "0");
  EXPECT_TRUE((*server)->Execute("CALL shop.p()").ok());
  EXPECT_TRUE(Connect(*receipt, "app", "Secret-1").ok());
  const std::string directory = directory_.Path("restored");
  EXPECT_FALSE(fs::exists(directory + "/RESTORING"));
  EXPECT_TRUE(fs::exists(directory + "/my.cnf"));
  EXPECT_EQ(fs::status(directory).permissions(), fs::perms::owner_all);
  for (const auto& entry : fs::directory_iterator(directory))
    EXPECT_FALSE(entry.path().filename().string().starts_with("tidemark-"));
  const auto json = nlohmann::json::parse(testing::ReadWholeFile(directory + "/receipt.json"));
  EXPECT_EQ(json["outcome"], "restored");
  EXPECT_EQ(json["gtid_executed"], receipt->plan.end_set.ToString());
  EXPECT_EQ(json["missing"], "");
}

TEST_F(RestoreTest, NothingToApplyIsTheBaseAlone) {
  const Tsid tsid = scene_.base.map().begin()->first;
  const auto receipt =
      Restore(Options(At(Edge::kThrough, {tsid, scene_.base.map().begin()->second.back().last})));
  ASSERT_OK(receipt);
  EXPECT_EQ(receipt->gtid_executed, scene_.base);
  auto server = Connect(*receipt);
  ASSERT_OK(server);
  EXPECT_EQ(*(*server)->QueryValue("SELECT n FROM shop.c WHERE id = 1"), "1");
}

// The dump brings the source's accounts, its root with another password, and an active CHANGE
// REPLICATION SOURCE.
TEST_F(RestoreTest, WholeDumpBringsTheSourcesAccounts) {
  RestoreOptions options = Options(At(Edge::kThrough, scene_.workload_end));
  options.dump_path = scene_.dump_all;
  const auto receipt = Restore(options);
  ASSERT_OK(receipt);
  EXPECT_FALSE(Connect(*receipt).ok()) << "root had a password when the dump was taken";
  auto server = Connect(*receipt, "boss", "Boss-1");
  ASSERT_OK(server);
  EXPECT_EQ(Scene::Checksums(**server), scene_.checksums);
  EXPECT_TRUE((*server)->Query("SHOW REPLICA STATUS")->empty());
  EXPECT_EQ(*(*server)->QueryValue("SELECT COUNT(*) FROM mysql.user WHERE user LIKE 'tidemark%'"),
            "0");
}

TEST_F(RestoreTest, CommentedSetIsSetByUs) {
  RestoreOptions options = Options(At(Edge::kThrough, scene_.counter[0]));
  options.dump_path = scene_.dump_commented;
  options.keep_running = false;
  const auto receipt = Restore(options);
  ASSERT_OK(receipt);
  EXPECT_EQ(receipt->gtid_executed, receipt->plan.end_set);
}

TEST_F(RestoreTest, DumpWithPositionOnlyIsResolvedThroughTheArchive) {
  RestoreOptions options = Options(At(Edge::kThrough, scene_.counter[0]));
  options.dump_path = scene_.dump_off;
  options.keep_running = false;
  const auto receipt = Restore(options);
  ASSERT_OK(receipt);
  EXPECT_EQ(receipt->plan.base, scene_.base);
  EXPECT_THAT(receipt->warnings, ::testing::Contains(HasSubstr("no GTID set")));
}

TEST_F(RestoreTest, CompressedDumpAndDeepDirectoryAndPort) {
  const std::string gz = directory_.Path("dump.gz");
  testing::ProgramOptions run;
  run.stdin_file = scene_.dump;
  run.stdout_file = gz;
  ASSERT_OK(testing::RunProgram({"gzip", "-c"}, run));
  RestoreOptions options = Options(At(Edge::kThrough, scene_.workload_end));
  options.dump_path = gz;
  options.target.directory = directory_.Path(std::string(120, 'd') + "/with space");
  options.target.mysqld_options = {"--innodb-buffer-pool-size=64M", "--performance-schema=OFF"};
  options.keep_running = false;
  const auto receipt = Restore(options);
  ASSERT_OK(receipt);
  EXPECT_LE(receipt->socket.size(), 107u);
  socket_directory_ = fs::path(receipt->socket).parent_path();
  // It was stopped, and can be started with its my.cnf, which names that socket.
  EXPECT_EQ(receipt->mysqld_pid, 0);
  EXPECT_TRUE(fs::is_directory(socket_directory_));
  EXPECT_THAT(receipt->warnings, ::testing::Contains(HasSubstr("socket is in /tmp")));
  // A command that names no options has those that the server was made with.
  options.resume = options.keep_running = true;
  options.point = At(Edge::kThrough, scene_.counter[0]);
  options.target.mysqld_options.clear();
  const auto further = Restore(options);
  ASSERT_OK(further);
  EXPECT_EQ(further->socket, receipt->socket);
  EXPECT_FALSE(fs::exists(options.target.directory + "/my.cnf.kept"));
  auto server = Connect(*further);
  ASSERT_OK(server);
  EXPECT_EQ(*(*server)->QueryValue("SELECT @@innodb_buffer_pool_size"), std::to_string(64 << 20));
  EXPECT_EQ(*(*server)->QueryValue("SELECT n FROM shop.c WHERE id = 1"), "1000");
}

TEST_F(RestoreTest, OptionsThatTheServerCannotHaveTouchNothing) {
  RestoreOptions options = Options(At(Edge::kThrough, scene_.counter[0]));
  options.target.mysqld_options = {"--innodb-bufer-pool-size=64M"};
  const auto receipt = Restore(options);
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::kTargetRefused);
  EXPECT_THAT(receipt.error().message(), HasSubstr("innodb-bufer-pool-size"));
  options.target.mysqld_options.clear();
  options.target.port = static_cast<uint16_t>(scene_.source->port());
  EXPECT_THAT(Restore(options).error().message(), HasSubstr("is in use"));
  EXPECT_FALSE(fs::exists(options.target.directory));
}

TEST_F(RestoreTest, DirectoryThatHoldsSomethingIsLeftAlone) {
  RestoreOptions options = Options(Target());
  fs::create_directories(options.target.directory);
  std::ofstream(options.target.directory + "/precious") << "data";
  const auto receipt = Restore(options);
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::kTargetRefused);
  EXPECT_THAT(receipt.error().message(), HasSubstr("\"precious\""));
  EXPECT_EQ(
      std::distance(fs::directory_iterator(options.target.directory), fs::directory_iterator()), 1);
}

TEST_F(RestoreTest, TargetBeforeTheBaseTouchesNothing) {
  const Tsid tsid = scene_.base.map().begin()->first;
  const RestoreOptions options = Options(At(Edge::kBefore, {tsid, 2}));
  const auto receipt = Restore(options);
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::kUnreachableTarget) << receipt.error().message();
  EXPECT_FALSE(fs::exists(options.target.directory));
}

TEST_F(RestoreTest, InterruptedInAnyPhaseIsGoneOnWithByTheSameCommand) {
  // In kLoadBase: PitrErrorsTest.
  for (const RestorePhase phase :
       {RestorePhase::kProvision, RestorePhase::kApply, RestorePhase::kAssert}) {
    RestoreOptions options = Options(At(Edge::kThrough, scene_.workload_end));
    options.target.directory =
        directory_.Path(std::string("interrupted in ") + RestorePhaseName(phase));
    const auto receipt =
        Restore(options, [phase](const RestoreProgress& at) { return at.phase != phase; });
    if (phase == RestorePhase::kProvision) {
      EXPECT_EQ(receipt.error().code(), Code::kInterrupted);
      EXPECT_FALSE(fs::exists(options.target.directory));
      continue;
    }
    ExpectUnusable(receipt, Code::kInterrupted, options.target.directory, "to go on from there");
    RestoreOptions other = options;
    other.point = At(Edge::kThrough, scene_.counter[1]);
    const auto else_where = Restore(other);
    ASSERT_FALSE(else_where.ok());
    EXPECT_EQ(else_where.error().code(), Code::kTargetRefused);
    EXPECT_THAT(else_where.error().message(), HasSubstr(scene_.counter[1].ToString()));
    options.keep_running = false;
    bool loaded = false;
    const auto again = Restore(options, [&loaded](const RestoreProgress& at) {
      loaded = loaded || at.phase == RestorePhase::kLoadBase;
      return true;
    });
    ASSERT_OK(again);
    EXPECT_EQ(again->runs, 2u);
    EXPECT_TRUE(again->end_state_reached);
    EXPECT_FALSE(loaded);
    const auto once_more = Restore(options);
    ASSERT_OK(once_more);
    EXPECT_THAT(once_more->warnings, ::testing::Contains(HasSubstr("was done already")));
    if (phase == RestorePhase::kAssert) ExpectNotTakenBackBehindAnothersBack(options);
  }
}

TEST_F(RestoreTest, ThePipeDoesItToo) {
  RestoreOptions options = Options(At(Edge::kThrough, scene_.workload_end));
  options.applier = ApplierKind::kPipe;
  options.point = At(Edge::kThrough, scene_.counter[3]);
  options.surgery.leave_out.Add(scene_.counter[3]);
  const auto interrupted =
      Restore(options, [](const RestoreProgress& at) { return at.phase != RestorePhase::kAssert; });
  ExpectUnusable(interrupted, Code::kInterrupted, options.target.directory, "to go on from there");
  const auto receipt = Restore(options);
  ASSERT_OK(receipt);
  EXPECT_EQ(receipt->applier, "pipe");
  EXPECT_FALSE(receipt->gtid_executed.Contains(scene_.counter[3]));
  EXPECT_THAT(receipt->warnings, ::testing::Contains(HasSubstr("is not the source's state")));
  auto server = Connect(*receipt);
  ASSERT_OK(server);
  EXPECT_EQ(*(*server)->QueryValue("SELECT n FROM shop.c WHERE id = 1"), "1002");
}

TEST_F(RestoreTest, ServerThatDoesNotStartIsReportedWithItsLog) {
  RestoreOptions options = Options(Target());
  options.target.mysqld_options = {"--innodb-undo-directory=/proc/no-such"};
  const auto receipt = Restore(options);
  ExpectUnusable(receipt, Code::kTargetRefused, options.target.directory);
  EXPECT_THAT(receipt.error().message(), HasSubstr("/proc/no-such"));
}

TEST_F(RestoreTest, DumpThatTheServerRejectsIsReportedWithItsMessage) {
  RestoreOptions options = Options(Target());
  std::string text = testing::ReadWholeFile(scene_.dump);
  const size_t at = text.find("INSERT INTO");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 6, "INSORT");
  options.dump_path = directory_.Path("broken.sql");
  std::ofstream(options.dump_path) << text;
  const auto receipt = Restore(options);
  ExpectUnusable(receipt, Code::kTargetRefused, options.target.directory);
  EXPECT_THAT(receipt.error().message(), HasSubstr("You have an error in your SQL syntax"));
}

class RunningTargetTest : public RestoreTest {
 protected:
  void SetUp() override {
    // The dump has an event, which would write to the target before or after us.
    auto started = MySqlServer::Start({.extra_args = {"--event-scheduler=OFF"}, .server_id = {}});
    ASSERT_OK(started);
    target_ = std::move(*started);
  }
  void Load() {
    testing::ProgramOptions run;
    run.stdin_file = scene_.dump;
    const auto result = testing::RunProgram(
        {MySqlProgram("mysql"), "--no-defaults", "--user=root", "--socket=" + target_->socket()},
        run);
    ASSERT_OK(result);
    ASSERT_EQ(result->exit_code, 0) << result->err;
  }
  RestoreOptions ToTarget(const Target& point) {
    RestoreOptions options = Options(point);
    options.target.provision = false;
    options.target.connection.socket = target_->socket();
    options.target.connection.user = "root";
    options.receipt_path = directory_.Path("receipt.json");
    return options;
  }
  void ExpectRefused(const RestoreOptions& options, const std::string& words) {
    const auto receipt = Restore(options);
    ASSERT_FALSE(receipt.ok());
    EXPECT_EQ(receipt.error().code(), Code::kTargetRefused) << receipt.error().message();
    EXPECT_THAT(receipt.error().message(), HasSubstr(words));
  }
  std::unique_ptr<MySqlServer> target_;
};

TEST_F(RunningTargetTest, IsBroughtToTheTargetAndThenFurther) {
  Load();
  const auto first = Restore(ToTarget(At(Edge::kThrough, scene_.workload_end)));
  ASSERT_OK(first);
  EXPECT_EQ(Scene::Checksums(*target_), scene_.checksums);
  GtidSet reached = first->plan.end_set;
  const auto further = [&](const Target& point) {
    RestoreOptions options = ToTarget(point);
    options.dump_path.clear();
    const auto receipt = Restore(options);
    EXPECT_TRUE(receipt.ok()) << receipt.error().message();
    if (!receipt.ok()) return Receipt();
    EXPECT_EQ(receipt->plan.base, reached);
    reached = receipt->plan.end_set;
    EXPECT_EQ(*GtidSet::Parse(*target_->QueryValue("SELECT @@GLOBAL.gtid_executed")), reached);
    return *receipt;
  };
  // Before and through cut where they say.
  const std::string counter = "SELECT n FROM shop.c WHERE id = 1";
  further(At(Edge::kBefore, scene_.counter[2]));
  EXPECT_EQ(*target_->QueryValue(counter), "1001");
  further(At(Edge::kThrough, scene_.counter[2]));
  EXPECT_EQ(*target_->QueryValue(counter), "1002");
  // An XA transaction that is left undecided is warned of.
  const Receipt prepared = further(At(Edge::kThrough, scene_.xa_prepare));
  EXPECT_THAT(prepared.warnings, ::testing::Contains(HasSubstr("XA RECOVER")));
  EXPECT_EQ(target_->Query("XA RECOVER")->size(), 1u);
  EXPECT_EQ(*target_->QueryValue("SELECT COUNT(*) FROM shop.c WHERE id = 300"), "0");
  // Before the DROP everything is there, at the end nothing.
  further(At(Edge::kBefore, scene_.drop));
  EXPECT_EQ(*target_->QueryValue(counter), "1003");
  EXPECT_EQ(*target_->QueryValue("SELECT COUNT(*) FROM shop.c WHERE id = 300"), "1");
  const Receipt last = further(Target());
  EXPECT_TRUE(last.gtid_executed.Contains(scene_.drop));
  EXPECT_FALSE(target_->Query("SELECT * FROM shop.c").ok());
  EXPECT_EQ(
      nlohmann::json::parse(testing::ReadWholeFile(directory_.Path("receipt.json")))["outcome"],
      "restored");
}

TEST_F(RunningTargetTest, ThatDoesNotFitIsRefused) {
  ExpectRefused(ToTarget(Target()), "it lacks");
  Load();
  RestoreOptions elsewhere = ToTarget(Target());
  elsewhere.serve_address = "192.0.2.1";  // RFC 5737: nobody's
  EXPECT_EQ(Restore(elsewhere).error().code(), Code::kUsage);
  ASSERT_OK(
      target_->Execute("SET sql_log_bin = 0; CREATE USER few@localhost; GRANT REPLICATION CLIENT, "
                       "REPLICATION_SLAVE_ADMIN ON *.* TO few@localhost; SET sql_log_bin = 1"));
  RestoreOptions few = ToTarget(At(Edge::kThrough, scene_.counter[0]));
  few.target.connection.user = "few";
  ExpectRefused(few, "RELOAD");
  ASSERT_OK(
      target_->Execute("SET sql_log_bin = 0; GRANT RELOAD ON *.* TO few@localhost; SET "
                       "sql_log_bin = 1"));
  few.workers = 3;
  ExpectRefused(few, "SYSTEM_VARIABLES_ADMIN");
  few.workers = 0;
  const std::string own_id = *target_->QueryValue("SELECT @@server_id");
  ASSERT_OK(target_->Execute("SET GLOBAL server_id = " + scene_.Value("SELECT @@server_id")));
  ExpectRefused(few, "server_id");
  ASSERT_OK(target_->Execute("SET GLOBAL server_id = " + own_id));
  RestoreOptions source = few;
  source.target.connection.user = "root";
  source.target.connection.socket = scene_.source->socket();
  source.dump_path.clear();
  source.point = Target();
  ExpectRefused(source, "server UUID of an archived server");
  const auto enough = Restore(few);  // cannot ask for XA transactions, and says so
  ASSERT_OK(enough);
  EXPECT_THAT(enough->warnings, ::testing::Contains(HasSubstr("XA_RECOVER_ADMIN")));
  ASSERT_OK(target_->Execute("CREATE DATABASE mine"));
  ExpectRefused(ToTarget(Target()), "the source never had");
  ASSERT_OK(target_->Execute("SET GLOBAL super_read_only = ON"));
  ExpectRefused(ToTarget(Target()), "read-only");
  ASSERT_OK(
      target_->Execute("SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF; SET GLOBAL "
                       "gtid_mode = ON_PERMISSIVE"));
  ExpectRefused(ToTarget(Target()), "gtid_mode=ON_PERMISSIVE");
}

TEST_F(RunningTargetTest, RejectedTransactionIsReportedWithTheServersMessage) {
  Load();
  ASSERT_OK(target_->Execute("SET sql_log_bin = 0; DROP TABLE shop.c; SET sql_log_bin = 1"));
  const auto receipt = Restore(ToTarget(At(Edge::kThrough, scene_.workload_end)));
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::kTargetRefused);
  EXPECT_THAT(receipt.error().message(), HasSubstr("Table 'shop.c' doesn't exist"));
  EXPECT_THAT(receipt.error().message(), HasSubstr("not applied from "));
  EXPECT_EQ(nlohmann::json::parse(
                testing::ReadWholeFile(directory_.Path("receipt.json")))["end_state_reached"],
            false);
}

TEST_F(RunningTargetTest, SomebodyElsesTransactionMissesTheEndState) {
  Load();
  bool written = false;
  const auto receipt =
      Restore(ToTarget(At(Edge::kThrough, scene_.workload_end)), [&](const RestoreProgress& at) {
        if (at.phase == RestorePhase::kAssert && !std::exchange(written, true)) {
          EXPECT_TRUE(target_->Execute("CREATE DATABASE mine").ok());
        }
        return true;
      });
  ASSERT_FALSE(receipt.ok());
  EXPECT_EQ(receipt.error().code(), Code::kEndStateNotReached) << receipt.error().message();
  EXPECT_THAT(receipt.error().message(), HasSubstr("it has in excess"));
}

TEST_F(RunningTargetTest, PasswordsWithEveryKindOfByteLogIn) {
  Load();
  const std::string password = R"(a"b'c\d#e;f =g ]\n)";
  std::string escaped;
  for (const char c : password)
    escaped += (c == '\'' || c == '\\') ? std::string("\\") + c : std::string(1, c);
  ASSERT_OK(target_->Execute(
      "SET sql_log_bin = 0; CREATE USER op@localhost IDENTIFIED BY '" + escaped +
      "'; GRANT ALL ON *.* TO op@localhost WITH GRANT OPTION; SET sql_log_bin = 1"));
  RestoreOptions options = ToTarget(At(Edge::kThrough, scene_.counter[0]));
  options.target.connection.user = "op";
  options.target.connection.password.file = directory_.Path("password");
  std::ofstream(options.target.connection.password.file) << password << "\n";
  fs::permissions(options.target.connection.password.file, fs::perms::owner_read);
  ASSERT_OK(Restore(options));
}

}  // namespace
}  // namespace tidemark
