// The dump protocol against a real server: where it begins, what it brings, how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "replication/base/checksum.h"
#include "replication/event/binlog_format.h"
#include "replication/source/mysql_event_source.h"
#include "replication/source/preflight.h"
#include "tests/support/fault_proxy.h"
#include "tests/support/mysql_server.h"
#include "tests/support/sanitized.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using tidemark::testing::MySqlServer;

constexpr uint32_t kOurServerId = 4711;
constexpr const char* kOurUuid = "00000000-0000-0000-0000-000000004711";

// What a dump brought, up to the error that ended it.
struct Brought {
  std::vector<EventHeader> headers;
  std::vector<int64_t> gnos;  // of the Gtid events, in order
  std::string first_file;     // of the first artificial Rotate
  Status end;
};

void Look(Bytes event, Brought* brought) {
  ASSERT_GE(event.size(), kEventHeaderSize);
  EventHeader header = ReadEventHeader(event.data());
  EXPECT_EQ(header.size, event.size()) << "an event is header to checksum";
  if (header.type == EventType::kGtid) {
    brought->gnos.push_back(static_cast<int64_t>(LoadLittleEndian(event.data() + 19 + 1 + 16, 8)));
  }
  if (brought->headers.empty()) {
    Bytes name = event.subspan(kEventHeaderSize + 8, event.size() - kEventHeaderSize - 8 - 4);
    brought->first_file = AsText(name);
  }
  brought->headers.push_back(header);
}

class SourceDump : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    Result<std::unique_ptr<MySqlServer>> server = MySqlServer::Start(
        {.extra_args = {"--max-allowed-packet=1G", "--performance-schema=ON"}, .server_id = {}});
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = server->release();
    uuid_ = server_->QueryValue("SELECT @@server_uuid").value();
    Sql("CREATE DATABASE shop; CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, b "
        "LONGBLOB)");
    Sql("CREATE USER poor@localhost");
  }
  static void TearDownTestSuite() { delete server_; }

  // Each test has a history of its own: GTID 1 to 3 in binlog.000001, 4 and 5 in binlog.000002.
  void SetUp() override {
    Sql("RESET BINARY LOGS AND GTIDS; SET GLOBAL binlog_checksum=CRC32");
    Sql("RESET BINARY LOGS AND GTIDS");
    Insert(3);
    Sql("FLUSH BINARY LOGS");
    Insert(2);
  }

  static void Sql(const std::string& sql) {
    Status done = server_->Execute(sql);
    ASSERT_TRUE(done.ok()) << sql << ": " << done.message();
  }
  static void Insert(int transactions) {
    for (int i = 0; i < transactions; ++i) Sql("INSERT INTO shop.t (b) VALUES ('x')");
  }
  static ConnectionOptions Options(const std::string& user = "root") {
    ConnectionOptions options;
    options.socket = server_->socket();
    options.user = user;
    return options;
  }
  static DumpRequest Request(const std::string& gnos = "") {
    DumpRequest request;
    if (!gnos.empty()) request.exclude = GtidSet::Parse(uuid_ + ":" + gnos).value();
    request.non_blocking = true;
    request.server_id = kOurServerId;
    request.our_uuid = Uuid::Parse(kOurUuid).value();
    request.heartbeat_us = 10'000'000;
    return request;
  }
  static Brought ReadToEnd(MySqlEventSource* source) {
    Brought brought;
    for (;;) {
      Result<Bytes> event = source->Next();
      if (!event.ok()) {
        brought.end = event.error();
        return brought;
      }
      Look(*event, &brought);
    }
  }
  static Brought Dump(const DumpRequest& request) {
    MySqlEventSource source(Options());
    Result<SourceFacts> facts = source.Connect();
    EXPECT_TRUE(facts.ok()) << facts.error().message();
    Status started = source.StartDump(request);
    EXPECT_TRUE(started.ok()) << started.message();
    if (!facts.ok() || !started.ok()) return {};
    return ReadToEnd(&source);
  }
  // Connects and starts a blocking dump from behind everything.
  static void StartIdle(MySqlEventSource* source, int64_t heartbeat_us) {
    ASSERT_TRUE(source->Connect().ok());
    DumpRequest request = Request("1-5");
    request.non_blocking = false;
    request.heartbeat_us = heartbeat_us;
    Status started = source->StartDump(request);
    ASSERT_TRUE(started.ok()) << started.message();
  }
  // The next heartbeat; skips what precedes it.
  static Status AwaitHeartbeat(MySqlEventSource* source) {
    for (;;) {
      Result<Bytes> event = source->Next();
      if (!event.ok()) return event.error();
      EventType type = ReadEventHeader(event->data()).type;
      if (type == EventType::kHeartbeat || type == EventType::kHeartbeatV2) return OkStatus();
    }
  }
  static void AwaitIdleDumpThread() {
    ASSERT_TRUE(testing::WaitUntil([] {
      return server_
                 ->QueryValue(
                     "SELECT COUNT(*) FROM performance_schema.processlist WHERE"
                     " COMMAND LIKE 'Binlog Dump%' AND STATE LIKE '%has sent all%'")
                 .value() == "1";
    }));
  }

  static MySqlServer* server_;
  static std::string uuid_;
};
MySqlServer* SourceDump::server_ = nullptr;
std::string SourceDump::uuid_;

