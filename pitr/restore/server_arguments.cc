// What our servers are started with, and why.
#include <unistd.h>

#include "pitr/restore/client_access.h"
#include "pitr/restore/machine.h"
#include "pitr/restore/server_instance.h"

namespace tidemark {
namespace {

using Options = std::vector<std::string>;

void Add(Options& arguments, std::initializer_list<const char*> more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
}

// A server that is thrown away if anything goes wrong: it is to apply, and to do nothing else. The
// user's options come behind these.
void AddDisposable(Options& arguments, unsigned workers) {
  const Machine machine = MeasureMachine();
  arguments.push_back("--innodb-buffer-pool-size=" + std::to_string(BufferPoolBytes(machine)));
  arguments.push_back("--replica-parallel-workers=" +
                      std::to_string(workers != 0 ? workers : ApplierWorkers(machine)));
  Add(arguments,
      {// Work that nobody asks for.
       "--performance-schema=OFF", "--slow-query-log=OFF", "--general-log=OFF",
       "--skip-name-resolve", "--innodb-adaptive-hash-index=OFF",
       // Dirty pages stay in memory until they must go, and then go quickly. Neighbours and double
       // caching are for disks and servers that last.
       "--innodb-flush-method=O_DIRECT", "--innodb-max-dirty-pages-pct=90",
       "--innodb-max-dirty-pages-pct-lwm=0", "--innodb-adaptive-flushing=OFF",
       "--innodb-idle-flush-pct=0", "--innodb-flush-neighbors=0", "--innodb-io-capacity=10000",
       "--innodb-io-capacity-max=40000", "--innodb-redo-log-capacity=1G",
       "--innodb-buffer-pool-dump-at-shutdown=OFF", "--innodb-buffer-pool-load-at-startup=OFF",
       // gtid_executed says what is applied, even with gaps, and the end set is asserted: no worker
       // has to wait for the one before it.
       "--replica-preserve-commit-order=OFF",
       // The relay log is fetched anew after a restart, so it need not be durable; it is bounded,
       // because we serve faster than a server applies.
       "--relay-log=relay", "--relay-log-recovery=ON", "--relay-log-purge=ON",
       "--max-relay-log-size=128M", "--relay-log-space-limit=1G", "--loose-sync-relay-log=0",
       "--loose-sync-relay-log-info=0", "--loose-sync-source-info=0"});
}

// What no option of the user's may change: nobody gets in but us, the server starts nothing of its
// own accord, makes no GTIDs and skips no event, and begins from whole data or not at all.
void AddHeld(Options& arguments) {
  Add(arguments,
      {"--skip-networking", "--skip-log-bin", "--log-replica-updates=OFF",
       "--replicate-same-server-id=ON", "--innodb-doublewrite=OFF",
       "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0", "--innodb-force-recovery=0",
       "--local-infile=ON", "--read-only=OFF", "--super-read-only=OFF", "--event-scheduler=OFF",
       "--skip-replica-start", "--gtid-mode=ON", "--enforce-gtid-consistency=ON",
       "--persisted-globals-load=OFF"});
}

}  // namespace

std::vector<std::string> ServerInstance::Arguments(Mode mode) const {
  const bool restoring = mode == Mode::kRestoring;
  std::vector<std::string> arguments = {"--datadir=" + data_directory(),
                                        "--socket=" + socket_,
                                        "--pid-file=" + path("mysqld.pid"),
                                        "--log-error=" + log_path(),
                                        "--server-id=" + std::to_string(server_id_),
                                        "--gtid-mode=ON",
                                        "--enforce-gtid-consistency=ON",
                                        "--max-allowed-packet=1G",
                                        "--event-scheduler=OFF",
                                        "--skip-replica-start",
                                        "--loose-mysqlx=OFF"};
  if (::geteuid() == 0) arguments.push_back("--user=root");
  if (restoring) {
    AddDisposable(arguments, options_.workers);
  } else {
    arguments.push_back("--log-bin=binlog");
    if (options_.port != 0) {
      arguments.push_back("--port=" + std::to_string(options_.port));
      arguments.push_back("--bind-address=127.0.0.1");
    }
  }
  arguments.insert(arguments.end(), options_.options.begin(), options_.options.end());
  if (restoring) {
    AddHeld(arguments);
    // Not the user's: as the archived server's it would be refused the archived events.
    arguments.push_back("--server-id=" + std::to_string(server_id_));
    return arguments;
  }
  if (options_.port == 0) arguments.push_back("--skip-networking");
  Add(arguments,
      {"--sync-binlog=1", "--innodb-flush-log-at-trx-commit=1", "--innodb-doublewrite=ON"});
  return arguments;
}

std::vector<std::string> ServerInstance::Command(Mode mode) const {
  std::vector<std::string> command = {options_.mysqld, "--no-defaults"};
  const std::vector<std::string> arguments = Arguments(mode);
  command.insert(command.end(), arguments.begin(), arguments.end());
  return command;
}

std::string ServerInstance::OptionFileText() const {
  std::string text =
      "# Written by pitr restore: what the restored server was handed over with. Start it again "
      "with\n#   " +
      options_.mysqld + " --defaults-file=" + path("my.cnf") +
      "\n# The event scheduler is off, so that the events of the restored data do not change it: "
      "turn it on when this\n"
      "# server takes over.\n";
  if (SocketIsInTmp())
    text +=
        "# The socket is in /tmp, because this directory's path is too long for one. Where /tmp is "
        "emptied, name another.\n";
  text += "[mysqld]\n";
  for (const std::string& argument : Arguments(Mode::kHandedOver)) {
    const size_t equals = argument.find('=');
    text += argument.substr(2, equals - 2);
    if (equals != std::string::npos) text += "=" + QuotedOption(argument.substr(equals + 1));
    text += "\n";
  }
  return text;
}

Status ServerInstance::WriteOptionFile() {
  TM_RETURN_IF_ERROR(LiftQuarantine());
  in_quarantine_ = false;
  socket_is_in_my_cnf_ = true;
  return WriteSmallFileDurably(files_, path(kOptionFile), OptionFileText());
}

}  // namespace tidemark
