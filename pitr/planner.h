// Decides whether base ∪ archive reaches the boundary, and how: pure, from values to a value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pitr/lineage.h"
#include "pitr/locator.h"
#include "pitr/surgery.h"

namespace tidemark {

// A run of one segment's raw bytes that the restore will read.
struct PlannedSegment {
  uint64_t number = 0;
  std::string source_file;
  uint64_t transactions = 0;  // in the segment, up to the boundary (not less those the base has)
  uint64_t raw_bytes = 0;     // to be decoded at most
  uint64_t stored_bytes = 0;
};

struct Plan {
  std::string source;
  Target target;
  GtidSet base;  // what the base backup holds
  Boundary boundary;
  GtidSet to_apply;           // boundary.set − base, with what surgery skips and leaves out
  uint64_t transactions = 0;  // in to_apply, less those left out
  // base ∪ (to_apply − surgery.leave_out): what the restored server's gtid_executed must be
  GtidSet end_set;
  std::vector<PlannedSegment> segments;
  uint64_t raw_bytes = 0;
  uint64_t apply_bytes = 0;  // of them, to_apply's: estimated from the transactions of each segment
  std::vector<std::string> warnings;  // e.g. clock_note
  Surgery surgery;
  Lineage lineage = {};  // of the source; only there the plan holds
};

// "a restore that skips … is not the source's state"; "" if there is no surgery.
std::string SurgeryWarning(const Surgery& surgery);

// Errors, each with a hint: kUnreachableTarget if the base is newer than the boundary (naming what
// it has beyond it) or does not reach the archive's first transaction (naming the missing ranges);
// kGap if a missing range is a gap; kUsage if surgery skips or leaves out what the plan does not
// apply (a typing error must not pass silently). What is skipped or left out need not be archived:
// naming it acknowledges a gap. `lineage`: of the source; a base that was taken in another one is
// told so.
Result<Plan> MakePlan(const std::string& source, const Target& target, const GtidSet& base,
                      const Boundary& boundary, const Coverage& coverage,
                      const std::vector<SegmentRecord>& segments, const Surgery& surgery = {},
                      const Lineage& lineage = {});

}  // namespace tidemark