TEST_F(SourceDump, FromAnEmptySetBringsEverythingWithItsChecksums) {
  MySqlEventSource source(Options());
  Result<SourceFacts> facts = source.Connect();
  ASSERT_TRUE(facts.ok()) << facts.error().message();
  EXPECT_EQ(facts->server_uuid.ToString(), uuid_);
  EXPECT_EQ(facts->gtid_executed.ToString(), uuid_ + ":1-5");
  ASSERT_EQ(facts->binlogs.size(), 2u);
  ASSERT_TRUE(source.StartDump(Request()).ok());
  Brought brought;
  Result<Bytes> event = source.Next();
  for (; event.ok(); event = source.Next()) {
    Look(*event, &brought);
    Bytes body = event->first(event->size() - kChecksumSize);
    EXPECT_EQ(Crc32(0, body), LoadLittleEndian(event->data() + body.size(), kChecksumSize));
  }
  EXPECT_EQ(event.error().code(), Code::kEndOfData) << event.error().message();
  EXPECT_EQ(brought.gnos, (std::vector<int64_t>{1, 2, 3, 4, 5}));
  ASSERT_GE(brought.headers.size(), 2u);
  EXPECT_EQ(brought.headers[0].type, EventType::kRotate);
  EXPECT_TRUE(brought.headers[0].artificial());
  EXPECT_EQ(brought.first_file, "binlog.000001");
  EXPECT_EQ(brought.headers[1].type, EventType::kFormatDescription);
}

TEST_F(SourceDump, ResumesBehindWhatWeHave) {
  EXPECT_EQ(Dump(Request("1-2")).gnos, (std::vector<int64_t>{3, 4, 5}));
  EXPECT_EQ(Dump(Request("1-3")).gnos, (std::vector<int64_t>{4, 5}));
  EXPECT_EQ(Dump(Request("1-5")).gnos, (std::vector<int64_t>{}));
  EXPECT_EQ(Dump(Request("2:4")).gnos, (std::vector<int64_t>{1, 3, 5}));
}

TEST_F(SourceDump, TransactionsOfOtherServersInOurSetDoNotMatterToTheSource) {
  DumpRequest request = Request("1-4");
  request.exclude.Add(GtidSet::Parse(std::string(kOurUuid) + ":1-10").value());
  EXPECT_EQ(Dump(request).gnos, (std::vector<int64_t>{5}));
}

TEST_F(SourceDump, TaggedGtidsAreExcludedToo) {
  Sql("SET gtid_next='AUTOMATIC:blue'; INSERT INTO shop.t (b) VALUES ('y');"
      " SET gtid_next='AUTOMATIC'");
  auto tagged = [](const Brought& brought) {
    return std::count_if(brought.headers.begin(), brought.headers.end(),
                         [](const EventHeader& h) { return h.type == EventType::kGtidTagged; });
  };
  EXPECT_EQ(tagged(Dump(Request("1-4"))), 1);
  Brought brought = Dump(Request("1-4:blue:1"));
  EXPECT_EQ(tagged(brought), 0);
  EXPECT_EQ(brought.gnos, (std::vector<int64_t>{5}));
}

