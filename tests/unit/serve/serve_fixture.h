// A ReplicaServer on loopback over a made-up archive, and a client that speaks the protocol byte by
// byte, blocking, as far as the tests want it to.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "pitr/serve/replica_server.h"
#include "replication/source/mysql_event_source.h"
#include "tests/unit/pitr/history.h"

namespace tidemark::testing {

inline constexpr char kUser[] = "replica";
inline constexpr char kPassword[] = "a secret, of course";
inline constexpr char kWrongPassword[] = "another";
inline const Uuid kServerUuid = *Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000001");
inline const Uuid kReplicaUuid = *Uuid::Parse("cccccccc-0000-0000-0000-000000000001");

// True as soon as `condition` is; false if it is not within ten seconds.
inline bool Eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

class ServedHistory {
 public:
  explicit ServedHistory(ServeLimits limits = {}) {
    spdlog::set_level(spdlog::level::off);
    options.limits = limits;
    options.accounts = {{kUser, kPassword, "main"}};
    ServedSource source;
    source.name = "main";
    source.server_uuid = kServerUuid;
    source.server_id = 4711;
    source.open_feed = ArchiveFeeds([this] {
      return ArchiveView::Over(PosixFileSystem(), history.dir.path(), "main",
                               history.builder.index());
    });
    options.sources.push_back(source);
  }
  ReplicaServer& Start() {
    Result<std::unique_ptr<ReplicaServer>> started = ReplicaServer::Start(options);
    EXPECT_TRUE(started.ok()) << started.error().message();
    if (!started.ok()) abort();
    server = std::move(*started);
    return *server;
  }
  // So many transactions in a new file, published.
  void Grow(int transactions, TransactionSpec spec = {}) {
    if (history.file.empty()) history.BeginFile("binlog.000001");
    history.AddMany(transactions, spec);
    history.builder.Publish();
  }
  void GrowAndNotify(int transactions) {
    Grow(transactions);
    server->NotifyDurable("main");
  }
  tidemark::ConnectionOptions ClientOptions(TlsMode tls) {
    const std::string file = history.dir.Path("password");
    std::ofstream(file) << kPassword << "\n";
    EXPECT_EQ(::chmod(file.c_str(), 0600), 0);
    tidemark::ConnectionOptions client;
    client.host = "127.0.0.1";
    client.port = server->port();
    client.user = kUser;
    client.password.file = file;
    client.tls.mode = tls;
    client.read_timeout_s = 20;
    return client;
  }

  History history;
  ServeOptions options;
  std::unique_ptr<ReplicaServer> server;
};

struct ReceivedPacket {
  uint8_t sequence = 0;
  std::string payload;
  bool IsOk() const { return !payload.empty() && payload[0] == 0; }
  unsigned Error() const {
    if (payload.size() < 3 || static_cast<uint8_t>(payload[0]) != 0xFF) return 0;
    return static_cast<unsigned>(LoadLittleEndian(AsBytes(payload).data() + 1, 2));
  }
};

// Reads give up after 20 s, so that a hanging server fails its test.
class RawClient {
 public:
  explicit RawClient(const ReplicaServer& server) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const timeval patience{20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server.port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  ~RawClient() { ::close(socket_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  void SendBytes(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the server may have closed: what it said is read next
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  void SendPacket(std::string_view payload, uint8_t sequence) {
    std::string packet;
    AppendPacket(payload, &sequence, &packet);
    SendBytes(packet);
  }
  // nullopt: the server has closed. A time-out fails the test.
  std::optional<ReceivedPacket> Read() {
    std::optional<std::string> header = ReadBytes(kPacketHeaderSize);
    if (!header) return std::nullopt;
    const PacketHeader parsed = ReadPacketHeader(AsBytes(*header).data());
    std::optional<std::string> payload = ReadBytes(parsed.payload_bytes);
    if (!payload) return std::nullopt;
    return ReceivedPacket{parsed.sequence, *payload};
  }
  bool SaysSomethingWithin(std::chrono::milliseconds time) {
    pollfd waiting{socket_, POLLIN, 0};
    return ::poll(&waiting, 1, static_cast<int>(time.count())) > 0;
  }
  // What the server answers to a command, in one packet.
  ReceivedPacket Command(std::string_view payload) {
    SendPacket(payload, 0);
    std::optional<ReceivedPacket> answer = Read();
    EXPECT_TRUE(answer.has_value()) << "closed instead of an answer";
    return answer.value_or(ReceivedPacket{});
  }
  // Asks for all that there is.
  void BeginDump();
  // Fast authentication: from the greeting to the server's verdict.
  ReceivedPacket LogIn(std::string_view password = kPassword) {
    std::optional<ReceivedPacket> greeting = Read();
    EXPECT_TRUE(greeting.has_value());
    if (!greeting || greeting->Error() != 0) return greeting.value_or(ReceivedPacket{});
    SendPacket(LoginPayload(greeting->payload, password), 1);
    ReceivedPacket verdict = Read().value_or(ReceivedPacket{});
    const bool fast_ok = verdict.payload == std::string_view("\x01\x03", 2);
    return fast_ok ? Read().value_or(ReceivedPacket{}) : verdict;
  }

 private:
  static std::string LoginPayload(const std::string& greeting, std::string_view password) {
    ByteReader reader(AsBytes(greeting));
    reader.Skip(greeting.find('\0') + 1 + 4);
    Nonce nonce{};
    const Bytes head = reader.Take(8);
    reader.Skip(19);
    const Bytes tail = reader.Take(12);
    EXPECT_TRUE(reader.ok());
    std::copy(head.begin(), head.end(), nonce.begin());
    std::copy(tail.begin(), tail.end(), nonce.begin() + 8);
    constexpr uint32_t kCapabilities = 1 << 9 | 1 << 15 | 1 << 19;
    std::string payload;
    ByteWriter(&payload).U32(kCapabilities).U32(1 << 24).U8(255);
    payload.append(23, '\0');
    const std::string scramble = Scramble(password, nonce);
    ByteWriter(&payload)
        .Text(kUser)
        .U8(0)
        .U8(static_cast<uint8_t>(scramble.size()))
        .Text(scramble)
        .Text("caching_sha2_password")
        .U8(0);
    return payload;
  }
  std::optional<std::string> ReadBytes(size_t size) {
    std::string bytes(size, '\0');
    for (size_t at = 0; at < size;) {
      const ssize_t got = ::recv(socket_, bytes.data() + at, size - at, 0);
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) ADD_FAILURE() << "nothing came";
      if (got <= 0) return std::nullopt;
      at += static_cast<size_t>(got);
    }
    return bytes;
  }

  int socket_;
};

inline std::string QueryCommand(std::string_view sql) { return '\x03' + std::string(sql); }

inline std::string DumpCommand(const GtidSet& executed, uint32_t server_id = 77) {
  const std::string set = executed.Encode();
  std::string payload;
  ByteWriter(&payload).U8(30).U16(0).U32(server_id).U32(0).U64(4).Text32(set);
  return payload;
}

inline void RawClient::BeginDump() {
  EXPECT_TRUE(Command(QueryCommand("SET @source_binlog_checksum='CRC32'")).IsOk());
  SendPacket(DumpCommand({}), 0);
}

}  // namespace tidemark::testing
