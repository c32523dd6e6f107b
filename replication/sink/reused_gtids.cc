#include "replication/sink/reused_gtids.h"

#include <map>
#include <optional>
#include <vector>

#include "replication/archive/archived_origins.h"

namespace tidemark {
namespace {

struct SharedInSegment {
  std::map<Gtid, TransactionOrigin> origins;
  GtidSet gtids;
  std::optional<Gtid> first;  // in archive order
};

Result<SharedInSegment> ReadSegment(SegmentReader& reader, const GtidSet& executed) {
  SharedInSegment shared;
  TM_RETURN_IF_ERROR(EachOrigin(reader, [&](const ArchivedOrigin& one) {
    const Gtid& gtid = one.origin.gtid;
    if (!executed.Contains(gtid)) return OkStatus();
    if (!shared.first) shared.first = gtid;
    shared.gtids.Add(gtid);
    shared.origins.emplace(gtid, one.origin);
    return OkStatus();
  }));
  return shared;
}

Result<bool> EndIsShared(ArchiveDirectory& archive, const std::string& source,
                         const GtidSet& executed, const AskServer& ask) {
  TM_ASSIGN_OR_RETURN(const auto last, LastOrigin(archive, source, &executed));
  if (!last) return true;
  bool shared = true;
  GtidSet wanted;
  wanted.Add(last->origin.gtid);
  TM_RETURN_IF_ERROR(ask(wanted, [&](const TransactionOrigin& theirs) {
    shared = theirs.MayBe(last->origin);
    return OkStatus();
  }));
  return shared;
}

}  // namespace

Result<GtidSet> ReusedGtids(ArchiveDirectory& archive, const std::string& source,
                            const GtidSet& executed, const AskServer& ask) {
  GtidSet reused;
  TM_ASSIGN_OR_RETURN(const bool end_is_shared, EndIsShared(archive, source, executed, ask));
  if (end_is_shared) return reused;
  TM_ASSIGN_OR_RETURN(std::vector<uint64_t> numbers, archive.Segments(source));
  for (; !numbers.empty(); numbers.pop_back()) {
    TM_ASSIGN_OR_RETURN(
        auto reader,
        SegmentReader::Open(archive.files(), archive.SegmentPath(source, numbers.back())));
    if (reader->sealed() && !reader->footer().gtids.Intersects(executed)) continue;
    TM_ASSIGN_OR_RETURN(const SharedInSegment shared, ReadSegment(*reader, executed));
    if (!shared.first) continue;
    TM_RETURN_IF_ERROR(ask(shared.gtids, [&](const TransactionOrigin& theirs) {
      const auto ours = shared.origins.find(theirs.gtid);
      if (ours != shared.origins.end() && !theirs.MayBe(ours->second)) reused.Add(theirs.gtid);
      return OkStatus();
    }));
    if (!reused.Contains(*shared.first)) break;
  }
  return reused;
}

}  // namespace tidemark
