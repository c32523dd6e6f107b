// The daemon's archive for remote callers, as the configuration's [rpc] says: the services of
// tools/rpc on proto/rpc's server, with tokens, certificates and audit log out of files, and pages.
// Never in the way of archiving: an address that is taken is tried again, not waited for.
//
// Made, settled, reloaded and stopped by one thread; the rest by any. The surroundings must outlive
// the object.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "index/index.h"
#include "proto/rpc/rpc_server.h"
#include "replication/archive/archive_directory.h"
#include "tools/audit_log.h"
#include "tools/daemon_config.h"
#include "tools/rpc/admin_service.h"
#include "tools/rpc/shared_archive.h"

namespace tidemark {

class DaemonRpc {
 public:
  struct Page {
    std::string path;  // "/healthz"
    rpc::Role role = rpc::Role::kNone;
    rpc::RpcServer::Page make;
  };
  struct Surroundings {
    ArchiveDirectory& archive;
    Index& index;
    rpc::SharedArchive::LiveStateOf live_state;
    std::vector<Page> pages;
    rpc::DaemonControls& controls;
  };
  // What can be wrong with it before an address is taken: addresses, certificates, the access file.
  // Reads files and creates none. kUsage or kIo.
  static Status Check(const RpcConfig& config);

  DaemonRpc(RpcConfig config, Surroundings surroundings);
  ~DaemonRpc();  // stops

  // Listens, unless it does already or has tried just now. Failures are logged.
  void Settle();
  // Methods are answered from now on: the index is up to date. Until then they are unavailable,
  // pages are not.
  void AcceptCalls();
  // Reads certificates and the access file again and opens the audit file anew; no connection ends,
  // except streams of who is no longer let in. `config` may differ in access_file and audit_file.
  // What cannot be read is logged, and what there was stays.
  void Reload(const RpcConfig& config);
  void Notify(const std::string& source);      // more of it is durable; any thread
  std::vector<std::string> addresses() const;  // none: it does not listen (yet)
  rpc::RpcCounters Counters() const;
  void Stop();

 private:
  Status Listen();
  Status ReadAccess(std::shared_ptr<const rpc::AccessList>* access) const;
  std::shared_ptr<rpc::RpcServer> server() const;

  RpcConfig config_;
  const std::vector<Page> pages_;
  rpc::SharedArchive archive_;
  rpc::DaemonControls& controls_;
  std::unique_ptr<AuditLog> audit_;
  bool accept_calls_ = false;
  bool stopped_ = false;
  std::chrono::steady_clock::time_point tried_{};

  mutable std::mutex mutex_;  // guards server_, which is set once
  std::shared_ptr<rpc::RpcServer> server_;
};

}  // namespace tidemark
