// tidemarkd and pitr, the built programs, on an archive in a temporary directory.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "replication/event/gtid_set.h"
#include "tests/support/mysql_paths.h"
#include "tests/support/mysql_server.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace tidemark::testing {

inline constexpr int kPatienceMs = 60'000;

inline std::string Binary(const std::string& name) {
  return std::string(TIDEMARK_BIN_DIR) + "/" + name;
}

// A fast primary: what a process that is killed has written stays written anyway.
inline std::unique_ptr<MySqlServer> StartPrimary(std::vector<std::string> extra_args = {}) {
  MySqlServerOptions options;
  options.extra_args = {"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0",
                        "--innodb-doublewrite=OFF"};
  options.extra_args.insert(options.extra_args.end(), extra_args.begin(), extra_args.end());
  auto server = MySqlServer::Start(options);
  if (!server.ok()) {
    ADD_FAILURE() << server.error().message();
    return nullptr;
  }
  return std::move(*server);
}

inline std::string HostOf(const MySqlServer& server) {
  return "127.0.0.1:" + std::to_string(server.port());
}

inline GtidSet ExecutedOn(MySqlServer& server) {
  auto text = server.QueryValue("SELECT @@GLOBAL.gtid_executed");
  EXPECT_TRUE(text.ok()) << text.error().message();
  return text.ok() ? *GtidSet::Parse(*text) : GtidSet();
}

class Daemon {
 public:
  explicit Daemon(std::string archive = {})
      : archive_(archive.empty() ? directory_.Path("archive") : archive) {}

  void AddSource(const std::string& name, const MySqlServer& server,
                 const std::string& settings = {}) {
    if (settings.find("host") == std::string::npos)
      AddSourceBehind("socket = \"" + server.socket() + "\"\nuser = \"root\"\n", name, settings);
    else
      AddSourceBehind("port = " + std::to_string(server.port()) + "\n", name, settings);
  }
  // Over TCP, to another port of this machine than a server's own: a proxy's.
  void AddSourceAtPort(const std::string& name, int port, const std::string& settings) {
    AddSourceBehind("host = \"127.0.0.1\"\nuser = \"root\"\nport = " + std::to_string(port) + "\n",
                    name, settings);
  }
  void AddSourceBehind(const std::string& address, const std::string& name,
                       const std::string& settings) {
    sources_ += "[[source]]\n" + address;
    sources_ += "name = \"" + name +
                "\"\nserver_id = " + std::to_string(4200001 + source_count_++) +
                "\nheartbeat_ms = 200\nretry_ms_min = 10\nretry_ms_max = 300\n" + settings + "\n";
  }
  void ForgetSources() { sources_.clear(); }
  void Configure(const std::string& tables) { more_ += tables; }            // behind the sources
  void ConfigureArchive(const std::string& settings) { top_ += settings; }  // outside of tables
  void SetEnvironment(const std::string& name, const std::string& value) {
    std::erase_if(environment_, [&](const auto& variable) { return variable.first == name; });
    environment_.emplace_back(name, value);
  }
  std::string WriteConfig() {
    const std::string path = directory_.Path("tidemarkd.toml");
    std::ofstream(path) << "archive = \"" << archive_ << "\"\n" << top_ << sources_ << more_;
    return path;
  }
  std::string Secret(const std::string& name, const std::string& text) {
    const std::string path = directory_.Path(name);
    std::ofstream(path) << text << "\n";
    ::chmod(path.c_str(), 0600);
    return path;
  }

  // Comes back as soon as it runs; whether it starts well is for the caller to see.
  void Start() {
    ProgramOptions options;
    options.env = environment_;
    auto started =
        BackgroundProgram::Start({Binary("tidemarkd"), "--config", WriteConfig()}, log(), options);
    ASSERT_TRUE(started.ok()) << started.error().message();
    process_ = std::move(*started);
  }
  void Kill9() {
    process_->Kill(SIGKILL);
    EXPECT_TRUE(process_->Wait().ok());
  }
  int Stop() {
    process_->Kill(SIGTERM);
    auto code = process_->Wait();
    EXPECT_TRUE(code.ok()) << "tidemarkd does not stop\n" << LogTail();
    return code.ok() ? *code : -1;
  }
  bool Running() { return process_ != nullptr && process_->Running(); }
  BackgroundProgram& process() { return *process_; }
  uint64_t PeakMemoryBytes() const {
    std::ifstream status("/proc/" + std::to_string(process_->pid()) + "/status");
    for (std::string line; std::getline(status, line);)
      if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
    return 0;
  }

