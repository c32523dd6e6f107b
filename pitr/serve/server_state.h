// What all connections of one ReplicaServer share. Internal to serve. Made by Start, outlives every
// coroutine. Unless said otherwise for the io thread only.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pitr/serve/ahead_replicas.h"
#include "pitr/serve/live_dumps.h"
#include "pitr/serve/login.h"
#include "pitr/serve/packet_link.h"
#include "pitr/serve/replica_server.h"

namespace tidemark {

struct GtidFacts {
  std::chrono::steady_clock::time_point until;  // good so long
  std::string executed;
  std::string purged;
};

struct ServerState {
  ServerState(ServeOptions given, std::unique_ptr<boost::asio::ssl::context> context,
              std::unique_ptr<RsaKey> key, size_t reader_threads)
      : accounts(std::exchange(given.accounts, {})),  // no second copy of secrets
        options(std::move(given)),
        tls(std::move(context)),
        rsa(std::move(key)),
        readers(reader_threads),
        dumps(io, options.sources) {}

  const ServedSource* Source(const std::string& name) const {
    for (const ServedSource& source : options.sources)
      if (source.name == name) return &source;
    return nullptr;
  }
  void SetLastError(const Status& error) {
    std::lock_guard lock(mutex);
    last_error = error;
  }

  Accounts accounts;  // any thread
  const ServeOptions options;
  const std::unique_ptr<boost::asio::ssl::context> tls;
  const std::unique_ptr<RsaKey> rsa;  // any thread
  boost::asio::io_context io{1};
  boost::asio::thread_pool readers;    // read archives
  boost::asio::thread_pool logins{1};  // who tries passwords holds up only who logs in
  LiveDumps dumps;

  bool stopping = false;
  std::set<PacketLink*> links;
  std::list<PacketLink*> pending_logins;  // oldest first
  AheadReplicas ahead;
  uint32_t last_connection_id = 0;
  std::map<std::string, GtidFacts> gtid_facts;  // by source

  std::atomic<uint64_t> logins_refused = 0;  // read by any thread, as the next
  std::atomic<uint64_t> connections_refused = 0;

  std::mutex mutex;
  Status last_error;  // guarded by mutex
};

}  // namespace tidemark
