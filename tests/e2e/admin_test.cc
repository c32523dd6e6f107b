// What administrators do to a running tidemarkd, as they would: pitr --server, tokens, curl.
#include <sys/stat.h>

#include <chrono>

#include "tests/e2e/rpc_fixture.h"
#include "tests/support/metrics_text.h"
#include "tidemark/v1/admin_service.pb.h"

namespace tidemark {
namespace {

using nlohmann::json;
using testing::Curl;
using testing::Curled;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::MetricsPage;
using testing::MySqlServer;
using ::testing::Not;
using testing::ProgramResult;
using testing::ReadWholeFile;
using testing::RpcDaemon;
using testing::RunProgram;
using testing::WaitUntil;

// Who may open the unix socket is an administrator; over TCP a token says who one is.
class AdminTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    primary_ = testing::StartPrimary().release();
    ASSERT_NE(primary_, nullptr);
    Sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT)");
  }
  static void TearDownTestSuite() { delete std::exchange(primary_, nullptr); }
  static void Sql(const std::string& sql) {
    const Status done = primary_->Execute(sql);
    ASSERT_TRUE(done.ok()) << done.message();
  }
  static void Insert() { Sql("INSERT INTO shop.t VALUES (1)"); }

  void SetUp() override {
    std::string lines;
    admin_ = RpcDaemon::NewToken("ops", "admin", &lines);
    reader_ = RpcDaemon::NewToken("grafana", "reader", &lines);
    restorer_ = RpcDaemon::NewToken("drill", "restorer", &lines);
    daemon_.Rpc("access_file = \"" + daemon_.Write("access", lines) +
                "\"\nunix_anonymous = \"admin\"\naudit_file = \"" + daemon_.File("audit.log") +
                "\"");
  }
  // Stops it and starts it again, until it answers.
  void Restart(bool kill = false) {
    if (kill)
      daemon_.Kill9();
    else
      EXPECT_EQ(daemon_.Stop(), 0);
    StartAgain();
  }
  void StartAgain() {
    daemon_.Start();
    ASSERT_TRUE(WaitUntil([&] { return Remote({"status"}).exit_code == 0; })) << daemon_.LogTail();
  }
  ProgramResult Remote(std::vector<std::string> arguments) const {
    std::vector<std::string> argv = {testing::Binary("pitr"), "--server",
                                     "unix:" + daemon_.socket()};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    auto ran = RunProgram(argv);
    EXPECT_TRUE(ran.ok()) << ran.error().message();
    return ran.ok() ? *ran : ProgramResult{-1, "", ""};
  }
  json RemoteJson(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "--json");
    const ProgramResult ran = Remote(std::move(arguments));
    EXPECT_EQ(ran.exit_code, 0) << ran.out << ran.err;
    return json::parse(ran.out, nullptr, false);
  }
  Curled Page(const std::string& path) const {
    return Curl({"--unix-socket", daemon_.socket(), "http://localhost" + path});
  }
  double Metric(const std::string& series) const {
    return MetricsPage(Page("/metrics").body).Value(series);
  }
  Curled CallAs(const std::string& token, const std::string& method,
                const std::string& request) const {
    return daemon_.Call("AdminService/" + method, request,
                        {"-H", "Authorization: Bearer " + token});
  }
  // Whether the primary is sending its binary log to anybody.
  static bool Dumping() {
    return *primary_->QueryValue(
               "SELECT COUNT(*) FROM performance_schema.threads WHERE "
               "PROCESSLIST_COMMAND LIKE 'Binlog Dump%'") != "0";
  }
  void ExpectPausedBy(const std::string& who) {
    const json status = daemon_.Status();
    EXPECT_EQ(status["daemon"]["state"], "paused") << status["daemon"];
    EXPECT_EQ(status["daemon"]["paused"]["reason"], "moving house");
    EXPECT_THAT(status["daemon"]["paused"]["by"].get<std::string>(), HasSubstr(who));
    EXPECT_TRUE(WaitUntil([] { return !Dumping(); })) << "the primary is still read";
  }

  static MySqlServer* primary_;
  RpcDaemon daemon_;
  std::string admin_, reader_, restorer_;
};
MySqlServer* AdminTest::primary_ = nullptr;

