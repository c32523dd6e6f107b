// Three real servers, a primary and two replicas, of which one daemon always archives the primary:
// planned switch, crash under load, and a promotion that lost transactions.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "replication/event/stream_scanner.h"
#include "replication/source/failover_source.h"
#include "tests/e2e/archived_primary.h"
#include "tests/e2e/daemon_fixture.h"

namespace tidemark {
namespace {

using testing::Daemon;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::HostOf;
using testing::kPatienceMs;
using testing::Load;
using testing::MySqlServer;
using testing::ReadWholeFile;
using testing::StartPrimary;
using testing::WaitUntil;

// By name: what SHOW REPLICA STATUS says of the one channel.
std::string ReplicaStatus(MySqlServer& server, const std::string& column) {
  ConnectionOptions options;
  options.socket = server.socket();
  options.user = "root";
  auto connection = Connection::Open(options);
  if (!connection.ok()) return {};
  const auto answer = (*connection)->Query("SHOW REPLICA STATUS");
  return answer.ok() && answer->rows.size() == 1 ? answer->Text(answer->rows[0], column) : "";
}

// GTID -> the bytes of that transaction, of a binlog; counts those that come twice.
struct Transactions {
  std::map<std::string, std::string> bytes;
  int twice = 0;

  void Take(const std::string& binlog) {
    StreamScanner scanner({.verify_checksums = true, .expect_magic = true});
    const Status scanned = scanner.FeedBytes(AsBytes(binlog), [&](const ScannedEvent& event) {
      if (event.finished == nullptr) return OkStatus();
      const Transaction& one = *event.finished;
      if (!bytes.try_emplace(one.gtid.ToString(), binlog.substr(one.begin_offset, one.size()))
               .second)
        ++twice;
      return OkStatus();
    });
    EXPECT_TRUE(scanned.ok()) << scanned.message();
  }
};

Transactions BinlogsOf(const MySqlServer& server) {
  Transactions all;
  for (const auto& entry : std::filesystem::directory_iterator(server.data_directory()))
    if (const std::string name = entry.path().filename();
        name.starts_with("binlog.") && name.find_first_not_of("0123456789", 7) == name.npos)
      all.Take(ReadWholeFile(entry.path()));
  return all;
}

class FailoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < 3; ++i) {
      servers_.push_back(StartPrimary());
      ASSERT_TRUE(servers_.back());
    }
    Run(a(), "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY, v VARCHAR(100))");
    Follow(b(), a());
    Follow(c(), a());
    std::string hosts;
    for (const auto& server : servers_)
      hosts += (hosts.empty() ? "\"" : ", \"") + HostOf(*server) + "\"";
    daemon_.Configure(
        "[[source]]\nname = \"main\"\nuser = \"root\"\nserver_id = 4200001\nhosts = [" + hosts +
        "]\nconnect_timeout_s = 5\nheartbeat_ms = 200\nretry_ms_min = 10\n"
        "retry_ms_max = 500\n");
  }

  MySqlServer& a() { return *servers_[0]; }
  MySqlServer& b() { return *servers_[1]; }
  MySqlServer& c() { return *servers_[2]; }

  static void Run(MySqlServer& server, const std::string& sql) {
    const Status done = server.Execute(sql);
    ASSERT_TRUE(done.ok()) << sql << ": " << done.message();
  }
  static void Follow(MySqlServer& replica, const MySqlServer& source) {
    Run(replica,
        "STOP REPLICA; SET GLOBAL super_read_only = ON; "
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = " +
            std::to_string(source.port()) +
            ", SOURCE_USER = 'root', GET_SOURCE_PUBLIC_KEY = 1, SOURCE_AUTO_POSITION = 1, "
            "SOURCE_CONNECT_RETRY = 1; START REPLICA");
  }
  static void Await(MySqlServer& replica, const GtidSet& set) {
    ASSERT_TRUE(WaitUntil([&] { return set.IsSubsetOf(ExecutedOn(replica)); }, kPatienceMs))
        << ReplicaStatus(replica, "Last_IO_Error") << ReplicaStatus(replica, "Last_SQL_Error");
  }
  // All that it has received is applied, and nothing more comes.
  static void Settle(MySqlServer& replica) {
    Run(replica, "STOP REPLICA IO_THREAD");
    const auto received = GtidSet::Parse(ReplicaStatus(replica, "Retrieved_Gtid_Set"));
    ASSERT_TRUE(received.ok());
    // A transaction that came half is in the set, and never executed: sql/rpl_replica.cc counts
    // only whole ones.
    Await(replica, *received);
  }
  static void Promote(MySqlServer& replica) {
    Run(replica,
        "STOP REPLICA; RESET REPLICA ALL; SET GLOBAL super_read_only = OFF; "
        "SET GLOBAL read_only = OFF");
  }

  bool ArchivedFrom(const MySqlServer& server) {
    return WaitUntil(
        [&] {
          const nlohmann::json status = daemon_.Status();
          return status.is_object() && status["daemon"].is_object() &&
                 status["daemon"]["state"] == "archiving" &&
                 status["daemon"]["server"] == HostOf(server);
        },
        kPatienceMs);
  }
  std::string UuidOf(MySqlServer& server) { return *server.QueryValue("SELECT @@server_uuid"); }

  // Everything, once, and each as one of the servers has it in its binary logs.
  void ExpectWhole(const GtidSet& expected) {
    daemon_.ExpectVerified();
    const std::string path = directory_.Path("all.binlog");
    const auto exported = daemon_.Pitr({"export", "--latest", "--output", path});
    ASSERT_EQ(exported.exit_code, 0) << exported.err;
    Transactions archived;
    archived.Take(ReadWholeFile(path));
    EXPECT_EQ(archived.twice, 0);
    GtidSet set;
    for (const auto& [gtid, bytes] : archived.bytes) set.Add(*Gtid::Parse(gtid));
    EXPECT_EQ(set, expected);
    std::vector<Transactions> binlogs;
    for (const auto& server : servers_) binlogs.push_back(BinlogsOf(*server));
    for (const auto& [gtid, bytes] : archived.bytes)
      EXPECT_TRUE(std::any_of(binlogs.begin(), binlogs.end(),
                              [&gtid = gtid, &bytes = bytes](const Transactions& of) {
                                const auto found = of.bytes.find(gtid);
                                return found != of.bytes.end() && found->second == bytes;
                              }))
          << gtid << " is not as any server wrote it";
  }
  // The timeline's changes of server, by UUID.
  std::vector<std::string> ServersInTimeline() {
    const auto result = daemon_.Pitr({"--json", "timeline"});
    const auto json = nlohmann::json::parse(result.out, nullptr, false);
    std::vector<std::string> servers;
    if (!json.is_object()) return servers;
    for (const auto& entry : json["entries"])
      if (entry["kind"] == "server") servers.push_back(entry["server_uuid"]);
    return servers;
  }
  testing::ProgramResult Rescue(MySqlServer& server, std::vector<std::string> more) {
    std::vector<std::string> arguments = {"--json",        "rescue",
                                          "--missing-on",  HostOf(server),
                                          "--mysql",       testing::MySqlProgram("mysql"),
                                          "--mysqlbinlog", testing::MySqlProgram("mysqlbinlog")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return daemon_.Pitr(arguments);
  }

  testing::TempDir directory_{"tidemark-failover"};
  std::vector<std::unique_ptr<MySqlServer>> servers_;
  Daemon daemon_;
};

