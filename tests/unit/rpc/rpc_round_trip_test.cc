// Our client and our server, with nothing between them but a socket.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <thread>

#include "proto/rpc/rpc_client.h"
#include "proto/rpc/rpc_server.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/rpc/test_certificates.h"
#include "tests/unit/rpc/test_methods.h"

namespace tidemark::rpc {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using testing::ClientOf;
using ::testing::HasSubstr;
using testing::StringValue;
using testing::TempDir;
using testing::TestCertificate;
using testing::TestMethod;
using testing::Text;

// "word 0", "word 1", … up to the number in the request; then, if it ends so, an error.
class Counting : public MessageStream {
 public:
  explicit Counting(uint64_t count, bool fails) : count_(count), fails_(fails) {}
  Result<State> Next(Message* message) override {
    if (at_ < count_) {
      static_cast<StringValue*>(message)->set_value("word " + std::to_string(at_++));
      return State::kMessage;
    }
    if (fails_)
      return Status(Code::kGap, "word " + std::to_string(at_) + " is missing", "guess it");
    return State::kEnd;
  }

 private:
  uint64_t at_ = 0;
  const uint64_t count_;
  const bool fails_;
};

class Idle : public MessageStream {
 public:
  Result<State> Next(Message*) override { return State::kWaiting; }
  std::string topic() const override { return "never"; }
};

struct Served {
  std::atomic<bool> was_cancelled = false;
  TempDir dir;
  std::unique_ptr<RpcServer> server;

  ServiceRegistry Registry() {
    ServiceRegistry registry;
    const auto echo = [this](const CallContext& context, const StringValue& request,
                             StringValue* response) -> Status {
      if (request.value() == "fail")
        return Status(Code::kUnreachableTarget, "no way to 'x'", "go back");
      while (request.value() == "hang" && !context.cancelled()) std::this_thread::yield();
      was_cancelled = request.value() == "hang";
      if (was_cancelled) return Status(Code::kInterrupted, "nobody waits for it");
      response->set_value(request.value() == "who" ? context.identity : request.value());
      return OkStatus();
    };
    registry.AddUnary(TestMethod("Get"), Role::kReader, false,
                      Unary<StringValue, StringValue>(echo));
    registry.AddUnary(TestMethod("Set"), Role::kAdmin, false,
                      Unary<StringValue, StringValue>(echo));
    registry.AddStream(
        TestMethod("Follow"), Role::kReader, false,
        [](const CallContext&, const Message& request) -> Result<std::unique_ptr<MessageStream>> {
          const std::string& text = static_cast<const StringValue&>(request).value();
          if (text == "refuse") return Status(Code::kUnreachableTarget, "not that way", "this way");
          if (text == "idle") return std::unique_ptr<MessageStream>(new Idle);
          const uint64_t count = std::stoull(text);
          return std::unique_ptr<MessageStream>(new Counting(count, text.ends_with('!')));
        });
    return registry;
  }

