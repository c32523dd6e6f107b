// pitr plan: what a restore would do, and whether it can: proves coverage, prints the boundary,
// touches nothing.
#include "pitr/restore/pipe_applier.h"
#include "pitr/restore/restore.h"
#include "tools/cli/command.h"
#include "tools/cli/describe.h"

namespace tidemark::cli {
namespace {

struct Options {
  TargetFlags target;
  std::string dump, base_gtids;
  bool from_nothing = false;
};

Result<Plan> Make(const Context& context, const Options& options) {
  TM_ASSIGN_OR_RETURN(Target target, options.target.Parse());
  TM_ASSIGN_OR_RETURN(auto view, context.OpenView());
  if (!options.dump.empty()) {
    RestoreOptions restore;
    restore.dump_path = options.dump;
    restore.point = target;
    TM_ASSIGN_OR_RETURN(PreparedRestore prepared,
                        PrepareRestore(PosixFileSystem(), *view, restore));
    prepared.plan.warnings.insert(prepared.plan.warnings.begin(), prepared.warnings.begin(),
                                  prepared.warnings.end());
    return prepared.plan;
  }
  TM_ASSIGN_OR_RETURN(GtidSet base, GtidSet::Parse(options.base_gtids));
  Locator locator(*view);
  TM_ASSIGN_OR_RETURN(Boundary boundary, locator.Resolve(target));
  TM_ASSIGN_OR_RETURN(Plan plan, MakePlan(view->source(), target, base, boundary,
                                          view->ComputeCoverage(), view->segments()));
  TM_RETURN_IF_ERROR(CheckPipeCarries(*view, plan));
  return plan;
}

}  // namespace

void AddPlan(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "plan", "what a restore would do, and whether base and archive reach the target");
  options->target.AddTo(*command);
  auto* base = command->add_option_group("base", "Exactly one of");
  base->add_option("--dump", options->dump, "mysqldump file that is the base")->type_name("FILE");
  base->add_option("--base-gtids", options->base_gtids, "GTID set of the base")->type_name("SET");
  base->add_flag("--from-nothing", options->from_nothing, "the base is an empty server");
  base->require_option(1);
  command->callback([&context, action, options] {
    *action = [&context, options]() -> Status {
      TM_ASSIGN_OR_RETURN(Plan plan, Make(context, *options));
      if (context.json)
        PrintJson(ToJson(plan));
      else
        PrintPlan(plan);
      return OkStatus();
    };
  });
}

}  // namespace tidemark::cli
