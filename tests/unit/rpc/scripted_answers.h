// What the tests of the client share: a server's answers as bytes, scripts that give them, and
// calls of test.v1.Echo.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "proto/rpc/envelope.h"
#include "proto/rpc/rpc_client.h"
#include "tests/unit/rpc/scripted_server.h"
#include "tests/unit/rpc/test_methods.h"

namespace tidemark::rpc {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::ClientOf;
using testing::Peer;
using testing::ScriptedServer;
using testing::StringValue;
using testing::TestMethod;
using testing::Text;

inline std::string Answer(int status, const std::string& type, const std::string& body,
                          const std::string& more_fields = {}) {
  return "HTTP/1.1 " + std::to_string(status) + " Reason\r\nContent-Type: " + type + "\r\n" +
         more_fields + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

inline std::string Proto(const std::string& text) { return Text(text).SerializeAsString(); }
inline std::string Good(const std::string& text) {
  return Answer(200, "application/proto", Proto(text));
}

inline std::string Enveloped(uint8_t flags, const std::string& payload) {
  std::string bytes;
  AppendEnvelope(flags, payload, &bytes);
  return bytes;
}
inline std::string Item(const std::string& text) { return Enveloped(0, Proto(text)); }
inline std::string End(const std::string& json = "{}") {
  return Enveloped(kEnvelopeEndStream, json);
}
inline constexpr const char* kStreamHead =
    "HTTP/1.1 200 OK\r\nContent-Type: application/connect+proto\r\n";
inline std::string Chunk(const std::string& bytes) {
  char size[20];
  std::snprintf(size, sizeof(size), "%zx\r\n", bytes.size());
  return size + bytes + "\r\n";
}
inline const std::string kChunkedHead =
    std::string(kStreamHead) + "Transfer-Encoding: chunked\r\n\r\n";

// Reads a request and gives the answer; once for every request.
inline ScriptedServer::Script Always(const std::string& answer) {
  return [answer](Peer& peer) {
    while (!peer.ReadRequest().empty()) peer.Send(answer);
  };
}
// Once, and then hangs up.
inline ScriptedServer::Script Once(const std::string& answer) {
  return [answer](Peer& peer) {
    peer.ReadRequest();
    peer.Send(answer);
  };
}
inline ScriptedServer::Script Silent() {
  return [](Peer& peer) { peer.WaitForEnd(); };
}
// Reads nothing, says something, waits.
inline ScriptedServer::Script Greets(const std::string& greeting) {
  return [greeting](Peer& peer) {
    peer.Send(greeting);
    peer.WaitForEnd();
  };
}

inline RpcClientOptions OptionsFor(const std::string& endpoint) {
  RpcClientOptions options;
  options.endpoint = endpoint;
  options.default_deadline = milliseconds(20'000);
  options.retry.attempts_max = 1;
  options.retry.pause_min = milliseconds(1);
  options.retry.pause_max = milliseconds(5);
  return options;
}

inline std::unique_ptr<RpcClient> ClientOf(const ScriptedServer& server) {
  return ClientOf(OptionsFor(server.endpoint()));
}

struct Got {
  Status status;
  std::string text;
};
inline Got Call(RpcClient& client, const std::string& method = "Get",
                const CallOptions& options = {}) {
  StringValue response;
  Status status = client.Call(TestMethod(method), Text("hello"), &response, options);
  return {std::move(status), response.value()};
}
// Of a fresh client, one attempt.
inline Got CallOnce(const ScriptedServer& server, const std::string& method = "Get") {
  return Call(*ClientOf(server), method);
}
inline Got CallAnswered(const std::string& answer) {
  ScriptedServer server(Once(answer));
  return CallOnce(server);
}

// Until the client hangs up.
inline void SendForever(Peer& peer, const std::string& piece) {
  while (peer.Send(piece)) continue;
}

inline RpcClientOptions Patient(const ScriptedServer& server, uint32_t attempts) {
  RpcClientOptions options = OptionsFor(server.endpoint());
  options.retry.attempts_max = attempts;
  return options;
}

}  // namespace tidemark::rpc
