#include "pitr/import_holes.h"

#include <algorithm>

namespace tidemark {
namespace {

// Of `spare` numbers, those that stay free where `missing` of `all` missing transactions are, one
// of `places` such places: half of them alike for each, half as they are missing.
uint64_t Share(uint64_t spare, uint64_t missing, double all, uint64_t places) {
  if (missing == 0) return 0;
  const double rest = static_cast<double>(spare - spare / 2);
  return spare / 2 / places + static_cast<uint64_t>(rest * (static_cast<double>(missing) / all));
}

}  // namespace

std::vector<Hole> HolesOf(const std::vector<SegmentRecord>& segments) {
  GtidSet told;  // archived, or missing in a hole further up
  for (const SegmentRecord& segment : segments) told.Add(segment.gtids);
  std::vector<Hole> holes;
  const SegmentRecord* previous = nullptr;
  for (const SegmentRecord& segment : segments) {
    const SegmentHeader& header = segment.header;
    Hole hole;
    hole.gap = header.gap;
    hole.gap.missing.Subtract(told);
    if (!hole.gap.missing.empty()) {
      told.Add(hole.gap.missing);
      hole.before = header.number;
      hole.reached = header.previous.Minus(header.gap.missing);
      hole.next_commit_us = segment.first_commit_us;
      if (previous != nullptr) {
        hole.after = previous->header.number;
        hole.reached = previous->header.previous.Union(previous->gtids);
        hole.commit_high_us = previous->commit_high_us;
      }
      holes.push_back(std::move(hole));
    }
    previous = &segment;
  }
  return holes;
}

Result<std::vector<uint64_t>> NumbersFor(const Hole& hole,
                                         const std::vector<uint64_t>& missing_before,
                                         uint64_t missing_behind) {
  const uint64_t free = hole.before - hole.after - 1;
  if (missing_before.size() > free)
    return Status(Code::kUsage,
                  "this would need " + std::to_string(missing_before.size()) +
                      " segments in front of segment " + std::to_string(hole.before) + ", where " +
                      std::to_string(free) + " numbers are free",
                  free == 0 ? "the gap was recorded by a version of Tidemark that left no room for "
                              "it, or its room was used up by imports in very small pieces"
                            : "import fewer files");
  const uint64_t spare = free - missing_before.size();
  double all = static_cast<double>(missing_behind);
  uint64_t places = missing_behind > 0 ? 1 : 0;
  for (const uint64_t missing : missing_before) {
    all += static_cast<double>(missing);
    places += missing > 0 ? 1 : 0;
  }
  std::vector<uint64_t> numbers;
  uint64_t next = hole.after + 1;
  for (size_t i = 0; i < missing_before.size(); ++i) {
    const uint64_t last_possible = hole.before - (missing_before.size() - i);
    next = std::min(next + Share(spare, missing_before[i], all, places), last_possible);
    numbers.push_back(next++);
  }
  return numbers;
}

}  // namespace tidemark
