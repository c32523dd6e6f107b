// Listens for replicas and serves each the archive: Boost.Asio coroutines, one for each connection.
//
// Owns its threads: one for all sockets, and a few that read archives, so that a slow disk holds up
// nobody's heartbeat. Memory: kConnectionBytesMax for a connection whatever is asked of it (a
// window of zstd, one read buffer, one send buffer); a replica that does not read is not read for.
// A hostile or broken peer costs its own connection only. Start and Stop are called by one thread,
// the rest by any.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pitr/serve/dump.h"
#include "pitr/serve/login.h"

namespace tidemark {

inline constexpr size_t kServeConnectionsMax = 256;  // more are refused with error 1040
// Of those, not logged in yet: one more, and the oldest is closed.
inline constexpr size_t kServePendingLoginsMax = 64;
inline constexpr int kLoginSecondsMax = 10;
inline constexpr int kIdleSecondsMax = 600;     // logged in, no command
inline constexpr int kStalledSecondsMax = 600;  // a dump whose client takes nothing
// A replica that is ahead of the archive: so long the archive may take to catch up with it.
inline constexpr int kArchiveBehindSecondsMax = 10;
inline constexpr int64_t kHeartbeatDefaultUs = 30'000'000;  // for clients that do not ask for one
inline constexpr size_t kSendBytes = 256 << 10;
inline constexpr size_t kConnectionBytesMax = 16 << 20;

// The limits above, which tests make small.
struct ServeLimits {
  size_t connections_max = kServeConnectionsMax;
  size_t pending_logins_max = kServePendingLoginsMax;
  std::chrono::milliseconds login_max = std::chrono::seconds(kLoginSecondsMax);
  std::chrono::milliseconds idle_max = std::chrono::seconds(kIdleSecondsMax);
  std::chrono::milliseconds stalled_max = std::chrono::seconds(kStalledSecondsMax);
  std::chrono::milliseconds archive_behind_max = std::chrono::seconds(kArchiveBehindSecondsMax);
};

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
  // What the greeting and VERSION() say: replicas look at the number in front.
  std::string server_version = "9.7.0-tidemark";
  ServeLimits limits = {};
};

// A dump under way, as SHOW REPLICAS tells of it.
struct ServedReplica {
  std::string source;
  std::string user;
  std::string peer;  // "host:port"
  std::string uuid;  // "" if it has not said
  uint32_t server_id = 0;
  std::string reported_host;  // what it registered with
  uint16_t reported_port = 0;
  bool tls = false;
  bool caught_up = false;
  uint64_t transactions_sent = 0;
  uint64_t bytes_sent = 0;
  int64_t since_us = 0;
};

// Since the start.
struct ServeCounters {
  struct Source {
    uint64_t dumps = 0;          // begun
    uint64_t dumps_refused = 0;  // of these: ended by an error that the replica was told
    uint64_t transactions_sent = 0;
    uint64_t bytes_sent = 0;
  };
  std::map<std::string, Source> sources;
  uint64_t logins_refused = 0;
  uint64_t connections_refused = 0;  // too many
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
  ServeCounters Counters() const;
  // The last error with which a dump was ended or a login refused: for `pitr restore`, which is the
  // only peer's other end, and for status. A dump that ends because its replica went away,
  // connected again or the server stops is none.
  Status LastDumpError() const;
  // Ends every connection and all threads. NotifyDurable may still be called: nothing happens.
  void Stop();

 private:
  struct Impl;
  explicit ReplicaServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tidemark
