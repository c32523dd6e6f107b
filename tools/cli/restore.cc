// pitr restore: from a base backup to exactly the target, with progress, proof and a receipt.
#include "pitr/restore/restore.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <optional>

#include "replication/base/clock.h"
#include "tools/cli/command.h"
#include "tools/cli/connection_flags.h"
#include "tools/cli/describe.h"
#include "tools/cli/restore_flags.h"

namespace tidemark::cli {
namespace {

struct Options {
  TargetFlags target;
  ConnectionFlags connection;
  SurgeryFlags surgery;
  std::string applier = "replica";
  RestoreOptions restore;
  bool dry_run = false;
  bool stop_server = false;
  CLI::Option* serve_address = nullptr;
};

Status Fill(Options* options) {
  RestoreOptions& restore = options->restore;
  TM_ASSIGN_OR_RETURN(restore.point, options->target.Parse());
  TM_ASSIGN_OR_RETURN(restore.surgery, options->surgery.Parse());
  restore.applier = ParseApplier(options->applier);
  restore.keep_running = !options->stop_server;
  restore.target.provision = !options->connection.given();
  if (!restore.target.provision) {
    if (!restore.target.directory.empty())
      return Status(Code::kUsage,
                    "both a directory for a new server and a running target are named",
                    "use --into or --host/--socket, not both");
    TM_ASSIGN_OR_RETURN(restore.target.connection, options->connection.Parse());
    return OkStatus();
  }
  if (restore.target.directory.empty() && !options->dry_run)
    return Status(Code::kUsage, "no target is named",
                  "--into DIR makes a new server; --socket or --host names a running one");
  if (options->serve_address->count() > 0)
    return Status(Code::kUsage, "--serve-address is for a running target",
                  "a new server is on this machine, and needs none");
  // A directory may hold one already.
  if (restore.dump_path.empty() && restore.target.directory.empty())
    return Status(Code::kUsage, "a new server needs a base backup", "--dump FILE");
  return OkStatus();
}

// One progress line per phase; its unit depends on the phase.
class PhaseProgress {
 public:
  explicit PhaseProgress(const Context& context) : context_(context) {}
  bool operator()(const RestoreProgress& progress) {
    if (!line_ || progress.phase != phase_) {
      line_.reset();
      phase_ = progress.phase;
      if (const char* words = Words(phase_); !context_.json && *words != '\0')
        SayError("{}\n", words);
      line_ =
          std::make_unique<Progress>(context_, RestorePhaseName(phase_),
                                     phase_ == RestorePhase::kLoadBase ? "bytes" : "transactions");
    }
    if (progress.done > 0) line_->Update(progress.done, progress.total);
    return !Interrupted();
  }

 private:
  static const char* Words(RestorePhase phase) {
    switch (phase) {
      case RestorePhase::kProvision: return "bringing up the server";
      case RestorePhase::kLoadBase: return "loading the base";
      case RestorePhase::kApply: return "applying what came after it";
      case RestorePhase::kAssert: return "proving where the server stands";
      case RestorePhase::kPlan:
      case RestorePhase::kDone: break;
    }
    return "";
  }

