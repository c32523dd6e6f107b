// The client: errors, peers that are something else, limits, time, and retries.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/rpc/compression.h"
#include "proto/rpc/rpc_error.h"
#include "tests/unit/rpc/scripted_answers.h"

namespace tidemark::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// ---- unary: errors of the server

TEST(RpcClient, GivesBackTheServersVeryStatus) {
  for (uint8_t value = 1; value <= static_cast<uint8_t>(Code::kIo); ++value) {
    const auto code = static_cast<Code>(value);
    if (code == Code::kInterrupted) continue;  // that is ours alone; below
    const RpcError error = ToRpcError(Status(code, "what 'x' was", "what to do"));
    const Got got =
        CallAnswered(Answer(HttpStatusOf(error.code), "application/json", EncodeErrorJson(error)));
    EXPECT_EQ(got.status.code(), code);
    EXPECT_EQ(got.status.message(), "what 'x' was");
    EXPECT_EQ(got.status.hint(), "what to do");
  }
}

TEST(RpcClient, AServerThatGivesUpHasNotInterruptedUs) {
  for (const bool deadline : {false, true}) {
    const RpcError error = ToRpcError(Status(Code::kInterrupted, "stopping"), deadline);
    const Got got =
        CallAnswered(Answer(HttpStatusOf(error.code), "application/json", EncodeErrorJson(error)));
    EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
    EXPECT_THAT(got.status.message(), HasSubstr(deadline ? "in time" : "stopping"));
  }
}

TEST(RpcClient, TakesAnErrorWithoutDetail) {
  const Got got = CallAnswered(
      Answer(401, "application/json", R"({"code":"unauthenticated","message":"no such token"})"));
  EXPECT_EQ(got.status.code(), Code::kSourceRefused);
  EXPECT_EQ(got.status.message(), "no such token");
  EXPECT_THAT(got.status.hint(), HasSubstr("token"));
}

TEST(RpcClient, TakesACompressedError) {
  const std::string json = R"({"code":"not_found","message":"nothing of it"})";
  const Got got = CallAnswered(Answer(404, "application/json", Compress(Compression::kGzip, json),
                                      "Content-Encoding: gzip\r\n"));
  EXPECT_EQ(got.status.code(), Code::kNotFound);
  EXPECT_EQ(got.status.message(), "nothing of it");
}

TEST(RpcClient, ErrorsCannotWriteToTheTerminal) {
  const Got got = CallAnswered(
      Answer(404, "application/json",
             "{\"code\":\"not_found\",\"message\":\"\\u001b[2Jgone\\u009b2J\\u0007\"}"));
  EXPECT_EQ(got.status.message(), "?[2Jgone?2J?");
}