TEST_F(AdminTest, APauseHoldsOverReloadRestartAndKillAndResumeCatchesUpExactly) {
  NEEDS_CURL();
  daemon_.Begin(*primary_);
  Insert();
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_)));
  const ProgramResult paused =
      Remote({"source", "pause", "--reason", "moving house", "--by", "alice"});
  EXPECT_EQ(paused.exit_code, 0) << paused.err;
  EXPECT_THAT(paused.out, HasSubstr("source main is paused by alice (anonymous)"));
  // Sealed when it answers.
  const json segments =
      json::parse(daemon_.Pitr({"--json", "segments"}).out, nullptr, false)["segments"];
  ASSERT_FALSE(segments.empty());
  EXPECT_EQ(segments.back()["sealed"], true);
  EXPECT_EQ(segments.back()["seal_reason"], "stop");
  const GtidSet archived = daemon_.Archived();
  Insert();

  ASSERT_TRUE(WaitUntil([&] { return daemon_.Status()["daemon"]["state"] == "paused"; }));
  ExpectPausedBy("alice");
  EXPECT_THAT(Remote({"status"}).out, HasSubstr("PAUSED      by alice (anonymous)"));
  EXPECT_EQ(Page("/readyz").http, 200) << "it does all that it was told to";
  EXPECT_EQ(Page("/healthz").http, 200);
  EXPECT_EQ(Metric("tidemark_source_state{source=\"main\",state=\"paused\"}"), 1);
  EXPECT_EQ(Metric("tidemark_source_up{source=\"main\"}"), 0);
  EXPECT_THAT(daemon_.LogTail(), HasSubstr("[main] paused by alice (anonymous): moving house"));
  const json again = RemoteJson({"source", "pause", "--reason", "other", "--by", "bob"});
  EXPECT_EQ(again["was_paused"], true);
  EXPECT_EQ(again["paused"]["reason"], "moving house");

  daemon_.Reload("the configuration has not changed");
  ExpectPausedBy("alice");
  for (const bool kill : {false, true}) {
    Restart(kill);
    ExpectPausedBy("alice");
    EXPECT_THAT(daemon_.LogTail(), HasSubstr("[main] is not archived: paused by alice"));
    EXPECT_EQ(Page("/readyz").http, 200);
  }
  EXPECT_EQ(daemon_.Archived(), archived);

  Sql("FLUSH BINARY LOGS");
  Insert();
  EXPECT_EQ(RemoteJson({"source", "resume"})["was_paused"], true);
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_))) << daemon_.LogTail();
  EXPECT_EQ(RemoteJson({"source", "resume"})["was_paused"], false);
  Restart();
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_)));
  EXPECT_FALSE(daemon_.Status()["daemon"].contains("paused"));
  daemon_.ExpectFilesExact(*primary_);
  daemon_.ExpectVerified();
}

TEST_F(AdminTest, APauseOfOneSourceLeavesTheOtherAndOneThatCannotBeReadHolds) {
  NEEDS_CURL();
  daemon_.AddSource("second", *primary_);
  daemon_.Begin(*primary_);
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_), "second"));
  EXPECT_EQ(Remote({"source", "pause", "--reason", "x"}).exit_code, 2) << "which of the two?";
  EXPECT_EQ(Remote({"--source", "second", "source", "pause", "--reason", "moving house"}).exit_code,
            0);
  Insert();
  EXPECT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_), "main"));
  EXPECT_FALSE(ExecutedOn(*primary_).Minus(daemon_.Archived("second")).empty());

  const std::string file = daemon_.archive() + "/second/paused";
  std::filesystem::resize_file(file, 40);
  Restart(true);
  ASSERT_TRUE(WaitUntil([&] { return daemon_.Status("second")["daemon"]["state"] == "paused"; }));
  EXPECT_THAT(daemon_.Status("second")["daemon"]["paused"]["reason"].get<std::string>(),
              HasSubstr(file));
  EXPECT_FALSE(ExecutedOn(*primary_).Minus(daemon_.Archived("second")).empty());
  EXPECT_EQ(Remote({"--source", "second", "source", "resume"}).exit_code, 0);
  EXPECT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_), "second")) << daemon_.LogTail();
}

