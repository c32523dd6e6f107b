// What the daemon says of each source while it runs: ARCHIVE/SOURCE/daemon.json, for `pitr status`.
// Not durable, not a truth, only a view. One thread.
#pragma once

#include <map>
#include <string>

#include "tools/daemon_serving.h"
#include "tools/source_worker.h"

namespace tidemark {

class DaemonView {
 public:
  explicit DaemonView(ArchiveDirectory& archive) : archive_(archive) {}
  // Writes if there is something new to say. `serving` may be nullptr.
  void Publish(const SourceWorker& worker, const DaemonServing* serving);
  void Forget(const std::string& source) { published_.erase(source); }

 private:
  ArchiveDirectory& archive_;
  std::map<std::string, std::string> published_;  // source -> what its file says
};

}  // namespace tidemark
