// Answers the Connect protocol (connectrpc.com) over HTTP/1.1: the methods of a ServiceRegistry and
// a few plain pages. Boost.Asio coroutines, one for each connection.
//
// Owns its threads: one for all sockets, a few that run unary handlers, a few that fill streams,
// and one for pages, so that a slow disk holds up neither a heartbeat nor /healthz. No stream has a
// thread: one that waits costs its connection and what its MessageStream keeps. Memory is bounded
// by the limits below; a client that does not read is not read for. A hostile or broken peer costs
// its own connection only; no exception leaves.
//
// AddPage before Start. Start and Stop are called by one thread, the rest by any.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proto/rpc/auth.h"
#include "proto/rpc/rpc_error.h"
#include "proto/rpc/service_registry.h"
#include "proto/rpc/tls_context.h"
#include "replication/base/status.h"

namespace tidemark::rpc {

struct RpcLimits {
  size_t header_bytes_max = 16 << 10;   // 431; at most 64 KiB
  size_t message_bytes_max = 16 << 20;  // a request, as sent and as decompressed
  size_t body_bytes_max = 256 << 20;    // requests of all clients together
  size_t connections_max = 2048;        // more are answered 503
  size_t strangers_max = 256;           // connections of those, without an accepted request so far
  size_t calls_max = 256;               // unary calls and pages at a time, queued ones included
  size_t streams_max = 1536;
  std::chrono::milliseconds head_max{10'000};      // TLS handshake; a head from its first byte on
  std::chrono::milliseconds body_max{60'000};      // a body
  std::chrono::milliseconds idle_max{120'000};     // between requests (a stranger: head_max)
  std::chrono::milliseconds stalled_max{600'000};  // a client that takes nothing
  std::chrono::milliseconds tick{10'000};     // a waiting stream is asked again without any Notify
  std::chrono::milliseconds stop_max{2'000};  // for calls under way to end by themselves
  size_t batch_bytes = 64 << 10;              // of a stream: so much is made before it is sent
};

struct RpcListener {
  std::string address = "127.0.0.1:0";  // "127.0.0.1:7946", "[::1]:0", "unix:/run/tidemark.sock"
  bool tls = false;                     // not for unix sockets
  uint32_t unix_mode = 0600;            // or 0660
};

struct AuditRecord {
  const CallContext* context = nullptr;  // who, what, from where
  // nullptr: refused before there was one. Valid during the call, as everything here.
  const Message* request = nullptr;
  bool begins = false;            // a stream's first of two records; what follows is empty then
  std::optional<RpcError> error;  // nullopt: done
  std::chrono::microseconds duration{0};
};

struct RpcServerOptions {
  std::vector<RpcListener> listeners;
  std::optional<ServerTlsFiles> tls;              // if a listener has it
  std::shared_ptr<const AccessList> access;       // nullptr: an empty one
  Role anonymous_role = Role::kNone;              // of callers on this machine
  std::optional<Role> unix_role;                  // the same at unix sockets, if it is another
  bool plaintext_allowed = false;                 // listeners that others reach, without TLS
  std::function<void(const AuditRecord&)> audit;  // several threads at once; may block
  RpcLimits limits = {};
  size_t call_threads = 8;
  size_t stream_threads = 4;
};

struct PageAnswer {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

struct RpcCounters {
  struct Calls {
    uint64_t count = 0;
    double seconds = 0;
  };
  // By method and code ("ok", "not_found", …). What is no method of ours is "unknown".
  std::map<std::pair<std::string, std::string>, Calls> calls;
  std::map<std::string, uint64_t> stream_messages;  // sent, by method
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint64_t connections_accepted = 0;
  uint64_t connections_refused = 0;  // too many
  size_t connections = 0;
  size_t active_calls = 0;
  size_t active_streams = 0;
};

// What Start would refuse before it listens: addresses, certificates. kUsage. Opens no socket.
Status CheckServerOptions(const RpcServerOptions& options);

class RpcServer {
 public:
  RpcServer(ServiceRegistry registry, RpcServerOptions options);
  ~RpcServer();  // stops
  RpcServer(const RpcServer&) = delete;
  RpcServer& operator=(const RpcServer&) = delete;

  // Answers GET and HEAD of exactly `path` ("/metrics"). Role::kNone: anybody.
  using Page = std::function<PageAnswer()>;
  void AddPage(std::string path, Role role, Page page);

  // kUsage: addresses, certificates, a plain listener that others reach. kIo: an address is taken.
  // After an error, nothing is running.
  Status Start();
  // What Start listens at, with the port that it got.
  std::vector<std::string> addresses() const;

  // Whether methods are answered (they are, unless told otherwise) or refused as unavailable, which
  // clients try again. Pages are answered anyway.
  void AcceptCalls(bool accept);
  // Something has happened that streams may wait for (MessageStream::topic). Cheap; nothing happens
  // before Start and after Stop.
  void Notify(const std::string& topic);
  // From now on. Streams of callers that are not on the list any more end.
  void SetAccess(std::shared_ptr<const AccessList> access);
  // For connections from now on. An error changes nothing.
  Status ReloadTls();
  RpcCounters Counters() const;

  // Handlers are told to give up, streams end with unavailable; after stop_max every connection is
  // closed. Returns when all handlers have returned.
  void Stop();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark::rpc
