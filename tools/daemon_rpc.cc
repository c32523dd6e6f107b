#include "tools/daemon_rpc.h"

#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <algorithm>
#include <utility>

#include "tools/rpc/archive_service.h"
#include "tools/rpc/stream_service.h"

namespace tidemark {
namespace {

constexpr std::chrono::seconds kListenRetryInterval{10};
// Descriptors that archiving, the index and replicas have for themselves, whatever callers do.
constexpr uint64_t kDescriptorsKept = 1024;
constexpr size_t kConnectionsMin = 16;

rpc::RpcServerOptions OptionsOf(const RpcConfig& config) {
  rpc::RpcServerOptions options;
  const bool tls = !config.tls_certificate_file.empty();
  for (const std::string& address : config.listen)
    options.listeners.push_back({address, tls && !address.starts_with("unix:"), config.unix_mode});
  if (tls)
    options.tls = {config.tls_certificate_file, config.tls_key_file, config.tls_client_ca_file,
                   !config.tls_client_ca_file.empty()};
  options.anonymous_role = config.anonymous;
  options.unix_role = config.unix_anonymous;
  options.plaintext_allowed = config.plaintext_allowed;
  return options;
}

// A connection has a descriptor, and a stream that is under way has a segment open.
void FitDescriptors(rpc::RpcLimits* limits) {
  const uint64_t wanted = kDescriptorsKept + limits->connections_max + limits->streams_max;
  rlimit now = {};
  if (::getrlimit(RLIMIT_NOFILE, &now) != 0) return;
  if (now.rlim_cur < wanted && now.rlim_cur < now.rlim_max) {
    rlimit more = now;
    more.rlim_cur = std::min<rlim_t>(wanted, now.rlim_max);
    if (::setrlimit(RLIMIT_NOFILE, &more) == 0) now = more;  // a sandbox may forbid it
  }
  if (now.rlim_cur >= wanted) return;
  const uint64_t left = now.rlim_cur - std::min<uint64_t>(now.rlim_cur, kDescriptorsKept);
  limits->connections_max = std::max<size_t>(kConnectionsMin, left / 2);
  limits->streams_max = std::max<size_t>(kConnectionsMin, left / 2);
  limits->strangers_max = std::min(limits->strangers_max, limits->connections_max);
  spdlog::warn(
      "only {} file descriptors: at most {} RPC connections (raise LimitNOFILE, ulimit -n)",
      now.rlim_cur, limits->connections_max);
}

std::string Said(const Status& error) {
  return error.message() + (error.hint().empty() ? "" : "; hint: " + error.hint());
}

}  // namespace

Status DaemonRpc::Check(const RpcConfig& config) {
  if (config.listen.empty()) return OkStatus();
  TM_RETURN_IF_ERROR(rpc::CheckServerOptions(OptionsOf(config)));
  if (!config.access_file.empty()) {
    TM_ASSIGN_OR_RETURN([[maybe_unused]] const auto access,
                        rpc::AccessList::Load(config.access_file));
  }
  return AuditLog::Check(config.audit_file);
}

DaemonRpc::DaemonRpc(RpcConfig config, Surroundings surroundings)
    : config_(std::move(config)),
      pages_(std::move(surroundings.pages)),
      archive_(surroundings.archive.files(), surroundings.archive.root(), surroundings.index,
               std::move(surroundings.live_state)),
      controls_(surroundings.controls) {}

DaemonRpc::~DaemonRpc() { Stop(); }

Status DaemonRpc::ReadAccess(std::shared_ptr<const rpc::AccessList>* access) const {
  rpc::AccessList list;
  if (!config_.access_file.empty()) {
    TM_ASSIGN_OR_RETURN(list, rpc::AccessList::Load(config_.access_file));
  }
  *access = std::make_shared<const rpc::AccessList>(std::move(list));
  return OkStatus();
}

Status DaemonRpc::Listen() {
  rpc::RpcServerOptions options = OptionsOf(config_);
  TM_RETURN_IF_ERROR(ReadAccess(&options.access));
  if (audit_ == nullptr) {
    TM_ASSIGN_OR_RETURN(audit_, AuditLog::Open(config_.audit_file));
  }
  options.audit = [log = audit_.get()](const rpc::AuditRecord& record) { log->Write(record); };
  FitDescriptors(&options.limits);
  rpc::ServiceRegistry registry;
  rpc::AddArchiveService(archive_, &registry);
  rpc::AddStreamService(archive_, &registry);
  rpc::AddAdminService(archive_, controls_, &registry);
  auto server = std::make_shared<rpc::RpcServer>(std::move(registry), std::move(options));
  for (const Page& page : pages_) server->AddPage(page.path, page.role, page.make);
  server->AcceptCalls(accept_calls_);
  TM_RETURN_IF_ERROR(server->Start());
  std::lock_guard lock(mutex_);
  server_ = std::move(server);
  return OkStatus();
}

void DaemonRpc::Settle() {
  const auto now = std::chrono::steady_clock::now();
  if (stopped_ || server() != nullptr) return;
  if (tried_ != decltype(tried_){} && now - tried_ < kListenRetryInterval) return;
  tried_ = now;
  const Status listening = Listen();
  if (!listening.ok())
    spdlog::error("cannot answer remote callers yet: {}; trying again in {} s", Said(listening),
                  kListenRetryInterval.count());
}

void DaemonRpc::AcceptCalls() {
  if (std::exchange(accept_calls_, true)) return;
  if (auto server = this->server()) server->AcceptCalls(true);
}

void DaemonRpc::Reload(const RpcConfig& config) {
  config_.access_file = config.access_file;
  config_.audit_file = config.audit_file;
  const auto complain = [](const Status& status) {
    if (!status.ok()) spdlog::error("RPC: {}; what there was stays", Said(status));
  };
  if (audit_ != nullptr) complain(audit_->Reopen(config_.audit_file));
  const auto server = this->server();
  if (server == nullptr) return;
  complain(server->ReloadTls());
  std::shared_ptr<const rpc::AccessList> access;
  const Status read = ReadAccess(&access);
  complain(read);
  if (read.ok()) server->SetAccess(std::move(access));
  spdlog::info("RPC: certificates and the access file read again, the audit file opened anew");
}

std::shared_ptr<rpc::RpcServer> DaemonRpc::server() const {
  std::lock_guard lock(mutex_);
  return server_;
}

void DaemonRpc::Notify(const std::string& source) {
  if (auto server = this->server()) server->Notify(source);
}

std::vector<std::string> DaemonRpc::addresses() const {
  auto server = this->server();
  return server ? server->addresses() : std::vector<std::string>();
}

rpc::RpcCounters DaemonRpc::Counters() const {
  auto server = this->server();
  return server ? server->Counters() : rpc::RpcCounters();
}

void DaemonRpc::Stop() {
  stopped_ = true;
  if (auto server = this->server()) server->Stop();
}

}  // namespace tidemark