TEST_F(FailoverTest, APlannedSwitchIsFollowedWhileTheOldPrimaryLives) {
  daemon_.Start();
  {
    Load load(a());
    ASSERT_TRUE(load.WaitForCommits(200));
    ASSERT_TRUE(ArchivedFrom(a())) << daemon_.LogTail();
  }
  Run(a(), "SET GLOBAL super_read_only = ON");
  Await(b(), ExecutedOn(a()));
  Promote(b());
  Follow(c(), b());
  Follow(a(), b());
  Load load(b());
  EXPECT_TRUE(ArchivedFrom(b())) << daemon_.LogTail();
  ASSERT_TRUE(load.WaitForCommits(200));
  load.Stop();
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(b()))) << daemon_.LogTail();
  EXPECT_EQ(ServersInTimeline(), std::vector<std::string>{UuidOf(b())});
  const GtidSet executed = ExecutedOn(b());
  // And back, to a server that was archived before.
  Run(b(), "SET GLOBAL super_read_only = ON");
  Await(a(), executed);
  Promote(a());
  Follow(b(), a());
  ASSERT_TRUE(ArchivedFrom(a())) << daemon_.LogTail();
  Run(a(), "INSERT INTO d.t VALUES (1, 'back')");
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(a()))) << daemon_.LogTail();
  EXPECT_EQ(ServersInTimeline(), (std::vector<std::string>{UuidOf(b()), UuidOf(a())}));
  EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
  ExpectWhole(ExecutedOn(a()));
}

