#include "pitr/abridged.h"

namespace tidemark {

std::string Abridged(const GtidSet& set, size_t bytes_max) {
  // One interval has at most 109 bytes: UUID, tag, two numbers.
  constexpr size_t kIntervalsTried = 16;
  const size_t intervals_in_all = set.IntervalCount();
  const std::string more = "... (" + std::to_string(set.Count()) + " transactions)";
  GtidSet head;
  std::string text;
  for (const auto& [tsid, intervals] : set.map()) {
    for (const GnoInterval& interval : intervals) {
      head.Add(tsid, interval);
      const size_t taken = head.IntervalCount();
      std::string longer = head.ToString();
      const size_t size = longer.size() + (taken == intervals_in_all ? 0 : 1 + more.size());
      if (taken > kIntervalsTried || size > bytes_max) {
        return text.empty() ? more : text + "," + more;
      }
      text = std::move(longer);
    }
  }
  return text;
}

}  // namespace tidemark