TEST_F(AdminTest, AnIdleSourcesSegmentIsSealedAtOnce) {
  daemon_.Begin(*primary_);
  Insert();
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_)));
  auto client = rpc::RpcClient::Create(testing::ClientOf("unix:" + daemon_.socket()));
  ASSERT_TRUE(client.ok());
  const auto* method = v1::SealSegmentRequest::descriptor()
                           ->file()
                           ->FindServiceByName("AdminService")
                           ->FindMethodByName("SealSegment");
  v1::SealSegmentResponse sealed;
  const auto begun = std::chrono::steady_clock::now();
  const Status status = (*client)->Call(method, v1::SealSegmentRequest(), &sealed);
  const auto took = std::chrono::steady_clock::now() - begun;
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_LT(took, std::chrono::seconds(1));
  EXPECT_EQ(sealed.source(), "main");
  EXPECT_FALSE(sealed.was_sealed());
  const json segments =
      json::parse(daemon_.Pitr({"--json", "segments"}).out, nullptr, false)["segments"];
  ASSERT_EQ(segments.size(), sealed.segment());
  EXPECT_EQ(segments.back()["sealed"], true);
  EXPECT_EQ(segments.back()["seal_reason"], "request");

  const json again = RemoteJson({"source", "seal"});
  EXPECT_EQ(again["segment"], sealed.segment());
  EXPECT_EQ(again["was_sealed"], true);
  Insert();
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_)));
  EXPECT_EQ(RemoteJson({"source", "seal"})["segment"], sealed.segment() + 1);
  EXPECT_EQ(Remote({"source", "pause", "--reason", "moving house"}).exit_code, 0);
  EXPECT_EQ(RemoteJson({"source", "seal"})["was_sealed"], true);
  EXPECT_EQ(Remote({"source", "resume"}).exit_code, 0);
  Sql("FLUSH BINARY LOGS");
  Insert();
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_)));
  daemon_.ExpectFilesExact(*primary_);
  daemon_.ExpectVerified();
}

