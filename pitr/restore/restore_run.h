// One run of a restore, from plan to receipt. Of restore.cc (the whole, applying and asserting),
// provision.cc (a server to apply to, with the base in it) and hand_over.cc (a server to be used).
// Lives on RunRestore's stack; one thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pitr/restore/client_access.h"
#include "pitr/restore/restore.h"
#include "pitr/restore/server_instance.h"

namespace tidemark {

// Ours while we restore: root may get the source's password with the dump, or lose its rights on
// the way.
inline constexpr char kRestoreUser[] = "tidemark_restore";
inline constexpr uint32_t kReadTimeoutSeconds = 600;
inline constexpr char kSecretFile[] = "restore.secret";

class RestoreRun {
 public:
  RestoreRun(FileSystem& files, Clock& clock, SourceAccess& archive, const RestoreOptions& options,
             const OnRestoreProgress& progress)
      : files_(files), clock_(clock), archive_(archive), options_(options), progress_(progress) {}

  Result<Receipt> Run();

 private:
  // restore.cc
  Status Act();
  Status ActOnRunningTarget();
  Status ActOnNewServer();
  Status Apply();
  Status RunApplier(const GtidSet& executed);
  Status Assert();
  Status WarnOfWhatIsLeft(Connection& connection);
  void TakePrepared(PreparedRestore prepared);
  Status Finish(Status outcome);
  Status WithFate(const Status& error);
  std::string FateOfDirectory() const;
  void AskWhereItIs();
  Result<Receipt> AlreadyDone();

  // provision.cc
  Status BeginAnew();  // kClaimed …
  Status LoadBase();   // … kLoaded
  Status SetBaseGtids(Connection& root);
  Status CreateRestoreUser(Connection& root);
  Status GoOn();  // an earlier run's server is up, we are logged in, its place is known
  Status BringUp();
  Status LogInWithKeptSecret();
  Status TakeItsPlace(const GtidSet& executed);
  Status CheckNobodyUsedIt(const GtidSet& executed);
  ServerOptions NewServer() const;
  ServerInstance::Earlier Earlier() const;
  ConnectionOptions Login(const std::string& user, const std::string& password_file) const;
  Result<std::vector<std::string>> AccountStatements();
  Status Remember(RestoreStep step);
  void RemoveLeftovers();

  // hand_over.cc
  Status StopToGoOnLater();
  Status HandOver();
  Status MakeDurable(bool proves);
  Status DropRestoreUser(Connection& connection);
  Status PutIntoUse(bool runs_on);
  Status GiveBack();

  bool Report(RestorePhase phase, uint64_t done = 0, uint64_t total = 0) {
    return progress_({phase, done, total});
  }
  ServerInstance::GoOn GoOnIn(RestorePhase phase) {
    return [this, phase] { return Report(phase); };
  }
  void Warn(const std::string& warning) { receipt_.warnings.push_back(warning); }
  std::string ReceiptPath() const;

  FileSystem& files_;
  Clock& clock_;
  SourceAccess& archive_;
  const RestoreOptions& options_;
  const OnRestoreProgress& progress_;
  PreparedRestore prepared_;
  RestoreState state_;
  Receipt receipt_;
  ServerOptions new_server_;                // what server_ was made with
  std::unique_ptr<ServerInstance> server_;  // outlives who talks to it
  std::unique_ptr<ClientAccess> access_;
  bool was_running_ = false;  // a finished server, when we took it back
  bool given_back_ = false;   // … and refused it
};

}  // namespace tidemark
