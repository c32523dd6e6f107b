// Logging in to a real server: every TLS mode, client certificates, caching_sha2_password, and how
// each refusal reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "replication/source/mysql_event_source.h"
#include "tests/support/mysql_server.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using tidemark::testing::MySqlServer;
using tidemark::testing::TempDir;

constexpr const char* kPassword = "tide-and-mark";

void Shell(const std::string& command) {
  Result<testing::ProgramResult> done = testing::RunProgram({"sh", "-ec", command});
  TM_CHECK(done.ok());
  if (done->exit_code != 0) ADD_FAILURE() << command << "\n" << done->err;
}

// CA, a server certificate for localhost and 127.0.0.1, a client certificate; and a CA that signed
// neither.
void MakeCertificates(const std::string& directory) {
  Shell("cd " + directory + R"(
    ca() { openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" -keyout $1-key.pem -out $1.pem; }
    ca ca; ca other-ca
    sign() {
      openssl req -newkey rsa:2048 -nodes -subj "/CN=$1" -keyout $1-key.pem -out $1.csr
      printf "subjectAltName=$2" > $1.ext
      openssl x509 -req -in $1.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 2 -extfile $1.ext -out $1.pem
    }
    sign server DNS:localhost,IP:127.0.0.1
    sign client DNS:client)");
}

class SourceLogin : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    files_ = new TempDir("tidemark-certificates");
    MakeCertificates(files_->path());
    testing::MySqlServerOptions options;
    options.extra_args = {"--ssl-ca=" + files_->Path("ca.pem"),
                          "--ssl-cert=" + files_->Path("server.pem"),
                          "--ssl-key=" + files_->Path("server-key.pem")};
    Result<std::unique_ptr<MySqlServer>> server = MySqlServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.error().message();
    server_ = server->release();
    std::ofstream(files_->Path("password")) << kPassword << "\n";
    chmod(files_->Path("password").c_str(), 0600);
    std::string by = std::string(" IDENTIFIED BY '") + kPassword + "'";
    Sql("CREATE USER archiver@'%'" + by);
    Sql("GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO archiver@'%'");
    Sql("CREATE USER certified@'%'" + by + " REQUIRE X509");
    Sql("CREATE USER locked@'%'" + by + " ACCOUNT LOCK");
    Sql("CREATE USER elsewhere@'192.0.2.1'" + by);
  }
  static void TearDownTestSuite() {
    delete server_;
    delete files_;
  }

  static void Sql(const std::string& sql) {
    Status done = server_->Execute(sql);
    EXPECT_TRUE(done.ok()) << sql << ": " << done.message();
  }

  // Over TCP, with the password file; caching_sha2's cache is emptied, so that each login is a full
  // one.
  static ConnectionOptions Options(TlsMode mode) {
    Sql("FLUSH PRIVILEGES");
    ConnectionOptions options;
    options.host = "127.0.0.1";
    options.port = static_cast<uint16_t>(server_->port());
    options.user = "archiver";
    options.password.file = files_->Path("password");
    options.tls.mode = mode;
    return options;
  }
  static Status Try(const ConnectionOptions& options) {
    Result<std::unique_ptr<Connection>> connection = Connection::Open(options);
    if (connection.ok()) return OkStatus();
    EXPECT_THAT(connection.error().message(), Not(HasSubstr(kPassword)));
    EXPECT_THAT(connection.error().hint(), Not(HasSubstr(kPassword)));
    return connection.error();
  }
  static std::string Cipher(const ConnectionOptions& options) {
    Result<std::unique_ptr<Connection>> connection = Connection::Open(options);
    EXPECT_TRUE(connection.ok()) << connection.error().message();
    return connection.ok() ? connection.value()->TlsCipher() : "failed";
  }

  static TempDir* files_;
  static MySqlServer* server_;
};
TempDir* SourceLogin::files_ = nullptr;
MySqlServer* SourceLogin::server_ = nullptr;

TEST_F(SourceLogin, TlsModesEncryptOrNotAsAsked) {
  EXPECT_EQ(Cipher(Options(TlsMode::kDisabled)), "");
  EXPECT_NE(Cipher(Options(TlsMode::kPreferred)), "");
  EXPECT_NE(Cipher(Options(TlsMode::kRequired)), "");
}

