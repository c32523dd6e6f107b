// A mysqld that we provision in a directory of its own, and its way from there to being handed
// over.
//
//   DIR/RESTORING     while it is not to be used: from the first moment to the proved end state
//   DIR/restore.lock  locked by the `pitr` at work: of two at once one loses
//   DIR/restore.json  how far it is (restore_state.h)
//   DIR/data/         the data directory
//   DIR/my.cnf        the options it is handed over with; until then a file that mysqld refuses
//   DIR/mysqld.sock   (under a new directory in /tmp if that path is too long for a socket)
//   DIR/mysqld.log, DIR/mysqld.pid
//   DIR/*.kept        what quarantine put aside
//
// Two modes. kRestoring: for a server that can be made anew: socket only, no binary log, no
// doublewrite buffer, no redo log (DisableRedo), nothing flushed that can wait, sized to the
// machine. It lives on if `pitr` is killed, because a server without redo log would not survive
// being killed itself: Reclaim finds it again. kHandedOver: durable settings, GTID mode and binary
// log on, TCP if a port was asked for. In both: a server_id of its own, the event scheduler off,
// replication not started.
//
// From Initialize (or Reclaim) to WriteOptionFile the data is in quarantine (server_quarantine.cc):
// nothing but us can start a server on it, except during the second or so that a Start of ours
// takes.
//
// The object owns the process until Release(): its destructor stops it (orderly, so that a later
// run can go on; kill it with Kill). One thread.
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
      options;           // further mysqld options "--name=value", for --initialize and ever after
  uint16_t port = 0;     // when handed over; 0: no TCP
  unsigned workers = 0;  // of the parallel applier while restoring; 0: sized to the machine
};

inline constexpr int kServerStartSecondsMax = 600;
inline constexpr int kServerStopSecondsMax = 600;  // without a write to the disk
inline constexpr char kRestoringMarker[] = "RESTORING";
inline constexpr char kOptionFile[] = "my.cnf";

class ServerInstance {
 public:
  using GoOn = std::function<bool()>;  // false: stop what you do, kInterrupted
  enum class Mode { kRestoring, kHandedOver };

  // kTargetRefused if the directory exists and is not empty, naming what is in it.
  static Status CheckDirectory(FileSystem& files, const std::string& directory);
  // The same check; then claims the directory with lock and marker and makes it ours alone (0700).
  // Once this has succeeded, what is in the directory is ours. kLocked.
  static Result<std::unique_ptr<ServerInstance>> Claim(FileSystem& files,
                                                       const ServerOptions& options);
  // Takes a directory back that an earlier run claimed (the caller knows from restore.json), with
  // the mysqld that still runs on it, if one does. Sets marker and quarantine again if they are
  // gone: what was handed over is not to be used again until WriteOptionFile and RemoveMarker.
  // kLocked if another `pitr` is at work on it. Touches nothing if `still_so`, asked once we have
  // the lock, says that the directory is not what the caller took it for.
  struct Earlier {
    uint32_t server_id = 0;
    std::string socket = {};
    std::function<Status()> still_so = [] { return OkStatus(); };
  };
  static Result<std::unique_ptr<ServerInstance>> Reclaim(FileSystem& files,
                                                         const ServerOptions& options,
                                                         const Earlier& earlier);
  ~ServerInstance();
  ServerInstance(const ServerInstance&) = delete;
  ServerInstance& operator=(const ServerInstance&) = delete;

