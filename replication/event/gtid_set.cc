#include "replication/event/gtid_set.h"

#include <algorithm>
#include <utility>

namespace tidemark {
namespace {

using Intervals = GtidSet::Intervals;

bool StartsBefore(const GnoInterval& a, const GnoInterval& b) { return a.first < b.first; }

// The first interval that ends at or behind `gno`.
template <typename List>
auto FirstReaching(List& intervals, int64_t gno) {
  return std::partition_point(intervals.begin(), intervals.end(),
                              [gno](const GnoInterval& interval) { return interval.last < gno; });
}

// Adds an interval which starts at or behind the start of the last one: where an executed set
// grows.
void Append(Intervals& intervals, GnoInterval interval) {
  if (intervals.empty() || interval.first - 1 > intervals.back().last) {
    intervals.push_back(interval);
  } else {
    intervals.back().last = std::max(intervals.back().last, interval.last);
  }
}

void Insert(Intervals& intervals, GnoInterval interval) {
  if (intervals.empty() || interval.first >= intervals.back().first) {
    return Append(intervals, interval);
  }
  // [begin, end) are those that overlap or touch the new one, and become one with it.
  auto begin = FirstReaching(intervals, interval.first - 1);
  auto end = begin;
  while (end != intervals.end() && end->first - 1 <= interval.last) {
    interval.first = std::min(interval.first, end->first);
    interval.last = std::max(interval.last, end->last);
    ++end;
  }
  if (begin == end) {
    intervals.insert(begin, interval);
  } else {
    *begin = interval;
    intervals.erase(begin + 1, end);
  }
}

Intervals Merged(const Intervals& a, const Intervals& b) {
  Intervals merged;
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() || right != b.end()) {
    const bool take_left = right == b.end() || (left != a.end() && StartsBefore(*left, *right));
    Append(merged, take_left ? *left++ : *right++);
  }
  return merged;
}

Intervals Without(const Intervals& from, const Intervals& what) {
  Intervals rest;
  auto cut = what.begin();
  for (GnoInterval interval : from) {
    while (cut != what.end() && cut->last < interval.first) ++cut;
    bool used_up = false;
    for (auto at = cut; at != what.end() && at->first <= interval.last; ++at) {
      if (at->first > interval.first) rest.push_back({interval.first, at->first - 1});
      used_up = at->last >= interval.last;
      if (used_up) break;
      interval.first = at->last + 1;
      cut = at;
    }
    if (!used_up) rest.push_back(interval);
  }
  return rest;
}

// Calls `visit` with each common interval in order, until it says stop by returning false.
template <typename Visit>
bool ForEachCommon(const Intervals& a, const Intervals& b, Visit visit) {
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() && right != b.end()) {
    const int64_t first = std::max(left->first, right->first);
    const int64_t last = std::min(left->last, right->last);
    if (first <= last && !visit(GnoInterval{first, last})) return false;
    if (left->last < right->last) {
      ++left;
    } else {
      ++right;
    }
  }
  return true;
}

bool Covers(const Intervals& intervals, const GnoInterval& wanted) {
  auto found = FirstReaching(intervals, wanted.last);
  return found != intervals.end() && found->first <= wanted.first;
}

}  // namespace

uint64_t GtidSet::Count() const {
  uint64_t count = 0;
  for (const auto& [tsid, intervals] : map_) {
    for (const GnoInterval& interval : intervals) {
      const uint64_t size = static_cast<uint64_t>(interval.last - interval.first) + 1;
      if (__builtin_add_overflow(count, size, &count)) return UINT64_MAX;
    }
  }
  return count;
}

size_t GtidSet::IntervalCount() const {
  size_t count = 0;
  for (const auto& [tsid, intervals] : map_) count += intervals.size();
  return count;
}

bool GtidSet::Contains(const Gtid& gtid) const {
  auto found = map_.find(gtid.tsid);
  return found != map_.end() && Covers(found->second, {gtid.gno, gtid.gno});
}

bool GtidSet::IsSubsetOf(const GtidSet& other) const {
  for (const auto& [tsid, intervals] : map_) {
    auto found = other.map_.find(tsid);
    if (found == other.map_.end()) return false;
    for (const GnoInterval& interval : intervals) {
      if (!Covers(found->second, interval)) return false;
    }
  }
  return true;
}

bool GtidSet::Intersects(const GtidSet& other) const {
  if (other.map_.size() < map_.size()) return other.Intersects(*this);
  for (const auto& [tsid, intervals] : map_) {
    auto found = other.map_.find(tsid);
    if (found == other.map_.end()) continue;
    if (!ForEachCommon(intervals, found->second, [](GnoInterval) { return false; })) return true;
  }
  return false;
}

void GtidSet::Add(const Gtid& gtid) { Add(gtid.tsid, {gtid.gno, gtid.gno}); }

void GtidSet::Add(const Tsid& tsid, GnoInterval interval) {
  TM_CHECK(interval.first >= 1 && interval.first <= interval.last && interval.last <= kGnoMax);
  Insert(map_[tsid], interval);
}

void GtidSet::Add(const GtidSet& other) {
  if (&other == this) return;
  for (const auto& [tsid, theirs] : other.map_) {
    Intervals& ours = map_[tsid];
    if (ours.empty()) {
      ours = theirs;
    } else if (theirs.size() == 1) {  // the usual batch: no copy of a long list
      Insert(ours, theirs[0]);
    } else {
      ours = Merged(ours, theirs);
    }
  }
}

void GtidSet::Subtract(const GtidSet& other) {
  if (&other == this) return map_.clear();
  for (const auto& [tsid, theirs] : other.map_) {
    auto found = map_.find(tsid);
    if (found == map_.end()) continue;
    found->second = Without(found->second, theirs);
    if (found->second.empty()) map_.erase(found);
  }
}

GtidSet GtidSet::Union(const GtidSet& other) const {
  GtidSet result = *this;
  result.Add(other);
  return result;
}

GtidSet GtidSet::Minus(const GtidSet& other) const {
  GtidSet result = *this;
  result.Subtract(other);
  return result;
}

void GtidSet::Subtract(const Gtid& gtid) {
  GtidSet one;
  one.Add(gtid);
  Subtract(one);
}

GtidSet GtidSet::LastOnes() const {
  GtidSet last;
  for (const auto& [tsid, intervals] : map_) last.Add({tsid, intervals.back().last});
  return last;
}

GtidSet GtidSet::Intersection(const GtidSet& other) const {
  GtidSet result;
  for (const auto& [tsid, intervals] : map_) {
    auto found = other.map_.find(tsid);
    if (found == other.map_.end()) continue;
    Intervals common;
    ForEachCommon(intervals, found->second, [&common](GnoInterval interval) {
      common.push_back(interval);
      return true;
    });
    if (!common.empty()) result.map_.emplace(tsid, std::move(common));
  }
  return result;
}

}  // namespace tidemark
