// The replica applier as a library, against real servers: an archive made of a real primary's
// binary logs, served to an empty target that applies it. What is expected comes from the primary
// itself.
#include "pitr/restore/replica_applier.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <sys/mount.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "pitr/local_archive.h"
#include "pitr/locator.h"
#include "pitr/restore/restore_channel.h"
#include "tests/support/archive_builder.h"
#include "tests/support/mysql_server.h"

namespace tidemark::testing {
namespace {

using ::testing::HasSubstr;
using Rows = MySqlServer::Rows;

constexpr char kTables[] =
    "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE "
    "TABLE' "
    "AND TABLE_SCHEMA NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema') ORDER BY "
    "1, 2";

Rows Query(MySqlServer& server, const std::string& sql) {
  auto rows = server.Query(sql);
  EXPECT_TRUE(rows.ok()) << sql << ": " << rows.error().message();
  return rows.ok() ? *rows : Rows{};
}

std::string Value(MySqlServer& server, const std::string& sql) {
  const Rows rows = Query(server, sql);
  return rows.size() == 1 && rows[0].size() == 1 ? rows[0][0] : "no single value";
}

void Execute(MySqlServer& server, const std::string& sql) {
  const Status status = server.Execute(sql);
  ASSERT_TRUE(status.ok()) << sql << ": " << status.message();
}

GtidSet Executed(MySqlServer& server) {
  return *GtidSet::Parse(Value(server, "SELECT @@GLOBAL.gtid_executed"));
}

// Every table of ours with its checksum.
Rows Contents(MySqlServer& server) {
  Rows contents;
  for (const auto& table : Query(server, kTables)) {
    const std::string name = "`" + table[0] + "`.`" + table[1] + "`";
    for (const auto& row : Query(server, "CHECKSUM TABLE " + name)) contents.push_back(row);
  }
  return contents;
}

// A primary that wrote a bit of everything, its marks (GTIDs to aim at), and the archive of it.
// Made once for all tests of this file; the primary stands still afterwards.
class ApplierScene {
 public:
  static ApplierScene& Get() {
    static ApplierScene scene;
    return scene;
  }
  ApplierScene() : directory("tidemark-replica-applier") {
    MySqlServerOptions options;
    options.server_id = kPrimaryId;
    auto started = MySqlServer::Start(options);
    TM_CHECK(started.ok());
    primary = std::move(*started);
    Write();
    Archive();
  }
  static constexpr uint32_t kPrimaryId = 4711;

  Gtid Mark(const std::string& sql) {
    const GtidSet before = Executed(*primary);
    Execute(*primary, sql);
    const GtidSet own = Executed(*primary).Minus(before);
    TM_CHECK(own.Count() == 1);
    return {own.map().begin()->first, own.map().begin()->second.front().first};
  }
  std::string root() const { return directory.Path("archive"); }

  TempDir directory;
  std::unique_ptr<MySqlServer> primary;
  Gtid middle, xa_prepare, xa_commit, drop, rename;
  Rows middle_contents;

