// tidemarkd's answers to remote callers, as a DBA and a program would ask: curl, and our own
// client; over TCP, TLS and the unix socket; what a reload changes; and that archiving never
// minds.
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/e2e/rpc_fixture.h"
#include "tests/unit/rpc/test_certificates.h"

namespace tidemark {
namespace {

using nlohmann::json;
using rpc::RpcClientOptions;
using testing::ArchivePathBy;
using testing::ClientOf;
using testing::Curl;
using testing::Curled;
using testing::Daemon;
using testing::ErrorOf;
using testing::ExecutedOn;
using testing::Follow;
using ::testing::HasSubstr;
using testing::MySqlServer;
using ::testing::Not;
using testing::ReadUntil;
using testing::ReadWholeFile;
using testing::RpcDaemon;
using testing::RunProgram;
using testing::TestCertificate;
using testing::WaitUntil;

class RpcTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    primary_ = testing::StartPrimary().release();
    ASSERT_NE(primary_, nullptr);
    ASSERT_TRUE(primary_->Execute("CREATE DATABASE shop; CREATE TABLE shop.t (a INT)").ok());
  }
  static void TearDownTestSuite() { delete std::exchange(primary_, nullptr); }
  static void Insert() {
    const Status inserted = primary_->Execute("INSERT INTO shop.t VALUES (1)");
    ASSERT_TRUE(inserted.ok()) << inserted.message();
  }
  void ExpectArchiving() {
    Insert();
    EXPECT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_))) << daemon_.LogTail();
  }
  // An authority, and a certificate for 127.0.0.1 signed by it, in the daemon's files.
  void WriteCertificates(const TestCertificate& authority, const std::string& name = "server") {
    const TestCertificate server({name, "IP:127.0.0.1"}, &authority);
    server.WriteCertificate(daemon_.File("cert.pem"));
    server.WriteKey(daemon_.File("key.pem"));
  }
  std::string TlsSettings() const {
    return "tls_certificate_file = \"" + daemon_.File("cert.pem") + "\"\ntls_key_file = \"" +
           daemon_.File("key.pem") + "\"\n";
  }
  RpcClientOptions TlsClient(const TestCertificate& authority, const std::string& name) const {
    authority.WriteCertificate(daemon_.File(name + ".pem"));
    RpcClientOptions options = ClientOf("127.0.0.1:" + std::to_string(daemon_.port()));
    options.tls.ca_file = daemon_.File(name + ".pem");
    return options;
  }

  static MySqlServer* primary_;
  RpcDaemon daemon_;
};
MySqlServer* RpcTest::primary_ = nullptr;

