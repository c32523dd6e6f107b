// The real thing for one test: a mysqld with live binary logs, the real tidemarkd archiving it, and
// the real pitr to be asked. Everything lives in one temporary directory and ends with the object.
// What fails to set up aborts. One thread.
//
// With TIDEMARK_TEST_SERVER=1 in the environment the daemon answers RPC, and pitr asks it
// (--server) instead of the archive's files (--archive).
#pragma once

#include <gtest/gtest.h>
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "replication/event/gtid_set.h"
#include "tests/support/mysql_paths.h"
#include "tests/support/mysql_server.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark::testing {

using Json = nlohmann::json;

// How one run of pitr ended; `json` is its standard output where that was asked for.
struct PitrResult {
  int exit_code = 0;
  std::string out = {};
  std::string err = {};
  Json json = {};
  std::string message() const {
    return "exit code " + std::to_string(exit_code) + ": " + err + out.substr(0, 2000);
  }
};

inline std::string TidemarkProgram(const std::string& name) {
  return std::string(TIDEMARK_BIN_DIR) + "/" + name;
}

inline PitrResult RunPitr(std::vector<std::string> arguments, const ProgramOptions& options = {}) {
  arguments.insert(arguments.begin(), TidemarkProgram("pitr"));
  auto result = RunProgram(arguments, options);
  if (!result.ok()) return {.exit_code = -1, .err = result.error().message()};
  PitrResult run{.exit_code = result->exit_code, .out = result->out, .err = result->err};
  run.json = Json::parse(run.out, nullptr, false);
  return run;
}

// Of a process that is no child of ours. A zombie that init has not collected yet does not run.
inline bool ProcessRuns(pid_t pid) {
  const std::string state = ReadWholeFile("/proc/" + std::to_string(pid) + "/stat");
  const size_t name_end = state.rfind(')');
  return name_end != std::string::npos && state.compare(name_end, 3, ") Z") != 0;
}

// A server that pitr restored and left running; killed when this goes.
class RestoredServer {
 public:
  explicit RestoredServer(const Json& receipt)
      : receipt_(receipt), pid_(receipt.at("target").at("mysqld_pid").get<pid_t>()) {
    ConnectionOptions options;
    options.socket = receipt.at("target").at("socket").get<std::string>();
    auto opened = Connection::Open(options);
    if (opened.ok())
      connection_ = std::move(*opened);
    else
      ADD_FAILURE() << opened.error().message();
  }
  ~RestoredServer() { Stop(); }
  RestoredServer(const RestoredServer&) = delete;
  RestoredServer& operator=(const RestoredServer&) = delete;

  Connection& sql() { return *connection_; }
  std::string Value(const std::string& query) {
    auto value = connection_->QueryValue(query);
    return value.ok() ? *value : value.error().message();
  }
  GtidSet Executed() { return *GtidSet::Parse(Value("SELECT @@GLOBAL.gtid_executed")); }
  const Json& receipt() const { return receipt_; }
  std::string socket() const { return receipt_.at("target").at("socket"); }
  void Stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    (void)WaitUntil([this] { return !ProcessRuns(pid_); }, 30'000);
    pid_ = 0;
  }

 private:
  Json receipt_;
  pid_t pid_;
  std::unique_ptr<Connection> connection_;
};

inline bool AsksServer() { return std::getenv("TIDEMARK_TEST_SERVER") != nullptr; }

class ArchivedPrimary {
 public:
  explicit ArchivedPrimary(const MySqlServerOptions& options = {}) {
    auto started = MySqlServer::Start(options);
    if (!started.ok()) ADD_FAILURE() << started.error().message();
    TM_CHECK(started.ok());
    primary = std::move(*started);
  }

