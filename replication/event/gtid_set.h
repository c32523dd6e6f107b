// A set of GTIDs: for each TSID an ordered list of disjoint, non-adjacent closed intervals. A value
// type; the algebra agrees with the server's GTID_SUBSET and GTID_SUBTRACT (property-tested against
// a real one).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "replication/base/bytes.h"
#include "replication/event/gtid.h"

namespace tidemark {

struct GnoInterval {
  int64_t first = 0;  // inclusive
  int64_t last = 0;   // inclusive, >= first
  bool operator==(const GnoInterval&) const = default;
};

class GtidSet {
 public:
  using Intervals = std::vector<GnoInterval>;
  using Map = std::map<Tsid, Intervals>;

  // MySQL's text form: UUID[:TAG]:N[-M][:N[-M]|:TAG:N…]…[, …], blanks and newlines allowed between
  // tokens, empty string = empty set, an interval whose end precedes its start is empty,
  // overlapping ones merge. kUsage on error.
  static Result<GtidSet> Parse(std::string_view text);
  // The server's binary form, untagged and tagged (sql/rpl_gtid_set.cc, Gtid_set::encode), as in
  // Previous_gtids and COM_BINLOG_DUMP_GTID. kCorruption on error; the whole span must be used.
  static Result<GtidSet> Decode(Bytes bytes);
  std::string Encode() const;  // untagged form unless a tag is present, as the server does
  std::string ToString()
      const;  // canonical: as @@gtid_executed prints it, but on one line: "uuid:1-5:7,uuid2:1"

  bool empty() const { return map_.empty(); }
  uint64_t Count() const;  // saturates at UINT64_MAX
  size_t IntervalCount() const;
  bool Contains(const Gtid& gtid) const;
  bool IsSubsetOf(const GtidSet& other) const;
  bool Intersects(const GtidSet& other) const;
  const Map& map() const { return map_; }

  // Numbers must lie in 1 .. kGnoMax (checked: a decoder that lets others through has a bug).
  void Add(const Gtid& gtid);  // amortized O(1) when gtid extends the last interval of its TSID
  void Add(const Tsid& tsid, GnoInterval interval);
  void Add(const GtidSet& other);
  void Subtract(const GtidSet& other);
  void Subtract(const Gtid& gtid);
  GtidSet Union(const GtidSet& other) const;
  GtidSet Minus(const GtidSet& other) const;
  GtidSet Intersection(const GtidSet& other) const;
  GtidSet LastOnes() const;  // of each TSID the one of the highest number
  bool operator==(const GtidSet&) const = default;

 private:
  Map map_;  // no empty interval lists
};

}  // namespace tidemark