// Without the dump from the old one ever breaking.
TEST_F(FailoverTest, TwoThatAreWrittenToAreNoticedWhileOneOfThemIsArchived) {
  daemon_.Start();
  ASSERT_TRUE(ArchivedFrom(a())) << daemon_.LogTail();
  Run(b(), "STOP REPLICA");
  Run(a(), "INSERT INTO d.t VALUES (1, 'of a alone')");
  Promote(b());
  Run(b(), "INSERT INTO d.t VALUES (2, 'of b alone')");
  EXPECT_TRUE(daemon_.WaitForError("divergence")) << daemon_.LogTail();
  // Somebody decides.
  Run(b(), "SET GLOBAL super_read_only = ON");
  ASSERT_TRUE(ArchivedFrom(a())) << daemon_.LogTail();
  Run(a(), "INSERT INTO d.t VALUES (3, 'goes on')");
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(a()))) << daemon_.LogTail();
  EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
  ExpectWhole(ExecutedOn(a()));
}

TEST_F(FailoverTest, ThePrimaryIsKilledUnderLoadAndArchivingGoesOnWithTheNextOne) {
  const std::string dump = directory_.Path("base.sql");
  testing::ProgramOptions to_file;
  to_file.stdout_file = dump;
  const auto dumped = testing::RunProgram(
      {testing::MySqlProgram("mysqldump"), "--no-defaults", "--user=root",
       "--socket=" + a().socket(), "--single-transaction", "--source-data=2", "--all-databases"},
      to_file);
  ASSERT_TRUE(dumped.ok() && dumped->exit_code == 0);
  daemon_.Start();
  {
    Load load(a());
    ASSERT_TRUE(load.WaitForCommits(500));
    ASSERT_TRUE(ArchivedFrom(a())) << daemon_.LogTail();
    a().Kill9();
  }
  Settle(b());
  Settle(c());
  const bool b_is_ahead = ExecutedOn(c()).IsSubsetOf(ExecutedOn(b()));
  MySqlServer& next = b_is_ahead ? b() : c();
  MySqlServer& other = b_is_ahead ? c() : b();
  Promote(next);
  Follow(other, next);
  // Nobody waits for the archive here: it may have got more than both replicas did.
  const GtidSet ahead = daemon_.Archived().Minus(ExecutedOn(next));
  if (!ahead.empty()) {
    EXPECT_TRUE(daemon_.WaitForError("divergence")) << daemon_.LogTail();
    EXPECT_EQ(Rescue(next, {"--apply"}).exit_code, 0);
  }
  std::cout << "the archive was ahead of both replicas by " << ahead.Count() << "\n";
  ASSERT_TRUE(ArchivedFrom(next)) << daemon_.LogTail();
  Load load(next);
  ASSERT_TRUE(load.WaitForCommits(200));
  load.Stop();
  const GtidSet executed = ExecutedOn(next);
  ASSERT_TRUE(daemon_.WaitFor(executed)) << daemon_.LogTail();
  EXPECT_EQ(ServersInTimeline(), std::vector<std::string>{UuidOf(next)});
  EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
  ExpectWhole(executed);
  const auto restored = daemon_.Pitr(
      {"--json", "restore", "--into", directory_.Path("restored"), "--dump", dump, "--latest",
       "--mysqld", testing::MySqlProgram("mysqld"), "--mysql", testing::MySqlProgram("mysql"),
       "--mysqlbinlog", testing::MySqlProgram("mysqlbinlog")});
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  testing::RestoredServer target(nlohmann::json::parse(restored.out));
  EXPECT_EQ(target.Executed(), executed);
  const std::string checksum = "CHECKSUM TABLE busy.t, d.t";
  EXPECT_EQ(*target.sql().Query(checksum), *next.Query(checksum));
}