TEST_F(RpcTest, CurlGetsByTcpAndUnixSocketWhatPitrSays) {
  NEEDS_CURL();
  daemon_.Rpc("anonymous = \"reader\"");
  daemon_.Begin(*primary_);
  Insert();
  const GtidSet executed = ExecutedOn(*primary_);
  ASSERT_TRUE(daemon_.WaitFor(executed));
  json local;
  Curled remote;
  // A moment in which nothing is noted in between: the last batch's frame may be cut just now.
  const auto same = [&] {
    local = daemon_.Status();
    remote = daemon_.Call("ArchiveService/GetStatus", "{}");
    return remote.http == 200 && local.is_object() && remote.object.contains("sources") &&
           local["daemon"]["state"] == "archiving" &&
           remote.object["sources"][0]["rawBytes"] == std::to_string(local["raw_bytes"].get<int>());
  };
  ASSERT_TRUE(WaitUntil(same)) << remote.body << local;
  json source = remote.object["sources"][0];
  EXPECT_EQ(remote.object["archive"], daemon_.archive());
  EXPECT_EQ(source["source"], "main");
  EXPECT_EQ(source["transactions"], std::to_string(local["transactions"].get<int>()));
  EXPECT_EQ(source["segments"], std::to_string(local["segments"].get<int>()));
  EXPECT_EQ(source["lastCommitUs"], std::to_string(local["last_commit_us"].get<int64_t>()));
  EXPECT_EQ(source["coverage"]["archived"], local["coverage"]["archived"]);
  EXPECT_EQ(source["coverage"]["end"], local["coverage"]["end"]);
  EXPECT_EQ(source["place"]["file"], local["source_file"]);
  EXPECT_EQ(source["place"]["position"], std::to_string(local["source_position"].get<int>()));
  EXPECT_EQ(source["daemon"]["state"], local["daemon"]["state"]);
  EXPECT_EQ(source["daemon"]["serverVersion"], local["daemon"]["server_version"]);

  const Curled by_socket =
      Curl({"--unix-socket", daemon_.socket(), "-H", "Content-Type: application/json", "-d", "{}",
            "http://localhost/tidemark.v1.ArchiveService/GetStatus"});
  EXPECT_EQ(by_socket.http, 200);
  EXPECT_EQ(by_socket.object["archive"], daemon_.archive());

  const std::string last =
      *primary_->QueryValue("SELECT @@server_uuid") + ":" + std::to_string(executed.Count());
  const auto located = daemon_.Pitr({"--json", "locate", "--gtid", last});
  json found = json::parse(located.out, nullptr, false)["found"];
  ASSERT_TRUE(found.is_object()) << located.out << located.err;
  const Curled remote_found =
      daemon_.Call("ArchiveService/Locate", json{{"source", "main"}, {"gtid", last}}.dump());
  ASSERT_EQ(remote_found.http, 200) << remote_found.body;
  json theirs = remote_found.object["found"];
  EXPECT_EQ(theirs["gtid"], found["gtid"]);
  EXPECT_EQ(theirs["sourceFile"], found["source_file"]);
  EXPECT_EQ(theirs["commitTimeUs"], std::to_string(found["commit_time_us"].get<int64_t>()));
  // What is not there.
  const Curled missing = daemon_.Call("ArchiveService/GetStatus", R"({"source":"elsewhere"})");
  EXPECT_EQ(missing.http, 404);
  EXPECT_EQ(missing.object["code"], "not_found");
  EXPECT_EQ(daemon_.Call("ArchiveService/Nothing", "{}").http, 404);
  EXPECT_EQ(daemon_.Stop(), 0);
  EXPECT_FALSE(std::filesystem::exists(daemon_.socket()));
}

