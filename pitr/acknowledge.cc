#include "pitr/acknowledge.h"

namespace tidemark {

Result<Acknowledged> AcknowledgeGaps(const ArchiveView& view, const GapAcknowledgement& gaps) {
  if (gaps.gtids.empty())
    return Status(Code::kUsage, "no transaction is named", "pitr gap list shows what is missing");
  GtidSet missing;
  for (const GapRecord& gap : view.ComputeCoverage().gaps) missing.Add(gap.missing);
  const GtidSet strange = gaps.gtids.Minus(missing);
  if (!strange.empty())
    return Status(Code::kUsage,
                  "not in a gap of source " + view.source() + ": " + strange.ToString(),
                  missing.empty() ? "nothing is missing there: pitr gap list"
                                  : "name missing transactions only: pitr gap list shows them");
  Acknowledged acknowledged;
  TM_ASSIGN_OR_RETURN(acknowledged.added, AddAcknowledgedGap(view.archive(), view.source(), gaps));
  acknowledged.coverage = view.ComputeCoverage();
  return acknowledged;
}

}  // namespace tidemark