TEST_F(SourceLogin, VerifyCaAcceptsItsCaAndRefusesAnother) {
  ConnectionOptions options = Options(TlsMode::kVerifyCa);
  options.tls.ca_file = files_->Path("ca.pem");
  EXPECT_NE(Cipher(options), "");
  options.tls.ca_file = files_->Path("other-ca.pem");
  Status refused = Try(options);
  EXPECT_EQ(refused.code(), Code::kSourceRefused) << refused.message();
  EXPECT_THAT(refused.hint(), HasSubstr("CA file"));
}

TEST_F(SourceLogin, VerifyIdentityComparesTheHostName) {
  ConnectionOptions options = Options(TlsMode::kVerifyIdentity);
  options.tls.ca_file = files_->Path("ca.pem");
  EXPECT_NE(Cipher(options), "");
  options.host = "localhost";  // by TCP all the same
  EXPECT_NE(Cipher(options), "");
}

// 127.0.0.1 by another name, which the certificate does not have.
TEST_F(SourceLogin, VerifyIdentityRefusesACertificateForAnotherName) {
  ConnectionOptions options = Options(TlsMode::kVerifyIdentity);
  options.tls.ca_file = files_->Path("ca.pem");
  options.host = "0.0.0.0";  // Linux connects this to the loopback address
  Status refused = Try(options);
  EXPECT_EQ(refused.code(), Code::kSourceRefused) << refused.message();
  options.tls.mode = TlsMode::kVerifyCa;
  EXPECT_TRUE(Try(options).ok());
}

TEST_F(SourceLogin, TlsVersionsAreObeyed) {
  ConnectionOptions options = Options(TlsMode::kRequired);
  options.tls.versions = "TLSv1.2";
  Result<std::unique_ptr<Connection>> connection = Connection::Open(options);
  ASSERT_TRUE(connection.ok()) << connection.error().message();
  Result<QueryResult> version = connection.value()->Query("SHOW SESSION STATUS LIKE 'Ssl_version'");
  ASSERT_TRUE(version.ok());
  EXPECT_EQ(version->Text(version->rows.at(0), "Value"), "TLSv1.2");
}

TEST_F(SourceLogin, AnAccountThatRequiresX509NeedsACertificate) {
  ConnectionOptions options = Options(TlsMode::kRequired);
  options.user = "certified";
  EXPECT_EQ(Try(options).code(), Code::kSourceRefused);
  options.tls.certificate_file = files_->Path("client.pem");
  options.tls.key_file = files_->Path("client-key.pem");
  EXPECT_NE(Cipher(options), "");
}

TEST_F(SourceLogin, AServerThatWantsTlsSaysSo) {
  Sql("SET GLOBAL require_secure_transport=ON");
  Status refused = Try(Options(TlsMode::kDisabled));
  Sql("SET GLOBAL require_secure_transport=OFF");
  EXPECT_EQ(refused.code(), Code::kSourceRefused) << refused.message();
  EXPECT_THAT(refused.hint(), HasSubstr("tls mode required"));
}

TEST_F(SourceLogin, CachingSha2WithoutTlsNeedsTheServersPublicKey) {
  ConnectionOptions options = Options(TlsMode::kDisabled);
  options.get_server_public_key = false;
  Status refused = Try(options);
  EXPECT_EQ(refused.code(), Code::kSourceRefused) << refused.message();
  EXPECT_THAT(refused.hint(), HasSubstr("public key"));
  options.get_server_public_key.reset();  // on a loopback address: on
  EXPECT_TRUE(Try(options).ok());
}

TEST_F(SourceLogin, AConnectionMakesTheProcessIgnoreSigpipe) {
  EXPECT_TRUE(Try(Options(TlsMode::kRequired)).ok());
  struct sigaction action {};
  ASSERT_EQ(sigaction(SIGPIPE, nullptr, &action), 0);
  EXPECT_EQ(action.sa_handler, SIG_IGN);
}