TEST_F(RpcTest, LoopbackIsNobodysAndTheSocketTheOwnersByDefault) {
  NEEDS_CURL();
  daemon_.Rpc("");
  daemon_.Begin(*primary_);
  EXPECT_EQ(daemon_.Call("ArchiveService/ListSources", "{}").http, 401);
  struct stat facts = {};
  ASSERT_EQ(::stat(daemon_.socket().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 0777u, 0600u);
  const auto by_socket = ArchivePathBy(ClientOf("unix:" + daemon_.socket()));
  ASSERT_TRUE(by_socket.ok()) << by_socket.error().message();
  EXPECT_EQ(*by_socket, daemon_.archive());
}

TEST_F(RpcTest, TokensAreLetInAndRevokedOnesNotAndTheirStreamsEnd) {
  NEEDS_CURL();
  std::string stays, goes;
  const std::string kept = RpcDaemon::NewToken("ops", "restorer", &stays);
  const std::string revoked = RpcDaemon::NewToken("grafana", "restorer", &goes);
  std::string reads;
  const std::string looks = RpcDaemon::NewToken("dashboard", "reader", &reads);
  const std::string access = daemon_.Write("access", stays + goes + reads);
  daemon_.Rpc("access_file = \"" + access + "\"\nunix_anonymous = \"none\"");
  daemon_.Begin(*primary_);

  for (const Curled& refused : {daemon_.Call("ArchiveService/ListSources", "{}"),
                                daemon_.CallByToken("tm_wrong"), daemon_.CallByToken("")}) {
    EXPECT_EQ(refused.http, 401);
    EXPECT_EQ(refused.object["code"], "unauthenticated") << refused.body;
  }
  EXPECT_EQ(daemon_.CallByToken(kept).http, 200);
  EXPECT_EQ(daemon_.CallByToken(revoked).http, 200);
  EXPECT_EQ(daemon_.CallByToken(looks).http, 200);
  // A file that is too open is not read.
  RpcClientOptions options = ClientOf("127.0.0.1:" + std::to_string(daemon_.port()));
  options.token.file = daemon_.Secret("kept", kept);
  const auto of_kept = Follow(options);
  options.token.file = daemon_.Secret("revoked", revoked);
  const auto of_revoked = Follow(options);
  ASSERT_TRUE(of_kept && of_revoked);
  // Contents are for restorers.
  options.token.file = daemon_.Secret("looks", looks);
  const auto of_reader = Follow(options);
  ASSERT_TRUE(of_reader);
  EXPECT_EQ(ErrorOf(*of_reader).code(), Code::kSourceRefused);
  GtidSet seen, seen_too;
  ASSERT_TRUE(ReadUntil(*of_kept, ExecutedOn(*primary_), &seen).ok());
  ASSERT_TRUE(ReadUntil(*of_revoked, ExecutedOn(*primary_), &seen_too).ok());

  daemon_.Write("access", stays);
  daemon_.Reload();
  EXPECT_EQ(daemon_.CallByToken(revoked).http, 401);
  EXPECT_EQ(daemon_.CallByToken(kept).http, 200);
  const Status ended = ErrorOf(*of_revoked);
  EXPECT_EQ(ended.code(), Code::kSourceRefused);
  EXPECT_THAT(ended.message(), HasSubstr("'grafana' is not let in any more"));
  Insert();
  EXPECT_TRUE(ReadUntil(*of_kept, ExecutedOn(*primary_), &seen).ok());
  EXPECT_THAT(daemon_.LogTail(), HasSubstr("configuration: rpc: " + access + " has new contents"));

  // A list that cannot be read changes nothing, and no other setting of that file is heeded.
  daemon_.Write("access", "ops reader the-token-itself-by-mistake\n");
  daemon_.Reload("the new configuration cannot be used, the old one stays: access file ");
  EXPECT_EQ(daemon_.CallByToken(kept).http, 200);
  const std::string log = ReadWholeFile(daemon_.log());
  for (const std::string& secret : {kept, revoked, std::string("by-mistake")})
    EXPECT_THAT(log, Not(HasSubstr(secret)));
  EXPECT_EQ(daemon_.Stop(), 0);
}

TEST_F(RpcTest, RenewedCertificateIsShownAfterAReloadAndStreamsGoOn) {
  const TestCertificate first({"first authority", "", true}), second({"second", "", true});
  WriteCertificates(first);
  daemon_.Rpc("anonymous = \"restorer\"\n" + TlsSettings());
  daemon_.Begin(*primary_);
  const RpcClientOptions trusts_first = TlsClient(first, "first");
  const RpcClientOptions trusts_second = TlsClient(second, "second");
  EXPECT_TRUE(ArchivePathBy(trusts_first).ok());
  EXPECT_EQ(ArchivePathBy(trusts_second).error().code(), Code::kSourceRefused);
  // Who speaks no TLS is not answered.
  RpcClientOptions plain = ClientOf(trusts_first.endpoint);
  plain.tls.use = rpc::TlsUse::kOff;
  EXPECT_FALSE(ArchivePathBy(plain).ok());
  const auto stream = Follow(trusts_first);
  ASSERT_TRUE(stream);
  GtidSet seen;
  ASSERT_TRUE(ReadUntil(*stream, ExecutedOn(*primary_), &seen).ok());

  WriteCertificates(second);
  EXPECT_TRUE(ArchivePathBy(trusts_first).ok());  // nobody has said so yet
  daemon_.Reload();
  EXPECT_EQ(ArchivePathBy(trusts_first).error().code(), Code::kSourceRefused);
  const auto renewed = ArchivePathBy(trusts_second);
  EXPECT_TRUE(renewed.ok()) << renewed.error().message();
  Insert();
  EXPECT_TRUE(ReadUntil(*stream, ExecutedOn(*primary_), &seen).ok());

  // Half of a renewal: a key that is not the certificate's.
  TestCertificate({"another", ""}).WriteKey(daemon_.File("key.pem"));
  daemon_.Reload(
      "the new configuration cannot be used, the old one stays: cannot use private key ");
  EXPECT_TRUE(ArchivePathBy(trusts_second).ok());
  EXPECT_EQ(daemon_.TimesInLog("] connected"), 1u) << daemon_.LogTail();
  EXPECT_EQ(daemon_.Stop(), 0);
}

TEST_F(RpcTest, MutualTlsLetsInWhoIsOnTheListByName) {
  const TestCertificate authority({"authority", "", true}), strange({"strange", "", true});
  WriteCertificates(authority);
  authority.WriteCertificate(daemon_.File("clients.pem"));
  daemon_.Rpc(TlsSettings() + "tls_client_ca_file = \"" + daemon_.File("clients.pem") +
              "\"\naccess_file = \"" + daemon_.Write("access", "ops restorer cn:ops host\n") +
              "\"\naudit_file = \"" + daemon_.File("audit.log") + "\"");
  daemon_.Begin(*primary_);
  const auto with = [&](const std::string& name, const TestCertificate& issuer) {
    const TestCertificate ours({name, ""}, &issuer);
    RpcClientOptions options = TlsClient(authority, "authority");
    ours.WriteCertificate(daemon_.File("ours.pem"));
    ours.WriteKey(daemon_.File("ours.key"));
    ::chmod(daemon_.File("ours.key").c_str(), 0600);
    options.tls.certificate_file = daemon_.File("ours.pem");
    options.tls.key_file = daemon_.File("ours.key");
    return options;
  };
  const auto known = ArchivePathBy(with("ops host", authority));
  EXPECT_TRUE(known.ok()) << known.error().message();
  EXPECT_FALSE(ArchivePathBy(with("ops host", strange)).ok());
  EXPECT_FALSE(ArchivePathBy(with("other host", authority)).ok());
  EXPECT_FALSE(ArchivePathBy(TlsClient(authority, "authority")).ok());
  const auto stream = Follow(with("ops host", authority));
  ASSERT_TRUE(stream);
  GtidSet seen;
  ASSERT_TRUE(ReadUntil(*stream, ExecutedOn(*primary_), &seen).ok());
  const auto lines = daemon_.AuditLines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["identity"], "ops");
}