  ProgramResult Pitr(std::vector<std::string> arguments) const {
    std::vector<std::string> argv = {Binary("pitr"), "--archive", archive_};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    auto result = RunProgram(argv);
    EXPECT_TRUE(result.ok()) << result.error().message();
    return result.ok() ? *result : ProgramResult{-1, "", ""};
  }
  // One source's part of `pitr status --json`; null while there is none.
  nlohmann::json Status(const std::string& source = "main") const {
    const ProgramResult result = Pitr({"--json", "--source", source, "status"});
    const nlohmann::json json = nlohmann::json::parse(result.out, nullptr, false);
    if (result.exit_code != 0 || !json.is_object() || json["sources"].empty()) return nullptr;
    return json["sources"][0];
  }
  GtidSet Archived(const std::string& source = "main") const {
    const nlohmann::json status = Status(source);
    if (!status.is_object()) return {};
    return *GtidSet::Parse(status["coverage"]["archived"].get<std::string>());
  }
  // The archive has at least `set`.
  bool WaitFor(const GtidSet& set, const std::string& source = "main") {
    return WaitUntil([&] { return set.Minus(Archived(source)).empty(); }, kPatienceMs);
  }
  // The daemon runs, tries, and says this class of error.
  bool WaitForError(const std::string& code, const std::string& source = "main") {
    return process_->WaitUntil(
        [&] {
          const nlohmann::json status = Status(source);
          return status.is_object() && status["daemon"].is_object() &&
                 status["daemon"].contains("error") && status["daemon"]["error"]["code"] == code;
        },
        kPatienceMs);
  }
  // All segment files of a source, ascending.
  std::vector<std::string> Segments(const std::string& source = "main") const {
    std::vector<std::string> paths;
    for (const auto& entry :
         std::filesystem::directory_iterator(archive_ + "/" + source + "/segments"))
      paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    return paths;
  }
  uint64_t StoredBytes(const std::string& source = "main") const {
    uint64_t bytes = 0;
    std::error_code error;
    for (const auto& entry :
         std::filesystem::directory_iterator(archive_ + "/" + source + "/segments", error)) {
      const auto size = entry.file_size(error);
      if (!error) bytes += size;
    }
    return bytes;
  }

  // Every file that the server has finished is archived byte for byte. One that a crash ended has
  // no end event.
  void ExpectFilesExact(MySqlServer& server, const std::string& source = "main",
                        bool crashed = false) {
    auto files = server.Query("SHOW BINARY LOGS");
    ASSERT_TRUE(files.ok()) << files.error().message();
    ASSERT_GE(files->size(), 2u);
    for (size_t i = 0; i + 1 < files->size(); ++i) {
      const std::string& name = (*files)[i][0];
      const std::string out = directory_.Path("export-" + source + "-" + name);
      std::filesystem::remove(out);
      const ProgramResult result =
          Pitr({"--source", source, "export", "--source-file", name, "--output", out});
      EXPECT_EQ(result.exit_code, 0) << name << ": " << result.err;
      if (!crashed) {
        EXPECT_THAT(result.err, ::testing::IsEmpty()) << name;
      }
      EXPECT_TRUE(ReadWholeFile(out) == ReadWholeFile(server.data_directory() + "/" + name))
          << source << " " << name << " differs";
      std::filesystem::remove(out);
    }
  }
  void ExpectVerified() {
    const ProgramResult result = Pitr({"verify"});
    EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  }

  const std::string& archive() const { return archive_; }
  std::string log() const { return directory_.Path("tidemarkd.log"); }
  size_t TimesInLog(const std::string& text) const {
    return Occurrences(ReadWholeFile(log()), text);
  }
  std::string LogTail() const {
    const std::string text = ReadWholeFile(log());
    return text.substr(text.size() - std::min<size_t>(text.size(), 4000));
  }

 private:
  TempDir directory_{"tidemark-daemon"};
  std::string archive_;
  std::string top_;
  std::string sources_;
  std::string more_;
  std::vector<std::pair<std::string, std::string>> environment_;
  int source_count_ = 0;
  std::unique_ptr<BackgroundProgram> process_;
};

// Clients that write until told to stop, and go on when the server comes back.
class Load {
 public:
  explicit Load(MySqlServer& server, int writers = 2) : server_(server) {
    EXPECT_TRUE(
        server
            .Execute("CREATE DATABASE IF NOT EXISTS busy; CREATE TABLE IF NOT EXISTS busy.t "
                     "(id BIGINT PRIMARY KEY AUTO_INCREMENT, w INT, filler BLOB)")
            .ok());
    for (int i = 0; i < writers; ++i) threads_.emplace_back([this, i] { Write(i); });
  }
  ~Load() { Stop(); }
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_)
      if (thread.joinable()) thread.join();
  }
  uint64_t commits() const { return commits_; }
  bool WaitForCommits(uint64_t more) {
    const uint64_t goal = commits_ + more;
    return WaitUntil([&] { return commits_ >= goal; }, kPatienceMs);
  }

 private:
  void Write(int writer) {
    std::unique_ptr<Connection> connection;
    for (uint64_t i = 0; !stop_; ++i) {
      const auto connect = [&] {
        auto opened = server_.Connect();
        if (opened.ok()) connection = std::move(*opened);
        return opened.ok() || stop_;
      };
      if (connection == nullptr && (!WaitUntil(connect, kPatienceMs) || stop_)) return;
      const std::string values = "(" + std::to_string(writer) + ", RANDOM_BYTES(200))";
      std::string sql = "INSERT INTO busy.t (w, filler) VALUES " + values + "," + values;
      if (i % 50 == 49)
        sql = "BEGIN; " + sql + "; UPDATE busy.t SET w = w + 1 ORDER BY id DESC LIMIT 100; COMMIT";
      if (i % 400 == 399 && writer == 0) sql = "FLUSH BINARY LOGS";
      if (!connection->Execute(sql).ok())
        connection.reset();
      else
        ++commits_;
      // Hundreds of commits in a second, not all that the machine can do: other tests run beside.
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  MySqlServer& server_;
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> commits_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace tidemark::testing