 private:
  void Write() {
    Execute(
        *primary,
        "CREATE DATABASE app; CREATE DATABASE a_b; CREATE DATABASE aXb; CREATE DATABASE other;"
        "CREATE TABLE app.t (id INT PRIMARY KEY AUTO_INCREMENT, v INT, filler VARCHAR(200));"
        "CREATE TABLE app.doomed (id INT PRIMARY KEY); INSERT INTO app.doomed VALUES (1), (2);"
        "CREATE TABLE a_b.t_1 (id INT PRIMARY KEY, v INT); CREATE TABLE a_b.tX1 (id INT PRIMARY "
        "KEY);"
        "CREATE TABLE aXb.t_1 (id INT PRIMARY KEY); INSERT INTO aXb.t_1 VALUES (1);"
        "INSERT INTO a_b.t_1 VALUES (1, 1), (2, 2); INSERT INTO a_b.tX1 VALUES (7);"
        "CREATE TABLE other.o (id INT PRIMARY KEY); INSERT INTO other.o VALUES (1)");
    for (int i = 0; i < 300; ++i)
      Execute(*primary, "INSERT INTO app.t (v, filler) VALUES (" + std::to_string(i) +
                            ", REPEAT('x', 150)), (1, UUID())");
    middle = Mark("UPDATE app.t SET v = v + 1000 WHERE id <= 10");
    middle_contents = Contents(*primary);
    Execute(*primary, "FLUSH BINARY LOGS");
    // Not only rows: compressed, tagged, XA, statements, DDL.
    Execute(
        *primary,
        "SET binlog_transaction_compression = ON; UPDATE app.t SET filler = REPEAT('y', 100); SET "
        "binlog_transaction_compression = OFF");
    Execute(*primary,
            "SET GTID_NEXT = 'AUTOMATIC:nightly'; INSERT INTO app.t (v) VALUES (5); "
            "SET GTID_NEXT = 'AUTOMATIC'");
    xa_prepare = Mark("XA START 'x'; INSERT INTO app.t (v) VALUES (6); XA END 'x'; XA PREPARE 'x'");
    xa_commit = Mark("XA COMMIT 'x'");
    Execute(*primary,
            "SET binlog_format = STATEMENT; UPDATE app.t SET v = v * 2 WHERE id < 50; SET "
            "binlog_format = ROW");
    Execute(*primary,
            "BEGIN; INSERT INTO a_b.t_1 VALUES (3, 3); INSERT INTO other.o VALUES (3); COMMIT");
    drop = Mark("DROP TABLE app.doomed");
    rename = Mark("RENAME TABLE a_b.tX1 TO a_b.renamed");
    Execute(*primary, "ALTER TABLE a_b.t_1 ADD COLUMN w INT DEFAULT 3");
    for (int i = 0; i < 300; ++i) Execute(*primary, "INSERT INTO app.t (v) VALUES (1)");
    Execute(*primary, "FLUSH BINARY LOGS");
  }
  void Archive() {
    ArchiveBuilder builder(root(), "main");
    const Rows files = Query(*primary, "SHOW BINARY LOGS");
    for (size_t i = 0; i + 1 < files.size(); ++i)
      builder.AddWholeFile(files[i][0],
                           ReadWholeFile(primary->data_directory() + "/" + files[i][0]));
    builder.Finish();
  }
};

class ReplicaApplierTest : public ::testing::Test {
 protected:
  void StartTarget(std::vector<std::string> extra = {}, std::optional<uint32_t> id = {}) {
    MySqlServerOptions options;
    options.extra_args = {"--skip-replica-start", "--sync-binlog=0",
                          "--innodb-flush-log-at-trx-commit=0"};
    options.extra_args.insert(options.extra_args.end(), extra.begin(), extra.end());
    options.server_id = id;
    auto started = MySqlServer::Start(options);
    ASSERT_TRUE(started.ok()) << started.error().message();
    target_ = std::move(*started);
    ASSERT_TRUE(Executed(*target_).empty());
    auto access = ClientAccess::Make(PosixFileSystem(), scene_.directory.path());
    ASSERT_TRUE(access.ok());
    access_ = std::move(*access);
    tidemark::ConnectionOptions login;
    login.socket = target_->socket();
    login.user = "root";
    ASSERT_TRUE(access_->LogInAs(login).ok());
    options_.log_tail = [this] { return target_->ErrorLogTail(); };
    options_.target_lives = [this] {
      return target_->pid() != 0 ? OkStatus() : Status(Code::kTargetRefused, "the target died");
    };
  }
  static Result<std::unique_ptr<ArchiveView>> OpenView(const std::string& root) {
    return ArchiveView::Open(PosixFileSystem(), root, "main");
  }
  Plan MakePlanFor(const Target& target, const GtidSet& base = {}) {
    auto view = OpenView(root_);
    TM_CHECK(view.ok());
    const auto boundary = Locator(**view).Resolve(target);
    TM_CHECK(boundary.ok());
    auto plan =
        MakePlan("main", target, base, *boundary, (*view)->ComputeCoverage(), (*view)->segments());
    EXPECT_TRUE(plan.ok()) << plan.error().message();
    return *plan;
  }
  static Target At(const Gtid& gtid, Edge edge) {
    return {.kind = TargetKind::kGtid, .edge = edge, .gtid = gtid};
  }
  Status Apply(const Plan& plan, Applier::OnProgress on_progress = {}) {
    auto view = OpenView(root_);
    TM_CHECK(view.ok());
    LocalSource archive(std::move(*view));
    ReplicaApplier applier(*access_, options_);
    progress_ = {};
    return applier.Apply(archive, plan, [&](const ApplyProgress& progress) {
      EXPECT_GE(progress.transactions_done, progress_.transactions_done);
      EXPECT_LE(progress.transactions_done, progress.transactions);
      progress_ = progress;
      return !on_progress || on_progress(progress);
    });
  }
  void ExpectNothingLeft() {
    EXPECT_EQ(Query(*target_, "SHOW REPLICA STATUS").size(), 0u);
    EXPECT_EQ(Value(*target_, "SELECT @@GLOBAL.replica_parallel_workers"), workers_before_);
    auto connection = access_->Connect();
    ASSERT_TRUE(connection.ok());
    EXPECT_FALSE(*HasRestoreChannel(**connection));
  }
  // Servers refuse to filter inside XA transactions.
  void SkipXa(Plan* plan) {
    plan->surgery.skip.Add(scene_.xa_prepare);
    plan->surgery.skip.Add(scene_.xa_commit);
  }
  void ExpectReached(const Status& status, const Plan& plan) {
    ASSERT_TRUE(status.ok()) << status.message() << "\n" << target_->ErrorLogTail();
    EXPECT_EQ(Executed(*target_).ToString(), plan.end_set.ToString());
    EXPECT_EQ(progress_.transactions_done, progress_.transactions);
    ExpectNothingLeft();
  }

