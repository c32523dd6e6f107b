// The client: what it sends, the answers that are legal, and its connections.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/rpc/compression.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/rpc/scripted_answers.h"

namespace tidemark::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempDir;

// ---- unary: answers that are legal

TEST(RpcClient, SendsWhatConnectAsksFor) {
  std::string request;
  ScriptedServer server([&request](Peer& peer) {
    request = peer.ReadRequest();
    peer.Send(Good("hi"));
  });
  {
    const Got got = CallOnce(server);
    ASSERT_TRUE(got.status.ok()) << got.status.message();
    EXPECT_EQ(got.text, "hi");
  }
  EXPECT_THAT(request, ::testing::StartsWith("POST /test.v1.Echo/Get HTTP/1.1\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nHost: " + server.endpoint() + "\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nContent-Type: application/proto\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nConnect-Protocol-Version: 1\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nAccept-Encoding: zstd, gzip\r\n"));
  EXPECT_THAT(request, ::testing::ContainsRegex("\r\nConnect-Timeout-Ms: (20000|1[0-9]{4})\r\n"));
  EXPECT_THAT(request, Not(HasSubstr("Authorization")));
  EXPECT_THAT(request, ::testing::EndsWith("\r\n\r\n" + Proto("hello")));
}

TEST(RpcClient, TakesAnAnswerInChunksOfAnySize) {
  const std::string body = Proto(std::string(300, 'x'));
  std::string chunks =
      "HTTP/1.1 200 OK\r\ncontent-type: Application/Proto\r\n"
      "transfer-encoding: chunked\r\n\r\n";
  for (const char c : body) chunks += "1;extension=\"x\"\r\n" + std::string(1, c) + "\r\n";
  const Got got = CallAnswered(chunks + "0\r\nTrailer: t\r\n\r\n");
  ASSERT_TRUE(got.status.ok()) << got.status.message();
  EXPECT_EQ(got.text, std::string(300, 'x'));
}

TEST(RpcClient, TakesAnAnswerByteByByte) {
  ScriptedServer server([](Peer& peer) {
    peer.ReadRequest();
    for (const char c : Good("slow")) peer.Send({&c, 1});
  });
  EXPECT_EQ(CallOnce(server).text, "slow");
}

TEST(RpcClient, TakesAnAnswerThatEndsWithTheConnection) {
  const Got got =
      CallAnswered("HTTP/1.0 200 OK\r\nContent-Type: application/proto\r\n\r\n" + Proto("old"));
  ASSERT_TRUE(got.status.ok()) << got.status.message();
  EXPECT_EQ(got.text, "old");
}

TEST(RpcClient, TakesAnEmptyMessage) {
  EXPECT_TRUE(CallAnswered(Answer(200, "application/proto", "")).status.ok());
}

TEST(RpcClient, SkipsInformationalAnswers) {
  const std::string early =
      "HTTP/1.1 100 Continue\r\n\r\n"
      "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
  EXPECT_EQ(CallAnswered(early + Good("after")).text, "after");
  std::string endless;
  for (int i = 0; i < 1000; ++i) endless += "HTTP/1.1 100 Continue\r\n\r\n";
  EXPECT_EQ(CallAnswered(endless).status.code(), Code::kCorruption);
  EXPECT_EQ(CallAnswered("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n").status.code(),
            Code::kCorruption);
}

TEST(RpcClient, ExpandsGzipAndZstd) {
  const std::string text(10'000, 'z');
  for (const Compression how : {Compression::kGzip, Compression::kZstd}) {
    const std::string field = std::string("Content-Encoding: ") + CompressionName(how) + "\r\n";
    const Got got =
        CallAnswered(Answer(200, "application/proto", Compress(how, Proto(text)), field));
    ASSERT_TRUE(got.status.ok()) << got.status.message();
    EXPECT_EQ(got.text, text);
  }
}

TEST(RpcClient, OffersOnlyWhatItIsTold) {
  std::string request;
  ScriptedServer server([&request](Peer& peer) {
    request = peer.ReadRequest();
    peer.Send(Good(""));
  });
  RpcClientOptions options = OptionsFor(server.endpoint());
  options.offer_zstd = options.offer_gzip = false;
  EXPECT_TRUE(Call(*ClientOf(options)).status.ok());
  EXPECT_THAT(request, HasSubstr("\r\nAccept-Encoding: identity\r\n"));
}

// ---- connections

TEST(RpcClient, KeepsOneConnection) {
  ScriptedServer server(Always(Good("again")));
  const auto client = ClientOf(server);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Call(*client).text, "again");
  EXPECT_EQ(server.connections(), 1);
}

