// TLS on a connection, record by record: what does not fit, what comes at once, who leaves without
// a word, and what one costs.
#include <gmock/gmock.h>

#include <cstdio>
#include <memory>

#include "tests/support/sanitized.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/rpc/rpc_server_fixture.h"
#include "tests/unit/rpc/test_certificates.h"

namespace tidemark::testing {
namespace {

constexpr size_t kManyBytes = 12 << 20;  // more than the sockets of both sides hold

class TlsStreamTest : public RpcServerTest, public ::testing::WithParamInterface<int> {
 protected:
  TlsStreamTest() : context_(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free) {
    const TestCertificate server({"server", "IP:127.0.0.1"});
    server.WriteCertificate(dir_.Path("cert.pem"));
    server.WriteKey(dir_.Path("key.pem"));
    options_.tls = {dir_.Path("cert.pem"), dir_.Path("key.pem"), "", false};
    options_.listeners = {{"127.0.0.1:0", true}};
    SSL_CTX_set_min_proto_version(context_.get(), GetParam());
    SSL_CTX_set_max_proto_version(context_.get(), GetParam());
  }
  std::unique_ptr<WireClient> Connect() {
    auto client = std::make_unique<WireClient>(address_, context_.get());
    EXPECT_TRUE(client->secured());
    return client;
  }

  const TempDir dir_;
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
};

INSTANTIATE_TEST_SUITE_P(Tls, TlsStreamTest, ::testing::Values(TLS1_2_VERSION, TLS1_3_VERSION),
                         [](const auto& tested) {
                           return tested.param == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

TEST_P(TlsStreamTest, WhatNoSocketHoldsArrivesWholeInBothDirections) {
  Start();
  const auto client = Connect();
  std::string value(kManyBytes, 'x');
  for (size_t i = 0; i < value.size(); i += 1000) value[i] = static_cast<char>('a' + i / 1000 % 26);
  ASSERT_TRUE(client->Send(Post("Get", "\"" + value + "\"")));
  // It cannot be sent whole before it is read.
  ASSERT_TRUE(Eventually([&] { return server_->Counters().active_calls == 0; }));
  EXPECT_LT(server_->Counters().bytes_out, kManyBytes);
  const WireAnswer answer = client->ReadAnswer();
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.body == "\"" + value + "\"") << answer.body.size();
}

TEST_P(TlsStreamTest, RequestsThatComeAtOnceAreAnsweredInTurn) {
  Start();
  const auto client = Connect();
  std::string requests;
  for (int i = 0; i < 50; ++i) requests += Post("Get", "\"" + std::to_string(i) + "\"");
  ASSERT_TRUE(client->Send(requests));
  for (int i = 0; i < 50; ++i)
    EXPECT_EQ(client->ReadAnswer().body, "\"" + std::to_string(i) + "\"");
}

TEST_P(TlsStreamTest, WhoLeavesWithOrWithoutAWordEndsTheStream) {
  Start();
  for (const bool says_so : {true, false}) {
    const auto client = Connect();
    client->Send(PostStream("topic"));
    ASSERT_TRUE(Eventually([&] { return streams_alive_ == 1; }));
    if (says_so) SSL_shutdown(client->ssl());
    if (!says_so) client->EndSending();
    EXPECT_TRUE(Eventually([&] { return streams_alive_ == 0; }));
  }
}

// Also while it is being written to: no signal ends the process.
TEST_P(TlsStreamTest, WhoIsGoneInTheMiddleOfAnAnswerCostsOneConnection) {
  Start();
  auto client = Connect();
  client->Send(PostStream("flood"));
  ASSERT_TRUE(Eventually([&] { return flooded_ > 1000; }));
  client.reset();
  EXPECT_TRUE(Eventually([&] { return streams_alive_ == 0; }));
  const auto next = Connect();
  next->Send(Post("Get", "\"x\""));
  EXPECT_EQ(next->ReadAnswer().body, "\"x\"");
}

TEST_P(TlsStreamTest, GarbageBehindTheHandshakeClosesTheConnection) {
  Start();
  const auto client = Connect();
  const std::string garbage(100, 'x');
  ASSERT_EQ(::send(client->fd(), garbage.data(), garbage.size(), MSG_NOSIGNAL), 100);
  EXPECT_TRUE(client->ServerCloses());
}

long ResidentKib() {
  long pages = 0;
  FILE* file = std::fopen("/proc/self/statm", "r");
  EXPECT_EQ(std::fscanf(file, "%*d %ld", &pages), 1);
  std::fclose(file);
  return pages * (::sysconf(_SC_PAGESIZE) / 1024);
}

// Both ends are counted, and the client's keeps its buffers.
TEST_P(TlsStreamTest, AnIdleStreamCostsLessThan70KiB) {
  if (testing::kSanitized) GTEST_SKIP() << "memory under a sanitizer says nothing";
  options_.limits.strangers_max = 1100;
  Start();
  const long before = ResidentKib();
  std::vector<std::unique_ptr<WireClient>> clients;
  for (int i = 0; i < 400; ++i) {
    clients.push_back(Connect());
    clients.back()->Send(PostStream("topic"));
  }
  ASSERT_TRUE(Eventually([&] { return streams_alive_ == 400; }));
  Publish();
  for (const auto& client : clients) {
    client->ReadAnswer(/*head_only=*/true);
    EXPECT_FALSE(client->ReadChunk().empty());
  }
  const long each = (ResidentKib() - before) / 400;
  RecordProperty("kib_each", std::to_string(each));
  EXPECT_LT(each, 70);
}

}  // namespace
}  // namespace tidemark::testing