TEST_F(SourceDump, ByPositionStartsThere) {
  DumpRequest request = Request("1-5");  // ignored
  request.by_position = true;
  request.file = "binlog.000001";
  Brought whole = Dump(request);
  EXPECT_EQ(whole.gnos, (std::vector<int64_t>{1, 2, 3, 4, 5}));
  // Behind the first transaction: rotate, format, previous GTIDs, gtid, query, table map, rows,
  // xid.
  ASSERT_GT(whole.headers.size(), 8u);
  ASSERT_EQ(whole.headers[7].type, EventType::kXid);
  request.position = whole.headers[7].log_pos;
  Brought rest = Dump(request);
  EXPECT_EQ(rest.gnos, (std::vector<int64_t>{2, 3, 4, 5}));
  EXPECT_EQ(rest.headers.at(2).log_pos, whole.headers.at(8).log_pos);
}

TEST_F(SourceDump, ByPositionRefusesWhatIsNotThere) {
  DumpRequest request = Request();
  request.by_position = true;
  request.file = "binlog.000009";
  EXPECT_EQ(Dump(request).end.code(), Code::kGap);
  request.file = "binlog.000001";
  request.position = 1'000'000;
  EXPECT_EQ(Dump(request).end.code(), Code::kDivergence);
  request.position = uint64_t{1} << 32;
  MySqlEventSource source(Options());
  ASSERT_TRUE(source.Connect().ok());
  EXPECT_EQ(source.StartDump(request).code(), Code::kUsage);
}

TEST_F(SourceDump, PurgedTransactionsThatWeLackAreAGap) {
  Sql("PURGE BINARY LOGS TO 'binlog.000002'");
  Status end = Dump(Request("1-2")).end;
  EXPECT_EQ(end.code(), Code::kGap) << end.message();
  EXPECT_THAT(end.message(), HasSubstr(uuid_ + ":3"));
  EXPECT_EQ(Dump(Request("1-3")).gnos, (std::vector<int64_t>{4, 5}));
}

TEST_F(SourceDump, TransactionsThatTheSourceLostAreADivergence) {
  Status end = Dump(Request("1-9")).end;
  EXPECT_EQ(end.code(), Code::kDivergence) << end.message();
}

// As text more than the 64 KiB at which MySQL cuts off here and there.
TEST_F(SourceDump, GtidSetsAreReadWholeHoweverLong) {
  std::string purged;
  for (int i = 0; i < 4000; ++i) {
    char uuid[64];
    std::snprintf(uuid, sizeof(uuid), ",%08x-0000-0000-0000-000000000001:1-%d", i, i + 1);
    purged += uuid;
  }
  Sql("RESET BINARY LOGS AND GTIDS; SET GLOBAL gtid_purged = '" + purged.substr(1) + "'");
  Insert(1);
  MySqlEventSource source(Options());
  const auto facts = source.Connect();
  ASSERT_TRUE(facts.ok()) << facts.error().message();
  EXPECT_EQ(facts->gtid_purged, GtidSet::Parse(purged.substr(1)).value());
  EXPECT_EQ(facts->gtid_executed,
            GtidSet::Parse(server_->QueryValue("SELECT @@GLOBAL.gtid_executed").value()).value());
}

TEST_F(SourceDump, WithoutThePrivilegeIsRefusedNamingTheGrant) {
  MySqlEventSource source(Options("poor"));
  Result<SourceFacts> facts = source.Connect();
  ASSERT_TRUE(facts.ok()) << facts.error().message();
  EXPECT_FALSE(facts->binlogs_visible);
  Status refused = source.StartDump(Request());
  EXPECT_EQ(refused.code(), Code::kSourceRefused) << refused.message();
  EXPECT_THAT(refused.hint(), HasSubstr("GRANT REPLICATION SLAVE"));
  EXPECT_THAT(refused.hint(), HasSubstr("'poor'"));
}