TEST_F(RpcTest, AStreamFollowsThePrimaryCommitByCommit) {
  daemon_.Rpc("");
  daemon_.Begin(*primary_);
  const auto stream = Follow(ClientOf("unix:" + daemon_.socket()));
  ASSERT_TRUE(stream);
  GtidSet seen;
  const Status all = ReadUntil(*stream, ExecutedOn(*primary_), &seen);
  ASSERT_TRUE(all.ok()) << all.message();
  // Sooner than the server would ask by itself (RpcLimits::tick, 10 s): it is told.
  const auto began = std::chrono::steady_clock::now();
  for (int i = 0; i < 20; ++i) {
    Insert();
    const Status read = ReadUntil(*stream, ExecutedOn(*primary_), &seen);
    ASSERT_TRUE(read.ok()) << read.message();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(9));
  // The daemon ends while it is being followed.
  Insert();
  EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
  EXPECT_EQ(ErrorOf(*stream).code(), Code::kSourceUnavailable);
}

TEST_F(RpcTest, DescriptorsAreRaisedToWhatItsConnectionsNeed) {
  daemon_.Rpc("");
  rlimit ours = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &ours), 0);
  if (ours.rlim_max < 8192) GTEST_SKIP() << "no more than 8192 descriptors here";
  rlimit few = ours;
  few.rlim_cur = 1024;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  daemon_.Begin(*primary_);
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &ours), 0);
  rlimit theirs = {};
  ASSERT_EQ(::prlimit(daemon_.process().pid(), RLIMIT_NOFILE, nullptr, &theirs), 0);
  EXPECT_GE(theirs.rlim_cur, 4608u);  // 2048 connections, 1536 streams, and archiving
}

