// One transaction, boundary or plan in words.
#pragma once

#include <optional>
#include <string>

#include "pitr/restore/restore.h"

namespace tidemark::cli {

std::string Describe(const Located& located);  // GTID, time, what it did
std::string DescribeOptional(const std::optional<Located>& located, const std::string& if_none);

// A plan with all that is known before it is carried out.
struct PlanReport {
  PreparedRestore prepared;
  TimeEstimate time;
};
// With the times that were measured on this machine.
PlanReport MakePlanReport(PreparedRestore prepared, bool provision, ApplierKind applier);
// Prints it, as JSON or for people. kTargetRefused if something stands in its way.
Status PrintPlanReport(const PlanReport& report, bool json);

}  // namespace tidemark::cli