TEST_F(FailoverTest, LostTransactionsAreNamedRescuedAndArchivingGoesOn) {
  daemon_.Start();
  Run(a(), "INSERT INTO d.t VALUES (1, 'kept')");
  const GtidSet kept = ExecutedOn(a());
  Await(b(), kept);
  Await(c(), kept);
  Run(b(), "STOP REPLICA IO_THREAD");
  Run(c(), "STOP REPLICA IO_THREAD");
  Run(a(),
      "INSERT INTO d.t VALUES (2, 'lost'); UPDATE d.t SET v = 'changed' WHERE id = 1; "
      "CREATE TABLE d.lost (x INT)");
  const GtidSet lost = ExecutedOn(a()).Minus(kept);
  ASSERT_EQ(lost.Count(), 3u);
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(a()))) << daemon_.LogTail();
  a().Kill9();
  Promote(b());
  Follow(c(), b());
  // Written to since, in the way of the first of them, and where the second one writes.
  Run(b(), "INSERT INTO d.t VALUES (2, 'in the way'); UPDATE d.t SET v = 'newer' WHERE id = 1");
  const GtidSet own = ExecutedOn(b()).Minus(kept);
  ASSERT_TRUE(daemon_.WaitForError("divergence")) << daemon_.LogTail();
  const nlohmann::json error = daemon_.Status()["daemon"]["error"];
  EXPECT_THAT(error["message"], HasSubstr(lost.ToString()));
  EXPECT_THAT(error["hint"], HasSubstr("pitr rescue --missing-on " + HostOf(b())));

  const std::string path = directory_.Path("lost.binlog");
  const auto listed = Rescue(b(), {"--output", path});
  ASSERT_EQ(listed.exit_code, 0) << listed.err;
  const nlohmann::json report = nlohmann::json::parse(listed.out);
  EXPECT_EQ(report["missing"], lost.ToString());
  EXPECT_EQ(report["own"], own.ToString());
  ASSERT_EQ(report["entries"].size(), 3u);
  EXPECT_EQ(report["entries"][0]["tables"][0]["inserted"], 1);
  EXPECT_EQ(report["entries"][1]["tables"][0]["updated"], 1);
  EXPECT_EQ(report["entries"][2]["statement"], "CREATE TABLE d.lost (x INT)");
  Transactions written;
  written.Take(ReadWholeFile(path));
  const Transactions original = BinlogsOf(a());
  EXPECT_EQ(written.bytes.size(), 3u);
  for (const auto& [gtid, bytes] : written.bytes)
    EXPECT_TRUE(original.bytes.at(gtid) == bytes) << gtid;
  const auto by_set =
      daemon_.Pitr({"--json", "rescue", "--executed", ExecutedOn(b()).ToString(), "--limit", "1"});
  EXPECT_EQ(nlohmann::json::parse(by_set.out)["missing"], lost.ToString());
  EXPECT_EQ(nlohmann::json::parse(by_set.out)["truncated"], true);

  const auto asked = Rescue(b(), {"--apply"});
  EXPECT_NE(asked.exit_code, 0);
  EXPECT_THAT(asked.err, HasSubstr("has newer transactions (" + own.ToString()));
  EXPECT_EQ(ExecutedOn(b()), kept.Union(own));
  const auto refused = Rescue(b(), {"--apply", "--accept-conflicts"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.err, HasSubstr(nlohmann::json::parse(listed.out)["entries"][0]["gtid"]));
  EXPECT_EQ(ExecutedOn(b()), kept.Union(own)) << "rolled back";
  Run(b(), "DELETE FROM d.t WHERE id = 2");
  const auto applied = Rescue(b(), {"--apply", "--accept-conflicts"});
  ASSERT_EQ(applied.exit_code, 0) << applied.err;
  EXPECT_EQ(nlohmann::json::parse(applied.out)["applied"], true);
  EXPECT_TRUE(lost.IsSubsetOf(ExecutedOn(b())));
  EXPECT_NE(nlohmann::json::parse(applied.out)["newer"], "") << "it says what may have happened";
  EXPECT_EQ(*b().QueryValue("SELECT GROUP_CONCAT(v ORDER BY id) FROM d.t"), "changed,lost")
      << "and this has: an update finds its row by the primary key alone";
  EXPECT_EQ(Rescue(b(), {"--apply"}).exit_code, 0) << "nothing is left to be brought back";
  ASSERT_TRUE(ArchivedFrom(b())) << daemon_.LogTail();
  Run(b(), "INSERT INTO d.lost VALUES (1)");
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(b()))) << daemon_.LogTail();
  Await(c(), ExecutedOn(b()));
  EXPECT_EQ(nlohmann::json::parse(Rescue(b(), {}).out)["transactions"], 0);
  EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
  ExpectWhole(ExecutedOn(b()));
}