  // `settings`: more lines of the [[source]] table. `answers`: RPC, however pitr is run.
  void StartDaemon(const std::string& settings = {}, bool answers = AsksServer()) {
    StartDaemonAt(primary->socket(), settings, answers);
  }
  // For who has stopped it and goes on asking: archives nothing, for it finds no primary.
  void AnswerWithoutPrimary() {
    if (!AsksServer()) return;
    StartDaemonAt(directory.Path("no-primary.sock"), {}, true);
    TM_CHECK(daemon_->WaitUntil([&] { return Pitr({"status"}).exit_code == 0; }));
  }
  void StartDaemonAt(const std::string& socket, const std::string& settings, bool answers) {
    const std::string rpc = "[rpc]\nlisten = [\"" + address() + "\"]\n";
    std::ofstream(directory.Path("tidemarkd.toml"))
        << "archive = \"" << archive() << "\"\n"
        << (answers ? rpc : "") << "[[source]]\nname = \"main\"\nsocket = \"" << socket
        << "\"\nuser = \"root\"\nserver_id = 4200001\n"
        << settings << "\n";
    auto started = BackgroundProgram::Start(
        {TidemarkProgram("tidemarkd"), "--config", directory.Path("tidemarkd.toml")},
        directory.Path("tidemarkd.log"));
    TM_CHECK(started.ok());
    daemon_ = std::move(*started);
  }
  void StopDaemon() {
    daemon_->Kill(SIGTERM);
    auto ended = daemon_->Wait();
    EXPECT_TRUE(ended.ok() && *ended == 0) << daemon_->Output();
    daemon_.reset();
  }
  void KillDaemon() {
    daemon_->Kill(SIGKILL);
    (void)daemon_->Wait();
    daemon_.reset();
  }

  std::string archive() const { return directory.Path("archive"); }
  std::string address() const { return "unix:" + directory.Path("rpc.sock"); }
  // What names the archive to pitr.
  std::vector<std::string> Where() const {
    if (AsksServer()) return {"--server", address()};
    return {"--archive", archive()};
  }
  PitrResult Pitr(std::vector<std::string> arguments, const ProgramOptions& options = {}) {
    const std::vector<std::string> where = Where();
    arguments.insert(arguments.begin(), where.begin(), where.end());
    return RunPitr(std::move(arguments), options);
  }
  PitrResult PitrJson(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "--json");
    return Pitr(std::move(arguments));
  }
  // Restores into directory.Path(name) with this machine's MySQL.
  PitrResult Restore(const std::string& name, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"restore", "--into", directory.Path(name), "--mysqld",
                                         MySqlProgram("mysqld")});
    return PitrJson(WithTools(std::move(arguments)));
  }
  PitrResult RestoreRunning(const std::string& socket, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"restore", "--socket", socket});
    return PitrJson(WithTools(std::move(arguments)));
  }
  // TIDEMARK_TEST_WORKERS: the target's applier gets so many, instead of what pitr would choose.
  static std::vector<std::string> WithTools(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--mysql", MySqlProgram("mysql"), "--mysqlbinlog",
                                       MySqlProgram("mysqlbinlog")});
    if (const char* workers = std::getenv("TIDEMARK_TEST_WORKERS"))
      arguments.insert(arguments.end(), {"--workers", workers});
    return arguments;
  }

  GtidSet Executed() {
    return *GtidSet::Parse(*primary->QueryValue("SELECT @@GLOBAL.gtid_executed"));
  }
  Gtid LastOf(const GtidSet& before) {
    const GtidSet own = Executed().Minus(before);
    TM_CHECK(own.Count() == 1);
    return {own.map().begin()->first, own.map().begin()->second.front().first};
  }
  GtidSet Archived() {
    const PitrResult status = PitrJson({"status"});
    if (status.exit_code != 0 || status.json.at("sources").empty()) return {};
    return *GtidSet::Parse(
        status.json.at("sources")[0].at("coverage").at("end").get<std::string>());
  }
  // Waits until the archive holds all that the primary has executed by now.
  void CatchUp() {
    const GtidSet wanted = Executed();
    if (daemon_->WaitUntil([&] { return wanted.IsSubsetOf(Archived()); })) return;
    std::fprintf(stderr, "not archived: %s\n%s\n", wanted.Minus(Archived()).ToString().c_str(),
                 daemon_->Output().c_str());
    TM_CHECK(!"the daemon archives");
  }

  std::string Dump(const std::string& name,
                   const std::vector<std::string>& options = {"--all-databases"}) {
    const std::string path = directory.Path(name);
    std::vector<std::string> argv = {MySqlProgram("mysqldump"),
                                     "--no-defaults",
                                     "--user=root",
                                     "--socket=" + primary->socket(),
                                     "--single-transaction",
                                     "--source-data=2",
                                     "--routines",
                                     "--events",
                                     "--triggers"};
    argv.insert(argv.end(), options.begin(), options.end());
    ProgramOptions run;
    run.stdout_file = path;
    auto result = RunProgram(argv, run);
    TM_CHECK(result.ok());
    EXPECT_EQ(result->exit_code, 0) << result->err;
    return path;
  }

  TempDir directory{"tidemark-e2e"};
  std::unique_ptr<MySqlServer> primary;

 private:
  std::unique_ptr<BackgroundProgram> daemon_;
};

}  // namespace tidemark::testing
