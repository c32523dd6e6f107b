#include "tools/daemon_serving.h"

#include <spdlog/spdlog.h>

namespace tidemark {
namespace {

constexpr std::chrono::seconds kListenRetryInterval{10};

// In a topology Tidemark is one node: as a source it has the UUID and server_id that it has as a
// replica.
Result<ServedSource> Serve(const SourceConfig& config, ArchiveDirectory& archive, Index& index) {
  ServedSource served;
  served.name = config.archiver.source;
  TM_ASSIGN_OR_RETURN(const SourceIdentity identity, archive.ReadIdentity(served.name));
  served.server_uuid = identity.replica_uuid;
  served.server_id = config.archiver.server_id;
  served.open_feed = ArchiveFeeds([&archive, &index, name = served.name] {
    return ArchiveView::Over(archive.files(), archive.root(), name, index);
  });
  return served;
}

Result<ServeOptions> OptionsOf(const DaemonConfig& config, ArchiveDirectory& archive,
                               Index& index) {
  const ServeConfig& serve = config.serve;
  ServeOptions options;
  options.listen_address = serve.listen_address;
  options.port = serve.port;
  options.tls_certificate_file = serve.tls_certificate_file;
  options.tls_key_file = serve.tls_key_file;
  options.tls_required = serve.tls_required;
  options.rsa_private_key_file = serve.rsa_private_key_file;
  for (const ServeAccountConfig& account : serve.accounts) {
    TM_ASSIGN_OR_RETURN(std::string secret, ReadPassword(account.password));
    options.accounts.push_back({account.user, std::move(secret), account.source});
  }
  for (const SourceConfig& source : config.sources) {
    TM_ASSIGN_OR_RETURN(ServedSource served, Serve(source, archive, index));
    options.sources.push_back(std::move(served));
  }
  return options;
}

}  // namespace

Result<std::unique_ptr<DaemonServing>> DaemonServing::Start(const DaemonConfig& config,
                                                            ArchiveDirectory& archive,
                                                            Index& index) {
  TM_ASSIGN_OR_RETURN(ServeOptions options, OptionsOf(config, archive, index));
  std::unique_ptr<DaemonServing> serving(new DaemonServing(std::move(options)));
  TM_RETURN_IF_ERROR(serving->Listen());
  return serving;
}

Status DaemonServing::Listen() {
  tried_ = std::chrono::steady_clock::now();
  Result<std::unique_ptr<ReplicaServer>> started = ReplicaServer::Start(options_);
  if (started.ok()) {
    std::lock_guard lock(mutex_);
    server_ = std::move(*started);
    return OkStatus();
  }
  if (started.error().code() == Code::kUsage) return started.error();
  spdlog::error("cannot serve replicas yet: {}", started.error().message());
  return OkStatus();
}

void DaemonServing::TryAgain() {
  if (server() || std::chrono::steady_clock::now() - tried_ < kListenRetryInterval) return;
  if (Status status = Listen(); !status.ok())
    spdlog::error("cannot serve replicas: {}", status.message());
}

std::shared_ptr<ReplicaServer> DaemonServing::server() const {
  std::lock_guard lock(mutex_);
  return server_;
}

void DaemonServing::NotifyDurable(const std::string& source) {
  if (auto server = this->server()) server->NotifyDurable(source);
}

std::vector<ServedReplica> DaemonServing::Replicas() const {
  auto server = this->server();
  return server ? server->Replicas() : std::vector<ServedReplica>();
}

ServeCounters DaemonServing::Counters() const {
  auto server = this->server();
  return server ? server->Counters() : ServeCounters();
}

void DaemonServing::Stop() {
  if (auto server = this->server()) server->Stop();
}

}  // namespace tidemark
