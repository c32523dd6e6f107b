// A mysqld that we provision in an empty directory, and its way from there to being handed over.
//
//   DIR/RESTORING      while it is not to be used: from the first moment until the end state was
//   proved DIR/data/          the data directory DIR/my.cnf         the options it is handed over
//   with; written at the hand-over DIR/mysqld.sock    (under a new directory in /tmp if that path
//   is too long for a socket), mysqld.log, mysqld.pid
//
// Two modes. kRestoring: reachable through the socket only, no durability (sync_binlog=0,
// innodb_flush_log_at_trx_commit=0), killed by the kernel if `pitr` dies. kHandedOver: durable
// settings, TCP if a port was asked for, lives on after Release(). In both: GTID mode and binary
// log on, a server_id of its own, the event scheduler off (events of the dump would add
// transactions of their own), replication not started.
//
// The object owns the process until Release(): its destructor kills it. One thread, the one that
// starts the server.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "pitr/restore/process.h"
#include "replication/base/file_system.h"
#include "replication/source/connection.h"

namespace tidemark {

struct ServerOptions {
  std::string directory;
  std::string mysqld;  // path
  std::vector<std::string>
      options;        // further mysqld options "--name=value", for --initialize and ever after
  uint16_t port = 0;  // when handed over; 0: no TCP
};

inline constexpr int kServerStartSecondsMax = 600;
inline constexpr int kServerStopSecondsMax = 600;
inline constexpr char kRestoringMarker[] = "RESTORING";

class ServerInstance {
 public:
  using GoOn = std::function<bool()>;  // false: stop what you do, kInterrupted
  enum class Mode { kRestoring, kHandedOver };

  // kTargetRefused if the directory exists and is not empty, naming what is in it.
  static Status CheckDirectory(FileSystem& files, const std::string& directory);
  // The same check; then claims the directory with the marker (so of two at once one loses) and
  // makes it ours alone (0700). Once this has succeeded, what is in the directory is ours.
  static Result<std::unique_ptr<ServerInstance>> Claim(FileSystem& files,
                                                       const ServerOptions& options);
  ~ServerInstance();
  ServerInstance(const ServerInstance&) = delete;
  ServerInstance& operator=(const ServerInstance&) = delete;

  Status Initialize(const GoOn& go_on);  // the data directory; root@localhost has no password
  // Starts it and waits until it takes connections: one that says "access denied" takes them, too.
  // kTargetRefused with the end of its log if it dies or does not come up.
  Status Start(Mode mode, const GoOn& go_on);
  Status Stop();             // orderly; killed, and an error, after kServerStopSecondsMax
  void Kill();               // where its data is lost anyway
  Status WriteOptionFile();  // my.cnf, for the mode it is handed over in
  Status RemoveMarker();
  void Release();  // it lives on

  std::vector<std::string> Command(Mode mode) const;                   // what Start runs
  const std::string& directory() const { return options_.directory; }  // absolute
  const std::string& socket() const { return socket_; }
  std::string data_directory() const { return JoinPath(options_.directory, "data"); }
  std::string log_path() const { return JoinPath(options_.directory, "mysqld.log"); }
  pid_t pid() const { return process_ ? process_->pid() : 0; }
  std::string LogTail() const;  // its error messages, or else its last lines

 private:
  ServerInstance(FileSystem& files, ServerOptions options)
      : files_(files), options_(std::move(options)) {}
  Status ClaimDirectory();
  Status ChooseSocket();
  std::vector<std::string> Arguments(Mode mode) const;  // without program and --no-defaults
  std::string path(const char* name) const { return JoinPath(options_.directory, name); }

  FileSystem& files_;
  ServerOptions options_;
  std::string socket_;
  std::string
      socket_directory_;  // in /tmp, if it had to be; removed unless the server was released
  bool released_ = false;
  uint32_t server_id_ = 0;
  std::unique_ptr<ChildProcess> process_;
};

}  // namespace tidemark
