// From a server on which all is applied to one that can be used.
#include "pitr/restore/replica_applier.h"
#include "pitr/restore/restore_run.h"
#include "pitr/restore/running_target.h"
#include "replication/base/failpoint.h"

namespace tidemark {
namespace {

// Hours, for a large pool on a slow disk; a server that dies ends it at once.
constexpr uint32_t kEnableRedoSecondsMax = 24 * 3600;

}  // namespace

Status RestoreRun::StopToGoOnLater() {
  if (access_ && server_->running()) {
    TM_ASSIGN_OR_RETURN(auto connection, access_->Connect(kEnableRedoSecondsMax));
    TM_RETURN_IF_ERROR(ServerInstance::EnableRedo(*connection));
  }
  return server_->Stop();
}

Status RestoreRun::HandOver() {
  if (!Report(RestorePhase::kAssert)) return Status(Code::kInterrupted, "interrupted");
  TM_RETURN_IF_ERROR(MakeDurable(/*proves=*/true));
  return PutIntoUse(options_.keep_running);
}

// A clean shutdown, then the durable configuration it will live with: what is handed over has been
// started once with it. Each part may have been done by an earlier run.
Status RestoreRun::MakeDurable(bool proves) {
  {
    TM_ASSIGN_OR_RETURN(auto connection, access_->Connect(kEnableRedoSecondsMax));
    TM_RETURN_IF_ERROR(ServerInstance::EnableRedo(*connection));
    TM_RETURN_IF_ERROR(RemoveRestoreChannel(*connection));
  }
  TM_RETURN_IF_ERROR(server_->Stop());
  TM_RETURN_IF_ERROR(
      server_->Start(ServerInstance::Mode::kHandedOver, GoOnIn(RestorePhase::kAssert)));
  TM_RETURN_IF_ERROR(access_->LogInAs([&] {
    ConnectionOptions login = access_->connection();
    login.socket = server_->socket();
    return login;
  }()));
  TM_ASSIGN_OR_RETURN(auto connection, access_->Connect());
  if (proves) {
    TM_RETURN_IF_ERROR(ServerInstance::CheckDurable(*connection));
    receipt_.durable_checked = true;
    TM_RETURN_IF_ERROR(Assert());
    TM_RETURN_IF_ERROR(WarnOfWhatIsLeft(*connection));
  }
  TM_FAILPOINT("restore.durable");
  return DropRestoreUser(*connection);
}

Status RestoreRun::DropRestoreUser(Connection& connection) {
  TM_RETURN_IF_ERROR(ExecuteOnTarget(connection, "SET @@SESSION.sql_log_bin=0"));
  TM_ASSIGN_OR_RETURN(
      const std::string open,
      QueryTargetValue(
          connection,
          "SELECT COUNT(*) FROM mysql.user WHERE user='root' AND authentication_string='' AND "
          "account_locked='N' AND plugin='caching_sha2_password'"));
  if (open != "0")
    Warn(
        "the restored server's root has no password (the backup brought none): only the "
        "directory's permissions protect its socket");
  return ExecuteOnTarget(connection, std::string("DROP USER '") + kRestoreUser + "'@'localhost'");
}

Status RestoreRun::PutIntoUse(bool runs_on) {
  TM_RETURN_IF_ERROR(server_->WriteOptionFile());
  if (!runs_on) TM_RETURN_IF_ERROR(server_->Stop());
  receipt_.socket = server_->socket();
  receipt_.mysqld_pid = server_->pid();
  receipt_.port = new_server_.port;
  if (server_->SocketIsInTmp())
    Warn(
        "the server's socket is in /tmp, because the directory's path is too long for one: where "
        "/tmp is emptied, name another in my.cnf");
  if (const std::string kept = server_->KeptOptionFile(); !kept.empty())
    Warn("my.cnf was written anew; the one that was edited is " + kept);
  receipt_.start_command = server_->Command(ServerInstance::Mode::kHandedOver);
  // Nothing of ours stays, but what tells of it.
  access_.reset();
  if (files_.Exists(state_.secret_file)) TM_RETURN_IF_ERROR(files_.Remove(state_.secret_file));
  state_.secret_file.clear();
  TM_RETURN_IF_ERROR(server_->RemoveMarker());
  TM_FAILPOINT("restore.handed-over");
  TM_RETURN_IF_ERROR(Remember(RestoreStep::kDone));
  if (runs_on) server_->Release();
  return OkStatus();
}

// A finished server that must not be brought forward goes back to those who use it, as it is.
Status RestoreRun::GiveBack() {
  TM_RETURN_IF_ERROR(MakeDurable(/*proves=*/false));
  TM_RETURN_IF_ERROR(PutIntoUse(was_running_));
  given_back_ = true;
  return OkStatus();
}

}  // namespace tidemark