  void Start(RpcServerOptions options) {
    server = std::make_unique<RpcServer>(Registry(), std::move(options));
    const Status started = server->Start();
    ASSERT_TRUE(started.ok()) << started.message();
  }
  void StartOnLoopback() {
    RpcServerOptions options;
    options.listeners = {{}};
    options.anonymous_role = Role::kAdmin;
    Start(std::move(options));
  }
  RpcClientOptions ClientOptions() const {
    RpcClientOptions options;
    options.endpoint = server->addresses().front();
    options.retry.attempts_max = 1;
    return options;
  }
};

Result<std::string> Call(RpcClient& client, const std::string& method, const std::string& text,
                         const CallOptions& options = {}) {
  StringValue response;
  TM_RETURN_IF_ERROR(client.Call(TestMethod(method), Text(text), &response, options));
  return response.value();
}

void ExpectEchoes(RpcClient& client) {
  for (const std::string& text :
       {std::string(), std::string("short"), std::string(5'000'000, 'z')}) {
    const auto got = Call(client, "Get", text);
    ASSERT_TRUE(got.ok()) << got.error().message();
    EXPECT_EQ(*got, text);
  }
}

TEST(RpcRoundTrip, CarriesMessagesInEveryEncoding) {
  Served served;
  served.StartOnLoopback();
  for (const auto& [zstd, gzip] : {std::pair(true, true), {false, true}, {false, false}}) {
    RpcClientOptions options = served.ClientOptions();
    options.offer_zstd = zstd;
    options.offer_gzip = gzip;
    const auto client = ClientOf(options);
    ExpectEchoes(*client);
  }
  EXPECT_LE(served.server->Counters().connections_accepted, 3u);
}

TEST(RpcRoundTrip, GivesBackTheVeryStatus) {
  Served served;
  served.StartOnLoopback();
  const auto client = ClientOf(served.ClientOptions());
  for (int i = 0; i < 3; ++i) {
    const auto got = Call(*client, "Get", "fail");
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().code(), Code::kUnreachableTarget);
    EXPECT_EQ(got.error().message(), "no way to 'x'");
    EXPECT_EQ(got.error().hint(), "go back");
  }
  EXPECT_EQ(served.server->Counters().connections_accepted, 1u);
}

TEST(RpcRoundTrip, StreamsToTheEndOrToAnError) {
  Served served;
  served.StartOnLoopback();
  const auto client = ClientOf(served.ClientOptions());
  for (const std::string& wanted :
       {std::string("20000"), std::string("20000!"), std::string("0")}) {
    auto stream = client->OpenStream(TestMethod("Follow"), Text(wanted));
    ASSERT_TRUE(stream.ok()) << stream.error().message();
    StringValue message;
    uint64_t count = 0;
    Result<bool> next = false;
    while ((next = (*stream)->Next(&message)).ok() && *next)
      ASSERT_EQ(message.value(), "word " + std::to_string(count++));
    EXPECT_EQ(count, std::stoull(wanted));
    EXPECT_EQ(next.ok(), !wanted.ends_with('!'));
    if (next.ok()) continue;
    EXPECT_EQ(next.error().code(), Code::kGap);
    EXPECT_EQ(next.error().hint(), "guess it");
  }
}

TEST(RpcRoundTrip, AStreamRefusedSaysWhy) {
  Served served;
  served.StartOnLoopback();
  const auto client = ClientOf(served.ClientOptions());
  auto stream = client->OpenStream(TestMethod("Follow"), Text("refuse"));
  Status refused = stream.error();
  if (stream.ok()) {  // its head is there before the reason
    StringValue message;
    const Result<bool> next = (*stream)->Next(&message);
    ASSERT_FALSE(next.ok());
    refused = next.error();
  }
  EXPECT_EQ(refused.code(), Code::kUnreachableTarget);
  EXPECT_EQ(refused.hint(), "this way");
}

TEST(RpcRoundTrip, AServerThatStopsEndsAStreamLoudly) {
  Served served;
  served.StartOnLoopback();
  const auto client = ClientOf(served.ClientOptions());
  auto stream = client->OpenStream(TestMethod("Follow"), Text("idle"));
  ASSERT_TRUE(stream.ok()) << stream.error().message();
  std::thread stopper([&served] { served.server->Stop(); });
  StringValue message;
  const Result<bool> next = (*stream)->Next(&message);
  stopper.join();
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.error().code(), Code::kSourceUnavailable);
}

TEST(RpcRoundTrip, DeadlinesReachTheHandler) {
  Served served;
  served.StartOnLoopback();
  const auto client = ClientOf(served.ClientOptions());
  const auto got = Call(*client, "Get", "hang", {.deadline = milliseconds(200)});
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code(), Code::kSourceUnavailable);
  served.server->Stop();  // when it returns, the handler has
  EXPECT_TRUE(served.was_cancelled);
}

