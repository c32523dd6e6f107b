// The client's streams: their order, their end, and that none is silently short.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "proto/rpc/compression.h"
#include "proto/rpc/rpc_error.h"
#include "tests/unit/rpc/scripted_answers.h"

namespace tidemark::rpc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Streamed {
  Status opened;
  std::vector<std::string> texts;
  Status status;  // OK: ended well
  ClientStream::Metadata metadata;
};
Streamed Drain(RpcClient& client, const CallOptions& options = {}) {
  Streamed got;
  auto stream = client.OpenStream(TestMethod("Follow"), Text("from"), options);
  if (!stream.ok()) {
    got.opened = got.status = stream.error();
    return got;
  }
  for (;;) {
    StringValue message;
    const Result<bool> next = (*stream)->Next(&message);
    if (!next.ok()) got.status = next.error();
    if (!next.ok() || !*next) break;
    got.texts.push_back(message.value());
  }
  StringValue ignored;
  const Result<bool> again = (*stream)->Next(&ignored);  // it stays as it is
  EXPECT_EQ(again.ok(), got.status.ok());
  EXPECT_TRUE(!again.ok() || !*again);
  EXPECT_TRUE(again.ok() || again.error().message() == got.status.message());
  got.metadata = (*stream)->metadata();
  return got;
}
Streamed DrainAnswered(const std::string& answer) {
  ScriptedServer server(Once(answer));
  return Drain(*ClientOf(server));
}

TEST(RpcClientStream, GivesMessagesInOrderAndItsEnd) {
  std::string request;
  ScriptedServer server([&request](Peer& peer) {
    request = peer.ReadRequest();
    peer.Send(kChunkedHead + Chunk(Item("a") + Item("")) + Chunk(Item("c").substr(0, 3)));
    peer.Send(Chunk(Item("c").substr(3)) + Chunk(End(R"({"metadata":{"x-note":["n1","n2"]}})")) +
              "0\r\n\r\n");
  });
  {
    const Streamed got = Drain(*ClientOf(server));
    EXPECT_TRUE(got.status.ok()) << got.status.message();
    EXPECT_THAT(got.texts, ::testing::ElementsAre("a", "", "c"));
    EXPECT_THAT(got.metadata, ::testing::ElementsAre(::testing::Pair("x-note", "n1"),
                                                     ::testing::Pair("x-note", "n2")));
  }
  EXPECT_THAT(request, HasSubstr("\r\nContent-Type: application/connect+proto\r\n"));
  EXPECT_THAT(request, HasSubstr("\r\nConnect-Accept-Encoding: zstd, gzip\r\n"));
  EXPECT_THAT(request, Not(HasSubstr("Connect-Timeout-Ms")));
  EXPECT_THAT(request, ::testing::EndsWith("\r\n\r\n" + Item("from")));
}

TEST(RpcClientStream, TakesCompressedMessagesAndEnd) {
  for (const Compression how : {Compression::kGzip, Compression::kZstd}) {
    const std::string head =
        std::string(kStreamHead) + "Connect-Content-Encoding: " + CompressionName(how) + "\r\n\r\n";
    const Streamed got = DrainAnswered(
        head + Enveloped(kEnvelopeCompressed, Compress(how, Proto(std::string(5000, 'q')))) +
        Item("plain") + Enveloped(kEnvelopeCompressed | kEnvelopeEndStream, Compress(how, "{}")));
    EXPECT_TRUE(got.status.ok()) << got.status.message();
    EXPECT_THAT(got.texts, ::testing::ElementsAre(std::string(5000, 'q'), "plain"));
  }
}

TEST(RpcClientStream, EndsWithTheServersVeryStatus) {
  const RpcError error = ToRpcError(Status(Code::kGap, "7 are missing", "look at them"));
  const Streamed got =
      DrainAnswered(kChunkedHead + Chunk(Item("a") + End(EncodeEndStream(error))) + "0\r\n\r\n");
  EXPECT_TRUE(got.opened.ok());
  EXPECT_EQ(got.texts.size(), 1u);
  EXPECT_EQ(got.status.code(), Code::kGap);
  EXPECT_EQ(got.status.message(), "7 are missing");
  EXPECT_EQ(got.status.hint(), "look at them");
}

TEST(RpcClientStream, IsNeverSilentlyShort) {
  const std::string items = Item("a") + Item("b");
  const std::string end = End();
  // Cut anywhere behind the two: with the connection's end as the body's end, in a chunk, and with
  // an HTTP body that is whole.
  for (size_t cut = 0; cut < end.size(); ++cut) {
    const std::string body = items + end.substr(0, cut);
    for (const std::string& answer :
         {std::string(kStreamHead) + "\r\n" + body, kChunkedHead + Chunk(body),
          kChunkedHead + Chunk(body) + "0\r\n\r\n"}) {
      const Streamed got = DrainAnswered(answer);
      EXPECT_EQ(got.status.code(), Code::kSourceUnavailable) << cut << got.status.message();
      EXPECT_EQ(got.texts.size(), 2u);
    }
  }
}

