// Where in an archive something is missing that could be imported, and which numbers are free there
// for segments: pure functions over what the index knows (FORMAT.md, "Numbers").
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replication/archive/records.h"
#include "replication/base/status.h"

namespace tidemark {

// In front of one segment.
struct Hole {
  uint64_t after = 0;          // number of the segment in front of it; 0: there is none
  uint64_t before = 0;         // number of the segment behind it
  GtidSet reached;             // the source's set where it begins
  GapRecord gap;               // what is still missing there, why, and since when
  int64_t commit_high_us = 0;  // the archive's highest commit time in front of it
  int64_t next_commit_us = 0;  // of the first transaction behind it; 0: that segment has none
};

// In archive order, of all gaps that are not filled. Nothing is missing in two of them.
std::vector<Hole> HolesOf(const std::vector<SegmentRecord>& segments);

// Numbers for segments that go into the hole in this order: `missing_before[i]` transactions are
// still missing right in front of segment i, `missing_behind` between the last one and the hole's
// end. What numbers are left over stay free where something is missing, so that later imports find
// room whatever order they come in. kUsage if there are not enough.
Result<std::vector<uint64_t>> NumbersFor(const Hole& hole,
                                         const std::vector<uint64_t>& missing_before,
                                         uint64_t missing_behind);

}  // namespace tidemark
