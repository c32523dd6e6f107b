#include "pitr/serve/dump_checks.h"

#include "pitr/abridged.h"

namespace tidemark {
namespace {

std::string Short(const GtidSet& set) { return Abridged(set, kAbridgedBytesMax); }

std::string WhyMissing(const Coverage& coverage, const GtidSet& missing) {
  for (const GapRecord& gap : coverage.gaps) {
    if (gap.missing.Intersects(missing)) {
      return "they are in a gap of the archive (" + gap.reason +
             "): start the replica from a backup taken after it";
    }
  }
  return "the archive begins after them: start the replica from a backup that holds them";
}

Status CheckNotAhead(const Coverage& coverage, const std::set<Uuid>& servers,
                     const ReplicaRequest& request) {
  std::set<Uuid> archived = servers;
  for (const auto& [tsid, intervals] : coverage.end.map()) archived.insert(tsid.uuid);
  GtidSet ahead;
  for (const auto& [tsid, intervals] : request.executed.map()) {
    if (request.uuid == tsid.uuid || !archived.contains(tsid.uuid)) continue;
    for (const GnoInterval& interval : intervals) ahead.Add(tsid, interval);
  }
  ahead.Subtract(coverage.end);
  if (ahead.empty()) return OkStatus();
  return Status(Code::kDivergence,
                "Replica has more GTIDs than the archive has of the archived servers. The archive "
                "may lag, or the source may have rolled back transactions that were already "
                "replicated. The transactions that the archive does not have are '" +
                    Short(ahead) + "', the archive ends at '" + Short(coverage.end) + "'",
                "if the archive lags, wait for it; else archive and replica have different "
                "histories");
}

Status CheckBoundary(const Coverage& coverage, const ServedSource& source,
                     const ReplicaRequest& request) {
  if (!source.boundary_set) return OkStatus();
  GtidSet unreached = source.boundary_set->Minus(coverage.end);
  if (!unreached.empty()) {
    return Status(Code::kUnreachableTarget,
                  "the archive does not have '" + Short(unreached) +
                      "', which the boundary to be served up to includes",
                  "wait for the archive, or choose an earlier target");
  }
  GtidSet beyond = request.executed.Intersection(coverage.end)
                       .Minus(*source.boundary_set)
                       .Minus(source.leave_out);
  if (beyond.empty()) return OkStatus();
  return Status(Code::kSourceRefused,
                "The replica is beyond the boundary up to which this archive is served. It has '" +
                    Short(beyond) + "', which come after it",
                "start from a base backup that is not past the target");
}

Status CheckNothingLost(const Coverage& coverage, const ServedSource& source,
                        const ReplicaRequest& request) {
  GtidSet missing = coverage.end.Minus(coverage.archived);
  if (source.boundary_set) missing = missing.Intersection(*source.boundary_set);
  missing.Subtract(source.leave_out);
  missing.Subtract(request.executed);
  if (missing.empty()) return OkStatus();
  return Status(Code::kGap,
                "Cannot replicate because the source purged required binary logs. The archive does "
                "not have them: replicate the missing transactions from elsewhere, or provision a "
                "new replica from backup. The GTID set sent by the replica is '" +
                    Short(request.executed) + "', and the missing transactions are '" +
                    Short(missing) + "'",
                WhyMissing(coverage, missing));
}

}  // namespace

Status CheckReplicaSet(const Coverage& coverage, const std::set<Uuid>& servers,
                       const ServedSource& source, const ReplicaRequest& request) {
  TM_RETURN_IF_ERROR(CheckNotAhead(coverage, servers, request));
  TM_RETURN_IF_ERROR(CheckBoundary(coverage, source, request));
  return CheckNothingLost(coverage, source, request);
}

}  // namespace tidemark
