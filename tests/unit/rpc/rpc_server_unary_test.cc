// Unary calls, pages, and what is no call at all, over real sockets.
#include <gmock/gmock.h>

#include "proto/rpc/compression.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/rpc/rpc_server_fixture.h"

namespace tidemark::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kProto = "Content-Type: application/proto\r\n";
constexpr const char* kJson = "Content-Type: application/json\r\n";

TEST_F(RpcServerTest, AnswersJson) {
  Start();
  const WireAnswer answer = Ask(Post("Get", "\"hello\""));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/json");
  EXPECT_EQ(answer.body, "\"hello\"");
}

TEST_F(RpcServerTest, AnswersProto) {
  Start();
  const WireAnswer answer = Ask(Post("Get", Text("hello").SerializeAsString(), kProto));
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.at("content-type"), "application/proto");
  EXPECT_EQ(answer.body, Text("hello").SerializeAsString());
}

TEST_F(RpcServerTest, AnErrorOfAHandlerIsConnectsJsonWithOurDetail) {
  Start();
  const WireAnswer answer = Ask(Post("Get", "\"missing\""));
  EXPECT_EQ(answer.status, 404);
  const auto error = rpc::DecodeErrorJson(answer.body);
  ASSERT_TRUE(error.ok()) << answer.body;
  const Status status = ToStatus(*error);
  EXPECT_EQ(status.code(), Code::kNotFound);
  EXPECT_EQ(status.message(), "no such thing");
  EXPECT_EQ(status.hint(), "look elsewhere");
}

TEST_F(RpcServerTest, AHandlerThatThrowsIsAnInternalErrorAndTheConnectionGoesOn) {
  Start();
  WireClient client(address_);
  client.Send(Post("Get", "\"throw\""));
  EXPECT_EQ(client.ReadAnswer().status, 500);
  client.Send(Post("Get", "\"again\""));
  EXPECT_EQ(client.ReadAnswer().body, "\"again\"");
}

TEST_F(RpcServerTest, PipelinedRequestsAreAnsweredInOrder) {
  Start();
  WireClient client(address_);
  client.Send(Post("Get", "\"1\"") + Post("Get", "\"missing\"") + Post("Get", "\"3\""));
  EXPECT_EQ(client.ReadAnswer().body, "\"1\"");
  EXPECT_EQ(client.ReadAnswer().status, 404);
  EXPECT_EQ(client.ReadAnswer().body, "\"3\"");
}

TEST_F(RpcServerTest, ARequestThatComesByteByByteIsOne) {
  Start();
  WireClient client(address_);
  for (const char byte : Post("Get", "\"slow\"")) client.Send(std::string(1, byte));
  EXPECT_EQ(client.ReadAnswer().body, "\"slow\"");
}

TEST_F(RpcServerTest, AChunkedBodyIsTaken) {
  Start();
  EXPECT_EQ(Ask("POST /test.v1.Echo/Get HTTP/1.1\r\nContent-Type: application/json\r\n"
                "Transfer-Encoding: chunked\r\n\r\n3\r\n\"ab\r\n2\r\nc\"\r\n0\r\n\r\n")
                .body,
            "\"abc\"");
}

TEST_F(RpcServerTest, WhoEndedItsHalfStillGetsItsAnswers) {
  Start();
  WireClient client(address_);
  client.Send(Post("Get", "\"1\"") + Post("Get", "\"2\""));
  client.EndSending();
  EXPECT_EQ(client.ReadAnswer().body, "\"1\"");
  EXPECT_EQ(client.ReadAnswer().body, "\"2\"");
  EXPECT_TRUE(client.ServerCloses());
}

TEST_F(RpcServerTest, OneWhoWaitsFor100ContinueIsToldToGoOn) {
  Start();
  WireClient client(address_);
  const std::string request = Post("Get", "\"x\"", std::string(kJson) + "Expect: 100-continue\r\n");
  client.Send(request.substr(0, request.size() - 3));
  EXPECT_EQ(client.ReadAnswer().status, 100);
  client.Send("\"x\"");
  EXPECT_EQ(client.ReadAnswer().body, "\"x\"");
}

TEST_F(RpcServerTest, HttpOneDotZeroIsAnsweredAndClosed) {
  Start();
  WireClient client(address_);
  client.Send(
      "POST /test.v1.Echo/Get HTTP/1.0\r\nContent-Type: application/json\r\n"
      "Content-Length: 3\r\n\r\n\"x\"");
  EXPECT_EQ(client.ReadAnswer().body, "\"x\"");
  EXPECT_TRUE(client.ServerCloses());
}