TEST(RpcClient, ExplainsAProxysAnswer) {
  const std::string page = "<html><head><title>502 Bad Gateway</title></head></html>";
  const Got bad_gateway = CallAnswered(Answer(502, "text/html", page));
  EXPECT_EQ(bad_gateway.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(bad_gateway.status.message(),
              AllOf(HasSubstr("HTTP 502"), HasSubstr("502 Bad Gateway"), Not(HasSubstr("<"))));
  EXPECT_THAT(bad_gateway.status.hint(), HasSubstr("proxy"));

  const Got missing = CallAnswered(Answer(404, "text/html", "<h1>no such page</h1>"));
  EXPECT_EQ(missing.status.code(), Code::kSourceRefused);
  EXPECT_THAT(missing.status.message(), HasSubstr("HTTP 404"));

  const Got page_of_somebody = CallAnswered(Answer(200, "text/html; charset=utf-8", "<h1>hi</h1>"));
  EXPECT_EQ(page_of_somebody.status.code(), Code::kSourceRefused);
  EXPECT_THAT(page_of_somebody.status.message(), HasSubstr("text/html"));

  const Got moved =
      CallAnswered(Answer(301, "text/html", "", "Location: https://other.example/\r\n"));
  EXPECT_THAT(moved.status.message(), HasSubstr("https://other.example/"));

  const Got other_json = CallAnswered(Answer(503, "application/json", R"({"error":"busy"})"));
  EXPECT_EQ(other_json.status.code(), Code::kSourceUnavailable);
  const Got other_code = CallAnswered(Answer(403, "application/json", R"({"code":42})"));
  EXPECT_EQ(other_code.status.code(), Code::kSourceRefused);

  const Got wants_tls = CallAnswered(
      Answer(400, "text/html", "<title>400 The plain HTTP request was sent to HTTPS port</title>"));
  EXPECT_EQ(wants_tls.status.code(), Code::kSourceRefused);
  EXPECT_THAT(wants_tls.status.message(), HasSubstr("wants TLS"));
}

TEST(RpcClient, AnErrorThatBreaksOffIsStillAnError) {
  const Got got = CallAnswered(
      "HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 1000\r\n\r\n<html>");
  EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(got.status.message(), HasSubstr("HTTP 502"));
}

// ---- peers that are something else

TEST(RpcClient, KnowsOtherProtocols) {
  const std::string mysql(
      "\x4a\x00\x00\x00\x0a"
      "9.7.4\0",
      11);
  const std::string blocked("\x45\x00\x00\x00\xff\x69\x04Host is blocked", 22);
  const std::string alert("\x15\x03\x01\x00\x02\x02\x46", 7);
  const std::string http2("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00", 10);
  const std::vector<std::pair<std::string, std::string>> greetings = {
      {mysql, "MySQL"},
      {blocked, "MySQL"},
      {alert, "TLS"},
      {"SSH-2.0-x\r\n", "SSH"},
      {http2, "HTTP/2"},
      {"220 mail\r\n", "32 32 30"},
      {"HTTP/2.0 200\r\n", "another protocol"}};
  for (const auto& [greeting, name] : greetings) {
    ScriptedServer server(Greets(greeting));
    const Got got = CallOnce(server);
    EXPECT_EQ(got.status.code(), Code::kSourceRefused) << name;
    EXPECT_THAT(got.status.message(), AllOf(HasSubstr(server.endpoint()), HasSubstr(name)));
    EXPECT_FALSE(got.status.hint().empty());
  }
}

TEST(RpcClient, RefusesMalformedHttp) {
  const std::string head = "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\n";
  for (const std::string& answer :
       {std::string("HTTP/1.1 OK\r\n\r\n"), head + "no colon\r\n\r\n",
        head + "Content-Length: -1\r\n\r\n",
        head + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        head + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        head + "Content-Length: 99999999999999999999\r\n\r\n"}) {
    const Got got = CallAnswered(answer);
    EXPECT_EQ(got.status.code(), Code::kCorruption) << answer << got.status.message();
  }
}

TEST(RpcClient, HeadsHaveALimit) {
  const std::string begin = "HTTP/1.1 200 OK\r\n";
  std::string many = begin;
  for (int i = 0; i < 100'000; ++i) many += "a: b\r\n";
  EXPECT_EQ(CallAnswered(many).status.code(), Code::kCorruption);
  EXPECT_EQ(CallAnswered(begin + "a: " + std::string(1 << 20, 'x')).status.code(),
            Code::kCorruption);
  const std::string chunked = begin + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(CallAnswered(chunked + "1;" + std::string(1 << 20, 'x')).status.code(),
            Code::kCorruption);
}

// ---- truncation and limits

TEST(RpcClient, AnAnswerCutAnywhereIsUnavailable) {
  const std::string whole = Good("never whole");
  for (size_t size = 0; size < whole.size(); size += size < 4 ? 1 : 7) {
    const Got got = CallAnswered(whole.substr(0, size));
    EXPECT_EQ(got.status.code(), Code::kSourceUnavailable) << size << got.status.message();
  }
  ScriptedServer server([&whole](Peer& peer) {
    peer.ReadRequest();
    peer.Send(whole.substr(0, whole.size() - 1));
    peer.Reset();
  });
  EXPECT_EQ(CallOnce(server).status.code(), Code::kSourceUnavailable);
}

TEST(RpcClient, RefusesWhatIsNotTheMessage) {
  EXPECT_EQ(CallAnswered(Answer(200, "application/proto", "\xff\xff\xff")).status.code(),
            Code::kCorruption);
  EXPECT_EQ(
      CallAnswered(Answer(200, "application/proto", "x", "Content-Encoding: br\r\n")).status.code(),
      Code::kCorruption);
  EXPECT_EQ(CallAnswered(Answer(200, "application/proto", "x", "Content-Encoding: gzip\r\n"))
                .status.code(),
            Code::kCorruption);
}

Got CallWithLimit(uint32_t message_bytes_max, const ScriptedServer::Script& script) {
  ScriptedServer server(script);
  RpcClientOptions options = OptionsFor(server.endpoint());
  options.message_bytes_max = message_bytes_max;
  return Call(*ClientOf(options));
}

TEST(RpcClient, ResponsesHaveALimit) {
  const uint32_t limit = 1000;
  const std::string fits = Proto(std::string(limit - 3, 'x'));  // tag and a length of two bytes
  ASSERT_EQ(fits.size(), limit);
  EXPECT_TRUE(CallWithLimit(limit, Once(Answer(200, "application/proto", fits))).status.ok());
  EXPECT_EQ(CallWithLimit(limit - 1, Once(Answer(200, "application/proto", fits))).status.code(),
            Code::kCorruption);
  // Compressed, it would be short enough.
  const std::string packed = Compress(Compression::kZstd, fits);
  const auto bomb = Once(Answer(200, "application/proto", packed, "Content-Encoding: zstd\r\n"));
  ASSERT_LT(packed.size(), limit / 2);
  EXPECT_TRUE(CallWithLimit(limit, bomb).status.ok());
  const Got burst = CallWithLimit(limit - 1, bomb);
  EXPECT_EQ(burst.status.code(), Code::kCorruption);
  EXPECT_THAT(burst.status.message(), HasSubstr("more than 999 bytes"));
  // Announced: refused before it comes.
  EXPECT_EQ(CallWithLimit(limit,
                          [](Peer& peer) {
                            peer.ReadRequest();
                            peer.Send(
                                "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\n"
                                "Content-Length: 10000000000\r\n\r\n");
                            peer.WaitForEnd();
                          })
                .status.code(),
            Code::kCorruption);
}

TEST(RpcClient, EndlessAnswersEnd) {
  for (const int status : {200, 500}) {
    const Got got = CallWithLimit(1 << 20, [status](Peer& peer) {
      peer.ReadRequest();
      peer.Send("HTTP/1.1 " + std::to_string(status) +
                " X\r\nContent-Type: application/proto\r\nTransfer-Encoding: chunked\r\n\r\n");
      SendForever(peer, Chunk(std::string(64 << 10, 'x')));
    });
    EXPECT_EQ(got.status.code(), status == 200 ? Code::kCorruption : Code::kSourceUnavailable);
  }
}

// ---- time and interruption

// Looking the name up and connecting take their part of the deadline, on a busy machine as well.
TEST(RpcClient, ASlowServerTimesOut) {
  constexpr milliseconds kDeadline{1500};
  const std::string begun =
      "HTTP/1.1 200 OK\r\nContent-Type: application/proto\r\n"
      "Content-Length: 10\r\n\r\nx";
  for (const auto& script : {Silent(), Greets("HTTP"), Greets(begun)}) {
    ScriptedServer server(script);
    const auto client = ClientOf(server);
    const auto begin = steady_clock::now();
    const Got got = Call(*client, "Get", {.deadline = kDeadline});
    EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
    EXPECT_THAT(got.status.message(), HasSubstr("within 1.5 s"));
    EXPECT_GE(steady_clock::now() - begin, kDeadline);
  }
}

TEST(RpcClient, AnInterruptionEndsTheWait) {
  ScriptedServer server(Silent());
  const auto client = ClientOf(server);
  int asked = 0;
  const Got got = Call(*client, "Get", {.interrupted = [&asked] { return ++asked > 3; }});
  EXPECT_EQ(got.status.code(), Code::kInterrupted);
  EXPECT_EQ(asked, 4);
}

// ---- retries

TEST(RpcClient, TriesAgainWhatHasNoSideEffects) {
  const std::string busy = Answer(503, "text/plain", "busy");
  const std::string unavailable = Answer(503, "application/json", R"({"code":"unavailable"})");
  ScriptedServer server({Once(""), Once(busy), Once(unavailable), Once(Good("at last"))});
  EXPECT_EQ(Call(*ClientOf(Patient(server, 4))).text, "at last");
  EXPECT_EQ(server.connections(), 4);
}

TEST(RpcClient, TriesAgainOnlySoOften) {
  ScriptedServer server(Once(""));
  const Got got = Call(*ClientOf(Patient(server, 3)));
  EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(got.status.message(), HasSubstr("after 3 attempts"));
  EXPECT_EQ(server.connections(), 3);
}

TEST(RpcClient, NeverRepeatsWhatMayHaveEffects) {
  ScriptedServer server(Once(""));
  const auto client = ClientOf(Patient(server, 5));
  const Got got = Call(*client, "Set");
  EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(got.status.hint(), HasSubstr("may or may not"));
  EXPECT_EQ(server.connections(), 1);
  // Unless told that it may.
  EXPECT_FALSE(Call(*client, "Set", {.idempotent = true}).status.ok());
  EXPECT_EQ(server.connections(), 6);
}

TEST(RpcClient, NeverRepeatsWhatFailsForGood) {
  for (const std::string& answer :
       {Answer(404, "application/json", R"({"code":"not_found"})"), Answer(404, "text/html", ""),
        Answer(500, "application/json", R"({"code":"internal"})"), Answer(200, "text/html", "<h1>"),
        std::string("SSH-2.0-x")}) {
    ScriptedServer server(Once(answer));
    EXPECT_FALSE(Call(*ClientOf(Patient(server, 5))).status.ok());
    EXPECT_EQ(server.connections(), 1) << answer;
  }
}

TEST(RpcClient, RetriesEndAtTheDeadline) {
  ScriptedServer server(Once(""));
  RpcClientOptions options = Patient(server, 1'000'000);
  const Got got = Call(*ClientOf(options), "Get", {.deadline = milliseconds(200)});
  EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
}

TEST(RpcClient, APauseCanBeInterrupted) {
  ScriptedServer server(Once(""));
  RpcClientOptions options = Patient(server, 10);
  options.retry.pause_min = options.retry.pause_max = milliseconds(3'600'000);
  options.default_deadline = milliseconds(36'000'000);
  int asked = 0;
  const auto begin = steady_clock::now();
  const Got got = Call(*ClientOf(options), "Get", {.interrupted = [&] { return asked++ > 20; }});
  EXPECT_EQ(got.status.code(), Code::kInterrupted);
  EXPECT_LT(steady_clock::now() - begin, std::chrono::seconds(30));
}

}  // namespace
}  // namespace tidemark::rpc
