// What the connections of one RpcServer share. Everything without a mutex belongs to the io thread.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "proto/rpc/http_link.h"
#include "proto/rpc/rpc_server.h"
#include "proto/rpc/topics.h"

namespace tidemark::rpc {

struct ServerPage {
  Role role = Role::kAdmin;
  RpcServer::Page page;
};

struct ServerState {
  ServerState(ServiceRegistry methods, RpcServerOptions chosen)
      : registry(std::move(methods)),
        options(std::move(chosen)),
        calls(options.call_threads),
        streams(options.stream_threads),
        pages_pool(1),
        topics(io) {}

  std::shared_ptr<const AccessList> Access() const {
    std::lock_guard lock(mutex);
    return options.access;
  }
  void Count(const std::string& method, const std::string& code, HttpLink::Time started);
  void CountMessages(const std::string& method, uint64_t messages);
  void Audit(const AuditRecord& record) const;  // throws nothing

  const ServiceRegistry registry;
  RpcServerOptions options;  // `access` with the mutex held, the rest never changes
  std::map<std::string, ServerPage, std::less<>> pages;
  std::unique_ptr<ServerTls> tls;

  boost::asio::io_context io{1};
  boost::asio::thread_pool calls;
  boost::asio::thread_pool streams;
  boost::asio::thread_pool pages_pool;
  Topics topics;
  LinkBytes bytes;
  std::atomic<uint64_t> access_version = 0;
  std::atomic<bool> accept_calls = true;

  std::set<HttpLink*> links;
  size_t strangers = 0;
  // Of requests that are held now; grows on the io thread only, is given back by any.
  std::atomic<size_t> body_bytes = 0;
  bool stopping = false;
  boost::asio::steady_timer stop_timer{io};  // RpcLimits::stop_max; off when no link is left

  std::atomic<size_t> active_calls = 0;  // written by the io thread only, as the next
  std::atomic<size_t> active_streams = 0;
  std::atomic<size_t> connections = 0;  // links.size()
  mutable std::mutex mutex;
  RpcCounters counters;  // with the mutex held
};

// One more of something that has a limit, for as long as it exists; the io thread's.
class Slot {
 public:
  Slot() = default;
  static Slot Take(std::atomic<size_t>& count, size_t most) {
    Slot slot;
    if (count < most) slot.count_ = &count;
    if (slot.count_) ++count;
    return slot;
  }
  Slot(Slot&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  Slot& operator=(Slot&& other) noexcept {
    std::swap(count_, other.count_);
    return *this;
  }
  ~Slot() {
    if (count_) --*count_;
  }
  explicit operator bool() const { return count_ != nullptr; }

 private:
  std::atomic<size_t>* count_ = nullptr;
};

// The bytes of one request among those of all; the io thread's.
class BodyShare {
 public:
  explicit BodyShare(ServerState& server) : server_(&server) {}
  BodyShare(BodyShare&& other) noexcept
      : server_(other.server_), bytes_(std::exchange(other.bytes_, 0)) {}
  BodyShare& operator=(BodyShare&&) = delete;
  ~BodyShare() { Release(); }

  bool GrowTo(size_t bytes) {
    if (bytes <= bytes_) return true;
    if (server_->body_bytes + (bytes - bytes_) > server_->options.limits.body_bytes_max)
      return false;
    server_->body_bytes += bytes - bytes_;
    bytes_ = bytes;
    return true;
  }
  void Release() { server_->body_bytes -= std::exchange(bytes_, 0); }

 private:
  ServerState* server_;
  size_t bytes_ = 0;
};

}  // namespace tidemark::rpc