TEST_F(RpcServerTest, WhatIsNoCallHasItsHttpStatus) {
  Start();
  const WireAnswer unknown = Ask("POST /test.v1.Echo/Nothing HTTP/1.1\r\n\r\n");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(rpc::DecodeErrorJson(unknown.body)->code, rpc::RpcCode::kUnimplemented);
  const WireAnswer got = Ask("GET /test.v1.Echo/Get HTTP/1.1\r\n\r\n");
  EXPECT_EQ(got.status, 405);
  EXPECT_EQ(got.headers.at("allow"), "POST");
  EXPECT_EQ(Ask(Post("Get", "x", "Content-Type: text/plain\r\n")).status, 415);
  EXPECT_EQ(Ask(Post("Get", "x", "")).status, 415);
  EXPECT_EQ(Ask(Post("Get", "x", "Content-Type: application/connect+json\r\n")).status, 415);
  EXPECT_EQ(Ask(Post("Follow", "x", kJson)).status, 415);
}

TEST_F(RpcServerTest, MalformedMessagesAreInvalidArguments) {
  Start();
  for (const WireAnswer& answer :
       {Ask(Post("Get", "{]")), Ask(Post("Get", "\xff\xff\xff", kProto)), Ask(Post("Get", "")),
        Ask(Post("Get", "no gzip", std::string(kJson) + "Content-Encoding: gzip\r\n")),
        Ask(Post("Get", "\"x\"", std::string(kJson) + "Connect-Protocol-Version: 2\r\n")),
        Ask(Post("Get", "\"x\"", std::string(kJson) + "Connect-Timeout-Ms: 12345678901\r\n")),
        Ask(Post("Get", "\"x\"", std::string(kJson) + "Connect-Timeout-Ms: -1\r\n"))}) {
    EXPECT_EQ(answer.status, 400);
    const auto error = rpc::DecodeErrorJson(answer.body);
    ASSERT_TRUE(error.ok());
    EXPECT_EQ(error->code, rpc::RpcCode::kInvalidArgument) << answer.body;
  }
  const WireAnswer unknown = Ask(Post("Get", "x", std::string(kJson) + "Content-Encoding: br\r\n"));
  EXPECT_EQ(unknown.status, 501);
  EXPECT_THAT(unknown.body, HasSubstr("gzip, zstd"));
}

TEST_F(RpcServerTest, CompressesWhatIsWorthItAsTheClientAsks) {
  Start();
  for (const rpc::Compression one : {rpc::Compression::kGzip, rpc::Compression::kZstd}) {
    const std::string name = rpc::CompressionName(one);
    const std::string request = rpc::Compress(one, "\"big:5000\"");
    const WireAnswer answer = Ask(Post("Get", request,
                                       std::string(kJson) + "Content-Encoding: " + name +
                                           "\r\nAccept-Encoding: br, " + name + "\r\n"));
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.headers.at("content-encoding"), name);
    EXPECT_LT(answer.body.size(), 500u);
    EXPECT_EQ(*rpc::Decompress(one, answer.body, 10000), "\"" + std::string(5000, 'x') + "\"");
  }
  EXPECT_FALSE(Ask(Post("Get", "\"x\"", std::string(kJson) + "Accept-Encoding: gzip\r\n"))
                   .headers.contains("content-encoding"));
}

TEST_F(RpcServerTest, LongerThanTheLimitIsResourceExhausted) {
  options_.limits.message_bytes_max = 1000;
  Start();
  const std::string bomb = rpc::Compress(rpc::Compression::kZstd, std::string(1 << 20, ' '));
  for (const std::string& request :
       {Post("Get", std::string(2000, ' ')),
        std::string("POST /test.v1.Echo/Get HTTP/1.1\r\nContent-Type: application/json\r\n"
                    "Content-Length: 99999999999999\r\n\r\n"),
        "POST /test.v1.Echo/Get HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: "
        "chunked\r\n\r\n1000\r\n" +
            std::string(4096, ' ') + "\r\n",
        Post("Get", bomb, std::string(kJson) + "Content-Encoding: zstd\r\n")}) {
    const WireAnswer answer = Ask(request);
    EXPECT_EQ(answer.status, 429) << answer.body;
    EXPECT_EQ(rpc::DecodeErrorJson(answer.body)->code, rpc::RpcCode::kResourceExhausted);
  }
}

TEST_F(RpcServerTest, RequestsOfAllClientsTogetherHaveALimit) {
  options_.limits.body_bytes_max = 3000;
  Start();
  WireClient holder(address_);
  const std::string body = "\"" + std::string(2000, 'x') + "\"";
  const std::string request = Post("Get", body);
  holder.Send(request.substr(0, request.size() - 1));
  ASSERT_TRUE(Eventually([&] { return Ask(request).status == 429; }));
  holder.Send(request.substr(request.size() - 1));
  EXPECT_EQ(holder.ReadAnswer().body, body);
  EXPECT_EQ(Ask(request).status, 200);  // given back
}