TEST(RpcRoundTrip, RolesAndTokens) {
  Served served;
  const std::string token = NewToken();
  const auto access = AccessList::Parse("ann admin " + TokenHash(token) + "\n", "access");
  ASSERT_TRUE(access.ok()) << access.error().message();
  RpcServerOptions options;
  options.listeners = {{.address = "unix:" + served.dir.Path("rpc.sock")}};
  options.anonymous_role = Role::kReader;
  options.access = std::make_shared<const AccessList>(*access);
  served.Start(std::move(options));

  const auto nobody = ClientOf(served.ClientOptions());
  EXPECT_EQ(*Call(*nobody, "Get", "who"), "anonymous");
  const auto refused = Call(*nobody, "Set", "who");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kSourceRefused);
  EXPECT_FALSE(refused.error().hint().empty());

  const std::string file = served.dir.Path("token");
  { std::ofstream(file) << token << "\n"; }
  ASSERT_EQ(chmod(file.c_str(), 0600), 0);
  RpcClientOptions with_token = served.ClientOptions();
  with_token.token.file = file;
  EXPECT_EQ(*Call(*ClientOf(with_token), "Set", "who"), "ann");

  { std::ofstream(file) << NewToken() << "\n"; }
  const auto wrong = Call(*ClientOf(with_token), "Get", "who");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code(), Code::kSourceRefused);
}

TEST(RpcRoundTrip, MutualTls) {
  Served served;
  const TestCertificate authority({.common_name = "authority", .is_authority = true});
  const TestCertificate theirs({.common_name = "s", .alternative_names = "IP:127.0.0.1"},
                               &authority);
  const TestCertificate ours({.common_name = "bob"}, &authority);
  const auto path = [&served](const char* name) { return served.dir.Path(name); };
  authority.WriteCertificate(path("ca.pem"));
  theirs.WriteCertificate(path("server.pem"));
  theirs.WriteKey(path("server-key.pem"));
  ours.WriteCertificate(path("bob.pem"));
  ours.WriteKey(path("bob-key.pem"));

  const auto access = AccessList::Parse("bob reader cn:bob\n", "access");
  ASSERT_TRUE(access.ok()) << access.error().message();
  RpcServerOptions options;
  options.listeners = {{.tls = true}};
  options.tls = ServerTlsFiles{path("server.pem"), path("server-key.pem"), path("ca.pem")};
  options.access = std::make_shared<const AccessList>(*access);
  served.Start(std::move(options));

  RpcClientOptions client_options = served.ClientOptions();
  client_options.tls.ca_file = path("ca.pem");
  client_options.tls.certificate_file = path("bob.pem");
  client_options.tls.key_file = path("bob-key.pem");
  const auto client = ClientOf(client_options);
  EXPECT_EQ(*Call(*client, "Get", "who"), "bob");
  ExpectEchoes(*client);

  // In plain text to a port of TLS.
  const auto plain = Call(*ClientOf(served.ClientOptions()), "Get", "who");
  ASSERT_FALSE(plain.ok());
  EXPECT_THAT(plain.error().message() + plain.error().hint(), HasSubstr("TLS"));
}

TEST(RpcRoundTrip, TlsToAPlainPortSaysSo) {
  Served served;
  served.StartOnLoopback();
  RpcClientOptions options = served.ClientOptions();
  options.tls.use = TlsUse::kOn;
  const auto got = Call(*ClientOf(options), "Get", "x");
  ASSERT_FALSE(got.ok());
  EXPECT_THAT(got.error().hint(), HasSubstr("--server-plaintext"));
}

TEST(RpcRoundTrip, AMethodThatTheServerLacks) {
  Served served;
  RpcServerOptions options;
  options.listeners = {{}};
  options.anonymous_role = Role::kAdmin;
  served.server = std::make_unique<RpcServer>(ServiceRegistry(), std::move(options));
  ASSERT_TRUE(served.server->Start().ok());
  const auto client = ClientOf(served.ClientOptions());
  const auto got = Call(*client, "Get", "x");
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code(), Code::kUnsupportedFormat);
  EXPECT_THAT(got.error().hint(), HasSubstr("older"));
}

}  // namespace
}  // namespace tidemark::rpc
