// pitr plan: what a restore would do, and whether it can: proves coverage, prints the boundary,
// touches nothing.
#include "pitr/restore/restore.h"
#include "tools/cli/command.h"
#include "tools/cli/describe.h"
#include "tools/cli/restore_flags.h"

namespace tidemark::cli {
namespace {

struct Options {
  TargetFlags target;
  SurgeryFlags surgery;
  std::string base_gtids, applier = "replica";
  bool from_nothing = false;
  RestoreOptions restore;
};

// From a set alone: nothing is known of dump and target.
Result<PreparedRestore> PlanFromSet(SourceAccess& source, const Options& options) {
  PreparedRestore prepared;
  TM_ASSIGN_OR_RETURN(prepared.base.gtid_set, GtidSet::Parse(options.base_gtids));
  const RestoreOptions& restore = options.restore;
  TM_ASSIGN_OR_RETURN(ProvedPlan proved,
                      source.MakePlan(restore.point, prepared.base.gtid_set, restore.surgery,
                                      restore.applier == ApplierKind::kPipe));
  prepared.plan = std::move(proved.plan);
  prepared.disk = EstimateDisk(prepared.plan, nullptr, false, options.restore.applier);
  return prepared;
}

Status Run(const Context& context, Options& options) {
  RestoreOptions& restore = options.restore;
  TM_ASSIGN_OR_RETURN(restore.point, options.target.Parse());
  TM_ASSIGN_OR_RETURN(restore.surgery, options.surgery.Parse());
  restore.applier = ParseApplier(options.applier);
  if (restore.dump_path.empty() && !restore.target.directory.empty())
    return Status(Code::kUsage, "a new server needs a base backup", "--dump FILE");
  TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
  TM_ASSIGN_OR_RETURN(const auto source, archive->OpenSource());
  const bool from_dump = !restore.dump_path.empty();
  TM_ASSIGN_OR_RETURN(PreparedRestore prepared,
                      from_dump ? PrepareRestore(PosixFileSystem(), *source, restore)
                                : PlanFromSet(*source, options));
  return PrintPlanReport(MakePlanReport(std::move(prepared), from_dump, restore.applier),
                         context.json);
}

}  // namespace

void AddPlan(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  RestoreTarget& target = options->restore.target;
  auto* command = app.add_subcommand(
      "plan", "what a restore would do, and whether base and archive reach the target");
  options->target.AddTo(*command);
  auto* base = command->add_option_group("base", "Exactly one of");
  base->add_option("--dump", options->restore.dump_path, "mysqldump file that is the base")
      ->type_name("FILE");
  base->add_option("--base-gtids", options->base_gtids, "GTID set of the base")->type_name("SET");
  base->add_flag("--from-nothing", options->from_nothing, "the base is an empty server");
  base->require_option(1);
  command
      ->add_option("--into", target.directory,
                   "also find what stands in the way of a new server in this directory")
      ->type_name("DIR");
  command->add_option("--mysqld", target.mysqld, "the mysqld it would use")->capture_default_str();
  command->add_option("--mysql", target.mysql, "the mysql client it would use")
      ->capture_default_str();
  command
      ->add_option("--mysqlbinlog", target.mysqlbinlog, "the mysqlbinlog that the pipe would use")
      ->capture_default_str();
  AddApplierFlag(*command, &options->applier);
  options->surgery.AddTo(*command);
  command->callback([&context, action, options] {
    *action = [&context, options] { return Run(context, *options); };
  });
}

}  // namespace tidemark::cli
