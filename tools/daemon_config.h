// tidemarkd's configuration file (TOML; deploy/tidemarkd.toml explains every key). Unknown keys are
// errors: a misspelt setting must not be silently ignored. Times carry their unit in the key's
// name.
#pragma once

#include <string>
#include <vector>

#include "replication/sink/source_archiver.h"
#include "replication/source/connection_options.h"

namespace tidemark {

struct SourceConfig {
  ConnectionOptions connection;
  ArchiverOptions archiver;  // archiver.source is the source's name
};

struct DaemonConfig {
  std::string archive;  // directory
  std::string log_level = "info";
  std::vector<SourceConfig> sources;

  const SourceConfig* Find(const std::string& name) const;
};

inline constexpr const char* kDefaultConfigPath = "/etc/tidemark/tidemarkd.toml";

// kUsage naming file, line and key.
Result<DaemonConfig> LoadDaemonConfig(const std::string& path);

}  // namespace tidemark
