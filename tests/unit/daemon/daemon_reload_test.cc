#include "tools/daemon_reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "tests/support/process.h"
#include "tests/support/temp_dir.h"
#include "tools/daemon_rpc.h"

namespace tidemark {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::TempDir;

constexpr const char* kHead = "archive = \"/srv/a\"\n";
constexpr const char* kMain =
    "[[source]]\nname = \"main\"\nhost = \"db1\"\nuser = \"u\"\nserver_id = 1\n";
constexpr const char* kOther =
    "[[source]]\nname = \"other\"\nhost = \"db2\"\nuser = \"u\"\nserver_id = 2\n";

class DaemonReload : public ::testing::Test {
 protected:
  LoadedConfig Load(const std::string& text) {
    const std::string path = directory_.Path("tidemarkd.toml");
    std::ofstream(path) << text;
    Result<LoadedConfig> loaded = LoadConfigWithFiles(path);
    EXPECT_TRUE(loaded.ok()) << loaded.error().message();
    return loaded.ok() ? *loaded : LoadedConfig();
  }
  ReloadPlan Plan(const std::string& running, const std::string& fresh) {
    return PlanReload(Load(running), Load(fresh));
  }
  std::string Serve(const std::string& more = {}, const std::string& source = "main") {
    return "[serve]\nport = 3307\n" + more +
           "[[serve.account]]\nuser = \"replica\"\npassword_file = \"" + Password() +
           "\"\nsource = \"" + source + "\"\n";
  }
  std::string Password() { return directory_.Path("replica.password"); }

