// Connections as such: who gets in, what commands are answered, and what broken or hostile clients
// cost.
#include <sys/stat.h>

#include <atomic>

#include "tests/support/sanitized.h"
#include "tests/unit/serve/serve_fixture.h"

namespace tidemark::testing {
namespace {

using std::chrono::milliseconds;

// Of this process, resident.
size_t MemoryBytes() {
  std::ifstream statm("/proc/self/statm");
  size_t pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

TEST(ReplicaServer, LogsInAndAnswersCommandsUntilTheGoodbye) {
  ServedHistory served;
  served.Grow(3);
  RawClient client(served.Start());
  const ReceivedPacket ok = client.LogIn();
  ASSERT_TRUE(ok.IsOk());
  EXPECT_EQ(ok.sequence, 3) << "greeting 0, login 1, fast authentication 2";
  const ReceivedPacket pong = client.Command("\x0E");
  EXPECT_TRUE(pong.IsOk());
  EXPECT_EQ(pong.sequence, 1);
  EXPECT_TRUE(client.Command(QueryCommand("SET @source_binlog_checksum='CRC32'")).IsOk());
  EXPECT_EQ(client.Command("\x63").Error(), 1047u);
  EXPECT_EQ(client.Command("").Error(), 1047u);
  EXPECT_EQ(client.Command("\x02mysql").Error(), 1049u);
  client.SendPacket("\x01", 0);
  EXPECT_FALSE(client.Read().has_value());
  EXPECT_TRUE(served.server->LastDumpError().ok());
}

TEST(ReplicaServer, DumpByFileAndPositionIsToldAboutAutoPosition) {
  ServedHistory served;
  RawClient client(served.Start());
  ASSERT_TRUE(client.LogIn().IsOk());
  const ReceivedPacket refusal =
      client.Command(std::string("\x12\x04\0\0\0\0\0\x07\0\0\0binlog.000001", 24));
  EXPECT_EQ(refusal.Error(), 1236u);
  EXPECT_NE(refusal.payload.find("SOURCE_AUTO_POSITION=1"), std::string::npos) << refusal.payload;
}

TEST(ReplicaServer, WrongPasswordIsRefusedAndRemembered) {
  ServedHistory served;
  RawClient client(served.Start());
  EXPECT_EQ(client.LogIn(kWrongPassword).Error(), 1045u);
  EXPECT_FALSE(client.Read().has_value());
  ASSERT_TRUE(Eventually([&] { return !served.server->LastDumpError().ok(); }));
  const std::string message = served.server->LastDumpError().message();
  EXPECT_NE(message.find(kUser), std::string::npos) << message;
  EXPECT_EQ(message.find(kWrongPassword), std::string::npos) << message;
  EXPECT_TRUE(Eventually([&] { return served.server->Counters().logins_refused == 1; }));
}

TEST(ReplicaServer, GarbageIsToldSoAndCostsOnlyItsConnection) {
  ServedHistory served;
  RawClient garbage(served.Start());
  ASSERT_TRUE(garbage.Read().has_value());
  garbage.SendBytes("GET / HTTP/1.1\r\nHost: archive\r\n\r\n");
  EXPECT_EQ(garbage.Read().value_or(ReceivedPacket{}).Error(), 1156u);
  EXPECT_FALSE(garbage.Read().has_value());
  RawClient client(*served.server);
  EXPECT_TRUE(client.LogIn().IsOk());
}

TEST(ReplicaServer, LoginPacketBeyondItsLimitIsRefusedUnread) {
  ServedHistory served;
  RawClient client(served.Start());
  ASSERT_TRUE(client.Read().has_value());
  client.SendPacket(std::string(kLoginPacketBytesMax + 1, 'x'), 1);
  EXPECT_EQ(client.Read().value_or(ReceivedPacket{}).Error(), 1153u);
  EXPECT_FALSE(client.Read().has_value());
}

TEST(ReplicaServer, CommandAtItsLimitIsTakenAndBeyondItRefused) {
  ServedHistory served;
  RawClient client(served.Start());
  ASSERT_TRUE(client.LogIn().IsOk());
  const ReceivedPacket long_one =
      client.Command(QueryCommand(std::string(kCommandPacketBytesMax - 1, ' ')));
  EXPECT_NE(long_one.Error(), 0u);
  EXPECT_NE(long_one.Error(), 1153u);
  client.SendPacket(QueryCommand(std::string(kCommandPacketBytesMax, ' ')), 0);
  EXPECT_EQ(client.Read().value_or(ReceivedPacket{}).Error(), 1153u)
      << "the error must survive the unread rest";
  EXPECT_FALSE(client.Read().has_value());
}

TEST(ReplicaServer, CommandOutOfSequenceEndsTheConnection) {
  ServedHistory served;
  RawClient client(served.Start());
  ASSERT_TRUE(client.LogIn().IsOk());
  client.SendPacket("\x0E", 1);
  EXPECT_EQ(client.Read().value_or(ReceivedPacket{}).Error(), 1156u);
  EXPECT_FALSE(client.Read().has_value());
}

TEST(ReplicaServer, WhoDoesNotLogInIsClosedAtTheDeadline) {
  ServedHistory served({.login_max = milliseconds(50)});
  RawClient silent(served.Start());
  RawClient half(*served.server);
  RawClient in_tls(*served.server);
  ASSERT_TRUE(half.Read().has_value());
  half.SendBytes(std::string("\x20\0\0\x01half of it", 14));
  ASSERT_TRUE(in_tls.Read().has_value());
  std::string ssl_request;
  ByteWriter(&ssl_request).U32(1 << 9 | 1 << 11 | 1 << 15 | 1 << 19).U32(1 << 24).U8(255);
  in_tls.SendPacket(ssl_request + std::string(23, '\0'), 1);
  ASSERT_TRUE(silent.Read().has_value());
  EXPECT_FALSE(silent.Read().has_value());
  EXPECT_FALSE(half.Read().has_value());
  EXPECT_FALSE(in_tls.Read().has_value());
}

TEST(ReplicaServer, WhoIsIdleAfterTheLoginIsClosed) {
  ServedHistory served({.idle_max = milliseconds(50)});
  RawClient client(served.Start());
  ASSERT_TRUE(client.LogIn().IsOk());
  EXPECT_FALSE(client.Read().has_value());
}

TEST(ReplicaServer, OneConnectionTooManyIsTurnedAwayUntilOneLeaves) {
  ServedHistory served({.connections_max = 2});
  auto first = std::make_unique<RawClient>(served.Start());
  ASSERT_TRUE(first->LogIn().IsOk());
  RawClient second(*served.server);
  ASSERT_TRUE(second.LogIn().IsOk());
  RawClient third(*served.server);
  EXPECT_EQ(third.Read().value_or(ReceivedPacket{}).Error(), 1040u);
  EXPECT_FALSE(third.Read().has_value());
  first = nullptr;
  EXPECT_TRUE(Eventually([&] {
    RawClient next(*served.server);
    return next.LogIn().IsOk();
  }));
  EXPECT_GE(served.server->Counters().connections_refused, 1u);
}

TEST(ReplicaServer, PendingLoginsHaveALimitOfTheirOwn) {
  ServedHistory served({.pending_logins_max = 1});
  RawClient logged_in(served.Start());
  ASSERT_TRUE(logged_in.LogIn().IsOk());
  RawClient pending(*served.server);
  ASSERT_EQ(pending.Read().value_or(ReceivedPacket{}).Error(), 0u);
  RawClient next(*served.server);
  EXPECT_TRUE(next.LogIn().IsOk()) << "who says nothing shuts nobody out";
  EXPECT_FALSE(pending.Read().has_value());
  EXPECT_TRUE(logged_in.Command("\x0E").IsOk());
}

TEST(ReplicaServer, CommandsThatNeverComeCostNothing) {
  if (testing::kSanitized) GTEST_SKIP() << "memory under a sanitizer says nothing";
  ServedHistory served;
  served.Start();
  std::vector<std::unique_ptr<RawClient>> clients;
  const size_t before = MemoryBytes();
  constexpr size_t kClients = 100;
  for (size_t i = 0; i < kClients; ++i) {
    RawClient& client = *clients.emplace_back(std::make_unique<RawClient>(*served.server));
    ASSERT_TRUE(client.LogIn().IsOk());
    std::string header;
    ByteWriter(&header).U32(kCommandPacketBytesMax).U8(3);
    client.SendBytes(header);
  }
  RawClient last(*served.server);  // the others' bytes came before
  ASSERT_TRUE(last.LogIn().IsOk());
  EXPECT_LT(MemoryBytes() - before, kClients * kCommandPacketBytesMax / 4);
}

TEST(ReplicaServer, MalformedDumpRequestsAreRefused) {
  ServedHistory served;
  served.Grow(1);
  {
    RawClient client(served.Start());
    ASSERT_TRUE(client.LogIn().IsOk());
    EXPECT_EQ(client.Command("\x1E\x01").Error(), 1835u);
    EXPECT_FALSE(client.Read().has_value());
  }
  RawClient client(*served.server);
  ASSERT_TRUE(client.LogIn().IsOk());
  std::string dump;
  ByteWriter(&dump).U8(30).U16(0).U32(77).U32(0).U64(4).Text32("no GTID set");
  EXPECT_EQ(client.Command(dump).Error(), 1236u);
  EXPECT_FALSE(client.Read().has_value());
  EXPECT_EQ(served.server->Counters().sources.at("main").dumps_refused, 1u);
}

TEST(ReplicaServer, StopEndsEveryConnectionWhateverItIsDoing) {
  ServedHistory served;
  served.Grow(32, {.row_bytes = 1 << 20});
  RawClient greeted(served.Start());
  ASSERT_TRUE(greeted.Read().has_value());
  RawClient idle(*served.server);
  ASSERT_TRUE(idle.LogIn().IsOk());
  RawClient does_not_read(*served.server);  // 32 MiB are more than sockets hold
  ASSERT_TRUE(does_not_read.LogIn().IsOk());
  does_not_read.BeginDump();
  ASSERT_TRUE(Eventually([&] {
    const std::vector<ServedReplica> replicas = served.server->Replicas();
    return replicas.size() == 1 && replicas[0].bytes_sent > 0;
  }));
  served.server->Stop();
  EXPECT_FALSE(greeted.Read().has_value());
  EXPECT_FALSE(idle.Read().has_value());
  EXPECT_TRUE(served.server->Replicas().empty());
  const ServeCounters::Source counted = served.server->Counters().sources.at("main");
  EXPECT_GT(counted.bytes_sent, 0u) << "a dump that is over is forgotten";
  EXPECT_EQ(counted.dumps, 1u);
  EXPECT_EQ(counted.dumps_refused, 0u);
  served.server->Stop();  // once more does nothing
  served.server->NotifyDurable("main");
}

TEST(ReplicaServer, ClientThatTakesNothingIsClosedAtTheDeadline) {
  ServedHistory served({.stalled_max = milliseconds(100)});
  served.Grow(32, {.row_bytes = 1 << 20});
  RawClient client(served.Start());
  ASSERT_TRUE(client.LogIn().IsOk());
  client.BeginDump();
  ASSERT_TRUE(Eventually([&] { return !served.server->Replicas().empty(); }));
  EXPECT_TRUE(Eventually([&] { return served.server->Replicas().empty(); }));
  EXPECT_TRUE(served.server->LastDumpError().ok()) << "it was served, and then it stalled";
}

TEST(ReplicaServer, NotifyAndReplicasMayBeCalledWhileItStops) {
  for (int round = 0; round < 5; ++round) {
    ServedHistory served;
    served.Grow(100);
    RawClient client(served.Start());
    ASSERT_TRUE(client.LogIn().IsOk());
    client.BeginDump();
    ASSERT_TRUE(client.Read().value_or(ReceivedPacket{}).IsOk());
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        while (!stop) {
          served.server->NotifyDurable("main");
          served.server->NotifyDurable("another");
          EXPECT_LE(served.server->Replicas().size(), 1u);
        }
      });
    }
    served.server->Stop();
    stop = true;
    for (std::thread& thread : threads) thread.join();
  }
}

