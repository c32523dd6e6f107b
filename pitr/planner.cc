#include "pitr/planner.h"

#include <algorithm>

namespace tidemark {
namespace {

std::string CountedTransactions(const GtidSet& set) {
  uint64_t count = set.Count();
  return std::to_string(count) + (count == 1 ? " transaction" : " transactions");
}

// A base that holds what was given up where the source began.
Status BaseOfAnotherLineage(const std::string& source, const SourceFork& fork,
                            const GtidSet& given_up) {
  return Status(Code::kUnreachableTarget,
                "the base was taken from " + fork.parent + " behind the point where " + source +
                    " leaves it: it holds " + CountedTransactions(given_up) + " that " + source +
                    " never had: " + given_up.ToString(),
                "use a base backup from before " + FormatTime(fork.at_us) +
                    " that lacks them, or --source " + fork.parent);
}

Status BaseBeyondBoundary(const std::string& source, const Target& target, const GtidSet& beyond,
                          const Lineage& lineage) {
  for (const LineageFork& one : lineage.continues)
    if (one.fork.lost.Intersects(beyond))
      return BaseOfAnotherLineage(source, one.fork, one.fork.lost.Intersection(beyond));
  return Status(Code::kUnreachableTarget,
                "the base holds " + CountedTransactions(beyond) + " beyond the target (" +
                    target.ToString() + "): " + beyond.ToString(),
                "transactions cannot be taken back: use an older base backup or a later target");
}

std::string FirstGapReason(const Coverage& coverage, const GtidSet& missing) {
  for (const GapRecord& gap : coverage.gaps) {
    if (gap.missing.Intersects(missing)) {
      return " (" + gap.reason + ", noticed " + FormatTime(gap.noticed_us) + ")";
    }
  }
  return "";
}

// An acknowledged gap is as missing as any other; that somebody knows of it saves a question.
std::string Acknowledged(const Coverage& coverage, const GtidSet& missing) {
  for (const GapAcknowledgement& one : coverage.acknowledgements)
    if (one.gtids.Intersects(missing))
      return "; acknowledged by " + one.note.by + " (" + one.note.reason + ")";
  return "";
}

// `missing`: wanted, but neither in the base nor archived.
Status MissingTransactions(const Target& target, const Coverage& coverage, const GtidSet& missing) {
  GtidSet early = missing.Intersection(coverage.before);
  GtidSet later = missing.Minus(coverage.before);
  if (later.empty()) {
    return Status(
        Code::kUnreachableTarget,
        "the base does not reach the archive's first transaction: for " + target.ToString() + " " +
            CountedTransactions(early) + " from before the archive's start are missing: " +
            early.ToString() + FirstGapReason(coverage, early),
        "use a base backup that holds them: one taken at or after " + coverage.before.ToString());
  }
  std::string message = CountedTransactions(later) + " needed for " + target.ToString() +
                        " lie in a gap of the archive: " + later.ToString() +
                        FirstGapReason(coverage, later) + Acknowledged(coverage, later);
  if (!early.empty()) {
    message += "; and before the archive's start, missing from the base too: " + early.ToString();
  }
  return Status(Code::kGap, std::move(message),
                "use a base backup taken after the gap, or a target before it (pitr timeline shows "
                "both); should the binlog files turn up, pitr import fills the gap");
}

// What can be given back from before the boundary: a transaction that came into the archive behind
// it (a gap filled later, say) does not help, although coverage counts it.
GtidSet ArchivedUpTo(const Boundary& boundary, const std::vector<SegmentRecord>& segments) {
  GtidSet archived;
  for (const SegmentRecord& segment : segments) {
    if (boundary.first_excluded && segment.header.number > boundary.first_excluded->segment) break;
    archived.Add(segment.gtids);
  }
  return archived.Intersection(boundary.set);
}

PlannedSegment PlanSegment(const SegmentRecord& segment, const Boundary& boundary) {
  PlannedSegment planned;
  planned.number = segment.header.number;
  planned.source_file = segment.header.source_file;
  planned.transactions = segment.gtids.Intersection(boundary.set).Count();
  planned.raw_bytes = segment.raw_bytes;
  planned.stored_bytes = segment.stored_bytes;
  const std::optional<Located>& stop = boundary.first_excluded;
  if (stop && stop->segment == planned.number && segment.raw_bytes > 0) {
    planned.raw_bytes = std::min(segment.raw_bytes, stop->transaction.begin_offset);
    double share = static_cast<double>(planned.raw_bytes) / static_cast<double>(segment.raw_bytes);
    planned.stored_bytes = static_cast<uint64_t>(share * static_cast<double>(segment.stored_bytes));
  }
  return planned;
}

void PlanSegments(const std::vector<SegmentRecord>& segments, Plan* plan) {
  const std::optional<Located>& stop = plan->boundary.first_excluded;
  for (const SegmentRecord& segment : segments) {
    if (stop && segment.header.number > stop->segment) break;
    if (!segment.gtids.Intersects(plan->to_apply)) continue;
    plan->segments.push_back(PlanSegment(segment, plan->boundary));
    const PlannedSegment& planned = plan->segments.back();
    plan->raw_bytes += planned.raw_bytes;
    const uint64_t applied = segment.gtids.Intersection(plan->to_apply).Count();
    const double share =
        static_cast<double>(applied) / static_cast<double>(std::max(planned.transactions, applied));
    plan->apply_bytes += static_cast<uint64_t>(share * static_cast<double>(planned.raw_bytes));
  }
}

Status CheckSurgeryIsOfPlan(const Surgery& surgery, const GtidSet& to_apply) {
  for (const auto& [what, set] :
       {std::pair{"skipped", &surgery.skip}, std::pair{"left out", &surgery.leave_out}}) {
    const GtidSet strange = set->Minus(to_apply);
    if (strange.empty()) continue;
    return Status(
        Code::kUsage,
        CountedTransactions(strange) + " to be " + what +
            " would not be applied anyway: " + strange.ToString(),
        "they come after the target, are in the base already, or are mistyped; pitr locate "
        "finds a transaction");
  }
  return OkStatus();
}

void AddLineageWarnings(Plan* plan) {
  for (const LineageFork& one : plan->lineage.continued_by) {
    const GtidSet beyond = plan->boundary.set.Minus(one.fork.set);
    if (beyond.empty()) continue;
    plan->warnings.push_back("the target is " + CountedTransactions(beyond) +
                             " beyond the point where " + one.source + ", which continues " +
                             plan->source + " since " + FormatTime(one.fork.at_us) +
                             ", leaves it: a restore to here is not of that lineage");
  }
}

void AddWarnings(Plan* plan) {
  AddLineageWarnings(plan);
  const Boundary& boundary = plan->boundary;
  if (!boundary.clock_note.empty()) plan->warnings.push_back(boundary.clock_note);
  if (plan->target.kind == TargetKind::kTime && !boundary.last_included) {
    plan->warnings.push_back(
        "the target lies before the archive's first transaction: whether all that the base holds "
        "was committed by then only the backup's own time can tell");
  }
  if (plan->to_apply.empty()) {
    plan->warnings.push_back("nothing is to be applied: the base already stands at the boundary");
  }
  if (!plan->surgery.empty()) plan->warnings.push_back(SurgeryWarning(plan->surgery));
}

}  // namespace

std::string SurgeryWarning(const Surgery& surgery) {
  std::string what;
  for (const std::string& line : DescribeSurgery(surgery))
    what += (what.empty() ? "" : "; ") + line;
  return what.empty() ? what : "a restore that " + what + " is not the source's state";
}

Result<Plan> MakePlan(const std::string& source, const Target& target, const GtidSet& base,
                      const Boundary& boundary, const Coverage& coverage,
                      const std::vector<SegmentRecord>& segments, const Surgery& surgery,
                      const Lineage& lineage) {
  GtidSet beyond = base.Minus(boundary.set);
  if (!beyond.empty()) return BaseBeyondBoundary(source, target, beyond, lineage);
  TM_RETURN_IF_ERROR(CheckSurgery(surgery));
  Plan plan;
  plan.to_apply = boundary.set.Minus(base);
  TM_RETURN_IF_ERROR(CheckSurgeryIsOfPlan(surgery, plan.to_apply));
  const GtidSet executed = plan.to_apply.Minus(surgery.leave_out);
  GtidSet missing = executed.Minus(surgery.skip).Minus(ArchivedUpTo(boundary, segments));
  if (!missing.empty()) return MissingTransactions(target, coverage, missing);
  plan.source = source;
  plan.target = target;
  plan.base = base;
  plan.boundary = boundary;
  plan.surgery = surgery;
  plan.lineage = lineage;
  plan.transactions = executed.Count();
  plan.end_set = base.Union(executed);
  PlanSegments(segments, &plan);
  AddWarnings(&plan);
  return plan;
}

}  // namespace tidemark
