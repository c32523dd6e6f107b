#include "tools/daemon_config.h"

#include <algorithm>
#include <limits>
#include <set>
#include <toml.hpp>

#include "replication/base/loopback.h"
#include "replication/sink/lineage.h"
#include "tools/config_table.h"

namespace tidemark {
namespace {

// `hosts`, or `host` and `port`; neither with a socket.
Status TakeHosts(const std::vector<std::string>& texts, bool port_given, SourceConfig* config) {
  ConnectionOptions& connection = config->connection;
  if (texts.empty()) {
    if (!connection.host.empty()) config->hosts = {{connection.host, connection.port}};
    return OkStatus();
  }
  const std::string name = "source " + config->archiver.source;
  if (!connection.host.empty() || !connection.socket.empty() || port_given)
    return Status(Code::kUsage, name + " has hosts, and host, port or socket besides",
                  "hosts = [\"db1:3306\", \"db2:3306\"] alone");
  if (texts.size() > kCandidatesMax)
    return Status(Code::kUsage,
                  name + " has more than " + std::to_string(kCandidatesMax) + " hosts");
  for (const std::string& text : texts) {
    Result<HostPort> host = HostPort::Parse(text);
    if (!host.ok()) return Status(host.error()).WithContext(name);
    if (std::find(config->hosts.begin(), config->hosts.end(), *host) != config->hosts.end())
      return Status(Code::kUsage, name + " has " + host->ToString() + " twice among its hosts");
    config->hosts.push_back(std::move(*host));
  }
  connection.host = config->hosts.front().host;
  connection.port = config->hosts.front().port;
  return OkStatus();
}

Status ReadSource(const toml::value& value, SourceConfig* config) {
  if (!value.is_table()) return Status(Code::kUsage, "every source must be a table: [[source]]");
  ConfigTable table(value, "source.", &config->settings);
  ConnectionOptions& connection = config->connection;
  ArchiverOptions& archiver = config->archiver;
  std::string tls_mode = TlsModeName(connection.tls.mode);
  std::vector<std::string> hosts;
  table.Text("name", &archiver.source);
  table.Texts("hosts", &hosts);
  table.Text("host", &connection.host);
  table.Number("port", 1, 65535, &connection.port);
  table.Text("socket", &connection.socket);
  table.Text("user", &connection.user);
  table.Text("password_file", &connection.password.file);
  table.Text("password_environment", &connection.password.environment_variable);
  table.Text("tls", &tls_mode);
  table.Text("tls_ca_file", &connection.tls.ca_file);
  table.Text("tls_certificate_file", &connection.tls.certificate_file);
  table.Text("tls_key_file", &connection.tls.key_file);
  table.Text("tls_versions", &connection.tls.versions);
  table.Flag("get_server_public_key", &connection.get_server_public_key);
  table.Number("connect_timeout_s", 1, 3600, &connection.connect_timeout_s);
  table.Number("server_id", 1, std::numeric_limits<uint32_t>::max(), &archiver.server_id);
  table.Number("heartbeat_ms", 100, 3600'000, &archiver.heartbeat_us, 1000);
  table.Number("retry_ms_min", 1, 3600'000, &archiver.backoff_us_min, 1000);
  table.Number("retry_ms_max", 1, 3600'000, &archiver.backoff_us_max, 1000);
  table.Flag("adopt_purged", &archiver.adopt_purged);
  table.Text("continues", &archiver.continues);
  table.Choice("semi_sync", {{"off", SemiSyncMode::kOff}, {"auto", SemiSyncMode::kAuto}},
               &archiver.semi_sync);
  table.Number("segment_mib_max", 1, 16 * 1024, &archiver.limits.segment_raw_bytes_max, 1 << 20);
  table.Number("segment_age_s_max", 1, 30 * 86400, &archiver.limits.segment_age_us_max, 1'000'000);
  table.Number("zstd_level", 1, 19, &archiver.pipeline.writer.zstd_level);
  TM_RETURN_IF_ERROR(table.Finish());
  TM_RETURN_IF_ERROR(ArchiveDirectory::CheckSourceName(archiver.source));
  if (!archiver.continues.empty()) {
    const Status name = ArchiveDirectory::CheckSourceName(archiver.continues);
    if (!name.ok()) return Status(name).WithContext("source " + archiver.source + ": continues");
  }
  if (archiver.server_id == 0)
    return Status(Code::kUsage, "source " + archiver.source + " has no server_id",
                  "give it a number that no other server or replica in this topology uses");
  if (archiver.backoff_us_min > archiver.backoff_us_max)
    return Status(Code::kUsage,
                  "source " + archiver.source + ": retry_ms_min is above retry_ms_max");
  TM_RETURN_IF_ERROR(TakeHosts(hosts, value.contains("port"), config));
  TM_ASSIGN_OR_RETURN(connection.tls.mode, ParseTlsMode(tls_mode));
  return ValidateOptions(connection);
}

Status ReadServeAccount(const toml::value& value, ServeAccountConfig* account) {
  if (!value.is_table())
    return Status(Code::kUsage, "every account must be a table: [[serve.account]]");
  ConfigTable table(value, "serve.account.", &account->settings);
  table.Text("user", &account->user);
  table.Text("password_file", &account->password.file);
  table.Text("password_environment", &account->password.environment_variable);
  table.Text("source", &account->source);
  return table.Finish();
}

Status ReadServe(const toml::value& value, ServeConfig* serve) {
  if (!value.is_table()) return Status(Code::kUsage, "serve must be a table: [serve]");
  ConfigTable table(value, "serve.", &serve->settings);
  table.Text("listen_address", &serve->listen_address);
  table.Number("port", 1, 65535, &serve->port);
  table.Text("tls_certificate_file", &serve->tls_certificate_file);
  table.Text("tls_key_file", &serve->tls_key_file);
  serve->tls_required = !IsLoopback(serve->listen_address);
  table.Flag("tls_required", &serve->tls_required);
  table.Text("rsa_private_key_file", &serve->rsa_private_key_file);
  const toml::value* accounts = table.Find("account");
  TM_RETURN_IF_ERROR(table.Finish());
  if (serve->port == 0)
    return Status(Code::kUsage, "serve has no port", "name the TCP port that replicas connect to");
  if (accounts != nullptr && !accounts->is_array())
    return Status(Code::kUsage, "every account must be a table: [[serve.account]]");
  if (accounts == nullptr) return OkStatus();
  for (const toml::value& account : accounts->as_array())
    TM_RETURN_IF_ERROR(ReadServeAccount(account, &serve->accounts.emplace_back()));
  return OkStatus();
}

// Fills in the source where there is just one, and checks what concerns more than one table.
Status CheckServe(DaemonConfig* config) {
  ServeConfig& serve = config->serve;
  if (serve.port == 0) return OkStatus();
  if (serve.accounts.empty())
    return Status(Code::kUsage, "serve has no account: nobody could log in",
                  "add a [[serve.account]] table with user and password_file");
  std::set<std::string> users;
  for (ServeAccountConfig& account : serve.accounts) {
    const std::string name = "serve.account " + account.user;
    if (account.user.empty()) return Status(Code::kUsage, "a serve.account has no user");
    if (!users.insert(account.user).second) return Status(Code::kUsage, name + " is there twice");
    if (account.password.file.empty() == account.password.environment_variable.empty())
      return Status(Code::kUsage, name + " must have one of password_file, password_environment");
    if (account.source.empty() && config->sources.size() == 1)
      account.source = config->sources.front().archiver.source;
    account.settings["source"] = '"' + account.source + '"';
    if (config->Find(account.source) == nullptr)
      return Status(Code::kUsage,
                    account.source.empty() ? name + " does not say which source it is for"
                                           : name + ": there is no source " + account.source,
                    "source = \"NAME\" of a [[source]] table");
  }
  return OkStatus();
}

// What is wrong with [rpc] as it stands, whatever its files say.
Status CheckRpcSettings(const RpcConfig& rpc) {
  if (rpc.listen.empty())
    return Status(Code::kUsage, "rpc listens nowhere", "listen = [\"127.0.0.1:7946\"]");
  if (std::set<std::string>(rpc.listen.begin(), rpc.listen.end()).size() != rpc.listen.size())
    return Status(Code::kUsage, "rpc.listen names an address twice");
  if (rpc.tls_certificate_file.empty() != rpc.tls_key_file.empty())
    return Status(Code::kUsage, "rpc has only one of tls_certificate_file and tls_key_file");
  if (!rpc.tls_client_ca_file.empty() && rpc.tls_certificate_file.empty())
    return Status(Code::kUsage,
                  "rpc.tls_client_ca_file is set, but there is no certificate of ours",
                  "set tls_certificate_file and tls_key_file");
  if (rpc.unix_anonymous == rpc::Role::kAdmin && rpc.unix_mode != 0600)
    return Status(Code::kUsage,
                  "rpc.unix_anonymous may be \"admin\" only where unix_mode is \"0600\"");
  bool anybody = !rpc.access_file.empty() || rpc.metrics_anonymous;
  for (const std::string& address : rpc.listen)
    anybody = anybody || (address.starts_with("unix:") ? rpc.unix_anonymous : rpc.anonymous) !=
                             rpc::Role::kNone;
  if (!anybody)
    return Status(Code::kUsage, "rpc lets nobody in: there is neither an access_file nor anonymous",
                  "tidemarkd --new-token NAME ROLE makes a token and its line of the access_file");
  return OkStatus();
}

Status ReadRpc(const toml::value& value, RpcConfig* config) {
  using rpc::Role;
  if (!value.is_table()) return Status(Code::kUsage, "rpc must be a table: [rpc]");
  ConfigTable table(value, "rpc.", &config->settings);
  table.Texts("listen", &config->listen);
  table.Choice("unix_mode", {{"0600", uint32_t{0600}}, {"0660", uint32_t{0660}}},
               &config->unix_mode);
  table.Text("tls_certificate_file", &config->tls_certificate_file);
  table.Text("tls_key_file", &config->tls_key_file);
  table.Text("tls_client_ca_file", &config->tls_client_ca_file);
  table.Flag("plaintext_allowed", &config->plaintext_allowed);
  table.Text("access_file", &config->access_file);
  table.Choice("anonymous",
               {{"none", Role::kNone}, {"reader", Role::kReader}, {"restorer", Role::kRestorer}},
               &config->anonymous);
  table.Choice("unix_anonymous",
               {{"none", Role::kNone},
                {"reader", Role::kReader},
                {"restorer", Role::kRestorer},
                {"admin", Role::kAdmin}},
               &config->unix_anonymous);
  table.Text("audit_file", &config->audit_file);
  table.Flag("metrics_anonymous", &config->metrics_anonymous);
  TM_RETURN_IF_ERROR(table.Finish());
  return CheckRpcSettings(*config);
}

Status ReadLog(const toml::value& value, LogConfig* log) {
  if (!value.is_table()) return Status(Code::kUsage, "log must be a table: [log]");
  ConfigTable table(value, "log.", &log->settings);
  table.Text("level", &log->level);
  table.Choice("format", {{"text", LogFormat::kText}, {"json", LogFormat::kJson}}, &log->format);
  table.Choice("destination",
               {{"stderr", LogDestination::kStandardError},
                {"journald", LogDestination::kJournal},
                {"file", LogDestination::kFile}},
               &log->destination);
  table.Text("file", &log->file);
  table.Number("file_mib_max", 1, 64 * 1024, &log->file_bytes_max, 1 << 20);
  table.Number("files_kept", 0, 1000, &log->files_kept);
  TM_RETURN_IF_ERROR(table.Finish());
  static const std::set<std::string> kLevels = {"trace", "debug", "info", "warn", "error"};
  if (!kLevels.contains(log->level))
    return Status(Code::kUsage, "log.level must be one of trace, debug, info, warn, error");
  if ((log->destination == LogDestination::kFile) == log->file.empty())
    return Status(Code::kUsage,
                  log->file.empty() ? "log.destination is \"file\", but log.file names none"
                                    : "log.file is set, but log.destination is not \"file\"",
                  "file = \"/var/log/tidemark/tidemarkd.log\" with destination = \"file\"");
  return OkStatus();
}

// A source does not continue itself, nor one that continues it.
Status CheckContinues(const DaemonConfig& config) {
  for (const SourceConfig& source : config.sources) {
    const SourceConfig* at = &source;
    for (size_t steps = 0; at != nullptr && steps < config.sources.size(); ++steps) {
      if (at->archiver.continues == source.archiver.source)
        return Status(Code::kUsage,
                      "source " + source.archiver.source + " would continue itself" +
                          (at == &source ? "" : ", by way of " + at->archiver.source),
                      "continues = the name of an older source; this one needs a name of its own");
      at = config.Find(at->archiver.continues);
    }
  }
  return OkStatus();
}

Status ReadConfig(const toml::value& root, DaemonConfig* config) {
  static const toml::value kEmptyTable = toml::table();
  ConfigTable table(root, "", &config->settings);
  table.Text("archive", &config->archive);
  table.Number("space_reserve_mib", 0, 1 << 20, &config->space_reserve_bytes, 1 << 20);
  const toml::value* log = table.Find("log");
  TM_RETURN_IF_ERROR(ReadLog(log != nullptr ? *log : kEmptyTable, &config->log));
  const toml::value* sources = table.Find("source");
  const toml::value* serve = table.Find("serve");
  const toml::value* rpc = table.Find("rpc");
  TM_RETURN_IF_ERROR(table.Finish());
  if (serve != nullptr) TM_RETURN_IF_ERROR(ReadServe(*serve, &config->serve));
  if (rpc != nullptr) TM_RETURN_IF_ERROR(ReadRpc(*rpc, &config->rpc));
  if (config->archive.empty())
    return Status(Code::kUsage, "the configuration names no archive directory",
                  "archive = \"/var/lib/tidemark\"");
  if (sources == nullptr || !sources->is_array() || sources->as_array().empty())
    return Status(Code::kUsage, "the configuration names no source", "add a [[source]] table");
  for (const toml::value& value : sources->as_array()) {
    SourceConfig source;
    TM_RETURN_IF_ERROR(ReadSource(value, &source));
    if (config->Find(source.archiver.source) != nullptr)
      return Status(Code::kUsage, "two sources have the name " + source.archiver.source);
    config->sources.push_back(std::move(source));
  }
  TM_RETURN_IF_ERROR(CheckContinues(*config));
  return CheckServe(config);
}

}  // namespace

const SourceConfig* DaemonConfig::Find(const std::string& name) const {
  for (const SourceConfig& source : sources)
    if (source.archiver.source == name) return &source;
  return nullptr;
}

Status CheckLineages(const DaemonConfig& config, ArchiveDirectory& archive) {
  for (const SourceConfig& source : config.sources) {
    const ArchiverOptions& options = source.archiver;
    if (options.continues.empty()) continue;
    const Result<std::vector<std::string>> there = archive.Sources();
    if (!there.ok() && there.error().code() != Code::kNotFound) return OkStatus();
    TM_ASSIGN_OR_RETURN(const bool begun,
                        LineageIsBegun(archive, options.source, options.continues));
    if (begun || archive.HasIdentity(options.continues)) continue;
    return Status(Code::kUsage,
                  "source " + options.source + " is to continue " + options.continues +
                      ", and there is no such source in " + archive.root(),
                  "continues = the name of a source that the archive has");
  }
  return OkStatus();
}

Result<DaemonConfig> LoadDaemonConfig(const std::string& path) {
  Result<std::string> read = ReadSmallFile(PosixFileSystem(), path, 1 << 20);
  if (!read.ok())
    return Status(Code::kUsage, read.error().message(),
                  "name the configuration file: --config FILE");
  const std::string& text = *read;
  toml::value root;
  try {
    std::istringstream stream(text);
    root = toml::parse(stream, path);
  } catch (const toml::exception& error) {
    // Only the first line of what it says: the next ones quote the file, where somebody may have
    // put a password by mistake.
    const std::string what = error.what();
    return Status(Code::kUsage, "cannot read configuration " + path + ":" +
                                    std::to_string(error.location().line()) + ": " +
                                    what.substr(0, what.find('\n')));
  } catch (const std::exception& error) {
    return Status(Code::kUsage, "cannot read configuration " + path + ": " +
                                    std::string(error.what()).substr(0, 200));
  }
  DaemonConfig config;
  Status status = ReadConfig(root, &config);
  if (!status.ok()) return std::move(status).WithContext(path);
  return config;
}

}  // namespace tidemark
