// The client over TLS: whom it trusts, and what it says of those whom it does not; tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <vector>

#include "tests/support/temp_dir.h"
#include "tests/unit/rpc/scripted_answers.h"

namespace tidemark::rpc {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::TempDir;
using testing::TestCertificate;

struct TestAuthority {
  TestAuthority() { authority.WriteCertificate(dir.Path("ca.pem")); }
  TempDir dir;
  TestCertificate authority{{.common_name = "authority", .is_authority = true}};
  TestCertificate server{{.common_name = "s", .alternative_names = "IP:127.0.0.1,DNS:db.example"},
                         &authority};

  RpcClientOptions ClientOptions(const ScriptedServer& peer) const {
    RpcClientOptions options = OptionsFor(peer.endpoint());
    options.tls.ca_file = dir.Path("ca.pem");
    return options;
  }
};

TEST(RpcClientTls, KeepsItsConnectionAndStreams) {
  const TestAuthority pki;
  ScriptedServer server({[](Peer& peer) {
                          for (std::string request = peer.ReadRequest(); !request.empty();
                               request = peer.ReadRequest()) {
                            const bool is_stream = request.find("/Follow ") != std::string::npos;
                            peer.Send(is_stream
                                          ? kChunkedHead + Chunk(Item("s") + End()) + "0\r\n\r\n"
                                          : Good("secret"));
                          }
                        }},
                        {.certificate = &pki.server});
  const auto client = ClientOf(pki.ClientOptions(server));
  for (int i = 0; i < 3; ++i) {
    const Got got = Call(*client);
    EXPECT_EQ(got.text, "secret") << got.status.message();
  }
  EXPECT_LE(server.connections(), 2);  // one more if a session ticket came late
  auto stream = client->OpenStream(TestMethod("Follow"), Text(""));
  ASSERT_TRUE(stream.ok()) << stream.error().message();
  StringValue message;
  EXPECT_TRUE(*(*stream)->Next(&message));
  EXPECT_FALSE(*(*stream)->Next(&message));
  RpcClientOptions by_name = pki.ClientOptions(server);
  by_name.tls.server_name = "db.example";
  EXPECT_TRUE(Call(*ClientOf(by_name)).status.ok());
}

TEST(RpcClientTls, SaysWhatIsWrongWithACertificate) {
  const TestAuthority pki;
  const TestCertificate expired({.alternative_names = "IP:127.0.0.1", .valid_to_seconds = -60},
                                &pki.authority);
  const TestCertificate early({.alternative_names = "IP:127.0.0.1", .valid_from_seconds = 600},
                              &pki.authority);
  const TestCertificate other_name({.alternative_names = "DNS:other.example"}, &pki.authority);
  const TestCertificate own({.alternative_names = "IP:127.0.0.1"});
  const std::vector<std::pair<const TestCertificate*, std::string>> cases = {
      {&expired, "expired"},
      {&early, "not valid yet"},
      {&other_name, "is not for the name '127.0.0.1'"},
      {&own, "not signed by an authority we trust"}};
  for (const auto& [certificate, what] : cases) {
    ScriptedServer server({Always(Good("x"))}, {.certificate = certificate});
    RpcClientOptions options = pki.ClientOptions(server);
    options.retry.attempts_max = 5;
    const Got got = Call(*ClientOf(options));
    EXPECT_EQ(got.status.code(), Code::kSourceRefused) << what;
    EXPECT_THAT(got.status.message(), AllOf(HasSubstr(server.endpoint()), HasSubstr(what)));
    EXPECT_FALSE(got.status.hint().empty());
    EXPECT_EQ(server.connections(), 1);
  }
}

TEST(RpcClientTls, TrustsNobodyUnknownByDefault) {
  const TestAuthority pki;
  ScriptedServer server({Always(Good("x"))}, {.certificate = &pki.server});
  RpcClientOptions options = OptionsFor(server.endpoint());
  options.tls.use = TlsUse::kOn;  // and the system's authorities
  const Got got = Call(*ClientOf(options));
  EXPECT_EQ(got.status.code(), Code::kSourceRefused);
  EXPECT_THAT(got.status.hint(), HasSubstr("--server-ca-file"));
}

TEST(RpcClientTls, ShowsItsCertificate) {
  const TestAuthority pki;
  const TestCertificate ours({.common_name = "us"}, &pki.authority);
  ours.WriteCertificate(pki.dir.Path("us.pem"));
  ours.WriteKey(pki.dir.Path("us-key.pem"));
  ScriptedServer server({Always(Good("mutual"))},
                        {.certificate = &pki.server, .client_authority = &pki.authority});
  RpcClientOptions options = pki.ClientOptions(server);
  options.tls.certificate_file = pki.dir.Path("us.pem");
  options.tls.key_file = pki.dir.Path("us-key.pem");
  EXPECT_EQ(Call(*ClientOf(options)).text, "mutual");
  // Without one. (If the refusal is lost in a reset, it is unavailable.)
  const Got got = Call(*ClientOf(pki.ClientOptions(server)));
  EXPECT_FALSE(got.status.ok());
  if (got.status.code() == Code::kSourceRefused) {
    EXPECT_THAT(got.status.message(), HasSubstr("does not accept our certificate"));
  } else {
    EXPECT_EQ(got.status.code(), Code::kSourceUnavailable);
  }
}

TEST(RpcClientTls, SaysThatThePeerSpeaksNoTls) {
  const TestAuthority pki;
  const std::string mysql(
      "\x4a\x00\x00\x00\x0a"
      "9.7.4\0",
      11);
  for (const auto& script : {Greets("HTTP/1.1 400 Bad Request\r\n\r\n"), Greets(mysql)}) {
    ScriptedServer server(script);
    const Got got = Call(*ClientOf(pki.ClientOptions(server)));
    EXPECT_EQ(got.status.code(), Code::kSourceRefused) << got.status.message();
    EXPECT_THAT(got.status.message(), HasSubstr("TLS"));
    EXPECT_THAT(got.status.hint(), HasSubstr("--server-plaintext"));
  }
  ScriptedServer closes([](Peer& peer) { peer.EndSending(); });
  const Got closed = Call(*ClientOf(pki.ClientOptions(closes)));
  EXPECT_EQ(closed.status.code(), Code::kSourceUnavailable);
  ScriptedServer mute(Silent());
  RpcClientOptions options = pki.ClientOptions(mute);
  options.connect_timeout = milliseconds(150);
  const Got late = Call(*ClientOf(options));
  EXPECT_EQ(late.status.code(), Code::kSourceUnavailable);
  EXPECT_THAT(late.status.message(), HasSubstr("TLS"));
}

TEST(RpcClientTls, SaysThatThePeerWantsTls) {
  const TestAuthority pki;
  ScriptedServer server({Silent()}, {.certificate = &pki.server});
  RpcClientOptions options = OptionsFor(server.endpoint());
  const Got got = Call(*ClientOf(options));
  // OpenSSL's server answers a plain request with an alert, or just hangs up.
  EXPECT_FALSE(got.status.ok());
  EXPECT_THAT(got.status.hint(), HasSubstr("TLS"));
}

TEST(RpcClientToken, IsSentAndNeverTold) {
  TempDir dir;
  { std::ofstream(dir.Path("token")) << "s3cret-token\nsecond line\n"; }
  ASSERT_EQ(chmod(dir.Path("token").c_str(), 0600), 0);
  std::string request;
  ScriptedServer server([&request](Peer& peer) {
    request = peer.ReadRequest();
    peer.Send(Answer(401, "text/html", "no"));
  });
  RpcClientOptions options = OptionsFor(server.endpoint());
  options.token.file = dir.Path("token");
  const Got got = Call(*ClientOf(options));
  EXPECT_THAT(request, HasSubstr("\r\nAuthorization: Bearer s3cret-token\r\n"));
  EXPECT_EQ(got.status.code(), Code::kSourceRefused);
  EXPECT_THAT(got.status.message() + got.status.hint(), Not(HasSubstr("s3cret")));
}

}  // namespace
}  // namespace tidemark::rpc