TEST_F(SourceDump, AFirstRotateHasAChecksumEvenIfTheFilesHaveNone) {
  Sql("SET GLOBAL binlog_checksum=NONE; RESET BINARY LOGS AND GTIDS");
  Insert(1);
  Brought brought = Dump(Request());
  EXPECT_EQ(brought.end.code(), Code::kEndOfData) << brought.end.message();
  EXPECT_EQ(brought.first_file, "binlog.000001");  // Look() takes four bytes off
  EXPECT_EQ(brought.gnos, (std::vector<int64_t>{1}));
}

TEST_F(SourceDump, ConnectStartsAfreshAfterAnyEnd) {
  MySqlEventSource source(Options());
  for (int round = 0; round < 3; ++round) {
    ASSERT_TRUE(source.Connect().ok());
    EXPECT_EQ(source.StartDump({}).code(), Code::kUsage);
    ASSERT_TRUE(source.StartDump(Request("1-4")).ok());
    if (round == 1) continue;  // dropped in the middle
    EXPECT_EQ(ReadToEnd(&source).gnos, (std::vector<int64_t>{5}));
    EXPECT_EQ(source.Next().error().code(), Code::kUsage);
    EXPECT_EQ(source.StartDump(Request()).ok(), false);
  }
  source.Disconnect();
  EXPECT_EQ(source.StartDump(Request()).code(), Code::kUsage);
}

