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

// An account with which a replica logs in to us; it is served one source.
struct ServeAccountConfig {
  std::string user;
  PasswordSource password;  // the password, or a crypt(3) hash of it
  std::string source;
};

// The archive as a replication source: pitr/serve.
struct ServeConfig {
  std::string listen_address = "127.0.0.1";
  uint16_t port = 0;  // 0: not served
  std::string tls_certificate_file;
  std::string tls_key_file;
  bool tls_required = false;  // not set: on all but loopback addresses
  std::string rsa_private_key_file;
  std::vector<ServeAccountConfig> accounts;
};

struct DaemonConfig {
  std::string archive;  // directory
  std::string log_level = "info";
  std::vector<SourceConfig> sources;
  ServeConfig serve;

  const SourceConfig* Find(const std::string& name) const;
};

inline constexpr const char* kDefaultConfigPath = "/etc/tidemark/tidemarkd.toml";

// kUsage naming file, line and key.
Result<DaemonConfig> LoadDaemonConfig(const std::string& path);

}  // namespace tidemark
