#include "replication/sink/reused_gtids.h"

#include <map>
#include <set>
#include <vector>

#include "replication/archive/archived_origins.h"

namespace tidemark {
namespace {

GtidSet OfTsids(const GtidSet& set, const std::set<Tsid>& tsids) {
  GtidSet some;
  for (const auto& [tsid, intervals] : set.map())
    if (tsids.contains(tsid))
      for (const GnoInterval& interval : intervals) some.Add(tsid, interval);
  return some;
}

class Search {
 public:
  Search(ArchiveDirectory& archive, const std::string& source, const GtidSet& executed,
         const AskServer& ask, const std::function<bool()>& give_up)
      : archive_(archive), source_(source), executed_(executed), ask_(ask), give_up_(give_up) {}

  Result<GtidSet> Run() {
    TM_ASSIGN_OR_RETURN(std::vector<uint64_t> numbers, archive_.Segments(source_));
    TM_RETURN_IF_ERROR(CompareLast(numbers));
    for (; !numbers.empty() && !open_.empty(); numbers.pop_back()) {
      if (give_up_ && give_up_()) return Status(Code::kInterrupted, "interrupted");
      TM_RETURN_IF_ERROR(CompareSegment(numbers.back()));
    }
    return std::move(reused_);
  }

 private:
  using Origins = std::map<Gtid, TransactionOrigin>;

  // Where the last one that both have is the same, nothing of that TSID was made anew.
  Status CompareLast(const std::vector<uint64_t>& numbers) {
    GtidSet archived;
    for (const uint64_t number : numbers) {
      const auto reader = OpenSegmentFile(archive_, source_, number);
      // One that its archiver has just begun or thrown away, or is damaged: who shares it will say.
      if (!reader.ok()) continue;
      if ((*reader)->sealed()) {
        archived.Add((*reader)->footer().gtids);
        continue;
      }
      const Status read = EachOrigin(**reader, [&](const ArchivedOrigin& one) {
        archived.Add(one.origin.gtid);
        return OkStatus();
      });
      if (read.code() == Code::kIo) return read;
    }
    const GtidSet last = archived.Intersection(executed_).LastOnes();
    Origins ours;
    TM_RETURN_IF_ERROR(
        FindOrigins(archive_, source_, last, give_up_, [&](const ArchivedOrigin& one) {
          ours.emplace(one.origin.gtid, one.origin);
          return OkStatus();
        }));
    for (const auto& [tsid, intervals] : last.map())
      if (!ours.contains({tsid, intervals.back().last})) open_.insert(tsid);
    return Ask(last, true, ours,
               [this](const TransactionOrigin& theirs, const TransactionOrigin& one) {
                 if (!theirs.Is(one)) open_.insert(one.gtid.tsid);
               });
  }

  Status CompareSegment(uint64_t number) {
    const auto reader = OpenSegmentFile(archive_, source_, number);
    if (!reader.ok()) return OkStatus();
    const GtidSet wanted = OfTsids(executed_, open_);
    if ((*reader)->sealed() && !(*reader)->footer().gtids.Intersects(wanted)) return OkStatus();
    Origins ours;
    GtidSet shared;
    const Status read = EachOrigin(**reader, [&](const ArchivedOrigin& one) {
      if (!wanted.Contains(one.origin.gtid)) return OkStatus();
      shared.Add(one.origin.gtid);
      ours.emplace(one.origin.gtid, one.origin);
      return OkStatus();
    });
    if (read.code() == Code::kIo) return read;
    std::set<Tsid> given, same_too;
    TM_RETURN_IF_ERROR(Ask(shared, false, ours,
                           [&](const TransactionOrigin& theirs, const TransactionOrigin& one) {
                             if (!theirs.MayBe(one)) reused_.Add(one.gtid);
                             given.insert(one.gtid.tsid);
                             if (theirs.Is(one)) same_too.insert(one.gtid.tsid);
                           }));
    // Where one is the same, or all are purged, so are those of lower numbers.
    for (const auto& [tsid, intervals] : shared.map())
      if (same_too.contains(tsid) || !given.contains(tsid)) open_.erase(tsid);
    return OkStatus();
  }

  Status Ask(const GtidSet& wanted, bool apart, const Origins& ours,
             const std::function<void(const TransactionOrigin& theirs,
                                      const TransactionOrigin& ours)>& each) {
    if (wanted.empty()) return OkStatus();
    return ask_(wanted, apart, [&](const TransactionOrigin& theirs) {
      const auto found = ours.find(theirs.gtid);
      if (found != ours.end()) each(theirs, found->second);
      return OkStatus();
    });
  }

  ArchiveDirectory& archive_;
  const std::string& source_;
  const GtidSet& executed_;
  const AskServer& ask_;
  const std::function<bool()>& give_up_;
  std::set<Tsid> open_;  // some of it was made anew, and it is not known yet from where on
  GtidSet reused_;
};

}  // namespace

Result<GtidSet> ReusedGtids(ArchiveDirectory& archive, const std::string& source,
                            const GtidSet& executed, const AskServer& ask,
                            const std::function<bool()>& give_up) {
  return Search(archive, source, executed, ask, give_up).Run();
}

}  // namespace tidemark