TEST_F(RpcTest, PagesSayWhetherItIsAliveAndReady) {
  NEEDS_CURL();
  auto other = testing::StartPrimary();
  ASSERT_TRUE(other && other->Execute("CREATE DATABASE other").ok());
  daemon_.Rpc("");
  daemon_.AddSource("other", *other);
  daemon_.Begin(*primary_);
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*other), "other")) << daemon_.LogTail();
  EXPECT_EQ(daemon_.Page("/healthz").http, 200);
  EXPECT_EQ(daemon_.Page("/healthz").body, "ok\n");
  EXPECT_EQ(daemon_.Page("/readyz").http, 200);
  EXPECT_EQ(daemon_.Page("/readyz").body, "ready\n");
  // A source that is away is being tried: that is for alerts, not for who routes callers here.
  other->Kill9();
  ASSERT_TRUE(daemon_.WaitForError("source-unavailable", "other"));
  EXPECT_EQ(daemon_.Page("/readyz").http, 200);
  EXPECT_EQ(daemon_.Stop(), 0);

  const std::string segment = daemon_.Segments("other").front();
  std::fstream(segment, std::ios::binary | std::ios::in | std::ios::out).seekp(3) << "damaged";
  daemon_.Start();
  ASSERT_TRUE(daemon_.process().WaitUntil([&] {
    return daemon_.Page("/readyz").body == "other: cannot-start\n";
  })) << daemon_.Page("/readyz").body
      << daemon_.LogTail();
  EXPECT_EQ(daemon_.Page("/readyz").http, 503);
  EXPECT_EQ(daemon_.Page("/healthz").http, 200);
  EXPECT_TRUE(ArchivePathBy(ClientOf("unix:" + daemon_.socket())).ok());
}

