// The link between primary and tidemarkd, made bad in every way that a proxy can (fault_proxy.h):
// cut, stalled, slow, damaged, with and without TLS. Whatever happens to it, the archive ends up
// with the primary's own bytes, without anybody's help.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <random>

#include "tests/e2e/daemon_fixture.h"
#include "tests/support/fault_proxy.h"
#include "tests/support/seed.h"

namespace tidemark {
namespace {

using testing::Daemon;
using testing::ExecutedOn;
using testing::FaultProxy;
using testing::kPatienceMs;
using testing::Load;
using testing::WaitUntil;

using Way = FaultProxy::Way;
using CutBy = FaultProxy::CutBy;
using Harm = FaultProxy::Harm;

class LinkFaults : public ::testing::TestWithParam<bool> {  // with TLS
 protected:
  void SetUp() override {
    primary_ = testing::StartPrimary({"--max-binlog-size=8M"});
    ASSERT_TRUE(primary_);
    // Leading files without a transaction are not archived.
    ASSERT_TRUE(primary_->Execute("CREATE DATABASE first").ok());
    auto proxy = FaultProxy::Start(primary_->port());
    ASSERT_TRUE(proxy.ok()) << proxy.error().message();
    proxy_ = std::move(*proxy);
    daemon_.AddSourceAtPort("main", proxy_->port(),
                            std::string("tls = \"") + (GetParam() ? "required" : "disabled") +
                                "\"\nconnect_timeout_s = 1\n");
    daemon_.Start();
    ASSERT_TRUE(WaitUntil([&] { return Connections() == 1; }, kPatienceMs)) << daemon_.LogTail();
    login_bytes_ = proxy_->forwarded_bytes(Way::kToServer);
    ASSERT_GT(login_bytes_, 300u);
  }
  uint64_t Connections() const {
    const std::string view = testing::ReadWholeFile(daemon_.archive() + "/main/daemon.json");
    const nlohmann::json daemon = nlohmann::json::parse(view, nullptr, false);
    return daemon.is_object() ? daemon.value("connections", uint64_t{0}) : 0;
  }
  void ExpectArchivedByteForByte() {
    proxy_->Heal();
    ASSERT_TRUE(primary_->Execute("FLUSH BINARY LOGS").ok());
    ASSERT_TRUE(primary_->Execute("CREATE DATABASE IF NOT EXISTS last").ok());
    ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_))) << daemon_.LogTail();
    EXPECT_EQ(daemon_.Archived(), ExecutedOn(*primary_));
    EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
    daemon_.ExpectVerified();
    daemon_.ExpectFilesExact(*primary_);
  }

  std::mt19937_64 random_{testing::TestSeed()};
  std::unique_ptr<testing::MySqlServer> primary_;
  std::unique_ptr<FaultProxy> proxy_;
  uint64_t login_bytes_ = 0;  // that go to the source at least, each time
  Daemon daemon_;
};

TEST_P(LinkFaults, CutAtAnyByte) {
  Load load(*primary_);
  for (int round = 0; round < 25; ++round) {
    SCOPED_TRACE(round);
    const uint64_t links = proxy_->accepted();
    const Way way = random_() % 4 == 0 ? Way::kToServer : Way::kToClient;
    // A few bytes: in the midst of logging in. More: of a transaction.
    const uint64_t bytes = random_() % (way == Way::kToServer ? 1500 : 60'000);
    proxy_->CutAfter(way, bytes, random_() % 2 == 0 ? CutBy::kReset : CutBy::kEnd);
    if (way == Way::kToServer) proxy_->Cut(CutBy::kReset);  // or nothing would go that way
    ASSERT_TRUE(WaitUntil([&] { return proxy_->accepted() > links; }, kPatienceMs))
        << daemon_.LogTail();
  }
  load.Stop();
  ExpectArchivedByteForByte();
}

TEST_P(LinkFaults, AStalledLinkIsNoticedByItsMissingHeartbeats) {
  Load load(*primary_, 1);
  ASSERT_TRUE(load.WaitForCommits(50));
  proxy_->Stall(true);
  EXPECT_TRUE(daemon_.WaitForError("source-unavailable")) << daemon_.LogTail();
  ASSERT_TRUE(load.WaitForCommits(50));
  proxy_->Heal();
  load.Stop();
  ExpectArchivedByteForByte();
}

// A byte at a time is late, but no fault: the link must not be given up.
TEST_P(LinkFaults, ASlowLinkIsWaitedFor) {
  ASSERT_TRUE(primary_->Execute("CREATE DATABASE d; CREATE TABLE d.t (b LONGBLOB)").ok());
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_))) << daemon_.LogTail();
  proxy_->Throttle(200'000);
  proxy_->Delay(100);
  ASSERT_TRUE(primary_->Execute("INSERT INTO d.t VALUES (REPEAT('x', 1000000))").ok());
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_))) << daemon_.LogTail();
  EXPECT_EQ(Connections(), 1u) << daemon_.LogTail();
  ExpectArchivedByteForByte();
}

