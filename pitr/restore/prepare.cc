#include "pitr/restore/prepare.h"

#include <optional>

#include "pitr/restore/blockers.h"
#include "pitr/restore/client_access.h"
#include "pitr/restore/continuation.h"
#include "pitr/restore/process.h"
#include "pitr/restore/replica_applier.h"
#include "pitr/restore/restore_channel.h"
#include "pitr/restore/running_target.h"
#include "pitr/restore/server_instance.h"
#include "replication/base/loopback.h"

namespace tidemark {
namespace {

Status CheckOptions(const RestoreOptions& options) {
  const RestoreTarget& target = options.target;
  const bool pipe = options.applier == ApplierKind::kPipe;
  TM_RETURN_IF_ERROR(CheckSurgery(options.surgery));
  if (pipe && (options.surgery.filters() || !options.surgery.skip.empty()))
    return Status(Code::kUsage, "the pipe can leave transactions out, but neither skip nor filter",
                  "use --applier replica");
  for (const std::string& option : target.mysqld_options)
    if (!option.starts_with("--") || option.find('\n') != std::string::npos)
      return Status(Code::kUsage, "\"" + option + "\" is no mysqld option",
                    "give it as --name=value");
  if (target.provision) return OkStatus();
  if (options.resume)
    return Status(Code::kUsage, "--resume is for a server that pitr made, in its directory",
                  "a running target is brought forward without it");
  TM_RETURN_IF_ERROR(ValidateOptions(target.connection));
  const bool remote = target.connection.socket.empty() && !IsLoopback(target.connection.host);
  if (!pipe && remote && IsLoopback(options.serve_address))
    return Status(Code::kUsage,
                  target.connection.host + " is another machine, and cannot reach the archive at " +
                      options.serve_address,
                  "give an address of this machine that it can connect to with --serve-address, or "
                  "use --applier pipe");
  return OkStatus();
}

Result<std::optional<Located>> FindPosition(SourceAccess& archive, const std::string& file,
                                            uint64_t position) {
  Result<FoundPlace> found = archive.Locate(FilePosition{file, position});
  if (found.ok()) return std::optional<Located>(std::move(found->around.found));
  if (found.error().code() == Code::kNotFound) return std::optional<Located>();
  return found.error();
}

// A dump without GTIDs (--set-gtid-purged=OFF) but with the binary log's position: the archive
// knows which set that was.
Result<GtidSet> SetAtPosition(SourceAccess& archive, const BaseBackup& base) {
  const std::string place = base.source_file + ":" + std::to_string(base.source_position);
  Target at;
  at.kind = TargetKind::kGtid;
  TM_ASSIGN_OR_RETURN(std::optional<Located> next,
                      FindPosition(archive, base.source_file, base.source_position));
  if (next && next->source_begin >= base.source_position) {
    at.edge = Edge::kBefore;
    at.gtid = next->transaction.gtid;
  } else {  // perhaps at the end of what is archived of that file
    TM_ASSIGN_OR_RETURN(std::optional<Located> last,
                        FindPosition(archive, base.source_file, base.source_position - 1));
    if (!last || last->transaction.source_end_pos != static_cast<uint32_t>(base.source_position))
      return Status(Code::kBadBackup,
                    base.path + " has no GTID set, and its position " + place +
                        " is no transaction boundary in the archive",
                    "take the dump with --set-gtid-purged=ON --source-data=2 --single-transaction");
    at.edge = Edge::kThrough;
    at.gtid = last->transaction.gtid;
  }
  TM_ASSIGN_OR_RETURN(Boundary boundary, archive.Resolve(at));
  return std::move(boundary.set);
}

Result<BaseBackup> ReadBase(FileSystem& files, SourceAccess& archive, const std::string& path) {
  if (path.empty()) return BaseBackup();
  TM_ASSIGN_OR_RETURN(BaseBackup base, ReadMysqldump(files, path));
  if (base.has_gtid_set) return base;
  TM_ASSIGN_OR_RETURN(base.gtid_set, SetAtPosition(archive, base));
  base.warnings.push_back("the dump has no GTID set; it was found from its position " +
                          base.source_file + ":" + std::to_string(base.source_position) +
                          " in the archive");
  return base;
}

// The running target must be the base: what its dump says if one is named, and nothing that the
// source never had. What an interrupted run of ours has applied since then is not held against it.
Status CheckIsAtBase(const RestoreOptions& options, const BaseBackup& base, const GtidSet& executed,
                     const Coverage& coverage, bool went_on) {
  const std::string name = options.target.connection.Endpoint();
  const GtidSet errant = executed.Minus(coverage.end);
  if (!errant.empty())
    return Status(
        Code::kTargetRefused,
        name + " has executed transactions that the source never had: " + Abridged(errant),
        "restore into a new server, or into one that was loaded from a backup of this source only");
  if (options.dump_path.empty() || executed == base.gtid_set) return OkStatus();
  const GtidSet missing = base.gtid_set.Minus(executed), extra = executed.Minus(base.gtid_set);
  if (went_on && missing.empty()) return OkStatus();
  std::string message = name + " is not at the GTID set of " + base.path + ":";
  if (!missing.empty()) message += " it lacks " + Abridged(missing);
  if (!extra.empty())
    message += std::string(missing.empty() ? "" : ", and") + " it has executed " + Abridged(extra);
  return Status(Code::kTargetRefused, message,
                "load that dump into it, or leave the dump out to go on from where it is");
}

Status NoBase() {
  return Status(Code::kUsage, "a new server needs a base backup to begin with",
                "name a mysqldump file, or a running target that has the base loaded already (an "
                "empty one if pitr status says that the archive needs none)");
}

// A program that is not there is a blocker, and its path stays empty.
void Find(const std::string& name, std::string* path, std::vector<Status>* blockers) {
  Result<std::string> found = FindProgram(name);
  if (found.ok())
    *path = std::move(*found);
  else
    blockers->push_back(found.error());
}

void FindPrograms(const RestoreOptions& options, PreparedRestore* prepared) {
  const RestoreTarget& target = options.target;
  if (target.provision && target.directory.empty()) return;  // planning only
  const bool pipe = options.applier == ApplierKind::kPipe;
  if (target.provision) Find(target.mysqld, &prepared->mysqld, &prepared->blockers);
  if (prepared->loads_base || pipe) Find(target.mysql, &prepared->mysql, &prepared->blockers);
  if (pipe) Find(target.mysqlbinlog, &prepared->mysqlbinlog, &prepared->blockers);
}

RestoreRequest RequestOf(FileSystem& files, const std::string& source,
                         const RestoreOptions& options) {
  RestoreRequest request;
  request.source = source;
  request.dump_path = AbsolutePath(options.dump_path);
  request.point = options.point;
  request.surgery = options.surgery;
  if (request.dump_path.empty()) return request;
  auto dump = files.Open(request.dump_path, OpenMode::kRead);
  if (!dump.ok()) return request;
  if (const Result<uint64_t> size = (*dump)->Size(); size.ok()) request.dump_bytes = *size;
  return request;
}

// What the directory holds, and that this command may go on with it.
Status LookIntoDirectory(FileSystem& files, const std::string& source,
                         const RestoreOptions& options, PreparedRestore* prepared) {
  const std::string& directory = options.target.directory;
  if (directory.empty()) return OkStatus();
  TM_ASSIGN_OR_RETURN(prepared->found, FindEarlierRestore(files, directory));
  if (!prepared->found) {
    if (options.resume)
      return Status(Code::kTargetRefused, directory + " holds no restore to go on with",
                    "leave --resume out to begin one there");
    if (Status empty = ServerInstance::CheckDirectory(files, directory); !empty.ok())
      prepared->blockers.push_back(std::move(empty));
    return OkStatus();
  }
  const RestoreState& found = *prepared->found;
  if (options.resume && !found.source.empty() && found.source != source)
    return Status(Code::kTargetRefused,
                  directory + " holds a restore of source " + found.source + ", not " + source,
                  "name that source with --source");
  if (options.resume) return OkStatus();
  return CheckSameRequest(directory, found, RequestOf(files, source, options));
}

// A base that is in the directory already.
BaseBackup LoadedBase(const RestoreState& found, bool resume) {
  BaseBackup base;
  base.path = found.dump_path;
  base.bytes = found.dump_bytes;
  base.has_gtid_set = true;
  base.gtid_set = resume && found.step >= RestoreStep::kApplied ? found.end_set : found.base;
  return base;
}

Status CheckNotBeyond(const std::string& directory, const Target& point, const GtidSet& executed,
                      const Boundary& boundary) {
  const GtidSet beyond = executed.Minus(boundary.set);
  if (beyond.empty()) return OkStatus();
  return Status(Code::kUnreachableTarget,
                directory + " is beyond the target (" + point.ToString() +
                    ") already: it has executed " + Abridged(beyond),
                "transactions cannot be taken back: name a later target, or restore into another "
                "directory");
}

Status CheckFinished(const std::string& directory, bool resume, PreparedRestore* prepared) {
  if (!prepared->found || prepared->found->step != RestoreStep::kDone) return OkStatus();
  prepared->finished = prepared->plan.end_set == prepared->found->end_set;
  if (prepared->finished || resume) return OkStatus();
  return Status(Code::kTargetRefused,
                directory + " is not empty: it holds a finished restore, and its target is now " +
                    std::to_string(prepared->plan.end_set.Minus(prepared->found->end_set).Count()) +
                    " transactions further",
                "--resume brings it there");
}

Status CheckBlockers(FileSystem& files, const std::string& source_version,
                     const RestoreOptions& options, PreparedRestore* prepared) {
  const std::string& directory = options.target.directory;
  const BaseBackup* dump = prepared->loads_base ? &prepared->base : nullptr;
  prepared->disk = EstimateDisk(prepared->plan, dump, options.target.provision, options.applier);
  if (!options.target.provision || directory.empty() || prepared->finished) return OkStatus();
  TM_ASSIGN_OR_RETURN(prepared->disk.free_bytes, FreeBytesFor(files, directory));
  CheckDiskSpace(prepared->disk, directory, &prepared->blockers, &prepared->warnings);
  // One that is taken further may run there itself.
  const bool may_run = prepared->found && prepared->found->step >= RestoreStep::kApplied;
  if (options.target.port != 0 && !may_run)
    if (Status free = CheckPort(options.target.port); !free.ok())
      prepared->blockers.push_back(std::move(free));
  if (prepared->mysqld.empty()) return OkStatus();
  if (Status fit = CheckMysqldOptions(prepared->mysqld, options.target.mysqld_options); !fit.ok())
    prepared->blockers.push_back(std::move(fit));
  Result<std::string> version = AskServerVersion(prepared->mysqld);
  if (!version.ok()) {
    prepared->blockers.push_back(version.error());
    return OkStatus();
  }
  if (Status fit = CheckVersions(prepared->mysqld, *version, source_version); !fit.ok())
    prepared->blockers.push_back(std::move(fit));
  return OkStatus();
}

Result<std::unique_ptr<Connection>> OpenTarget(const RestoreOptions& options) {
  auto connection = Connection::Open(options.target.connection);
  if (!connection.ok()) return TargetError(connection.error());
  return connection;
}

Status AskRunningTarget(const RestoreOptions& options, const Coverage& coverage,
                        PreparedRestore* prepared) {
  TM_ASSIGN_OR_RETURN(auto connection, OpenTarget(options));
  TM_ASSIGN_OR_RETURN(const TargetFacts facts, InspectRunningTarget(*connection));
  prepared->left_over_channel = facts.restore_channel;
  TM_RETURN_IF_ERROR(
      CheckIsAtBase(options, prepared->base, facts.gtid_executed, coverage, facts.restore_channel));
  prepared->base.gtid_set = facts.gtid_executed;
  prepared->warnings.insert(prepared->warnings.end(), facts.warnings.begin(), facts.warnings.end());
  if (facts.restore_channel)
    prepared->warnings.push_back(
        "an earlier restore into this target was interrupted: this one goes on from where it "
        "stands");
  return OkStatus();
}

// What only the plan tells of it, and what would else come up when something has been done.
Status CheckRunningTarget(SourceAccess& archive, const RestoreOptions& options,
                          const Coverage& coverage, const ProvedPlan& proved) {
  TM_ASSIGN_OR_RETURN(std::set<Uuid> uuids, archive.ServerUuids());
  for (const auto& [tsid, intervals] : coverage.end.map()) uuids.insert(tsid.uuid);
  TM_ASSIGN_OR_RETURN(auto connection, OpenTarget(options));
  std::set<uint32_t> ids;
  if (options.applier == ApplierKind::kReplica) ids = proved.source_server_ids;
  TM_RETURN_IF_ERROR(CheckIdentity(*connection, uuids, ids));
  if (options.applier == ApplierKind::kPipe) return OkStatus();
  TM_RETURN_IF_ERROR(CheckServeAddress(options.serve_address));
  return CheckReplicaRights(*connection, {.sets_workers = options.workers != 0,
                                          .skips = !proved.plan.surgery.skip.empty()});
}

}  // namespace

Result<ProvedPlan> PlanRestore(SourceAccess& archive, const Target& point, const GtidSet& base,
                               const Surgery& earlier, const Surgery& given,
                               const std::string& directory, bool for_pipe) {
  TM_ASSIGN_OR_RETURN(const Boundary boundary, archive.Resolve(point));
  if (!directory.empty()) TM_RETURN_IF_ERROR(CheckNotBeyond(directory, point, base, boundary));
  const Surgery all = Merged(earlier, given);
  TM_RETURN_IF_ERROR(CheckSurgery(all));
  const Surgery remaining = RemainingSurgery(earlier, given, boundary.set.Minus(base));
  TM_ASSIGN_OR_RETURN(ProvedPlan proved, archive.MakePlan(point, base, remaining, for_pipe));
  Plan& plan = proved.plan;
  plan.surgery = all;
  if (!remaining.empty()) std::erase(plan.warnings, SurgeryWarning(remaining));
  if (!all.empty()) plan.warnings.push_back(SurgeryWarning(all));
  return proved;
}

Status CheckPlace(FileSystem& files, const SourceAccess& archive, const RestoreOptions& options) {
  TM_RETURN_IF_ERROR(CheckOptions(options));
  PreparedRestore place;
  if (options.target.provision)
    TM_RETURN_IF_ERROR(LookIntoDirectory(files, archive.source(), options, &place));
  if (options.target.provision && !place.found && options.dump_path.empty()) return NoBase();
  FindPrograms(options, &place);
  return place.blockers.empty() ? OkStatus() : place.blockers.front();
}

Result<PreparedRestore> PrepareRestore(FileSystem& files, SourceAccess& archive,
                                       const RestoreOptions& options) {
  return PrepareRestore(files, archive, options, /*data_is_lost=*/false);
}

Result<PreparedRestore> PrepareRestore(FileSystem& files, SourceAccess& archive,
                                       const RestoreOptions& options, bool data_is_lost) {
  TM_RETURN_IF_ERROR(CheckOptions(options));
  PreparedRestore prepared;
  const bool provision = options.target.provision;
  if (provision) TM_RETURN_IF_ERROR(LookIntoDirectory(files, archive.source(), options, &prepared));
  const RestoreState* found = prepared.found ? &*prepared.found : nullptr;
  prepared.loads_base =
      provision && (found == nullptr || data_is_lost || found->step == RestoreStep::kClaimed);
  FindPrograms(options, &prepared);

  Surgery earlier = found != nullptr ? found->surgery : Surgery();
  if (!prepared.loads_base && provision) {
    prepared.base = LoadedBase(*found, options.resume);
  } else {
    std::string dump = options.dump_path;
    if (dump.empty() && found != nullptr) dump = found->dump_path;
    if (provision && dump.empty()) return NoBase();
    TM_ASSIGN_OR_RETURN(prepared.base, ReadBase(files, archive, dump));
    prepared.warnings = prepared.base.warnings;
  }
  Coverage coverage;
  if (!provision) {
    TM_ASSIGN_OR_RETURN(coverage, archive.ReadCoverage());
    TM_RETURN_IF_ERROR(AskRunningTarget(options, coverage, &prepared));
    // What the interrupted run has skipped is executed.
    if (prepared.left_over_channel)
      earlier.skip = options.surgery.skip.Intersection(prepared.base.gtid_set);
  }
  TM_ASSIGN_OR_RETURN(
      ProvedPlan proved,
      PlanRestore(archive, options.point, prepared.base.gtid_set, earlier, options.surgery,
                  provision && !prepared.loads_base ? options.target.directory : "",
                  options.applier == ApplierKind::kPipe));
  if (!provision) TM_RETURN_IF_ERROR(CheckRunningTarget(archive, options, coverage, proved));
  prepared.plan = std::move(proved.plan);
  TM_RETURN_IF_ERROR(CheckFinished(options.target.directory, options.resume, &prepared));
  TM_RETURN_IF_ERROR(CheckBlockers(files, proved.source_version, options, &prepared));
  return prepared;
}

}  // namespace tidemark