TEST_F(RpcServerTest, AHeadThatIsTooLongIs431) {
  Start();
  EXPECT_EQ(Ask("POST / HTTP/1.1\r\nX: " + std::string(20000, 'x') + "\r\n\r\n").status, 431);
  WireClient endless(address_);
  endless.Send("POST / HTTP/1.1\r\nX: " + std::string(40000, 'x'));
  EXPECT_EQ(endless.ReadAnswer().status, 431);
  EXPECT_TRUE(endless.ServerCloses());
}

TEST_F(RpcServerTest, GarbageIsAnsweredWith400AndClosed) {
  Start();
  for (const std::string& garbage :
       {std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
        std::string("hello\r\n\r\n"), std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        std::string(100, '\0'),
        std::string("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
        std::string("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")}) {
    WireClient client(address_);
    client.Send(garbage);
    client.EndSending();
    EXPECT_EQ(client.ReadAnswer().status, 400) << garbage;
    EXPECT_TRUE(client.ServerCloses());
  }
}

TEST_F(RpcServerTest, WhoTakesTooLongWithHeadOrBodyIsClosed) {
  options_.limits.head_max = std::chrono::milliseconds(100);
  options_.limits.body_max = std::chrono::milliseconds(100);
  Start();
  WireClient silent(address_);
  WireClient in_head(address_);
  WireClient in_body(address_);
  in_head.Send("POST / HT");
  const std::string request = Post("Get", "\"x\"");
  in_body.Send(request.substr(0, request.size() - 1));
  EXPECT_TRUE(silent.ServerCloses());
  EXPECT_TRUE(in_head.ServerCloses());
  EXPECT_TRUE(in_body.ServerCloses());
}

TEST_F(RpcServerTest, ADeadlineReachesTheHandlerAndTheClientIsAnsweredInTime) {
  Start();
  const std::string timeout = std::string(kJson) + "Connect-Timeout-Ms: 50\r\n";
  const WireAnswer answer = Ask(Post("Get", "\"wait\"", timeout));
  EXPECT_EQ(answer.status, 504);
  EXPECT_EQ(rpc::DecodeErrorJson(answer.body)->code, rpc::RpcCode::kDeadlineExceeded);
  WaitFor([&] { return cancelled_ == 1; });
  // One that does not heed it holds up nobody but itself.
  WireClient client(address_);
  client.Send(Post("Get", "\"stubborn\"", timeout));
  EXPECT_EQ(client.ReadAnswer().status, 504);
  client.Send(Post("Get", "\"next\""));
  EXPECT_EQ(client.ReadAnswer().body, "\"next\"");
  EXPECT_EQ(server_->Counters().active_calls, 1u);
  Release();
  EXPECT_TRUE(Eventually([&] { return server_->Counters().active_calls == 0; }));
}

TEST_F(RpcServerTest, ADeadlineThatHasPassedReachesNoHandler) {
  Start();
  EXPECT_EQ(Ask(Post("Get", "\"wait\"", std::string(kJson) + "Connect-Timeout-Ms: 0\r\n")).status,
            504);
  EXPECT_EQ(waiting_, 0);
}

TEST_F(RpcServerTest, AClientThatLeavesCancelsItsHandler) {
  Start();
  {
    WireClient client(address_);
    client.Send(Post("Get", "\"wait\""));
    WaitFor([&] { return waiting_ == 1; });
  }
  WaitFor([&] { return cancelled_ == 1; });
}

TEST_F(RpcServerTest, APipelinedRequestIsNoLeave) {
  Start();
  WireClient client(address_);
  client.Send(Post("Get", "\"wait\""));
  WaitFor([&] { return waiting_ == 1; });
  client.Send(Post("Get", "\"2\""));
  Release();
  EXPECT_EQ(client.ReadAnswer().body, "\"wait\"");
  EXPECT_EQ(client.ReadAnswer().body, "\"2\"");
}

TEST_F(RpcServerTest, MoreCallsThanAllowedAreResourceExhausted) {
  options_.limits.calls_max = 1;
  Start();
  WireClient client(address_);
  client.Send(Post("Get", "\"wait\""));
  WaitFor([&] { return waiting_ == 1; });
  EXPECT_EQ(Ask(Post("Get", "\"2\"")).status, 429);
  Release();
  EXPECT_EQ(client.ReadAnswer().status, 200);
  EXPECT_EQ(Ask(Post("Get", "\"2\"")).status, 200);
}

TEST_F(RpcServerTest, MoreConnectionsThanAllowedAreTurnedAway) {
  options_.limits.connections_max = 1;
  Start();
  {
    WireClient first(address_);
    first.Send(Post("Get", "\"1\""));
    EXPECT_EQ(first.ReadAnswer().status, 200);
    WireClient second(address_);
    EXPECT_EQ(second.ReadAnswer().status, 503);
  }
  ASSERT_TRUE(Eventually([&] { return server_->Counters().connections == 0; }));
  EXPECT_EQ(Ask(Post("Get", "\"3\"")).status, 200);
  EXPECT_EQ(server_->Counters().connections_refused, 1u);
}

TEST_F(RpcServerTest, StrangersDoNotKeepKnownOnesOut) {
  options_.limits.strangers_max = 1;
  Start();
  WireClient known(address_);
  known.Send(Post("Get", "\"1\""));
  EXPECT_EQ(known.ReadAnswer().status, 200);
  WireClient stranger(address_);
  ASSERT_TRUE(Eventually([&] { return server_->Counters().connections == 2; }));
  WireClient another(address_);
  EXPECT_EQ(another.ReadAnswer().status, 503);
  known.Send(Post("Get", "\"2\""));
  EXPECT_EQ(known.ReadAnswer().status, 200);
}

TEST_F(RpcServerTest, PagesAreGot) {
  Start();
  WireClient client(address_);
  client.Send("GET /healthz?full=1 HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer().body, "ok\n");
  client.Send("HEAD /healthz HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer(/*head_only=*/true).headers.at("content-length"), "3");
  client.Send("GET /metrics HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer().body, "m 1\n");
  client.Send("POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer().status, 405);
  client.Send("GET /nothing HTTP/1.1\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer().status, 404);
}

TEST_F(RpcServerTest, AnswersPagesAndNoCallsBeforeItAcceptsThem) {
  Start();
  server_->AcceptCalls(false);
  const WireAnswer early = Ask(Post("Get", "\"x\""));
  EXPECT_EQ(early.status, 503);
  EXPECT_NE(early.body.find("unavailable"), std::string::npos);
  EXPECT_EQ(Ask("GET /healthz HTTP/1.1\r\n\r\n").status, 200);
  server_->AcceptCalls(true);
  EXPECT_EQ(Ask(Post("Get", "\"x\"")).status, 200);
}

TEST_F(RpcServerTest, CountsCallsByMethodAndCode) {
  Start();
  Ask(Post("Get", "\"1\""));
  Ask(Post("Get", "\"missing\""));
  Ask("POST /elsewhere HTTP/1.1\r\n\r\n");
  const rpc::RpcCounters counters = server_->Counters();
  EXPECT_EQ(counters.calls.at({"test.v1.Echo/Get", "ok"}).count, 1u);
  EXPECT_EQ(counters.calls.at({"test.v1.Echo/Get", "not_found"}).count, 1u);
  EXPECT_EQ(counters.calls.at({"unknown", "unimplemented"}).count, 1u);
  EXPECT_EQ(counters.connections_accepted, 3u);
  EXPECT_GT(counters.bytes_in, 200u);
  EXPECT_GT(counters.bytes_out, 200u);
}

TEST_F(RpcServerTest, StopCancelsHandlersAndTellsTheirClients) {
  Start();
  WireClient client(address_);
  WireClient idle(address_);
  client.Send(Post("Get", "\"wait\""));
  WaitFor([&] { return waiting_ == 1; });
  server_->Stop();
  EXPECT_EQ(client.ReadAnswer().status, 503);
  EXPECT_TRUE(client.ServerCloses());
  EXPECT_TRUE(idle.ServerCloses());
}

TEST_F(RpcServerTest, CurlCalls) {
  if (::access("/usr/bin/curl", X_OK) != 0) GTEST_SKIP() << "there is no curl";
  const TempDir dir;
  options_.listeners.push_back({"unix:" + dir.Path("rpc.sock")});
  Start();
  const std::string get = " -sS -H 'Content-Type: application/json' -d '\"hi\"' ";
  const std::string out = dir.Path("out");
  const auto curl = [&](const std::string& arguments) {
    EXPECT_EQ(std::system(("curl" + arguments + " >" + out + " 2>&1").c_str()), 0);
    FILE* file = std::fopen(out.c_str(), "r");
    char text[4096] = {};
    const size_t size = std::fread(text, 1, sizeof(text), file);
    std::fclose(file);
    return std::string(text, size);
  };
  EXPECT_EQ(curl(get + "http://" + address_ + "/test.v1.Echo/Get"), "\"hi\"");
  EXPECT_EQ(curl(get + "--compressed --http2 http://" + address_ + "/test.v1.Echo/Get"), "\"hi\"");
  EXPECT_EQ(
      curl(get + "--unix-socket " + dir.Path("rpc.sock") + " http://localhost/test.v1.Echo/Get"),
      "\"hi\"");
}

}  // namespace
}  // namespace tidemark::testing