TEST_F(AdminTest, AnAcknowledgedGapIsShownEverywhereAndRefusesRestoresAllTheSame) {
  NEEDS_CURL();
  const auto primary = testing::StartPrimary();  // which purges what others need
  ASSERT_NE(primary, nullptr);
  const auto sql = [&](const std::string& text) {
    const Status done = primary->Execute(text);
    ASSERT_TRUE(done.ok()) << done.message();
  };
  sql("CREATE DATABASE shop; CREATE TABLE shop.t (a INT)");
  daemon_.AddSource("main", *primary, "adopt_purged = true");
  daemon_.Start();
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary))) << daemon_.LogTail();
  EXPECT_EQ(daemon_.Stop(), 0);
  const GtidSet before = ExecutedOn(*primary);
  sql("INSERT INTO shop.t VALUES (1)");
  sql("INSERT INTO shop.t VALUES (1)");
  const GtidSet gap = ExecutedOn(*primary).Minus(before);
  sql("FLUSH BINARY LOGS");
  const auto files = primary->Query("SHOW BINARY LOGS");
  sql("PURGE BINARY LOGS TO '" + files->back()[0] + "'");
  sql("INSERT INTO shop.t VALUES (1)");
  const GtidSet after = ExecutedOn(*primary);
  StartAgain();
  ASSERT_TRUE(daemon_.WaitFor(after.Minus(gap))) << daemon_.LogTail();
  const std::string missing = gap.ToString();
  const std::string uuid = missing.substr(0, missing.find(':') + 1);
  const std::string one = missing.substr(0, missing.find_last_of('-'));  // the first of the two
  const auto unknown = [&](const char* known) {
    return Metric("tidemark_source_gap_transactions{source=\"main\",at=\"inside\",acknowledged=\"" +
                  std::string(known) + "\"}");
  };
  EXPECT_EQ(unknown("false"), 2);
  EXPECT_THAT(daemon_.Pitr({"gap", "list"}).out, HasSubstr("UNACKNOWLEDGED  " + missing));

  // Exactly what is missing, or nothing.
  const ProgramResult strange = Remote({"gap", "ack", uuid + "1-100000", "--reason", "why"});
  EXPECT_EQ(strange.exit_code, 2);
  EXPECT_THAT(strange.err, HasSubstr("not in a gap of source main: " + uuid));
  EXPECT_THAT(strange.err, Not(HasSubstr(missing)));
  EXPECT_EQ(Remote({"gap", "ack", missing}).exit_code, 2) << "without a reason";
  EXPECT_FALSE(std::filesystem::exists(daemon_.archive() + "/main/acknowledged_gaps"));

  // One of them beside the daemon, on the files; the other through it.
  const ProgramResult local =
      daemon_.Pitr({"gap", "ack", one, "--reason", "INC-1", "--by", "alice"});
  EXPECT_EQ(local.exit_code, 0) << local.err;
  EXPECT_EQ(unknown("false"), 1);
  EXPECT_EQ(unknown("true"), 1);
  EXPECT_THAT(Remote({"status"}).out, HasSubstr("GAP           " + missing));
  EXPECT_THAT(Remote({"status"}).out, HasSubstr("(acknowledged: " + one + ")"));
  const json added = RemoteJson({"gap", "ack", missing, "--reason", "INC-2", "--by", "bob"});
  EXPECT_EQ(GtidSet::Parse(added["added"].get<std::string>())->Count(), 1u);
  EXPECT_EQ(unknown("false"), 0);
  EXPECT_EQ(unknown("true"), 2);
  EXPECT_EQ(RemoteJson({"gap", "ack", missing, "--reason", "INC-3"})["added"], "");

  const auto expect_shown = [&] {
    for (const std::vector<std::string>& question :
         {std::vector<std::string>{"status"}, {"timeline"}, {"gap", "list"}}) {
      const ProgramResult here = daemon_.Pitr(question), there = Remote(question);
      EXPECT_THAT(here.out, HasSubstr("acknowledged")) << here.err;
      EXPECT_THAT(there.out, HasSubstr("acknowledged")) << there.err;
      EXPECT_THAT(here.out, Not(HasSubstr("UNACKNOWLEDGED")));
      EXPECT_THAT(here.out, Not(HasSubstr("GAP ")));
    }
    const json gaps = RemoteJson({"gap", "list"});
    EXPECT_EQ(gaps, json::parse(daemon_.Pitr({"--json", "gap", "list"}).out, nullptr, false));
    EXPECT_EQ(gaps["acknowledged"], missing);
    ASSERT_EQ(gaps["acknowledgements"].size(), 2u);
    EXPECT_EQ(gaps["acknowledgements"][0]["by"], "alice");
    EXPECT_EQ(gaps["acknowledgements"][1]["by"], "bob (anonymous)");
    const Curled raw =
        daemon_.Call("ArchiveService/GetStatus", "{}", {"-H", "Authorization: Bearer " + reader_});
    EXPECT_EQ(raw.object["sources"][0]["coverage"]["acknowledged"], missing);
  };
  expect_shown();
  const std::vector<std::string> plan = {"plan", "--latest", "--from-nothing"};
  for (const ProgramResult& refused : {daemon_.Pitr(plan), Remote(plan)}) {
    EXPECT_EQ(refused.exit_code, 4) << refused.out << refused.err;
    EXPECT_THAT(refused.err, HasSubstr("acknowledged by alice (INC-1)"));
  }

  // It is no part of the index.
  EXPECT_EQ(daemon_.Stop(), 0);
  std::filesystem::remove_all(daemon_.archive() + "/index");
  StartAgain();
  expect_shown();

  // Nor lost if it is damaged: everything is unknown again, and that is said.
  const std::string file = daemon_.archive() + "/main/acknowledged_gaps";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  EXPECT_EQ(unknown("false"), 2);
  EXPECT_THAT(Remote({"status"}).out, HasSubstr("WARNING       no gap counts as acknowledged"));
  EXPECT_EQ(Remote({"gap", "list"}).exit_code, 5);
  EXPECT_EQ(Remote({"gap", "ack", missing, "--reason", "again"}).exit_code, 5);
}