// The length in front of a packet says far more than will ever come, and heartbeats fill it in: no
// read timeout sees that.
TEST_P(LinkFaults, ADamagedLengthEndsInAnotherConnectionNotInAWait) {
  const uint64_t harmed = proxy_->harmed_bytes();
  // The next byte is a packet's (or TLS record's) first: an idle source's, or under load one that
  // is still on its way to the dump's first event.
  proxy_->Damage(Way::kToClient, GetParam() ? 3 : 2, Harm::kFlip, 0x10);
  ASSERT_TRUE(WaitUntil([&] { return proxy_->harmed_bytes() > harmed; }, kPatienceMs));
  EXPECT_TRUE(WaitUntil([&] { return Connections() == 2; }, 20'000)) << daemon_.LogTail();
  ExpectArchivedByteForByte();
}

// Bytes of a server's greeting, with its packet's header: what comes before anything of TLS.
uint64_t GreetingBytes(int port) {
  const int peer = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  std::array<uint8_t, 3> length{};
  EXPECT_EQ(::connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::recv(peer, length.data(), length.size(), MSG_WAITALL), ssize_t{3});
  ::close(peer);
  return 4 + length[0] + (length[1] << 8) + (length[2] << 16);
}

// Of the greeting, or with TLS of the handshake's first record, which then never becomes whole; the
// library has no timeout there.
TEST_P(LinkFaults, ADamagedLengthInTheLoginEndsInAnotherLogin) {
  const uint64_t tls_record_length = 3;  // its upper byte
  const uint64_t harmed = proxy_->harmed_bytes();
  const uint64_t offset = GetParam() ? GreetingBytes(primary_->port()) + tls_record_length : 1;
  proxy_->Damage(Way::kToClient, offset, Harm::kFlip, 0x20);
  proxy_->Cut(CutBy::kReset);
  ASSERT_TRUE(WaitUntil([&] { return proxy_->harmed_bytes() > harmed; }, kPatienceMs));
  EXPECT_TRUE(WaitUntil([&] { return Connections() == 2; }, 20'000)) << daemon_.LogTail();
  ExpectArchivedByteForByte();
}

TEST_P(LinkFaults, DamagedBytesNeverReachTheArchive) {
  Load load(*primary_);
  for (int round = 0; round < 50; ++round) {
    SCOPED_TRACE(round);
    const uint64_t harmed = proxy_->harmed_bytes();
    const auto harm =
        std::array{Harm::kFlip, Harm::kFlip, Harm::kDrop, Harm::kDuplicate}[random_() % 4];
    const auto mask = static_cast<uint8_t>(1u << random_() % 8);
    // Every other one meets a connection that is being made, or its dump's first events.
    const bool early = round % 2 == 0;
    proxy_->Damage(Way::kToClient, random_() % (early ? 6'000 : 200'000), harm, mask);
    if (early) proxy_->Cut(CutBy::kReset);
    ASSERT_TRUE(WaitUntil([&] { return proxy_->harmed_bytes() > harmed; }, kPatienceMs))
        << daemon_.LogTail();
  }
  load.Stop();
  ExpectArchivedByteForByte();
  const std::string log = testing::ReadWholeFile(daemon_.log());
  EXPECT_EQ(log.find("wrong checksum") != std::string::npos, !GetParam())
      << "TLS lets nothing through that would have to be noticed behind it\n"
      << log;
}

// What goes to the source: logging in, questions, the request of the dump. Without TLS a damaged
// request may make the source leave out transactions; then that is an error, not silence.
TEST_P(LinkFaults, ADamagedRequestLosesNothingInSilence) {
  Load load(*primary_, 1);
  for (int round = 0; round < 40; ++round) {
    const uint64_t harmed = proxy_->harmed_bytes();
    proxy_->Damage(Way::kToServer, random_() % login_bytes_, Harm::kFlip,
                   static_cast<uint8_t>(1u << random_() % 8));
    proxy_->Cut(CutBy::kReset);
    ASSERT_TRUE(WaitUntil([&] { return proxy_->harmed_bytes() > harmed; }, kPatienceMs))
        << daemon_.LogTail();
  }
  load.Stop();
  proxy_->Heal();
  ASSERT_TRUE(primary_->Execute("FLUSH BINARY LOGS").ok());
  ASSERT_TRUE(primary_->Execute("CREATE DATABASE last").ok());
  const GtidSet executed = ExecutedOn(*primary_);
  ASSERT_TRUE(WaitUntil(
      [&] {
        const nlohmann::json status = daemon_.Status();
        if (!status.is_object() || !status["daemon"].is_object()) return false;
        const nlohmann::json& daemon = status["daemon"];
        return daemon_.Archived() == executed ||
               (daemon.contains("error") && daemon["error"]["code"] == "gap");
      },
      kPatienceMs))
      << daemon_.LogTail();
  EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
  daemon_.ExpectVerified();
}

INSTANTIATE_TEST_SUITE_P(With, LinkFaults, ::testing::Bool(),
                         [](const auto& tls) { return tls.param ? "Tls" : "NoTls"; });

}  // namespace
}  // namespace tidemark
