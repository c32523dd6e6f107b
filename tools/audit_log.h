// Who called what, when, and how it ended: a JSON object per line and audited call, in a file of
// its own (0600, only ever appended to) or in the daemon's log.
//   {"time", "identity", "role", "peer", "method", "outcome", "message", "duration_us", "request"}
// `outcome` is "begins" (a stream; its end has a line of its own), "ok", or the error's code, then
// with its `message`. `request` is left out where the call was refused before it was read; one that
// is long is cut, and then a text, "request_begin". Values of fields named like a secret are not
// shown.
//
// Any thread. A line is written whole before the next; it is not synced: what a crash of the
// machine takes, it takes. A line that cannot be written goes to the daemon's log.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "proto/rpc/rpc_server.h"
#include "replication/base/status.h"

namespace tidemark {

inline constexpr size_t kAuditRequestBytesMax = 2048;
// Refusals of callers that nobody knows, so many in a second: strangers must not fill the disk.
// Those beyond are counted ("unrecorded" in the next line).
inline constexpr uint32_t kAuditStrangersPerSecondMax = 20;

// Without an end of line.
std::string AuditLine(const rpc::AuditRecord& record, int64_t now_us, uint64_t unrecorded = 0);

class AuditLog {
 public:
  // Empty: to the daemon's log. kUsage if it is something else than a file, kIo.
  static Result<std::unique_ptr<AuditLog>> Open(std::string file);
  // What can be known without creating it. kUsage.
  static Status Check(const std::string& file);
  ~AuditLog();

  // From now on to `file`, opened anew (a rotated one is begun again). After an error nothing has
  // changed.
  Status Reopen(const std::string& file);
  void Write(const rpc::AuditRecord& record);

 private:
  AuditLog() = default;
  bool TooManyStrangers(const rpc::AuditRecord& record);
  Status Append(std::string line);

  std::mutex mutex_;  // guards everything below
  std::string file_;
  int descriptor_ = -1;                           // -1: to the daemon's log
  bool broken_line_ = false;                      // the last one was written in part
  std::chrono::steady_clock::time_point second_;  // began then
  uint32_t strangers_ = 0;                        // in it
  uint64_t unrecorded_ = 0;
};

}  // namespace tidemark