TEST(RpcClient, KeepsTheConnectionAfterAnError) {
  ScriptedServer server(Always(Answer(404, "application/json", R"({"code":"not_found"})")));
  const auto client = ClientOf(server);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Call(*client).status.code(), Code::kNotFound);
  EXPECT_EQ(server.connections(), 1);
}

TEST(RpcClient, ConnectsAnewWhenTheServerSaysClose) {
  ScriptedServer server(
      Always(Answer(200, "application/proto", Proto("x"), "Connection: close\r\n")));
  const auto client = ClientOf(server);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(Call(*client).status.ok());
  EXPECT_EQ(server.connections(), 3);
}

TEST(RpcClient, ConnectsAnewWhenTheServerHasHungUp) {
  // Hangs up without having said so: also for calls that must not be made twice.
  for (const char* method : {"Get", "Set"}) {
    ScriptedServer server(Once(Good("x")));
    const auto client = ClientOf(server);
    EXPECT_TRUE(Call(*client, method).status.ok());
    // Until the end has arrived here.
    const auto deadline = steady_clock::now() + std::chrono::seconds(10);
    Got got;
    do {
      got = Call(*client, method);
    } while (!got.status.ok() && steady_clock::now() < deadline);
    EXPECT_TRUE(got.status.ok()) << got.status.message();
    EXPECT_GE(server.connections(), 2);
  }
}

TEST(RpcClient, ACallOnAConnectionThatDiesUnderItIsMadeAgainAtOnce) {
  // Reads the second request and hangs up: only by its silence can the client know.
  const auto dies = [](Peer& peer) {
    peer.ReadRequest();
    peer.Send(Good("first"));
    peer.ReadRequest();
  };
  ScriptedServer server({dies, Always(Good("second"))});
  const auto client = ClientOf(server);  // of one attempt
  EXPECT_EQ(Call(*client).text, "first");
  EXPECT_EQ(Call(*client).text, "second");
  // And is not, if it may have had effects.
  ScriptedServer other({dies, Always(Good("second"))});
  const auto careful = ClientOf(other);
  EXPECT_EQ(Call(*careful, "Set").text, "first");
  const Got got = Call(*careful, "Set");
  EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(got.status.hint(), HasSubstr("may or may not"));
  EXPECT_EQ(other.connections(), 1);
}

TEST(RpcClient, BytesBehindAnAnswerAreNotTheNextAnswer) {
  ScriptedServer server({Once(Good("one") + Good("forged")), Once(Good("two"))});
  const auto client = ClientOf(server);
  EXPECT_EQ(Call(*client).text, "one");
  EXPECT_EQ(Call(*client).text, "two");
}

TEST(RpcClient, SpeaksOverAUnixSocket) {
  TempDir dir;
  ScriptedServer server({Always(Good("unix"))}, {.unix_path = dir.Path("rpc.sock")});
  EXPECT_EQ(CallOnce(server).text, "unix");
  const auto nobody = Call(*ClientOf(OptionsFor("unix:" + dir.Path("nobody"))));
  EXPECT_EQ(nobody.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(nobody.status.message(), HasSubstr(dir.Path("nobody")));
}

TEST(RpcClient, SaysThatNobodyListens) {
  std::string endpoint;
  {
    ScriptedServer server(Silent());
    endpoint = server.endpoint();
  }
  const Got got = Call(*ClientOf(OptionsFor(endpoint)));
  EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(got.status.message(), AllOf(HasSubstr(endpoint), HasSubstr("refused")));
  EXPECT_FALSE(got.status.hint().empty());
}

TEST(RpcClient, SaysThatAHostHasNoAddress) {
  RpcClientOptions options = OptionsFor("no-such-host.invalid:1");
  options.tls.use = TlsUse::kOff;
  const Got got = Call(*ClientOf(options));
  EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(got.status.message(), HasSubstr("no-such-host.invalid"));
}

}  // namespace
}  // namespace tidemark::rpc