  // Kills what runs, and removes everything but lock, marker and restore.json: to begin again.
  Status Wipe();
  Status Initialize(const GoOn& go_on);  // the data directory; root@localhost has no password
  // Starts it and waits until it takes connections: one that says "access denied" takes them, too.
  // `init_sql`: statements that the server runs first, with all rights and not logged; kept in a
  // private file meanwhile; the first that fails fails the start. If it runs already (Reclaim) in
  // this mode and without `init_sql`, only waits for it; else stops it first. kTargetRefused with
  // the end of its log if it dies or does not come up: DataIsLost says whether there is any use in
  // trying again.
  Status Start(Mode mode, const GoOn& go_on, const std::vector<std::string>& init_sql = {});
  // The last Start failed because the server had ended while its redo log was off: only Wipe and
  // all over again help. Killed, its pages are of different moments. Also after an orderly shutdown
  // the dictionary's counters may be old ones (seen with 9.7.4: some of the next DDL statements
  // fail with 1062, a duplicate entry in mysql.columns): EnableRedo before Stop.
  bool DataIsLost() const { return data_is_lost_; }
  // ALTER INSTANCE … INNODB REDO_LOG, and checks that it is so. From Disable to Enable a killed
  // mysqld loses its data.
  static Status DisableRedo(Connection& connection);
  // Enable writes the buffer pool's changes out: give the connection minutes (read_timeout_s).
  static Status EnableRedo(Connection& connection);
  // After Start(kHandedOver): asks the server whether it is what a server must be: redo log and
  // doublewrite on, binary log on and synced, GTID mode on, no replication configured.
  static Status CheckDurable(Connection& connection);
  bool running() const;  // it has not ended by itself
  Status Alive() const;  // kTargetRefused with its log's end if it was started and has ended
  Status Stop();         // orderly; killed, and an error, after kServerStopSecondsMax
  void Kill();           // where its data is lost anyway
  // my.cnf, for the mode it is handed over in; and ends the quarantine.
  Status WriteOptionFile();
  // The user's own my.cnf, if there was one that said otherwise; "" if not.
  std::string KeptOptionFile() const;
  // The directory's path is too long for a socket's: what stands in my.cnf lies in /tmp.
  bool SocketIsInTmp() const { return !socket_directory_.empty(); }
  Status RemoveMarker();
  void Release();  // it lives on

  std::vector<std::string> Command(Mode mode) const;                   // what Start runs
  const std::string& directory() const { return options_.directory; }  // absolute
  const std::string& socket() const { return socket_; }
  std::string data_directory() const { return JoinPath(options_.directory, "data"); }
  std::string log_path() const { return JoinPath(options_.directory, "mysqld.log"); }
  uint32_t server_id() const { return server_id_; }
  pid_t pid() const;            // 0: it does not run
  std::string LogTail() const;  // its error messages, or else its last lines

 private:
  ServerInstance(FileSystem& files, ServerOptions options)
      : files_(files), options_(std::move(options)) {}
  Status ClaimDirectory();
  Status TakeLock();
  Status WriteMarker();
  Status ChooseSocket(const std::string& earlier = {});
  std::string OptionFileText() const;
  void Adopt();
  std::vector<std::string> Arguments(Mode mode) const;  // without program and --no-defaults
  Status Launch(Mode mode, const std::vector<std::string>& init_sql);
  Status AwaitUp(const GoOn& go_on);
  Status Settle();
  Status CheckStoppedWithRedo();
  Status Failed(const std::string& what);  // with what its log says to that
  std::string NewLog() const;              // the end of what the present server has written
  Status Quarantine();
  Status QuarantineOptionFile();
  Status LiftQuarantine();  // of the data directory only
  std::string path(const char* name) const { return JoinPath(options_.directory, name); }

  FileSystem& files_;
  ServerOptions options_;
  std::string socket_;
  std::string socket_directory_;      // in /tmp, if it had to be; removed …
  bool socket_is_in_my_cnf_ = false;  // … unless the server was handed over with it
  uint32_t server_id_ = 0;
  std::unique_ptr<FileLock> lock_;
  bool in_quarantine_ = false;
  bool data_is_lost_ = false;
  uint64_t log_start_bytes_ = 0;           // where the present server's part of the log begins
  Mode mode_ = Mode::kRestoring;           // of process_
  std::unique_ptr<ChildProcess> process_;  // may have ended
};

}  // namespace tidemark
