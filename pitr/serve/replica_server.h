// Listens for replicas and serves each the archive: Boost.Asio coroutines, one for each connection.
//
// Owns its threads: one for all sockets, and a few that read archives, so that a slow disk holds up
// nobody's heartbeat. Memory: kConnectionBytesMax for a connection whatever is asked of it (a window
// of zstd, one read buffer, one send buffer); a replica that does not read is not read for. A hostile
// or broken peer costs its own connection only. Start and Stop are called by one thread, the rest by
// any.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pitr/serve/dump.h"
#include "pitr/serve/login.h"

namespace tidemark {

inline constexpr size_t kServeConnectionsMax = 256;   // more are refused with error 1040
inline constexpr size_t kServePendingLoginsMax = 64;  // of those, not logged in yet
inline constexpr int kLoginSecondsMax = 10;
inline constexpr int kIdleSecondsMax = 600;    // logged in, no command
inline constexpr int kStalledSecondsMax = 600;  // a dump whose client takes nothing
inline constexpr size_t kSendBytes = 256 << 10;
inline constexpr size_t kConnectionBytesMax = 16 << 20;

struct ServeOptions {
  std::string listen_address = "127.0.0.1";  // a numeric address
  uint16_t port = 0;                         // 0: any free one
  // Both or neither (PEM). Neither: a self-signed certificate is made at the start, which encrypts
  // but proves nothing.
  std::string tls_certificate_file;
  std::string tls_key_file;
  bool tls_required = false;
  std::string rsa_private_key_file;  // "": made when first needed
  std::vector<ServeAccount> accounts;
  std::vector<ServedSource> sources;
};

// A dump under way, as SHOW REPLICAS tells of it.
struct ServedReplica {
  std::string source;
  std::string user;
  std::string peer;  // "host:port"
  std::string uuid;
  uint32_t server_id = 0;
  bool tls = false;
  bool caught_up = false;
  uint64_t transactions_sent = 0;
  uint64_t bytes_sent = 0;
  int64_t since_us = 0;
};

class ReplicaServer {
 public:
  // kUsage: address, certificate, key, an account that names no source or no secret. kIo: the port
  // is taken (hint).
  static Result<std::unique_ptr<ReplicaServer>> Start(ServeOptions options);
  ~ReplicaServer();  // stops

  uint16_t port() const;
  const std::string& address() const;
  // The archive of `source` has grown, and its index knows. Cheap; any thread.
  void NotifyDurable(const std::string& source);
  std::vector<ServedReplica> Replicas() const;
  // The last error with which a dump was ended or a login refused, and how many: for `pitr restore`,
  // which is the only peer's other end, and for status.
  Status LastDumpError() const;
  void Stop();

 private:
  struct Impl;
  explicit ReplicaServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
