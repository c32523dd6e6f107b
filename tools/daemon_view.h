// What the daemon says of each source while it runs: ARCHIVE/SOURCE/daemon.json, for `pitr status`.
// Not durable, not a truth, only a view. One thread, but for StateOf.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "pitr/source_summary.h"
#include "tools/daemon_serving.h"
#include "tools/source_worker.h"

namespace tidemark {

class DaemonView {
 public:
  explicit DaemonView(ArchiveDirectory& archive) : archive_(archive) {}
  // Writes if there is something new to say. `serving` may be nullptr.
  void Publish(const SourceWorker& worker, const DaemonServing* serving);
  // What the file says, or would if it could be written. nullopt: of that source we have said
  // nothing. Any thread.
  std::optional<LiveState> StateOf(const std::string& source) const;
  void Forget(const std::string& source) { published_.erase(source); }

 private:
  ArchiveDirectory& archive_;
  std::map<std::string, std::string> published_;  // source -> what its file says
  mutable std::mutex mutex_;                      // guards states_
  std::map<std::string, std::string> states_;     // the same, also where the disk is full
};

}  // namespace tidemark