TEST_F(RpcTest, AuditHasEveryStreamAndRefusalAndIsOpenedAnewOnReload) {
  NEEDS_CURL();
  std::string lines;
  const std::string token = RpcDaemon::NewToken("restore-host", "restorer", &lines);
  daemon_.Rpc("access_file = \"" + daemon_.Write("access", lines) + "\"\naudit_file = \"" +
              daemon_.File("audit.log") + "\"");
  daemon_.Begin(*primary_);
  struct stat facts = {};
  ASSERT_EQ(::stat(daemon_.File("audit.log").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777u, 0600u);
  EXPECT_EQ(daemon_.CallByToken(token).http, 200);  // only asks
  EXPECT_TRUE(daemon_.AuditLines().empty());

  RpcClientOptions options = ClientOf("127.0.0.1:" + std::to_string(daemon_.port()));
  options.token.file = daemon_.Secret("token", token);
  auto stream = Follow(options);
  ASSERT_TRUE(stream);
  GtidSet seen;
  ASSERT_TRUE(ReadUntil(*stream, ExecutedOn(*primary_), &seen).ok());
  stream.reset();
  ASSERT_TRUE(WaitUntil([&] { return daemon_.AuditLines().size() == 2; }));
  const auto audited = daemon_.AuditLines();
  EXPECT_EQ(audited[0]["outcome"], "begins");
  EXPECT_EQ(audited[0]["identity"], "restore-host");
  EXPECT_EQ(audited[0]["role"], "restorer");
  EXPECT_EQ(audited[0]["method"], "tidemark.v1.StreamService/StreamEvents");
  EXPECT_EQ(audited[0]["request"]["range"]["source"], "main");
  EXPECT_THAT(audited[0]["peer"].get<std::string>(), HasSubstr("127.0.0.1:"));
  EXPECT_EQ(audited[1]["outcome"], "canceled");
  EXPECT_GT(audited[1]["duration_us"], 0);

  ASSERT_EQ(::rename(daemon_.File("audit.log").c_str(), daemon_.File("audit.1").c_str()), 0);
  daemon_.Reload();
  Curl({"-H", "Content-Type: application/connect+json", "--data-binary", "x",
        "http://127.0.0.1:" + std::to_string(daemon_.port()) +
            "/tidemark.v1.StreamService/StreamEvents"});
  ASSERT_TRUE(WaitUntil([&] { return daemon_.AuditLines().size() == 1; }));
  EXPECT_EQ(daemon_.AuditLines()[0]["outcome"], "unauthenticated");
  EXPECT_EQ(daemon_.AuditLines("audit.1").size(), 2u);
  EXPECT_THAT(ReadWholeFile(daemon_.File("audit.1")), Not(HasSubstr(token)));
}

TEST_F(RpcTest, OtherListenersRestartRpcAloneAndABadFileChangesNothing) {
  daemon_.Rpc("anonymous = \"reader\"");
  daemon_.Begin(*primary_);
  const std::string before = "127.0.0.1:" + std::to_string(daemon_.port());
  const std::string after = "127.0.0.1:" + std::to_string(testing::FreePort());
  daemon_.RewriteRpc(before, after);
  daemon_.Reload("serving RPC at " + after);
  EXPECT_TRUE(ArchivePathBy(ClientOf(after)).ok());
  EXPECT_FALSE(ArchivePathBy(ClientOf(before)).ok());
  EXPECT_THAT(daemon_.LogTail(), HasSubstr("configuration: rpc.listen: "));

  const std::string good = ReadWholeFile(daemon_.path());
  for (const auto& [from, to, why] : std::vector<std::array<std::string, 3>>{
           {"anonymous = \"reader\"", "anonymous = \"everybody\"", "must be one of none"},
           {"anonymous = \"reader\"", "annonymous = \"reader\"", "is not a setting"},
           {after, "0.0.0.0:1", "without TLS is refused"},
           {"anonymous = \"reader\"", "access_file = \"/proc/none/a\"", "/proc/none/a"}}) {
    SCOPED_TRACE(to);
    std::ofstream(daemon_.path()) << good;
    daemon_.RewriteRpc(from, to);
    const auto checked =
        RunProgram({testing::Binary("tidemarkd"), "--check-config", "--config", daemon_.path()});
    ASSERT_TRUE(checked.ok());
    EXPECT_EQ(checked->exit_code, 2) << checked->out;
    EXPECT_THAT(checked->err, HasSubstr(why));
    daemon_.Reload("the new configuration cannot be used, the old one stays: ");
    EXPECT_THAT(daemon_.LogTail(), HasSubstr(why));
    EXPECT_TRUE(ArchivePathBy(ClientOf(after)).ok());
  }
  // And gone.
  std::ofstream(daemon_.path()) << good.substr(0, good.find("[rpc]"));
  daemon_.Reload("configuration: rpc: removed; remote callers are cut off");
  EXPECT_TRUE(WaitUntil([&] { return !ArchivePathBy(ClientOf(after)).ok(); }));
  ExpectArchiving();
  EXPECT_EQ(daemon_.TimesInLog("[main] connected"), 1u) << daemon_.LogTail();
  EXPECT_EQ(daemon_.Stop(), 0);
}

TEST_F(RpcTest, ATakenPortIsTriedAgainAndArchivingDoesNotMind) {
  daemon_.Rpc("anonymous = \"reader\"");
  daemon_.Begin(*primary_);
  const std::string address = "127.0.0.1:" + std::to_string(daemon_.port());
  Daemon second;
  second.AddSource("main", *primary_);
  second.Configure("[rpc]\nlisten = [\"" + address + "\"]\nanonymous = \"reader\"\n");
  second.Start();
  ASSERT_TRUE(second.process().WaitForOutput("cannot answer remote callers yet: cannot listen at " +
                                             address + ": Address already in use"))
      << second.LogTail();
  Insert();
  EXPECT_TRUE(second.WaitFor(ExecutedOn(*primary_))) << second.LogTail();
  EXPECT_EQ(*ArchivePathBy(ClientOf(address)), daemon_.archive());
  EXPECT_EQ(daemon_.Stop(), 0);
  ASSERT_TRUE(second.process().WaitForOutput("serving RPC at " + address)) << second.LogTail();
  EXPECT_TRUE(WaitUntil([&] {
    const auto path = ArchivePathBy(ClientOf(address));
    return path.ok() && *path == second.archive();
  }));
  EXPECT_EQ(second.Stop(), 0);
}

}  // namespace
}  // namespace tidemark