TEST_F(SourceDump, RegistersSoThatShowReplicasListsUs) {
  MySqlEventSource source(Options());
  StartIdle(&source, 200'000);
  ASSERT_TRUE(AwaitHeartbeat(&source).ok());
  Result<MySqlServer::Rows> replicas = server_->Query("SHOW REPLICAS");
  ASSERT_TRUE(replicas.ok());
  ASSERT_EQ(replicas->size(), 1u);
  EXPECT_THAT(replicas->at(0),
              ::testing::IsSupersetOf(
                  {std::to_string(kOurServerId), std::string("tidemark"), std::string(kOurUuid)}));
  // Somebody else who is to use our server_id learns it from the preflight.
  auto other = Connection::Open(Options());
  ASSERT_TRUE(other.ok());
  PreflightOptions clash;
  clash.server_id = kOurServerId;
  clash.our_uuid = Uuid::Parse("00000000-0000-0000-0000-000000000001").value();
  EXPECT_THAT(CheckSource(**other, clash)->ToStatus().message(), HasSubstr("server_id"));
  clash.our_uuid = Uuid::Parse(kOurUuid).value();
  EXPECT_TRUE(CheckSource(**other, clash)->fit());
}

TEST_F(SourceDump, ASecondDumpWithOurUuidThrowsTheFirstOut) {
  MySqlEventSource first(Options());
  StartIdle(&first, 200'000);
  ASSERT_TRUE(AwaitHeartbeat(&first).ok());
  MySqlEventSource second(Options());
  StartIdle(&second, 200'000);
  Status end = OkStatus();
  while (end.ok()) end = AwaitHeartbeat(&first);
  EXPECT_EQ(end.code(), Code::kSourceRefused) << end.message();
  EXPECT_THAT(end.message(), HasSubstr(kOurUuid));
  EXPECT_TRUE(AwaitHeartbeat(&second).ok());
}

TEST_F(SourceDump, HeartbeatsComeWhileTheSourceIsIdle) {
  MySqlEventSource source(Options());
  StartIdle(&source, 100'000);
  for (int i = 0; i < 3; ++i) {
    Status status = AwaitHeartbeat(&source);
    ASSERT_TRUE(status.ok()) << status.message();
  }
}

TEST_F(SourceDump, WithoutHeartbeatsTheLinkIsTakenForDead) {
  MySqlEventSource source(Options());
  StartIdle(&source, 100'000);
  ASSERT_TRUE(AwaitHeartbeat(&source).ok());
  kill(server_->pid(), SIGSTOP);
  Status end = OkStatus();
  while (end.ok()) end = AwaitHeartbeat(&source);
  kill(server_->pid(), SIGCONT);
  EXPECT_EQ(end.code(), Code::kSourceUnavailable) << end.message();
  EXPECT_THAT(end.hint(), HasSubstr("1 s"));
}

// The length of the very first one, by a megabyte: heartbeats would take an hour to fill it in. The
// minute for which a source may search in silence does not hold once it has answered.
TEST_F(SourceDump, AFirstPacketThatNeverBecomesWholeEndsTheLink) {
  auto proxy = testing::FaultProxy::Start(server_->port());
  ASSERT_TRUE(proxy.ok()) << proxy.error().message();
  ConnectionOptions options = Options();
  options.socket.clear();
  options.host = "127.0.0.1";
  options.port = static_cast<uint16_t>((*proxy)->port());
  options.tls.mode = TlsMode::kDisabled;
  ASSERT_EQ(options.read_timeout_s, 60u);
  MySqlEventSource source(options);
  ASSERT_TRUE(source.Connect().ok());
  constexpr uint64_t kOkBytes = 11;  // the answers to SET and COM_REGISTER_SLAVE
  (*proxy)->Damage(testing::FaultProxy::Way::kToClient, 2 * kOkBytes + 2,
                   testing::FaultProxy::Harm::kFlip, 0x10);
  DumpRequest request = Request("1-5");
  request.non_blocking = false;
  request.heartbeat_us = 100'000;
  ASSERT_TRUE(source.StartDump(request).ok());
  const auto event = source.Next();
  ASSERT_FALSE(event.ok());
  EXPECT_EQ(event.error().code(), Code::kSourceUnavailable) << event.error().message();
  EXPECT_THAT(event.error().hint(), HasSubstr("no event was whole for 1 s"));
}

TEST_F(SourceDump, InterruptEndsABlockedNextAndAllThatFollows) {
  MySqlEventSource source(Options());
  StartIdle(&source, 60'000'000);
  Status end;
  std::thread reader([&] { end = ReadToEnd(&source).end; });
  AwaitIdleDumpThread();
  auto begin = std::chrono::steady_clock::now();
  source.Interrupt();
  reader.join();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_EQ(end.code(), Code::kInterrupted) << end.message();
  EXPECT_EQ(source.Next().error().code(), Code::kInterrupted);
  EXPECT_EQ(source.Connect().error().code(), Code::kInterrupted);
}

TEST_F(SourceDump, AKilledServerIsUnavailable) {
  MySqlEventSource source(Options());
  StartIdle(&source, 60'000'000);
  Status end;
  std::thread reader([&] { end = ReadToEnd(&source).end; });
  AwaitIdleDumpThread();
  server_->Kill9();
  reader.join();
  EXPECT_EQ(end.code(), Code::kSourceUnavailable) << end.message();
  EXPECT_EQ(source.Connect().error().code(), Code::kSourceUnavailable);
  ASSERT_TRUE(server_->Restart().ok());
  EXPECT_TRUE(source.Connect().ok());
}

size_t ResidentBytes() {
  size_t pages = 0;
  std::ifstream statm("/proc/self/statm");
  statm >> pages >> pages;
  return pages * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

TEST_F(SourceDump, AGiantEventComesWholeAndItsBufferIsGivenBack) {
  if (testing::kSanitized) GTEST_SKIP() << "memory under a sanitizer says nothing";
  constexpr size_t kGiant = 90 * 1024 * 1024;
  Sql("INSERT INTO shop.t (b) VALUES (REPEAT('x', " + std::to_string(kGiant) + "))");
  Insert(1);
  MySqlEventSource source(Options());
  ASSERT_TRUE(source.Connect().ok());
  ASSERT_TRUE(source.StartDump(Request("1-5")).ok());
  Brought brought;
  size_t with_giant = 0;
  size_t after = 0;
  Result<Bytes> event = source.Next();
  for (; event.ok(); event = source.Next()) {
    if (with_giant != 0 && after == 0) after = ResidentBytes();
    Look(*event, &brought);
    if (event->size() > kGiant) with_giant = ResidentBytes();
  }
  EXPECT_EQ(event.error().code(), Code::kEndOfData) << event.error().message();
  EXPECT_EQ(brought.gnos, (std::vector<int64_t>{6, 7}));
  ASSERT_GT(with_giant, kGiant);
  EXPECT_LT(with_giant, kGiant * 3 / 2 + 64 * 1024 * 1024) << "the event is in memory once";
  EXPECT_LT(after + kGiant / 2, with_giant);
}

}  // namespace
}  // namespace tidemark
