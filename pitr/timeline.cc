#include "pitr/timeline.h"

#include <algorithm>
#include <optional>

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

Json EventJson(const ServerChange& change) {
  return {{"kind", "server"},
          {"server_uuid", change.server_uuid.ToString()},
          {"previous_server_uuid", change.previous_server_uuid.ToString()},
          {"source_file", change.source_file},
          {"source_position", change.source_position},
          {"segment", change.segment},
          {"behind", change.behind.ToString()}};
}

Json EventJson(const LineageFork& fork) {
  Json json = {{"kind", "lineage"}};
  json.update(ToJson(fork));
  return json;
}

void AddForks(const Lineage& lineage, Timeline* timeline) {
  for (const auto* forks : {&lineage.continues, &lineage.continued_by})
    for (const LineageFork& one : *forks) timeline->entries.push_back({one.fork.at_us, one});
}

// What was imported into a gap does not say who was archived from.
void AddServerChanges(const ArchiveView& view, Timeline* timeline) {
  std::optional<Uuid> before;
  for (const SegmentRecord& segment : view.segments()) {
    const SegmentHeader& header = segment.header;
    if (before == header.server_uuid || view.IsOfAnImport(header.number)) continue;
    if (before)
      timeline->entries.push_back(
          {header.created_us, ServerChange{header.server_uuid, *before, header.source_file,
                                           header.source_start, header.number, header.previous}});
    before = header.server_uuid;
  }
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
  AddForks(ReadLineage(view.archive(), view.source()), &timeline);
  AddServerChanges(view, &timeline);
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
    if (const auto* gap = std::get_if<GapRecord>(&entry.event))
      json["acknowledged"] = gap->missing.Intersection(timeline.coverage.acknowledged).ToString();
    entries.push_back(std::move(json));
  }
  return {{"source", timeline.source},
          {"coverage", ToJson(timeline.coverage)},
          {"entries", std::move(entries)},
          {"truncated", timeline.truncated}};
}

}  // namespace tidemark