TEST_F(SourceLogin, OverASocketNeedsNeitherTlsNorKey) {
  ConnectionOptions options = Options(TlsMode::kDisabled);
  options.host.clear();
  options.socket = server_->socket();
  EXPECT_TRUE(Try(options).ok());
}

TEST_F(SourceLogin, PasswordFromTheEnvironment) {
  ConnectionOptions options = Options(TlsMode::kPreferred);
  options.password = {.file = "", .environment_variable = "TIDEMARK_TEST_LOGIN"};
  setenv("TIDEMARK_TEST_LOGIN", kPassword, 1);
  EXPECT_TRUE(Try(options).ok());
  setenv("TIDEMARK_TEST_LOGIN", "wrong", 1);
  EXPECT_EQ(Try(options).code(), Code::kSourceRefused);
  unsetenv("TIDEMARK_TEST_LOGIN");
  EXPECT_EQ(Try(options).code(), Code::kUsage);
}

TEST_F(SourceLogin, WrongUsersAreRefusedWithTheGrantInTheHint) {
  for (const char* user : {"nobody", "locked", "elsewhere"}) {
    ConnectionOptions options = Options(TlsMode::kPreferred);
    options.user = user;
    Status refused = Try(options);
    EXPECT_EQ(refused.code(), Code::kSourceRefused) << user;
    EXPECT_THAT(refused.hint(), HasSubstr(std::string("'") + user + "'"));
  }
}

TEST_F(SourceLogin, NobodyThereIsUnavailable) {
  ConnectionOptions options = Options(TlsMode::kPreferred);
  options.port = 1;
  EXPECT_EQ(Try(options).code(), Code::kSourceUnavailable);
  options.host = "no-such-host.invalid";
  Status unknown = Try(options);
  EXPECT_EQ(unknown.code(), Code::kSourceUnavailable) << unknown.message();
  EXPECT_THAT(unknown.message(), HasSubstr("no-such-host.invalid"));
  options.host.clear();
  options.socket = "/no/such/socket";
  EXPECT_EQ(Try(options).code(), Code::kSourceUnavailable);
}

TEST_F(SourceLogin, QueriesReturnNullsBytesAndNothing) {
  Result<std::unique_ptr<Connection>> opened = Connection::Open(Options(TlsMode::kPreferred));
  ASSERT_TRUE(opened.ok());
  Connection& connection = **opened;
  std::string text("a'b\\c\0d\xF0\x9F\x8C\x8A", 11);
  Result<QueryResult> result =
      connection.Query("SELECT NULL AS nothing, " + connection.Quoted(text) + " AS Something");
  ASSERT_TRUE(result.ok()) << result.error().message();
  ASSERT_EQ(result->rows.size(), 1u);
  EXPECT_FALSE(result->rows[0][0].has_value());
  EXPECT_EQ(result->Text(result->rows[0], "something"), text);
  EXPECT_EQ(result->Column("absent"), std::nullopt);
  EXPECT_TRUE(connection.Query("SET @a=1")->rows.empty());
  EXPECT_EQ(connection.Query("SELECT * FROM mysql.user").error().code(), Code::kSourceRefused);
  EXPECT_TRUE(connection.Query("SELECT 1").ok());
}

TEST_F(SourceLogin, ADumpRunsOverTls) {
  MySqlEventSource source(Options(TlsMode::kRequired));
  Result<SourceFacts> facts = source.Connect();
  ASSERT_TRUE(facts.ok()) << facts.error().message();
  EXPECT_NE(facts->tls_cipher, "");
  DumpRequest request;
  request.server_id = 4711;
  request.our_uuid = Uuid::Parse("00000000-0000-0000-0000-000000000007").value();
  request.heartbeat_us = 1'000'000;
  request.non_blocking = true;
  ASSERT_TRUE(source.StartDump(request).ok());
  int events = 0;
  Result<Bytes> event = source.Next();
  for (; event.ok(); event = source.Next()) ++events;
  EXPECT_EQ(event.error().code(), Code::kEndOfData) << event.error().message();
  EXPECT_GT(events, 5);
}

}  // namespace
}  // namespace tidemark
