// What has to be true of the archive: while the soak runs, of the binary logs that the primary has
// finished (which are then purged, so that an hour fits the disk), and of everything at its end.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>

#include "tests/soak/rig.h"
#include "tests/soak/workload.h"

namespace tidemark::soak {

// Every file that the archive has passed is exported and compared with the primary's, byte for
// byte; then the primary may purge it. A thread of its own.
class FileAudit {
 public:
  explicit FileAudit(Rig& rig);
  ~FileAudit() { Stop(); }
  void Stop();
  // All but the file that is being written. After Stop, with the daemon stopped.
  void Rest();
  uint64_t files() const { return files_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void Run();
  void Pass(const std::string& archived_file);
  bool Compare(const std::string& name);
  void CheckSpace();

  Rig& rig_;
  std::string compared_;  // the last one
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> files_ = 0;
  std::atomic<uint64_t> bytes_ = 0;
  std::thread thread_;
};

// With the writers and the daemon stopped: GTID sets, gaps, `pitr verify`, the index against a
// rebuild, and a restore whose data is compared with the primary's and the writers' books.
void CheckEnd(Rig& rig, const Workload& workload);

}  // namespace tidemark::soak