// Two servers at one port of two addresses of this machine, under one name; the second is
// read-only.
class FailoverSourceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    first_ = StartPrimary({"--bind-address=127.0.0.2"});
    ASSERT_TRUE(first_);
    port_ = std::to_string(first_->port());
    second_ = StartPrimary({"--bind-address=127.0.0.3", "--port=" + port_});
    ASSERT_TRUE(second_);
    ASSERT_TRUE(second_->Execute("SET GLOBAL super_read_only = ON").ok());
  }
  std::unique_ptr<FailoverSource> Source(const std::string& name, Resolver resolve) {
    ConnectionOptions common;
    common.user = "root";
    common.get_server_public_key = true;
    FailoverOptions options;
    options.watch_us = 50'000;
    options.resolve = std::move(resolve);
    auto source = std::make_unique<FailoverSource>(
        common, std::vector<HostPort>{{name, static_cast<uint16_t>(first_->port())}}, options);
    source->NoteArchived({});
    return source;
  }
  // From behind all that the server has.
  static Status StartDump(FailoverSource& source, const SourceFacts& facts) {
    DumpRequest request;
    request.exclude = facts.gtid_executed;
    request.server_id = 4200001;
    request.our_uuid = *Uuid::Parse("3e11fa47-71ca-11e1-9e33-c80aa9429562");
    request.heartbeat_us = 20'000;
    return source.StartDump(request);
  }
  static Status Ending(FailoverSource& source) {
    for (int i = 0; i < 3000; ++i)
      if (Result<Bytes> event = source.Next(); !event.ok()) return event.error();
    return OkStatus();
  }

  std::unique_ptr<MySqlServer> first_;
  std::unique_ptr<MySqlServer> second_;
  std::string port_;
};

TEST_F(FailoverSourceTest, ADnsNameIsFollowedToThePrimary) {
  const auto source =
      Source("db.example", [](const std::string& name) -> Result<std::vector<std::string>> {
        EXPECT_EQ(name, "db.example");
        return std::vector<std::string>{"127.0.0.2", "127.0.0.3"};
      });
  auto facts = source->Connect();
  ASSERT_TRUE(facts.ok()) << facts.error().message();
  EXPECT_EQ(facts->server, "127.0.0.2:" + port_);
  ASSERT_TRUE(StartDump(*source, *facts).ok());
  source->NoteArchived({facts->gtid_executed, facts->server_uuid});
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(source->Next().ok()) << "it is the primary";
  ASSERT_TRUE(first_->Execute("SET GLOBAL super_read_only = ON").ok());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(source->Next().ok()) << "nobody else is";
  ASSERT_TRUE(
      second_->Execute("SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF").ok());
  const Status ended = Ending(*source);
  EXPECT_EQ(ended.code(), Code::kSourceUnavailable) << ended.message();
  EXPECT_THAT(ended.message(), HasSubstr("127.0.0.3:" + port_));
  facts = source->Connect();
  ASSERT_TRUE(facts.ok()) << facts.error().message();
  EXPECT_EQ(facts->server, "127.0.0.3:" + port_);
}

// A name of which there was one address when we connected, the replica's.
TEST_F(FailoverSourceTest, APrimaryThatItsNameGetsLaterIsFollowed) {
  std::atomic<bool> both = false;
  // A name to us, and to the client library, which asks no resolver of ours, the replica's address.
  const auto source = Source("127.3", [&](const std::string&) -> Result<std::vector<std::string>> {
    if (!both) return std::vector<std::string>{"127.0.0.3"};
    return std::vector<std::string>{"127.0.0.2", "127.0.0.3"};
  });
  const auto facts = source->Connect();
  ASSERT_TRUE(facts.ok()) << facts.error().message();
  ASSERT_TRUE(StartDump(*source, *facts).ok());
  source->NoteArchived({{}, facts->server_uuid});
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(source->Next().ok()) << "there is nobody else";
  both = true;
  const Status ended = Ending(*source);
  EXPECT_EQ(ended.code(), Code::kSourceUnavailable) << ended.message();
  EXPECT_THAT(ended.message(), HasSubstr("127.0.0.2:" + port_));
}

}  // namespace
}  // namespace tidemark