  TempDir directory_;
};

TEST_F(DaemonReload, SameFileChangesNothing) {
  const std::string text = std::string(kHead) + kMain + kOther + Serve();
  const ReloadPlan plan = Plan(text, text);
  EXPECT_TRUE(plan.empty());
  EXPECT_FALSE(plan.serve || plan.log);
}

TEST_F(DaemonReload, DefaultWrittenOutAndOtherOrderAreNoChange) {
  const ReloadPlan plan = Plan(std::string(kHead) + kMain + kOther,
                               std::string(kHead) + "[log]\nlevel = \"info\"\n" + kOther + kMain +
                                   "port = 3306\nheartbeat_ms = 5000\ntls = \"preferred\"\n");
  EXPECT_THAT(plan.changes, IsEmpty());
}

TEST_F(DaemonReload, TheSpaceReserveIsChangedUnderWay) {
  const ReloadPlan plan =
      Plan(std::string(kHead) + kMain,
           std::string("archive = \"/srv/b\"\nspace_reserve_mib = 8\n") + kMain);
  EXPECT_THAT(plan.changes, ElementsAre("space_reserve_mib: 64 -> 8"));
  EXPECT_THAT(plan.needs_restart, ElementsAre("archive: \"/srv/a\" -> \"/srv/b\""));
  EXPECT_EQ(plan.result.space_reserve_bytes, uint64_t{8} << 20);
  EXPECT_EQ(plan.result.archive, "/srv/a");
}

TEST_F(DaemonReload, OneChangedSourceLeavesTheOtherAlone) {
  const ReloadPlan plan = Plan(std::string(kHead) + kMain + kOther,
                               std::string(kHead) + kMain + "heartbeat_ms = 200\n" + kOther);
  EXPECT_THAT(plan.changes, ElementsAre("source main: heartbeat_ms: 5000 -> 200"));
  EXPECT_THAT(plan.sources_changed, ElementsAre("main"));
  EXPECT_THAT(plan.sources_added, IsEmpty());
  EXPECT_FALSE(plan.serve || plan.log);
}

TEST_F(DaemonReload, SourcesComeAndGo) {
  const ReloadPlan plan = Plan(std::string(kHead) + kMain, std::string(kHead) + kOther);
  EXPECT_THAT(plan.sources_removed, ElementsAre("main"));
  EXPECT_THAT(plan.sources_added, ElementsAre("other"));
  EXPECT_THAT(plan.changes, ElementsAre("source main: removed; what is archived of it stays",
                                        "source other: added, u@db2:3306"));
}

TEST_F(DaemonReload, ArchiveStaysUntilTheNextStart) {
  const ReloadPlan plan =
      Plan(std::string(kHead) + kMain, "archive = \"/srv/b\"\n" + std::string(kMain) + kOther);
  EXPECT_THAT(plan.needs_restart, ElementsAre("archive: \"/srv/a\" -> \"/srv/b\""));
  EXPECT_EQ(plan.result.archive, "/srv/a");
  EXPECT_THAT(plan.sources_added, ElementsAre("other"));  // the rest is acted on
}

// Not acted on, and therefore said again by every later reload.
TEST_F(DaemonReload, WhatNeedsARestartIsSaidEveryTime) {
  const LoadedConfig fresh = Load("archive = \"/srv/b\"\n" + std::string(kMain));
  const ReloadPlan first = PlanReload(Load(std::string(kHead) + kMain), fresh);
  const ReloadPlan second = PlanReload({first.result, {}}, fresh);
  EXPECT_EQ(first.needs_restart, second.needs_restart);
}

TEST_F(DaemonReload, LogAlone) {
  const ReloadPlan plan =
      Plan(std::string(kHead) + kMain,
           std::string(kHead) + "[log]\nlevel = \"debug\"\nformat = \"json\"\n" + kMain);
  EXPECT_TRUE(plan.log);
  EXPECT_FALSE(plan.serve);
  EXPECT_THAT(plan.changes,
              ElementsAre("log.format: \"text\" -> \"json\"", "log.level: \"info\" -> \"debug\""));
}

TEST_F(DaemonReload, NewPasswordUnderTheOldNameIsAChangeAndNotShown) {
  const std::string text = std::string(kHead) + kMain + Serve();
  std::ofstream(Password()) << "first-secret\n";
  const LoadedConfig running = Load(text);
  std::ofstream(Password()) << "second-secret\n";
  const LoadedConfig fresh = Load(text);
  const ReloadPlan plan = PlanReload(running, fresh);
  EXPECT_TRUE(plan.serve);
  EXPECT_THAT(plan.changes, ElementsAre("serve: " + Password() + " has new contents"));
}

TEST_F(DaemonReload, ServeComesAndGoes) {
  std::ofstream(Password()) << "secret\n";
  const std::string bare = std::string(kHead) + kMain;
  EXPECT_THAT(Plan(bare, bare + Serve()).changes, ElementsAre("serve: added, 127.0.0.1:3307"));
  const ReloadPlan gone = Plan(bare + Serve(), bare);
  EXPECT_TRUE(gone.serve);
  EXPECT_EQ(gone.result.serve.port, 0);
}

TEST_F(DaemonReload, AccountForAnotherSourceServesAnew) {
  const std::string sources = std::string(kHead) + kMain + kOther;
  const ReloadPlan plan = Plan(sources + Serve(), sources + Serve("", "other"));
  EXPECT_TRUE(plan.serve);
  EXPECT_THAT(plan.changes, ElementsAre("serve.account replica: source: \"main\" -> \"other\""));
}

// A replica knows us by the server_id that we have as a replica.
TEST_F(DaemonReload, NewServerIdOfAServedSourceServesAnewOthersDoNot) {
  const std::string head = std::string(kHead) + Serve();
  std::string renumbered = kMain;
  renumbered.replace(renumbered.find("server_id = 1"), 13, "server_id = 9");
  EXPECT_TRUE(Plan(head + kMain, head + renumbered).serve);
  EXPECT_FALSE(Plan(head + kMain, head + kMain + kOther).serve);
  EXPECT_FALSE(Plan(head + kMain, head + kMain + "heartbeat_ms = 200\n").serve);
}

std::string Rpc(const std::string& more = {}) {
  return "[rpc]\nlisten = [\"unix:/run/t.sock\"]\n" + more;
}

TEST_F(DaemonReload, RpcComesAndGoes) {
  const std::string bare = std::string(kHead) + kMain;
  const ReloadPlan come = Plan(bare, bare + Rpc());
  EXPECT_TRUE(come.rpc);
  EXPECT_THAT(come.changes, ElementsAre("rpc: added, [\"unix:/run/t.sock\"]"));
  const ReloadPlan gone = Plan(bare + Rpc(), bare);
  EXPECT_TRUE(gone.rpc);
  EXPECT_THAT(gone.changes, ElementsAre("rpc: removed; remote callers are cut off"));
  EXPECT_TRUE(gone.result.rpc.listen.empty());
  EXPECT_FALSE(Plan(bare + Rpc(), bare + Rpc("unix_mode = \"0600\"\n")).rpc);
}

TEST_F(DaemonReload, OtherListenersAnswerAnewAndServingStays) {
  const std::string bare = std::string(kHead) + kMain;
  const ReloadPlan plan =
      Plan(bare + Rpc(), bare + "[rpc]\nlisten = [\"unix:/run/t.sock\", \"127.0.0.1:7946\"]\n");
  EXPECT_TRUE(plan.rpc);
  EXPECT_FALSE(plan.serve);
  EXPECT_THAT(plan.changes, ElementsAre("rpc.listen: [\"unix:/run/t.sock\"] -> "
                                        "[\"unix:/run/t.sock\", \"127.0.0.1:7946\"]"));
  EXPECT_TRUE(Plan(bare + Rpc(), bare + Rpc("unix_anonymous = \"reader\"\n")).rpc);
}

TEST_F(DaemonReload, NewTokensAndCertificatesAreLoggedAndCutNobodyOff) {
  const std::string bare = std::string(kHead) + kMain;
  const std::string access = directory_.Path("access");
  const std::string text = bare + Rpc("access_file = \"" + access + "\"\n");
  std::ofstream(access) << "# one\n";
  const LoadedConfig running = Load(text);
  std::ofstream(access) << "# another\n";
  const ReloadPlan plan = PlanReload(running, Load(text));
  EXPECT_FALSE(plan.rpc || plan.serve);
  EXPECT_THAT(plan.changes, ElementsAre("rpc: " + access + " has new contents"));
  const ReloadPlan moved = PlanReload(
      running, Load(bare + Rpc("access_file = \"/etc/b\"\naudit_file = \"/var/log/a\"\n")));
  EXPECT_FALSE(moved.rpc);
  EXPECT_THAT(moved.changes, ElementsAre("rpc.access_file: \"" + access + "\" -> \"/etc/b\"",
                                         "rpc.audit_file: \"\" -> \"/var/log/a\""));
}

// What the parser knows and the comparison does not would be a change that nobody acts on.
TEST_F(DaemonReload, EverySettingOfTheExampleIsCompared) {
  std::ifstream example(TIDEMARK_DEPLOY_DIR "/tidemarkd.toml");
  ASSERT_TRUE(example.good());
  const LoadedConfig loaded = Load(std::string(kHead) + kMain + Serve() + Rpc());
  const DaemonConfig& config = loaded.config;
  const std::map<std::string, const Settings*> tables = {
      {"", &config.settings},
      {"[log]", &config.log.settings},
      {"[[source]]", &config.sources.front().settings},
      {"[serve]", &config.serve.settings},
      {"[rpc]", &config.rpc.settings},
      {"[[serve.account]]", &config.serve.accounts.front().settings}};
  std::string table;
  int settings = 0;
  for (std::string line; std::getline(example, line);) {
    if (line.starts_with("# ")) line.erase(0, 2);
    if (line.starts_with('[') && line.ends_with(']') && tables.contains(line)) table = line;
    const size_t equals = line.find(" = ");
    if (equals == std::string::npos ||
        line.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789") != equals)
      continue;
    ++settings;
    EXPECT_TRUE(tables.at(table)->contains(line.substr(0, equals))) << table << " " << line;
  }
  EXPECT_GE(settings, 45);
}

TEST(DaemonConfigErrors, DoNotQuoteTheFile) {
  TempDir directory;
  const std::string path = directory.Path("tidemarkd.toml");
  std::ofstream(path) << "archive = \"/a\"\npassword = \"hunter2\n";
  const Result<LoadedConfig> loaded = LoadConfigWithFiles(path);
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.error().message(), HasSubstr("tidemarkd.toml:2"));
  EXPECT_THAT(loaded.error().message(), ::testing::Not(HasSubstr("hunter2")));
}

class BadLog : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};
TEST_P(BadLog, IsRefused) {
  TempDir directory;
  const std::string path = directory.Path("tidemarkd.toml");
  std::ofstream(path) << kHead << "[log]\n" << GetParam().first << "\n" << kMain;
  const Result<LoadedConfig> loaded = LoadConfigWithFiles(path);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().code(), Code::kUsage);
  EXPECT_THAT(loaded.error().message(), HasSubstr(GetParam().second));
}
INSTANTIATE_TEST_SUITE_P(
    Cases, BadLog,
    ::testing::Values(std::pair("format = \"xml\"", "log.format must be one of text, json"),
                      std::pair("destination = \"syslog\"", "stderr, journald, file"),
                      std::pair("destination = \"file\"", "names none"),
                      std::pair("file = \"/x\"", "log.file is set"),
                      std::pair("files_kept = -1", "log.files_kept must be")));