TEST(RpcClientStream, AResetGivesWhatCameBefore) {
  std::atomic<bool> taken = false;
  ScriptedServer server([&taken](Peer& peer) {
    peer.ReadRequest();
    peer.Send(kChunkedHead + Chunk(Item("a")));
    while (!taken) std::this_thread::yield();
    peer.Reset();
  });
  const auto client = ClientOf(server);
  auto stream = client->OpenStream(TestMethod("Follow"), Text(""));
  ASSERT_TRUE(stream.ok()) << stream.error().message();
  StringValue message;
  const Result<bool> first = (*stream)->Next(&message);
  taken = true;
  ASSERT_TRUE(first.ok() && *first);
  const Result<bool> second = (*stream)->Next(&message);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::kSourceUnavailable);
}

TEST(RpcClientStream, RefusesBadEnvelopes) {
  const std::string hostile("\x00\xff\xff\xff\xff", 5);
  for (const std::string& body :
       {hostile, Enveloped(4, "x"), Enveloped(0, "\xff\xff"), End("no json"), End(R"({"error":1})"),
        Enveloped(kEnvelopeCompressed, "x"),  // nothing says how
        Enveloped(kEnvelopeEndStream, std::string(2 << 20, ' '))}) {
    const Streamed got = DrainAnswered(kChunkedHead + Chunk(Item("a") + body) + "0\r\n\r\n");
    EXPECT_EQ(got.texts.size(), 1u);
    EXPECT_EQ(got.status.code(), Code::kCorruption) << got.status.message();
  }
}

TEST(RpcClientStream, RefusesABombInAMessage) {
  ScriptedServer server(
      Once(std::string(kStreamHead) + "Connect-Content-Encoding: gzip\r\n\r\n" +
           Enveloped(kEnvelopeCompressed,
                     Compress(Compression::kGzip, Proto(std::string(1 << 20, 'x'))))));
  RpcClientOptions options = OptionsFor(server.endpoint());
  options.message_bytes_max = 100'000;
  EXPECT_EQ(Drain(*ClientOf(options)).status.code(), Code::kCorruption);
}

TEST(RpcClientStream, RefusalsAreToldWhenOpening) {
  EXPECT_EQ(DrainAnswered(Answer(404, "application/json", R"({"code":"not_found"})")).opened.code(),
            Code::kNotFound);
  EXPECT_EQ(DrainAnswered(Answer(200, "text/html", "<h1>")).opened.code(), Code::kSourceRefused);
  EXPECT_EQ(DrainAnswered(Good("unary")).opened.code(), Code::kSourceRefused);
  EXPECT_EQ(DrainAnswered(Answer(502, "text/html", "")).opened.code(), Code::kSourceUnavailable);
  EXPECT_EQ(DrainAnswered("").opened.code(), Code::kSourceUnavailable);
}

TEST(RpcClientStream, OpeningIsTriedAgain) {
  ScriptedServer server({Once(""), Once(Answer(503, "text/plain", "")),
                         Once(std::string(kStreamHead) + "\r\n" + Item("a") + End())});
  EXPECT_EQ(Drain(*ClientOf(Patient(server, 3))).texts.size(), 1u);
}

TEST(RpcClientStream, SilenceAndDeadlineAndInterruptionEndIt) {
  const auto script = Greets(kChunkedHead + Chunk(Item("a")));
  ScriptedServer server(script);
  const auto client = ClientOf(server);
  const Streamed silent = Drain(*client, {.silence_max = milliseconds(100)});
  EXPECT_EQ(silent.texts.size(), 1u);
  EXPECT_EQ(silent.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(silent.status.message(), HasSubstr("nothing for 100 ms"));
  const Streamed late = Drain(*client, {.deadline = milliseconds(100)});
  EXPECT_EQ(late.status.code(), Code::kSourceUnavailable);
  std::atomic<int> asked = 0;
  const Streamed stopped = Drain(*client, {.interrupted = [&asked] { return ++asked > 10; }});
  EXPECT_EQ(stopped.status.code(), Code::kInterrupted);
}

TEST(RpcClientStream, AnEndlessStreamGoesOnForAsLongAsItIsRead) {
  ScriptedServer server([](Peer& peer) {
    peer.ReadRequest();
    peer.Send(kChunkedHead);
    SendForever(peer, Chunk(Item(std::string(10'000, 'x'))));
  });
  const auto client = ClientOf(server);
  auto stream = client->OpenStream(TestMethod("Follow"), Text(""));
  ASSERT_TRUE(stream.ok());
  StringValue message;
  for (int i = 0; i < 5000; ++i) {
    const Result<bool> next = (*stream)->Next(&message);
    ASSERT_TRUE(next.ok() && *next);
  }
}

TEST(RpcClientStream, UnaryCallsGoOnBesideIt) {
  const auto script = [](Peer& peer) {
    for (std::string request = peer.ReadRequest(); !request.empty(); request = peer.ReadRequest()) {
      const bool is_stream = request.find("/Follow ") != std::string::npos;
      peer.Send(is_stream ? kChunkedHead + Chunk(Item("a") + End()) + "0\r\n\r\n" : Good("beside"));
    }
  };
  ScriptedServer server(script);
  auto client = ClientOf(server);
  auto stream = client->OpenStream(TestMethod("Follow"), Text(""));
  ASSERT_TRUE(stream.ok());
  EXPECT_EQ(Call(*client).text, "beside");
  client.reset();  // which the stream outlives
  StringValue message;
  EXPECT_TRUE(*(*stream)->Next(&message));
  EXPECT_FALSE(*(*stream)->Next(&message));
}

}  // namespace
}  // namespace tidemark::rpc