TEST(ReplicaServerStart, RefusesWhatCannotWork) {
  const auto code = [](const std::function<void(ServedHistory&)>& change) {
    ServedHistory served;
    change(served);
    Result<std::unique_ptr<ReplicaServer>> started = ReplicaServer::Start(served.options);
    return started.ok() ? Code::kOk : started.error().code();
  };
  EXPECT_EQ(code([](auto&) {}), Code::kOk);
  EXPECT_EQ(code([](auto& s) { s.options.listen_address = "localhost"; }), Code::kUsage);
  EXPECT_EQ(code([](auto& s) { s.options.accounts[0].source = "other"; }), Code::kUsage);
  EXPECT_EQ(code([](auto& s) { s.options.accounts[0].secret = ""; }), Code::kUsage);
  EXPECT_EQ(code([](auto& s) { s.options.accounts.push_back(s.options.accounts[0]); }),
            Code::kUsage);
  EXPECT_EQ(code([](auto& s) { s.options.sources.push_back(s.options.sources[0]); }), Code::kUsage);
  EXPECT_EQ(code([](auto& s) { s.options.tls_key_file = "/key"; }), Code::kUsage);
  EXPECT_EQ(code([](auto& s) {
              s.options.tls_certificate_file = s.options.tls_key_file = "/nowhere.pem";
            }),
            Code::kUsage);
}

TEST(ReplicaServerStart, SaysThatThePortIsTaken) {
  ServedHistory served;
  served.options.port = served.Start().port();
  Result<std::unique_ptr<ReplicaServer>> second = ReplicaServer::Start(served.options);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::kIo);
  EXPECT_NE(second.error().message().find(std::to_string(served.options.port)), std::string::npos);
  EXPECT_FALSE(second.error().hint().empty());
}

}  // namespace
}  // namespace tidemark::testing
