// What a soak works on: a real primary with semi-sync, the proxy in front of it, tidemarkd and
// pitr, all below one directory. The main thread starts and kills; Archived, Pitr and Connect are
// for every thread.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "replication/event/gtid_set.h"
#include "tests/support/fault_proxy.h"
#include "tests/support/mysql_server.h"
#include "tests/support/process.h"

namespace tidemark::soak {

inline constexpr char kSource[] = "main";

struct Options {
  int minutes = 60;
  uint64_t seed = 0;
  int pause_ms_mean = 4000;  // between two faults
  std::string programs;      // the directory of tidemarkd and pitr
  std::string directory;     // ours, empty
};

// What went wrong, and the line of the log for everything else. Thread-safe.
class Report {
 public:
  void Violation(const std::string& what);
  void Say(const std::string& line) const;  // with the time since the beginning
  bool failed() const { return violations_ > 0; }
  size_t violations() const { return violations_; }

 private:
  mutable std::mutex mutex_;
  std::atomic<size_t> violations_ = 0;
};

class Rig {
 public:
  Rig(const Options& options, Report& report) : options_(options), report_(report) {}

  Status Start();  // the primary and the proxy; a dump of it as a restore's base
  Status RestartPrimary();
  Status StartDaemon(bool tls);
  void KillDaemon();
  void StopDaemon();  // SIGTERM; that it ends well, and soon, is checked
  void SignalDaemon(int signal_number) { daemon_->Kill(signal_number); }
  // Whether this life of the primary may have been told that more is safe than was said: bytes on
  // their way to it were damaged, and without TLS nothing notices that in an acknowledgement
  // (deploy/GUARANTEES.md, 2). What it lets clients see succeed is no promise then.
  bool PrimaryMayBeMisled() const;
  bool DaemonRuns() { return daemon_ != nullptr && daemon_->Running(); }
  pid_t daemon_pid() const { return daemon_pid_; }

  testing::MySqlServer& primary() { return *primary_; }
  testing::FaultProxy& proxy() { return *proxy_; }
  std::string archive() const { return options_.directory + "/archive"; }
  std::string programs() const { return options_.directory + "/bin"; }
  std::string base_dump() const { return options_.directory + "/base.sql"; }
  std::string daemon_log() const { return options_.directory + "/tidemarkd.log"; }
  const Options& options() const { return options_; }
  Report& report() { return report_; }

  testing::ProgramResult Pitr(std::vector<std::string> arguments) const;
  GtidSet Archived() const;        // empty if it cannot be told
  std::string SourceFile() const;  // the file in which archiving goes on
  Result<GtidSet> Executed();      // main thread

 private:
  std::string WriteConfig(bool tls) const;
  Status CopyPrograms() const;
  Status DumpBase() const;

  const Options& options_;
  Report& report_;
  std::unique_ptr<testing::MySqlServer> primary_;
  std::unique_ptr<testing::FaultProxy> proxy_;
  std::unique_ptr<testing::BackgroundProgram> daemon_;
  std::atomic<pid_t> daemon_pid_ = 0;  // 0: none
  bool tls_ = false;                   // the daemon's link
  bool without_tls_ = true;            // at some time in this life of the primary
  uint64_t harmed_before_ = 0;         // it, of the proxy's count
};

}  // namespace tidemark::soak
