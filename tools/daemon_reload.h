// What a new configuration means for a running daemon: a pure comparison, from which the daemon
// acts and which it logs line by line.
//
// Sources are settled one by one: a changed one is stopped (sealed) and started anew alone, the
// others are not touched. The archive's directory stays what it was until tidemarkd is restarted.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tools/daemon_config.h"

namespace tidemark {

// A configuration, and what the files that [serve] and [rpc] name held when it was read: a renewed
// certificate under the old name is a change. (A source's files are read at every login anyway.)
struct LoadedConfig {
  DaemonConfig config;
  std::map<std::string, std::string> digests;  // path -> SHA-256; "" if it cannot be read
};

struct ReloadPlan {
  std::vector<std::string> changes;  // one line each, for the log; never a secret
  // Settings that differ and will only be heeded by the next start.
  std::vector<std::string> needs_restart;
  std::vector<std::string> sources_added, sources_removed, sources_changed;  // names
  bool log = false;                                                          // log anew
  bool serve = false;  // stop serving, and serve (or not) as the new configuration says
  // Stop answering remote callers, and answer (or not) as the new configuration says. Not needed
  // for new contents of the files: those are read at every reload.
  bool rpc = false;
  DaemonConfig result;  // what holds from now on: the new one, but for what needs a restart
  bool empty() const { return changes.empty() && needs_restart.empty(); }
};

ReloadPlan PlanReload(const LoadedConfig& running, const LoadedConfig& fresh);

// Reads the configuration and the files above. kUsage as LoadDaemonConfig.
Result<LoadedConfig> LoadConfigWithFiles(const std::string& path);

}  // namespace tidemark
