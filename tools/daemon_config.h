// tidemarkd's configuration file (TOML; deploy/tidemarkd.toml explains every key). Unknown keys are
// errors: a misspelt setting must not be silently ignored. Times carry their unit in the key's
// name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "proto/rpc/auth.h"
#include "replication/sink/source_archiver.h"
#include "replication/source/candidate_probe.h"
#include "replication/source/connection_options.h"

namespace tidemark {

// Every setting of one table by its key, as it holds (the default where the file says nothing), for
// comparing two configurations and telling the difference: never a secret, which is always in a
// file of its own.
using Settings = std::map<std::string, std::string>;

struct SourceConfig {
  ConnectionOptions connection;      // to the first of `hosts`
  std::vector<HostPort> hosts = {};  // empty: a socket
  ArchiverOptions archiver;          // archiver.source is the source's name
  Settings settings = {};
};

enum class LogFormat : uint8_t { kText, kJson };
enum class LogDestination : uint8_t { kStandardError, kJournal, kFile };

struct LogConfig {
  std::string level = "info";
  LogFormat format = LogFormat::kText;
  LogDestination destination = LogDestination::kStandardError;
  std::string file;  // of kFile; when it reaches file_bytes_max it becomes NAME.1.EXTENSION
  uint64_t file_bytes_max = 64 << 20;
  uint32_t files_kept = 8;  // besides the one that is written
  Settings settings = {};
};

// An account with which a replica logs in to us; it is served one source.
struct ServeAccountConfig {
  std::string user;
  PasswordSource password;  // the password, or a crypt(3) hash of it
  std::string source;
  Settings settings = {};
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
  Settings settings = {};
};

// Remote callers: proto/rpc, tools/rpc.
struct RpcConfig {
  std::vector<std::string> listen;  // "127.0.0.1:7946", "unix:/PATH"; empty: nobody is answered
  uint32_t unix_mode = 0600;
  std::string tls_certificate_file;  // of all TCP listeners
  std::string tls_key_file;
  std::string tls_client_ca_file;  // mutual TLS
  bool plaintext_allowed = false;
  std::string access_file;
  rpc::Role anonymous = rpc::Role::kNone;           // of who comes by loopback
  rpc::Role unix_anonymous = rpc::Role::kRestorer;  // of who may open the unix socket
  std::string audit_file;                           // empty: the daemon's log
  bool metrics_anonymous = false;                   // else /metrics is for readers
  Settings settings = {};
};

struct DaemonConfig {
  std::string archive;  // directory
  uint64_t space_reserve_bytes = 64 << 20;
  LogConfig log;
  std::vector<SourceConfig> sources;
  ServeConfig serve;
  RpcConfig rpc;
  Settings settings = {};  // those outside of any table

  const SourceConfig* Find(const std::string& name) const;
};

inline constexpr const char* kDefaultConfigPath = "/etc/tidemark/tidemarkd.toml";

// Whether each source that continues another one can, or did: kUsage. An archive that we may not
// look into says nothing.
Status CheckLineages(const DaemonConfig& config, ArchiveDirectory& archive);

// kUsage naming file, line and key.
Result<DaemonConfig> LoadDaemonConfig(const std::string& path);

}  // namespace tidemark