TEST_F(AdminTest, OnlyAdministratorsMayAndEveryCallIsWrittenDown) {
  NEEDS_CURL();
  daemon_.Begin(*primary_);
  const std::vector<std::pair<std::string, std::string>> calls = {
      {"PauseSource", R"({"reason": "r"})"},
      {"ResumeSource", "{}"},
      {"SealSegment", "{}"},
      {"AcknowledgeGap", R"({"gtids": "3e11fa47-71ca-11e1-9e33-c80aa9429562:1", "reason": "r"})"}};
  for (const auto& [method, request] : calls) {
    EXPECT_EQ(CallAs(reader_, method, request).http, 403) << method;
    EXPECT_EQ(CallAs(restorer_, method, request).object["code"], "permission_denied") << method;
    EXPECT_EQ(daemon_.Call("AdminService/" + method, request).http, 401) << method;
    EXPECT_EQ(CallAs(admin_, method, request).http, method == "AcknowledgeGap" ? 400 : 200)
        << method;
  }
  ProgramResult refused =
      *RunProgram({testing::Binary("pitr"), "--server",
                   "127.0.0.1:" + std::to_string(daemon_.port()), "--server-plaintext",
                   "--server-token-file", daemon_.Secret("reader", reader_), "index", "rebuild"});
  EXPECT_EQ(refused.exit_code, 6) << refused.err;
  EXPECT_EQ(Remote({"index", "rebuild"}).exit_code, 0);

  std::vector<json> lines;
  const auto count = [&](const std::string& method, const std::string& identity,
                         const std::string& outcome) {
    return std::count_if(lines.begin(), lines.end(), [&](const json& line) {
      return line["method"] == "tidemark.v1.AdminService/" + method &&
             line["identity"] == identity && line["outcome"] == outcome;
    });
  };
  // A line is written when a call is over, which its caller may know sooner.
  EXPECT_TRUE(WaitUntil([&] {
    lines = daemon_.AuditLines();
    return count("RebuildIndex", "anonymous", "ok") == 1;
  })) << daemon_.LogTail();
  for (const auto& [method, request] : calls) {
    EXPECT_EQ(count(method, "grafana", "permission_denied"), 1) << method;
    EXPECT_EQ(count(method, "drill", "permission_denied"), 1) << method;
    EXPECT_EQ(count(method, "anonymous", "unauthenticated"), 1) << method;
    EXPECT_EQ(count(method, "ops", method == "AcknowledgeGap" ? "invalid_argument" : "ok"), 1)
        << method;
  }
  EXPECT_EQ(count("RebuildIndex", "grafana", "permission_denied"), 1);
  EXPECT_EQ(count("RebuildIndex", "anonymous", "begins"), 1);
  const auto pause = std::find_if(lines.begin(), lines.end(), [](const json& line) {
    return line["identity"] == "ops" && line["method"] == "tidemark.v1.AdminService/PauseSource";
  });
  ASSERT_NE(pause, lines.end());
  EXPECT_EQ((*pause)["request"]["reason"], "r");
}

TEST_F(AdminTest, TheIndexIsMadeAnewUnderLoadAndNobodyMinds) {
  daemon_.Begin(*primary_);
  testing::Load load(*primary_);
  ASSERT_TRUE(load.WaitForCommits(500));
  const auto follower = testing::Follow(testing::ClientOf("unix:" + daemon_.socket()));
  ASSERT_TRUE(follower);
  GtidSet seen;
  for (int round = 0; round < 3; ++round) {
    const std::string identity = ReadWholeFile(daemon_.archive() + "/index/IDENTITY");
    const ProgramResult rebuilt = Remote({"index", "rebuild"});
    EXPECT_EQ(rebuilt.exit_code, 0) << rebuilt.err << daemon_.LogTail();
    EXPECT_NE(ReadWholeFile(daemon_.archive() + "/index/IDENTITY"), identity)
        << "it is the old index";
    EXPECT_EQ(Remote({"status"}).exit_code, 0);
    ASSERT_TRUE(load.WaitForCommits(200));
    EXPECT_TRUE(testing::ReadUntil(*follower, ExecutedOn(*primary_), &seen).ok());
  }
  load.Stop();
  Sql("FLUSH BINARY LOGS");
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_))) << daemon_.LogTail();
  daemon_.ExpectVerified();
  daemon_.ExpectFilesExact(*primary_);
  // A second one beside the first is refused, and a stop ends one.
  EXPECT_EQ(daemon_.Stop(), 0);
  EXPECT_FALSE(std::filesystem::exists(daemon_.archive() + "/index.old"));
}

TEST_F(AdminTest, WhatOnlyADaemonCanDoSaysSo) {
  const ProgramResult local = daemon_.Pitr({"source", "pause", "--reason", "r"});
  EXPECT_EQ(local.exit_code, 2);
  EXPECT_THAT(local.err, HasSubstr("--server"));
}

}  // namespace
}  // namespace tidemark
