#include "tests/soak/rig.h"

#include <chrono>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/mysql_paths.h"

namespace tidemark::soak {
namespace {

constexpr int kStopPatienceMs = 60'000;
constexpr int kPitrMs = 3'600'000;  // a restore of an hour's writes

// Semi-sync from the first moment on, and nobody ever gives up waiting. What a killed process has
// written stays written, so the disk is left to the daemon.
const std::vector<std::string> kPrimaryArguments = {"--plugin-load-add=semisync_source.so",
                                                    "--rpl-semi-sync-source-enabled=ON",
                                                    "--rpl-semi-sync-source-timeout=4294967295",
                                                    "--sync-binlog=0",
                                                    "--innodb-flush-log-at-trx-commit=2",
                                                    "--session-track-gtids=OWN_GTID",
                                                    "--max-binlog-size=64M",
                                                    "--max-connections=200"};

nlohmann::json StatusOf(const Rig& rig) {
  const testing::ProgramResult result = rig.Pitr({"--json", "--source", kSource, "status"});
  const nlohmann::json json = nlohmann::json::parse(result.out, nullptr, false);
  if (result.exit_code != 0 || !json.is_object() || json["sources"].empty()) return nullptr;
  return json["sources"][0];
}

}  // namespace

void Report::Violation(const std::string& what) {
  ++violations_;
  Say("VIOLATION: " + what);
}

void Report::Say(const std::string& line) const {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char clock[16];
  std::strftime(clock, sizeof clock, "%H:%M:%S", &parts);
  std::lock_guard lock(mutex_);
  std::printf("%s %s\n", clock, line.c_str());
  std::fflush(stdout);
}

// A copy of the programs, so that they stay the same for an hour, whatever is built meanwhile.
Status Rig::CopyPrograms() const {
  std::error_code error;
  std::filesystem::create_directories(programs(), error);
  for (const char* name : {"/tidemarkd", "/pitr"})
    if (!error) std::filesystem::copy(options_.programs + name, programs() + name, error);
  if (error)
    return Status(Code::kIo, "cannot copy tidemarkd and pitr from " + options_.programs + ": " +
                                 error.message());
  return OkStatus();
}

Status Rig::Start() {
  TM_RETURN_IF_ERROR(CopyPrograms());
  // Without the plugin first, since the base's commits would wait for an archive.
  testing::MySqlServerOptions options;
  TM_ASSIGN_OR_RETURN(primary_, testing::MySqlServer::Start(options));
  TM_RETURN_IF_ERROR(DumpBase());
  TM_RETURN_IF_ERROR(primary_->Restart(kPrimaryArguments));
  // Files in front of the first transaction are not archived.
  TM_ASSIGN_OR_RETURN(const auto files, primary_->Query("SHOW BINARY LOGS"));
  TM_RETURN_IF_ERROR(primary_->Execute("PURGE BINARY LOGS TO '" + files.back()[0] + "'"));
  TM_ASSIGN_OR_RETURN(proxy_, testing::FaultProxy::Start(primary_->port()));
  return OkStatus();
}

Status Rig::DumpBase() const {
  testing::ProgramOptions run;
  run.stdout_file = base_dump();
  TM_ASSIGN_OR_RETURN(
      const testing::ProgramResult result,
      testing::RunProgram({testing::MySqlProgram("mysqldump"), "--no-defaults", "--user=root",
                           "--socket=" + primary_->socket(), "--single-transaction",
                           "--source-data=2", "--all-databases"},
                          run));
  if (result.exit_code != 0) return Status(Code::kIo, "mysqldump failed: " + result.err);
  return OkStatus();
}

std::string Rig::WriteConfig(bool tls) const {
  const std::string path = options_.directory + "/tidemarkd.toml";
  std::ofstream(path) << "archive = \"" << archive() << "\"\n[[source]]\nname = \"" << kSource
                      << "\"\nhost = \"127.0.0.1\"\nport = " << proxy_->port()
                      << "\nuser = \"root\"\nserver_id = 4200001\nsemi_sync = \"auto\"\ntls = \""
                      << (tls ? "required" : "disabled")
                      << "\"\nheartbeat_ms = 500\nretry_ms_min = 20\nretry_ms_max = 500\n"
                      << "segment_mib_max = 32\n";
  return path;
}

Status Rig::RestartPrimary() {
  harmed_before_ = proxy_->harmed_bytes(testing::FaultProxy::Way::kToServer);
  without_tls_ = !tls_;
  return primary_->Restart();
}

bool Rig::PrimaryMayBeMisled() const {
  return without_tls_ && proxy_->harmed_bytes(testing::FaultProxy::Way::kToServer) > harmed_before_;
}

Status Rig::StartDaemon(bool tls) {
  tls_ = tls;
  without_tls_ = without_tls_ || !tls;
  TM_ASSIGN_OR_RETURN(daemon_,
                      testing::BackgroundProgram::Start(
                          {programs() + "/tidemarkd", "--config", WriteConfig(tls)}, daemon_log()));
  daemon_pid_ = daemon_->pid();
  return OkStatus();
}

void Rig::KillDaemon() {
  if (!DaemonRuns()) report_.Violation("tidemarkd ended by itself; see " + daemon_log());
  daemon_pid_ = 0;
  daemon_->Kill(SIGKILL);
  if (!daemon_->Wait(kStopPatienceMs).ok()) report_.Violation("tidemarkd outlives SIGKILL");
}

void Rig::StopDaemon() {
  if (!DaemonRuns()) report_.Violation("tidemarkd ended by itself; see " + daemon_log());
  daemon_pid_ = 0;
  daemon_->Kill(SIGTERM);
  const Result<int> code = daemon_->Wait(kStopPatienceMs);
  if (!code.ok())
    report_.Violation("tidemarkd does not stop on SIGTERM: " + code.error().message());
  else if (*code != 0)
    report_.Violation("tidemarkd ends on SIGTERM with exit code " + std::to_string(*code));
}

testing::ProgramResult Rig::Pitr(std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {programs() + "/pitr", "--archive", archive()});
  testing::ProgramOptions run;
  run.timeout_ms = kPitrMs;
  auto result = testing::RunProgram(arguments, run);
  return result.ok() ? *result : testing::ProgramResult{-1, "", result.error().message()};
}

GtidSet Rig::Archived() const {
  const nlohmann::json status = StatusOf(*this);
  if (!status.is_object()) return {};
  return *GtidSet::Parse(status["coverage"]["archived"].get<std::string>());
}

std::string Rig::SourceFile() const {
  const nlohmann::json status = StatusOf(*this);
  return status.is_object() ? status.value("source_file", "") : "";
}

Result<GtidSet> Rig::Executed() {
  TM_ASSIGN_OR_RETURN(const std::string text,
                      primary_->QueryValue("SELECT @@GLOBAL.gtid_executed"));
  return GtidSet::Parse(text);
}

}  // namespace tidemark::soak
