#include "pitr/timeline.h"

#include <algorithm>

namespace tidemark {
namespace {

Json EventJson(const TimelineDdl& ddl) {
  return {{"kind", "ddl"},
          {"gtid", ddl.gtid.ToString()},
          {"schema", ddl.schema},
          {"statement", ddl.statement}};
}

Json EventJson(const LargeTransaction& large) {
  return {{"kind", "large-transaction"}, {"gtid", large.gtid.ToString()}, {"bytes", large.bytes}};
}

Json EventJson(const GapRecord& gap) {
  return {{"kind", "gap"}, {"missing", gap.missing.ToString()}, {"reason", gap.reason}};
}

}  // namespace

Result<Timeline> MakeTimeline(ArchiveView& view, const TimelineRange& range) {
  Timeline timeline;
  timeline.source = view.source();
  timeline.coverage = view.ComputeCoverage();
  TM_ASSIGN_OR_RETURN(
      const std::vector<IndexedDdl> ddl,
      view.index().ListDdl(view.source(), range.from_us, range.to_us, range.ddl_max));
  for (const auto& [segment, record] : ddl)
    timeline.entries.push_back(
        {record.commit_us, TimelineDdl{record.gtid, record.schema, record.statement}});
  timeline.truncated = ddl.size() == range.ddl_max;
  TM_ASSIGN_OR_RETURN(const std::vector<IndexedOversize> oversize,
                      view.index().ListOversize(view.source()));
  for (const auto& [segment, record] : oversize)
    if (record.commit_us >= range.from_us && record.commit_us <= range.to_us)
      timeline.entries.push_back(
          {record.commit_us, LargeTransaction{record.gtid, record.raw_end - record.raw_begin}});
  for (const GapRecord& gap : timeline.coverage.gaps)
    timeline.entries.push_back({gap.noticed_us, gap});
  std::stable_sort(
      timeline.entries.begin(), timeline.entries.end(),
      [](const TimelineEntry& a, const TimelineEntry& b) { return a.time_us < b.time_us; });
  return timeline;
}

Json ToJson(const Timeline& timeline) {
  Json entries = Json::array();
  for (const TimelineEntry& entry : timeline.entries) {
    Json json;
    AddTime(&json, "time", entry.time_us);
    json.update(std::visit([](const auto& event) { return EventJson(event); }, entry.event));
    entries.push_back(std::move(json));
  }
  return {{"source", timeline.source},
          {"coverage", ToJson(timeline.coverage)},
          {"entries", std::move(entries)},
          {"truncated", timeline.truncated}};
}

}  // namespace tidemark