  const Context& context_;
  RestorePhase phase_ = RestorePhase::kPlan;
  std::unique_ptr<Progress> line_;
};

std::string ReceiptPath(const Receipt& receipt, const std::string& asked_path) {
  return asked_path.empty() ? JoinPath(receipt.directory, "receipt.json") : asked_path;
}

void PrintReceipt(const Receipt& receipt, const std::string& asked_path) {
  if (!receipt.plan.lineage.empty()) Say("source          {}\n", receipt.plan.source);
  for (const std::string& line : LineageLines(ToJson(receipt.plan.lineage)))
    Say("lineage         {}\n", line);
  Say("last included   {}\n", DescribeOptional(receipt.plan.boundary.last_included, "none"));
  Say("first excluded  {}\n",
      DescribeOptional(receipt.plan.boundary.first_excluded, "none: the archive's end"));
  if (receipt.touched_nothing)
    Say("applied         nothing: this restore was done already\n");
  else
    Say("applied         {} by {}{}\n", Counted(receipt.plan.transactions, "transaction"),
        receipt.applier, receipt.runs > 1 ? fmt::format(", in {} runs", receipt.runs) : "");
  for (const std::string& line : DescribeSurgery(receipt.plan.surgery))
    Say("surgery         {}\n", line);
  Say("gtid_executed   {}\n", ShortSet(receipt.gtid_executed));
  Say("                {}\n", receipt.end_state_reached
                                  ? "exactly as planned"
                                  : "NOT AS PLANNED: " + ShortSet(receipt.plan.end_set));
  for (const std::string& warning : receipt.warnings) Say("WARNING         {}\n", warning);
  if (!receipt.socket.empty() && receipt.mysqld_pid != 0)
    Say("server          {}runs (pid {}): mysql --socket={}\n",
        receipt.server_version.empty() ? "" : "MySQL " + receipt.server_version + " ",
        receipt.mysqld_pid, receipt.socket);
  else if (receipt.provisioned)
    Say("server          stopped; to start it: {}\n", fmt::join(receipt.start_command, " "));
  if (receipt.provisioned) Say("receipt         {}\n", ReceiptPath(receipt, asked_path));
  Say("took            {}\n",
      FormatDuration(1e-6 * static_cast<double>(receipt.finished_us - receipt.started_us)));
}

Status Run(const Context& context, Options& options) {
  TM_RETURN_IF_ERROR(Fill(&options));
  TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
  TM_ASSIGN_OR_RETURN(const auto source, archive->OpenSource());
  if (options.dry_run) {
    TM_ASSIGN_OR_RETURN(PreparedRestore prepared,
                        PrepareRestore(PosixFileSystem(), *source, options.restore));
    return PrintPlanReport(MakePlanReport(std::move(prepared), options.restore.target.provision,
                                          options.restore.applier),
                           context.json);
  }
  // The port that serves the archive tells the daemon's log of its clients; here the only one is
  // ours, and what goes wrong with it is in the error.
  spdlog::set_level(spdlog::level::off);
  PhaseProgress progress(context);
  TM_ASSIGN_OR_RETURN(Receipt receipt,
                      RunRestore(PosixFileSystem(), SystemClock(), *source, options.restore,
                                 [&](const RestoreProgress& now) { return progress(now); }));
  RecordRates(PosixFileSystem(), RatesPath(), receipt.load, receipt.apply, options.restore.applier,
              receipt.finished_us);
  if (context.json)
    Say("{}", receipt.ToJson());
  else
    PrintReceipt(receipt, options.restore.receipt_path);
  return OkStatus();
}

}  // namespace

void AddRestore(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  RestoreTarget& target = options->restore.target;
  auto* command = app.add_subcommand(
      "restore", "bring a server to exactly the target, from a base backup and the archive");
  options->target.AddTo(*command);
  command
      ->add_option("--dump", options->restore.dump_path,
                   "mysqldump file that is the base (plain, .gz or .zst)")
      ->type_name("FILE");
  command
      ->add_option("--into", target.directory,
                   "make a new server in this empty or absent directory; or go on there with what "
                   "the same command began")
      ->type_name("DIR");
  command->add_option("--listen-port", target.port,
                      "TCP port of the new server on 127.0.0.1 (default: socket only)");
  command->add_flag("--resume", options->restore.resume,
                    "bring the server in that directory forward, finished or not; surgery adds to "
                    "what was given before");
  AddApplierFlag(*command, &options->applier);
  command
      ->add_option("--workers", options->restore.workers,
                   "of the target's parallel applier (default: sized to the machine; a running "
                   "target's as they are)")
      ->check(CLI::Range(1, 1024));
  options->surgery.AddTo(*command);
  command->add_flag("--stop-server", options->stop_server,
                    "stop the new server when the restore is done");
  command->add_option("--mysqld", target.mysqld, "the mysqld to use")->capture_default_str();
  command
      ->add_option("--mysqld-option", target.mysqld_options,
                   "further option of the new server, --name=value; may be given several times")
      ->type_name("OPTION")
      ->allow_extra_args(false);
  command->add_option("--mysql", target.mysql, "the mysql client to use")->capture_default_str();
  command->add_option("--mysqlbinlog", target.mysqlbinlog, "the mysqlbinlog to use, for the pipe")
      ->capture_default_str();
  command
      ->add_option("--receipt", options->restore.receipt_path,
                   "where to write the receipt (default: DIR/receipt.json)")
      ->type_name("FILE");
  command->add_flag("--dry-run", options->dry_run, "print the plan and touch nothing");
  auto* running = command->add_option_group(
      "running target", "Instead of --into: a running server that has the base loaded");
  options->connection.AddTo(*running);
  options->serve_address = running->add_option(
      "--serve-address", options->restore.serve_address,
      "our address that the target replicates from, if it is another machine's");
  options->serve_address->type_name("ADDRESS");
  command->callback([&context, action, options] {
    *action = [&context, options] { return Run(context, *options); };
  });
}

}  // namespace tidemark::cli
