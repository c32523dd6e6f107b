#include <optional>

#include "pitr/restore/pipe_applier.h"
#include "pitr/restore/process.h"
#include "pitr/restore/restore.h"
#include "pitr/restore/running_target.h"
#include "pitr/restore/server_instance.h"

namespace tidemark {
namespace {

Status CheckOptions(const RestoreOptions& options) {
  const RestoreTarget& target = options.target;
  if (!target.provision) return ValidateOptions(target.connection);
  if (options.dump_path.empty())
    return Status(Code::kUsage, "a new server needs a base backup to begin with",
                  "name a mysqldump file, or a running target that has the base loaded already");
  for (const std::string& option : target.mysqld_options)
    if (!option.starts_with("--") || option.find('\n') != std::string::npos)
      return Status(Code::kUsage, "\"" + option + "\" is no mysqld option",
                    "give it as --name=value");
  return OkStatus();
}

// A dump without GTIDs (--set-gtid-purged=OFF) but with the binary log's position: the archive
// knows which set that was.
Result<GtidSet> SetAtPosition(Locator& locator, const BaseBackup& base) {
  const std::string place = base.source_file + ":" + std::to_string(base.source_position);
  Target at;
  at.kind = TargetKind::kGtid;
  TM_ASSIGN_OR_RETURN(std::optional<Located> next,
                      locator.FindPosition(base.source_file, base.source_position));
  if (next && next->source_begin >= base.source_position) {
    at.edge = Edge::kBefore;
    at.gtid = next->transaction.gtid;
  } else {  // perhaps at the end of what is archived of that file
    TM_ASSIGN_OR_RETURN(std::optional<Located> last,
                        locator.FindPosition(base.source_file, base.source_position - 1));
    if (!last || last->transaction.source_end_pos != static_cast<uint32_t>(base.source_position))
      return Status(Code::kBadBackup,
                    base.path + " has no GTID set, and its position " + place +
                        " is no transaction boundary in the archive",
                    "take the dump with --set-gtid-purged=ON --source-data=2 --single-transaction");
    at.edge = Edge::kThrough;
    at.gtid = last->transaction.gtid;
  }
  TM_ASSIGN_OR_RETURN(Boundary boundary, locator.Resolve(at));
  return std::move(boundary.set);
}

Result<BaseBackup> ReadBase(FileSystem& files, Locator& locator, const std::string& path) {
  if (path.empty()) return BaseBackup();
  TM_ASSIGN_OR_RETURN(BaseBackup base, ReadMysqldump(files, path));
  if (base.has_gtid_set) return base;
  TM_ASSIGN_OR_RETURN(base.gtid_set, SetAtPosition(locator, base));
  base.warnings.push_back("the dump has no GTID set; it was found from its position " +
                          base.source_file + ":" + std::to_string(base.source_position) +
                          " in the archive");
  return base;
}

// The running target must be the base: what its dump says if one is named, and nothing that the
// source never had.
Status CheckIsAtBase(const RestoreOptions& options, const BaseBackup& base, const GtidSet& executed,
                     const Coverage& coverage) {
  const std::string name = options.target.connection.Endpoint();
  const GtidSet errant = executed.Minus(coverage.end);
  if (!errant.empty())
    return Status(
        Code::kTargetRefused,
        name + " has executed transactions that the source never had: " + Abridged(errant),
        "restore into a new server, or into one that was loaded from a backup of this source only");
  if (options.dump_path.empty() || executed == base.gtid_set) return OkStatus();
  const GtidSet missing = base.gtid_set.Minus(executed), extra = executed.Minus(base.gtid_set);
  std::string message = name + " is not at the GTID set of " + base.path + ":";
  if (!missing.empty()) message += " it lacks " + Abridged(missing);
  if (!extra.empty())
    message += std::string(missing.empty() ? "" : ", and") + " it has executed " + Abridged(extra);
  return Status(Code::kTargetRefused, message,
                "load that dump into it, or leave the dump out to go on from where it is");
}

Status FindPrograms(FileSystem& files, const RestoreTarget& target, PreparedRestore* prepared) {
  if (target.provision && target.directory.empty()) return OkStatus();  // planning only
  TM_ASSIGN_OR_RETURN(prepared->mysql, FindProgram(target.mysql));
  TM_ASSIGN_OR_RETURN(prepared->mysqlbinlog, FindProgram(target.mysqlbinlog));
  if (!target.provision) return OkStatus();
  TM_ASSIGN_OR_RETURN(prepared->mysqld, FindProgram(target.mysqld));
  return ServerInstance::CheckDirectory(files, target.directory);
}

}  // namespace

Result<PreparedRestore> PrepareRestore(FileSystem& files, ArchiveView& view,
                                       const RestoreOptions& options) {
  TM_RETURN_IF_ERROR(CheckOptions(options));
  PreparedRestore prepared;
  TM_RETURN_IF_ERROR(FindPrograms(files, options.target, &prepared));
  Locator locator(view);
  const Coverage coverage = view.ComputeCoverage();
  TM_ASSIGN_OR_RETURN(prepared.base, ReadBase(files, locator, options.dump_path));
  prepared.warnings = prepared.base.warnings;
  if (!options.target.provision) {
    TM_ASSIGN_OR_RETURN(auto connection, Connection::Open(options.target.connection));
    TM_ASSIGN_OR_RETURN(const TargetFacts facts, InspectRunningTarget(*connection));
    TM_RETURN_IF_ERROR(CheckIsAtBase(options, prepared.base, facts.gtid_executed, coverage));
    if (options.dump_path.empty()) prepared.base.gtid_set = facts.gtid_executed;
    prepared.warnings.insert(prepared.warnings.end(), facts.warnings.begin(), facts.warnings.end());
  }
  TM_ASSIGN_OR_RETURN(const Boundary boundary, locator.Resolve(options.point));
  TM_ASSIGN_OR_RETURN(prepared.plan, MakePlan(view.source(), options.point, prepared.base.gtid_set,
                                              boundary, coverage, view.segments()));
  TM_RETURN_IF_ERROR(CheckPipeCarries(view, prepared.plan));
  return prepared;
}

}  // namespace tidemark