class BadRpc : public ::testing::TestWithParam<std::pair<const char*, const char*>> {};
TEST_P(BadRpc, IsRefused) {
  TempDir directory;
  const std::string path = directory.Path("tidemarkd.toml");
  std::ofstream(path) << kHead << "[rpc]\n" << GetParam().first << "\n" << kMain;
  const Result<LoadedConfig> loaded = LoadConfigWithFiles(path);
  const Status status = loaded.ok() ? DaemonRpc::Check(loaded->config.rpc) : loaded.error();
  EXPECT_EQ(status.code(), Code::kUsage);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().second));
}
INSTANTIATE_TEST_SUITE_P(
    Cases, BadRpc,
    ::testing::Values(
        std::pair("", "rpc listens nowhere"), std::pair("listen = []", "rpc listens nowhere"),
        std::pair("listen = \"127.0.0.1:1\"", "rpc.listen must be an array of strings"),
        std::pair("listen = [7946]", "rpc.listen must be an array of strings"),
        std::pair("listen = [\"unix:/a\", \"unix:/a\"]", "names an address twice"),
        std::pair("listen = [\"unix:/a\"]\nport = 1", "rpc.port is not a setting"),
        std::pair("listen = [\"unix:/a\"]\nunix_mode = \"0777\"", "must be one of 0600, 0660"),
        std::pair("listen = [\"127.0.0.1:1\"]", "lets nobody in"),
        std::pair("listen = [\"unix:/a\"]\nunix_anonymous = \"none\"", "lets nobody in"),
        std::pair("listen = [\"127.0.0.1:1\"]\nanonymous = \"admin\"", "must be one of none"),
        std::pair("listen = [\"unix:/a\"]\nunix_mode = \"0660\"\nunix_anonymous = \"admin\"",
                  "only where unix_mode is"),
        std::pair("listen = [\"127.0.0.1:1\"]\ntls_key_file = \"/k\"", "only one of"),
        std::pair("listen = [\"unix:/a\"]\ntls_client_ca_file = \"/k\"", "no certificate of ours"),
        std::pair("listen = [\"localhost:1\"]\nanonymous = \"reader\"", "is not an address"),
        std::pair("listen = [\"unix:\"]", "cannot be a unix socket's path"),
        std::pair("listen = [\"0.0.0.0:1\"]\naccess_file = \"/proc/none\"",
                  "without TLS is refused"),
        std::pair("listen = [\"unix:/a\"]\naccess_file = \"/proc/none/such\"", "/proc/none/such"),
        std::pair("listen = [\"unix:/a\"]\naudit_file = \"/proc/none/such/file\"",
                  "/proc/none/such/file"),
        std::pair("listen = [\"0.0.0.0:1\"]\nanonymous = \"reader\"\n"
                  "tls_certificate_file = \"/proc/none/c\"\ntls_key_file = \"/proc/none/k\"",
                  "/proc/none/c")));

}  // namespace
}  // namespace tidemark
