// The judging half of the preflight: from what a source said to findings. Pure; one small function
// per check.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "replication/source/preflight.h"

namespace tidemark {

struct RegisteredReplica {
  uint32_t server_id = 0;
  std::string host;
  std::string uuid;  // as the source prints it; empty if that replica did not tell
};

struct SourceSettings {
  std::string endpoint;
  std::string user;
  std::string version;
  uint32_t version_number = 0;
  bool mariadb = false;
  std::map<std::string, std::string>
      variables;               // SHOW GLOBAL VARIABLES; what the source does not know is not in it
  bool may_replicate = false;  // has REPLICATION SLAVE
  bool may_list_binlogs = false;  // has REPLICATION CLIENT
  std::vector<RegisteredReplica> replicas;
  std::optional<SourceFacts> facts;
};

// The variables that the rules look at.
extern const std::vector<std::string> kJudgedVariables;

PreflightReport JudgeSource(const SourceSettings& settings, const PreflightOptions& options);

}  // namespace tidemark
