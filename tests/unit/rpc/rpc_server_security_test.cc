// Who is let in, over real sockets: tokens, certificates, this machine, and TLS itself.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/support/temp_dir.h"
#include "tests/unit/rpc/rpc_server_fixture.h"
#include "tests/unit/rpc/test_certificates.h"

namespace tidemark::testing {
namespace {

using rpc::RpcCode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class RpcSecurityTest : public RpcServerTest {
 protected:
  RpcSecurityTest() {
    options_.anonymous_role = Role::kNone;
    options_.access =
        Access("reader-1 reader " + rpc::TokenHash("tm_read") + "\n" + "boss admin " +
               rpc::TokenHash("tm_admin") + "\n" + "grafana reader cn:grafana host\n");
  }
  static std::shared_ptr<const AccessList> Access(const std::string& text) {
    auto list = AccessList::Parse(text, "test");
    EXPECT_TRUE(list.ok()) << list.error().message();
    return std::make_shared<const AccessList>(std::move(*list));
  }
  static std::string With(const std::string& token) {
    return "Content-Type: application/json\r\nAuthorization: Bearer " + token + "\r\n";
  }
  int StatusOf(const std::string& method, const std::string& token) const {
    return Ask(Post(method, "\"x\"", With(token))).status;
  }

  void UseTls(const std::string& name) {
    TestCertificate server({name, "IP:127.0.0.1"}, &authority_);
    server.WriteCertificate(dir_.Path("cert.pem"));
    server.WriteKey(dir_.Path("key.pem"));
    options_.tls = {dir_.Path("cert.pem"), dir_.Path("key.pem"), "", true};
    options_.listeners = {{"127.0.0.1:0", true}};
  }
  struct ContextFree {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  using Context = std::unique_ptr<SSL_CTX, ContextFree>;
  static Context ClientTls(const TestCertificate* ours = nullptr) {
    Context context(SSL_CTX_new(TLS_client_method()));
    if (ours) {
      SSL_CTX_use_certificate(context.get(), ours->certificate());
      SSL_CTX_use_PrivateKey(context.get(), ours->key());
    }
    return context;
  }
  static std::string ServerName(WireClient& client) { return rpc::PeerCommonName(client.ssl()); }

  const TempDir dir_;
  const TestCertificate authority_{{"authority", "", true}};
};

TEST_F(RpcSecurityTest, TokensHaveRoles) {
  Start();
  EXPECT_EQ(StatusOf("Get", "tm_read"), 200);
  EXPECT_EQ(StatusOf("Get", "tm_admin"), 200);
  EXPECT_EQ(StatusOf("Set", "tm_admin"), 200);
  const WireAnswer refused = Ask(Post("Set", "\"x\"", With("tm_read")));
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("'reader-1' has the role reader, and this needs admin"));
}

TEST_F(RpcSecurityTest, WrongAndMissingTokensAreUnauthenticated) {
  Start();
  const WireAnswer missing = Ask(Post("Get", "\"x\""));
  EXPECT_EQ(missing.status, 401);
  EXPECT_EQ(missing.headers.at("www-authenticate"), "Bearer");
  for (const std::string token : {"wrong", "", "tm_rea", "tm_read2", "TM_READ"}) {
    EXPECT_EQ(StatusOf("Get", token), 401) << token;
  }
  const std::string basic = "Content-Type: application/json\r\nAuthorization: Basic tm_read\r\n";
  EXPECT_EQ(Ask(Post("Get", "\"x\"", basic)).status, 401);
  EXPECT_EQ(Ask("GET /metrics HTTP/1.1\r\n\r\n").status, 401);
  EXPECT_EQ(Ask("GET /healthz HTTP/1.1\r\n\r\n").status, 200);
  const WireAnswer stream = Ask(PostStream("1"));
  EXPECT_EQ(stream.status, 200);
  EXPECT_EQ((*rpc::DecodeEndStream(Payloads(stream.body).at(0)))->code, RpcCode::kUnauthenticated);
}

TEST_F(RpcSecurityTest, ARefusedRequestsBodyIsNotRead) {
  Start();
  WireClient client(address_);
  client.Send(
      "POST /test.v1.Echo/Get HTTP/1.1\r\nContent-Type: application/json\r\n"
      "Content-Length: 10000000\r\n\r\n");
  EXPECT_EQ(client.ReadAnswer().status, 401);
  EXPECT_TRUE(client.ServerCloses());
}

TEST_F(RpcSecurityTest, ARevokedTokenEndsItsStreamAndOpensNone) {
  Start();
  const std::string token = "Authorization: Bearer tm_read\r\n";
  WireClient client(address_);
  WireClient other(address_);
  client.Send(PostStream("topic", token));
  other.Send(PostStream("topic", "Authorization: Bearer tm_admin\r\n"));
  ASSERT_TRUE(Eventually([&] { return streams_alive_ == 2; }));
  server_->SetAccess(Access("boss admin " + rpc::TokenHash("tm_admin") + "\n"));
  const WireAnswer ended = client.ReadAnswer();
  EXPECT_EQ((*rpc::DecodeEndStream(Payloads(ended.body).back()))->code, RpcCode::kUnauthenticated);
  EXPECT_EQ(StatusOf("Get", "tm_read"), 401);
  EXPECT_EQ(streams_alive_, 1);
  Publish();
  other.ReadAnswer(/*head_only=*/true);
  EXPECT_FALSE(other.ReadChunk().empty());
}

TEST_F(RpcSecurityTest, AuditedCallsAreRecordedWithTheirOutcome) {
  Start();
  EXPECT_EQ(StatusOf("Set", "tm_admin"), 200);
  EXPECT_EQ(Ask(Post("Set", "\"missing\"", With("tm_admin"))).status, 404);
  EXPECT_EQ(StatusOf("Set", "tm_read"), 403);
  EXPECT_EQ(StatusOf("Set", "wrong"), 401);
  EXPECT_EQ(StatusOf("Get", "tm_admin"), 200);
  EXPECT_THAT(audit_,
              ElementsAre("boss test.v1.Echo/Set done with a request",
                          "boss test.v1.Echo/Set failed with a request",
                          "reader-1 test.v1.Echo/Set failed", "anonymous test.v1.Echo/Set failed"));
}

TEST_F(RpcSecurityTest, ABrowsersPageIsNotAnonymousHere) {
  options_.anonymous_role = Role::kReader;
  Start();
  EXPECT_EQ(Ask(Post("Get", "\"x\"")).status, 200);
  const std::string json = "Content-Type: application/json\r\n";
  EXPECT_EQ(Ask(Post("Get", "\"x\"", json + "Origin: http://evil.example\r\n")).status, 401);
  EXPECT_EQ(Ask("GET /metrics HTTP/1.1\r\nHost: evil.example:80\r\n\r\n").status, 401);
  EXPECT_EQ(Ask("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n").status, 200);
}

TEST_F(RpcSecurityTest, AUnixSocketIsItsOwnersAndAnonymousThere) {
  options_.anonymous_role = Role::kReader;
  options_.listeners = {{"unix:" + dir_.Path("rpc.sock")}};
  Start();
  struct stat facts = {};
  ASSERT_EQ(::stat(dir_.Path("rpc.sock").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777u, 0600u);
  EXPECT_EQ(Ask(Post("Get", "\"x\"")).status, 200);
  // A second server does not take it away; one that comes after does.
  RpcServer second(Registry(), options_);
  EXPECT_EQ(second.Start().code(), Code::kLocked);
  server_->Stop();
  EXPECT_NE(::stat(dir_.Path("rpc.sock").c_str(), &facts), 0);
  EXPECT_TRUE(second.Start().ok());
}

TEST_F(RpcSecurityTest, WhoComesByUnixSocketMayHaveAnotherRoleThanByLoopback) {
  options_.unix_role = Role::kReader;
  options_.listeners = {{"unix:" + dir_.Path("rpc.sock")}, {"127.0.0.1:0"}};
  Start();
  EXPECT_EQ(Ask(Post("Get", "\"x\"")).status, 200);
  EXPECT_EQ(Ask(Post("Set", "\"x\"")).status, 401);
  address_ = server_->addresses().back();
  EXPECT_EQ(Ask(Post("Get", "\"x\"")).status, 401);
}

TEST_F(RpcSecurityTest, OptionsAreCheckedWithoutOpeningASocket) {
  const std::string path = dir_.Path("rpc.sock");
  options_.listeners = {{"unix:" + path}};
  EXPECT_TRUE(rpc::CheckServerOptions(options_).ok());
  struct stat facts = {};
  EXPECT_NE(::stat(path.c_str(), &facts), 0);
  options_.listeners = {{"unix:" + path}, {"0.0.0.0:0"}};
  EXPECT_EQ(rpc::CheckServerOptions(options_).code(), Code::kUsage);
  UseTls("here");
  EXPECT_TRUE(rpc::CheckServerOptions(options_).ok());
  options_.tls->key_file = dir_.Path("no-such-key");
  EXPECT_EQ(rpc::CheckServerOptions(options_).code(), Code::kUsage);
}

TEST_F(RpcSecurityTest, AStaleUnixSocketIsReplacedAndAnythingElseIsNot) {
  options_.listeners = {{"unix:" + dir_.Path("rpc.sock"), false, 0660}};
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strncpy(name.sun_path, dir_.Path("rpc.sock").c_str(), sizeof(name.sun_path) - 1);
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(dead, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
  ::close(dead);
  Start();
  struct stat facts = {};
  ASSERT_EQ(::stat(dir_.Path("rpc.sock").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777u, 0660u);
  server_->Stop();
  std::fclose(std::fopen(dir_.Path("rpc.sock").c_str(), "w"));
  RpcServer second(Registry(), options_);
  EXPECT_EQ(second.Start().code(), Code::kUsage);
}

TEST_F(RpcSecurityTest, AddressesThatOthersReachNeedTls) {
  for (const char* address : {"0.0.0.0:0", "[::]:0"}) {
    options_.listeners = {{address}};
    RpcServer server(Registry(), options_);
    EXPECT_EQ(server.Start().code(), Code::kUsage) << address;
  }
  for (const char* address : {"localhost:1", "127.0.0.1", "127.0.0.1:x", "::1:80", ""}) {
    options_.listeners = {{address}};
    RpcServer server(Registry(), options_);
    EXPECT_EQ(server.Start().code(), Code::kUsage) << address;
  }
  options_.listeners = {{"127.0.0.1:0", true}};
  RpcServer server(Registry(), options_);
  EXPECT_EQ(server.Start().code(), Code::kUsage);  // no certificate
}

TEST_F(RpcSecurityTest, CallsOverTlsAndCertificatesAreReloadedWhileStreamsRun) {
  UseTls("old");
  Start();
  const Context context = ClientTls();
  WireClient old(address_, context.get());
  ASSERT_TRUE(old.secured());
  old.Send(PostStream("topic", "Authorization: Bearer tm_read\r\n"));
  ASSERT_TRUE(Eventually([&] { return streams_alive_ == 1; }));
  UseTls("new");
  ASSERT_TRUE(server_->ReloadTls().ok());
  WireClient fresh(address_, context.get());
  EXPECT_EQ(X509_NAME_entry_count(X509_get_subject_name(SSL_get0_peer_certificate(fresh.ssl()))),
            1);
  char name[64] = {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(SSL_get0_peer_certificate(fresh.ssl())),
                            NID_commonName, name, sizeof(name));
  EXPECT_STREQ(name, "new");
  fresh.Send(Post("Get", "\"x\"", With("tm_read")));
  EXPECT_EQ(fresh.ReadAnswer().body, "\"x\"");
  Publish();
  old.ReadAnswer(/*head_only=*/true);
  EXPECT_FALSE(old.ReadChunk().empty());
}

TEST_F(RpcSecurityTest, AReloadThatFailsChangesNothing) {
  UseTls("old");
  Start();
  TestCertificate({"other", ""}).WriteKey(dir_.Path("key.pem"));
  EXPECT_EQ(server_->ReloadTls().code(), Code::kUsage);
  const Context context = ClientTls();
  EXPECT_TRUE(WireClient(address_, context.get()).secured());
}

TEST_F(RpcSecurityTest, APlainPeerOnATlsPortIsToldSoAndGarbageIsClosed) {
  UseTls("server");
  Start();
  EXPECT_EQ(Ask("GET /healthz HTTP/1.1\r\n\r\n").status, 400);
  WireClient garbage(address_);
  garbage.Send(std::string(100, 'x'));
  EXPECT_TRUE(garbage.ServerCloses());
}

TEST_F(RpcSecurityTest, AHandshakeThatTakesTooLongIsClosed) {
  UseTls("server");
  options_.limits.head_max = std::chrono::milliseconds(100);
  Start();
  WireClient silent(address_);
  silent.Send(std::string("\x16\x03\x01", 3));
  EXPECT_TRUE(silent.ServerCloses());
}

TEST_F(RpcSecurityTest, OldTlsIsRefused) {
  UseTls("server");
  Start();
  const Context context = ClientTls();
  SSL_CTX_set_security_level(context.get(), 0);
  SSL_CTX_set_max_proto_version(context.get(), TLS1_1_VERSION);
  EXPECT_FALSE(WireClient(address_, context.get()).secured());
  const Context newer = ClientTls();
  SSL_CTX_set_max_proto_version(newer.get(), TLS1_2_VERSION);
  EXPECT_TRUE(WireClient(address_, newer.get()).secured());
}

TEST_F(RpcSecurityTest, ACertificateIsACallersName) {
  UseTls("server");
  authority_.WriteCertificate(dir_.Path("ca.pem"));
  options_.tls->client_ca_file = dir_.Path("ca.pem");
  Start();
  const TestCertificate known({"grafana host", ""}, &authority_);
  const TestCertificate unknown({"somebody", ""}, &authority_);
  const TestCertificate stranger({"grafana host", ""});
  const auto status_with = [&](const TestCertificate* certificate) {
    const Context context = ClientTls(certificate);
    WireClient client(address_, context.get());
    client.Send(Post("Get", "\"x\""));
    return client.ReadAnswer().status;
  };
  EXPECT_EQ(status_with(&known), 200);
  EXPECT_EQ(status_with(&unknown), 401);
  EXPECT_EQ(status_with(&stranger), 0);
  EXPECT_EQ(status_with(nullptr), 0);
}

}  // namespace
}  // namespace tidemark::testing