  ApplierScene& scene_ = ApplierScene::Get();
  std::string root_ = scene_.root();
  std::unique_ptr<MySqlServer> target_;
  std::unique_ptr<ClientAccess> access_;
  ReplicaApplierOptions options_;
  ApplyProgress progress_;
  std::string workers_before_ = "4";
};

class ReplicaApplierWorkersTest : public ReplicaApplierTest,
                                  public ::testing::WithParamInterface<unsigned> {};

TEST_P(ReplicaApplierWorkersTest, LatestEqualsThePrimary) {
  StartTarget({"--replica-parallel-workers=3"});
  workers_before_ = "3";
  options_.workers = GetParam();
  const Plan plan = MakePlanFor({});
  ExpectReached(Apply(plan), plan);
  EXPECT_EQ(progress_.transactions, plan.transactions);
  EXPECT_EQ(Contents(*target_), Contents(*scene_.primary));
  EXPECT_EQ(Executed(*target_).ToString(), Executed(*scene_.primary).ToString());
}
INSTANTIATE_TEST_SUITE_P(Workers, ReplicaApplierWorkersTest, ::testing::Values(0u, 1u, 4u, 16u));

TEST_F(ReplicaApplierTest, StopsAtTheBoundaryAndGoesOnFromThere) {
  StartTarget();
  const Plan middle = MakePlanFor(At(scene_.middle, Edge::kThrough));
  ExpectReached(Apply(middle), middle);
  EXPECT_EQ(Contents(*target_), scene_.middle_contents);
  // The whole plan again: what is executed is not asked for.
  const Plan all = MakePlanFor({});
  ExpectReached(Apply(all), all);
  EXPECT_EQ(Contents(*target_), Contents(*scene_.primary));
  ExpectReached(Apply(all), all);
}

TEST_F(ReplicaApplierTest, BeforeExcludesTheNamedTransaction) {
  StartTarget();
  const Plan plan = MakePlanFor(At(scene_.drop, Edge::kBefore));
  ExpectReached(Apply(plan), plan);
  EXPECT_FALSE(Executed(*target_).Contains(scene_.drop));
  EXPECT_EQ(Value(*target_, "SELECT COUNT(*) FROM app.doomed"), "2");
}

TEST_F(ReplicaApplierTest, SkippedDropLeavesTheTableAndTheSetWhole) {
  StartTarget();
  Plan plan = MakePlanFor({});
  plan.surgery.skip.Add(scene_.drop);
  ExpectReached(Apply(plan), plan);
  EXPECT_EQ(Value(*target_, "SELECT COUNT(*) FROM app.doomed"), "2");
  EXPECT_EQ(Query(*target_, "CHECKSUM TABLE app.t"),
            Query(*scene_.primary, "CHECKSUM TABLE app.t"));
}

TEST_F(ReplicaApplierTest, LeftOutTransactionIsAHole) {
  StartTarget();
  Plan plan = MakePlanFor({});
  plan.surgery.leave_out.Add(scene_.drop);
  plan.end_set.Subtract(plan.surgery.leave_out);
  ExpectReached(Apply(plan), plan);
  EXPECT_EQ(Value(*target_, "SELECT COUNT(*) FROM app.doomed"), "2");
}

TEST_F(ReplicaApplierTest, OnlyOneTableBringsItsSchemaAndNothingElse) {
  StartTarget();
  Plan plan = MakePlanFor({});
  plan.surgery.only_tables = {{"a_b", "t_1"}};
  SkipXa(&plan);
  ExpectReached(Apply(plan), plan);
  EXPECT_EQ(Query(*target_, kTables), (Rows{{"a_b", "t_1"}}));
  EXPECT_EQ(Query(*target_, "CHECKSUM TABLE a_b.t_1"),
            Query(*scene_.primary, "CHECKSUM TABLE a_b.t_1"));
  EXPECT_EQ(Query(*target_, "SHOW DATABASES LIKE 'a_b'"), (Rows{{"a_b"}}));
  EXPECT_EQ(Query(*target_, "SHOW DATABASES LIKE 'other'").size(), 0u);
}

TEST_F(ReplicaApplierTest, OnlyOneSchemaIsTakenLiterally) {
  StartTarget();
  Plan plan = MakePlanFor(At(scene_.rename, Edge::kThrough));
  plan.surgery.only_schemas = {"a_b"};
  SkipXa(&plan);
  plan.surgery.without_tables = {{"a_b", "t_1"}};
  ExpectReached(Apply(plan), plan);
  EXPECT_EQ(Query(*target_, kTables), (Rows{{"a_b", "renamed"}}));
}

TEST_F(ReplicaApplierTest, WithoutATableEverythingElseIsThere) {
  StartTarget();
  Plan plan = MakePlanFor(At(scene_.middle, Edge::kThrough));
  plan.surgery.without_tables = {{"a_b", "t_1"}};
  ExpectReached(Apply(plan), plan);
  Rows wanted = scene_.middle_contents;
  EXPECT_EQ(std::erase_if(wanted, [](const auto& row) { return row[0] == "a_b.t_1"; }), 1u);
  EXPECT_EQ(Contents(*target_), wanted);
}

TEST_F(ReplicaApplierTest, TheServersOwnFiltersAreNotInherited) {
  StartTarget({"--replicate-ignore-db=app", "--replicate-do-table=other.o"});
  const Plan plan = MakePlanFor({});
  ExpectReached(Apply(plan), plan);
  EXPECT_EQ(Contents(*target_), Contents(*scene_.primary));
}

// The three places where a server tells why its applier stopped.
class ReplicaApplierErrorTest : public ReplicaApplierTest {
 protected:
  void ExpectExistingDatabaseNamed() {
    Execute(*target_, "SET sql_log_bin = 0; CREATE DATABASE other");
    const Plan plan = MakePlanFor(At(scene_.middle, Edge::kThrough));
    const Status status = Apply(plan);
    EXPECT_EQ(status.code(), Code::kTargetRefused) << status.message();
    EXPECT_THAT(status.message(), HasSubstr(plan.to_apply.map().begin()->first.ToString() + ":4:"));
    EXPECT_THAT(status.message(), HasSubstr("error 1007"));
    said_ = status.message();
    ExpectNothingLeft();
  }
  std::string said_;
};

TEST_F(ReplicaApplierErrorTest, ToldByThePerformanceSchema) {
  StartTarget({"--performance-schema=ON"});
  options_.log_tail = [] { return std::string(); };
  ExpectExistingDatabaseNamed();
  EXPECT_THAT(said_, HasSubstr("database exists"));
}

TEST_F(ReplicaApplierErrorTest, ToldByTheLogWithoutPerformanceSchema) {
  StartTarget();
  ExpectExistingDatabaseNamed();
  EXPECT_THAT(said_, HasSubstr("database exists"));
}

TEST_F(ReplicaApplierErrorTest, ToldByReplicaStatusAlone) {
  StartTarget();
  options_.log_tail = [] { return std::string(); };
  ExpectExistingDatabaseNamed();
}

TEST_F(ReplicaApplierErrorTest, ARowThatIsThereNamesTableAndKey) {
  StartTarget();
  const Plan middle = MakePlanFor(At(scene_.middle, Edge::kThrough));
  ExpectReached(Apply(middle), middle);
  Execute(*target_, "SET sql_log_bin = 0; INSERT INTO other.o VALUES (3); SET sql_log_bin = 1");
  const Status status = Apply(MakePlanFor({}));
  EXPECT_EQ(status.code(), Code::kTargetRefused);
  for (const char* part : {"other.o", "1062", "Duplicate entry '3'"})
    EXPECT_THAT(status.message(), HasSubstr(part));
  EXPECT_THAT(status.hint(), HasSubstr("--skip-gtid"));
  ExpectNothingLeft();
  EXPECT_TRUE(Executed(*target_).IsSubsetOf(Executed(*scene_.primary)));
}

TEST_F(ReplicaApplierErrorTest, AFilterInsideAnXaTransactionIsExplained) {
  StartTarget();
  Plan plan = MakePlanFor({});
  plan.surgery.without_tables = {{"app", "t"}};
  const Status status = Apply(plan);
  EXPECT_EQ(status.code(), Code::kTargetRefused);
  EXPECT_THAT(status.message(), HasSubstr(scene_.xa_prepare.ToString()));
  EXPECT_THAT(status.hint(), HasSubstr("XA transactions cannot be filtered"));
  ExpectNothingLeft();
}

TEST_F(ReplicaApplierTest, InterruptedItLeavesNothingAndGoesOnLater) {
  StartTarget();
  options_.workers = 2;
  int looks = 0;
  const Plan plan = MakePlanFor({});
  const Status status = Apply(plan, [&](const ApplyProgress&) { return ++looks < 3; });
  EXPECT_EQ(status.code(), Code::kInterrupted) << status.message();
  ExpectNothingLeft();
  ExpectReached(Apply(plan), plan);
  EXPECT_EQ(Contents(*target_), Contents(*scene_.primary));
}

TEST_F(ReplicaApplierTest, AChannelLeftBehindIsReplaced) {
  StartTarget();
  Execute(*target_,
          std::string("CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1, "
                      "SOURCE_USER = 'x', SOURCE_AUTO_POSITION = 1 FOR CHANNEL '") +
              kRestoreChannel + "'");
  Execute(*target_, std::string("START REPLICA FOR CHANNEL '") + kRestoreChannel + "'");
  auto connection = access_->Connect();
  ASSERT_TRUE(connection.ok());
  EXPECT_TRUE(*HasRestoreChannel(**connection));
  const Plan plan = MakePlanFor({});
  ExpectReached(Apply(plan), plan);
}

// A binary log up to the middle of a transaction: right behind a Table_map event.
std::string CutInsideATransaction(const std::string& whole) {
  constexpr size_t kTypeOffset = 4, kSizeOffset = 9;
  constexpr uint8_t kTableMap = 19;
  const auto* bytes = reinterpret_cast<const uint8_t*>(whole.data());
  for (size_t at = 4; at + kSizeOffset + 4 <= whole.size();) {
    const size_t end = at + LoadLittleEndian(bytes + at + kSizeOffset, 4);
    if (at > whole.size() / 2 && bytes[at + kTypeOffset] == kTableMap) return whole.substr(0, end);
    at = end;
  }
  return {};
}

// A run was killed, and the applier that it left has read all of its relay log and waits for the
// rest of a transaction, which nobody will send any more: it would do so for a minute.
TEST_F(ReplicaApplierTest, AnApplierLeftInsideATransactionIsStopped) {
  StartTarget({"--relay-log=relay"});
  const std::string channel = std::string(" FOR CHANNEL '") + kRestoreChannel + "'";
  Execute(*target_,
          "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1" + channel);
  Execute(*target_, "FLUSH LOCAL RELAY LOGS" + channel);  // the first one is not open any more
  const std::string first = ReadWholeFile(scene_.primary->data_directory() + "/" +
                                          Query(*scene_.primary, "SHOW BINARY LOGS")[0][0]);
  const std::string cut = CutInsideATransaction(first);
  ASSERT_FALSE(cut.empty());
  std::ofstream(target_->data_directory() + "/relay-" + kRestoreChannel + ".000001",
                std::ios::binary | std::ios::trunc)
      << cut;
  Execute(*target_, "START REPLICA SQL_THREAD" + channel);
  ASSERT_TRUE(WaitUntil(
      [&] {
        return !Executed(*target_).empty() &&
               Value(*target_,
                     "SELECT COUNT(*) FROM information_schema.processlist WHERE state LIKE "
                     "'Replica has read all relay log%'") == "1";
      },
      30'000))
      << target_->ErrorLogTail();
  const Plan plan = MakePlanFor({});
  // At once mostly; the server does not always heed the KILL, and then takes its minute.
  ExpectReached(Apply(plan), plan);
  EXPECT_EQ(Contents(*target_), Contents(*scene_.primary));
}

// A run that was killed has left the target's worker count changed: its channel tells what it was.
TEST_F(ReplicaApplierTest, WorkersOfAKilledRunArePutBack) {
  StartTarget();
  Execute(*target_, "SET GLOBAL replica_parallel_workers = 9");
  Execute(*target_,
          "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = 1, SOURCE_USER = "
          "'" +
              ChannelUser("4") + "', SOURCE_AUTO_POSITION = 1 FOR CHANNEL '" + kRestoreChannel +
              "'");
  const Plan plan = MakePlanFor({});
  ExpectReached(Apply(plan), plan);
}

TEST_F(ReplicaApplierTest, OfTwoAtOnceOneLoses) {
  StartTarget();
  Execute(*target_, std::string("DO GET_LOCK('") + kRestoreChannel + "', 0)");
  EXPECT_EQ(Apply(MakePlanFor({})).code(), Code::kLocked);
  EXPECT_TRUE(Executed(*target_).empty());
}

TEST_F(ReplicaApplierTest, ATargetThatDiesIsNamedByWhoWatchesIt) {
  StartTarget();
  const Status status = Apply(MakePlanFor({}), [&](const ApplyProgress& progress) {
    if (progress.transactions_done > 0) target_->Kill9();
    return true;
  });
  EXPECT_EQ(status.code(), Code::kTargetRefused);
  EXPECT_THAT(status.message(), HasSubstr("the target died"));
}

TEST_F(ReplicaApplierTest, ATargetWithAnArchivedServerIdIsRefused) {
  StartTarget({}, ApplierScene::kPrimaryId);
  const Status status = Apply(MakePlanFor({}));
  EXPECT_EQ(status.code(), Code::kTargetRefused) << status.message();
  EXPECT_THAT(status.message(), HasSubstr(std::to_string(ApplierScene::kPrimaryId)));
  EXPECT_TRUE(Executed(*target_).empty());
  ExpectNothingLeft();
}

TEST_F(ReplicaApplierTest, DamageInsideTheRangeIsTheArchivesError) {
  StartTarget();
  const Plan plan = MakePlanFor({});
  namespace fs = std::filesystem;
  root_ = scene_.directory.Path("damaged");
  fs::copy(scene_.root(), root_, fs::copy_options::recursive);
  const std::string segment =
      ArchiveDirectory(PosixFileSystem(), root_).SegmentPath("main", plan.segments.back().number);
  std::string bytes = ReadWholeFile(segment);
  for (size_t i = bytes.size() / 2; i < bytes.size() / 2 + 32; ++i)
    bytes[i] = static_cast<char>(~bytes[i]);
  std::ofstream(segment, std::ios::binary) << bytes;
  const Status status = Apply(plan);
  EXPECT_EQ(status.code(), Code::kCorruption) << status.message();
  EXPECT_FALSE(plan.to_apply.IsSubsetOf(Executed(*target_)));
  ExpectNothingLeft();
}

// A file system of its own, of a few bytes; nothing is mounted if we may not.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& bytes) {
    mounted_ =
        ::mount("none", directory_.path().c_str(), "tmpfs", 0, ("size=" + bytes).c_str()) == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(directory_.path().c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  std::string Path(const std::string& name) const { return directory_.Path(name); }

 private:
  TempDir directory_{"tidemark-small-disk"};
  bool mounted_ = false;
};

TEST_F(ReplicaApplierTest, ATargetThatWaitsForDiskSpaceIsNotWaitedForForever) {
  const SmallDisk disk("64k");
  if (!disk.mounted()) GTEST_SKIP() << "needs the right to mount a tmpfs";
  StartTarget({"--relay-log=" + disk.Path("relay")});
  options_.disk_patience = std::chrono::seconds(2);
  const Status status = Apply(MakePlanFor({}));
  EXPECT_EQ(status.code(), Code::kDiskFull) << status.message();
  EXPECT_THAT(status.message(), HasSubstr("restore target"));
  ExpectNothingLeft();
  EXPECT_TRUE(Executed(*target_).IsSubsetOf(Executed(*scene_.primary)));
}

std::string OwnAddress() {
  std::string found;
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return found;
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET ||
        (at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0)
      continue;
    char text[INET_ADDRSTRLEN];
    sockaddr_in address{};
    std::memcpy(&address, at->ifa_addr, sizeof address);
    if (::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text) != nullptr) found = text;
  }
  ::freeifaddrs(all);
  return found;
}

TEST_F(ReplicaApplierTest, OverTheNetworkItIsEncrypted) {
  options_.serve_address = OwnAddress();
  if (options_.serve_address.empty()) GTEST_SKIP() << "no network interface but loopback";
  StartTarget();
  const Plan plan = MakePlanFor({});
  ExpectReached(Apply(plan), plan);
}

}  // namespace
}  // namespace tidemark::testing
