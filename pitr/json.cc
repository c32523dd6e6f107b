#include "pitr/json.h"

namespace tidemark {
namespace {

template <typename List>
Json ArrayOf(const List& list) {
  Json array = Json::array();
  for (const auto& element : list) array.push_back(ToJson(element));
  return array;
}

// Nothing is said about what was not read.
void AddDetails(const Located& located, Json* json) {
  const Transaction& transaction = located.transaction;
  Json& object = *json;
  object["details_known"] = located.details_known;
  bool known = located.details_known;
  object["kind"] = known ? Json(TransactionKindName(transaction.kind)) : Json();
  object["compressed"] = known ? Json(transaction.compressed) : Json();
  object["tables"] = known ? ArrayOf(transaction.tables) : Json();
  object["tables_omitted"] = known ? Json(transaction.tables_omitted) : Json();
  bool ddl = known && (transaction.kind == TransactionKind::kDdl ||
                       !transaction.ddl_statement.empty());  // CREATE TABLE … SELECT has rows
  object["schema"] = ddl ? Json(transaction.ddl_schema) : Json();
  object["statement"] = ddl ? Json(transaction.ddl_statement) : Json();
}

}  // namespace

const char* TransactionKindName(TransactionKind kind) {
  switch (kind) {
    case TransactionKind::kRows: return "rows";
    case TransactionKind::kDdl: return "ddl";
    case TransactionKind::kXaPrepare: return "xa_prepare";
    case TransactionKind::kXaEnd: return "xa_end";
    case TransactionKind::kEmpty: return "empty";
  }
  return "unknown";
}

void AddTime(Json* object, const char* name, int64_t time_us) {
  (*object)[name] = time_us == 0 ? Json() : Json(FormatTime(time_us));
  (*object)[std::string(name) + "_us"] = time_us == 0 ? Json() : Json(time_us);
}

Json ToJson(const TableTouch& table) {
  return {{"schema", table.schema},
          {"table", table.table},
          {"inserted", table.inserted},
          {"updated", table.updated},
          {"deleted", table.deleted}};
}

Json ToJson(const Located& located) {
  const Transaction& transaction = located.transaction;
  Json json;
  json["gtid"] = transaction.gtid.ToString();
  AddTime(&json, "commit_time", transaction.immediate_commit_us);
  AddTime(&json, "original_commit_time", transaction.original_commit_us);
  json["segment"] = located.segment;
  json["frame"] = located.frame;
  json["raw_begin"] = transaction.begin_offset;
  json["raw_end"] = transaction.end_offset;
  json["bytes"] = transaction.size();
  json["source_file"] = located.source_file;
  json["source_begin"] = located.source_begin;
  json["source_end"] = located.source_begin + transaction.size();
  AddDetails(located, &json);
  return json;
}

Json ToJson(const std::optional<Located>& located) { return located ? ToJson(*located) : Json(); }

Json ToJson(const Neighbourhood& neighbourhood) {
  return {{"found", ToJson(neighbourhood.found)},
          {"previous", ToJson(neighbourhood.previous)},
          {"next", ToJson(neighbourhood.next)}};
}

Json ToJson(const Boundary& boundary) {
  return {{"last_included", ToJson(boundary.last_included)},
          {"first_excluded", ToJson(boundary.first_excluded)},
          {"set", boundary.set.ToString()},
          {"clock_note", boundary.clock_note.empty() ? Json() : Json(boundary.clock_note)}};
}

Json ToJson(const Target& target) {
  Json json;
  bool latest = target.kind == TargetKind::kLatest;
  json["text"] = target.ToString();
  json["edge"] = latest ? Json() : Json(target.edge == Edge::kBefore ? "before" : "through");
  json["gtid"] = target.kind == TargetKind::kGtid ? Json(target.gtid.ToString()) : Json();
  AddTime(&json, "time", target.kind == TargetKind::kTime ? target.time_us : 0);
  return json;
}

Json ToJson(const GapRecord& gap) {
  Json json;
  json["missing"] = gap.missing.ToString();
  json["transactions"] = gap.missing.Count();
  json["reason"] = gap.reason;
  AddTime(&json, "noticed", gap.noticed_us);
  return json;
}

Json ToJson(const OperatorNote& note) {
  Json json = {{"by", note.by}};
  AddTime(&json, "at", note.at_us);
  json["reason"] = note.reason;
  return json;
}

Json ToJson(const GapAcknowledgement& acknowledgement) {
  Json json = {{"gtids", acknowledgement.gtids.ToString()},
               {"transactions", acknowledgement.gtids.Count()}};
  json.update(ToJson(acknowledgement.note));
  return json;
}

Json ToJson(const Coverage& coverage) {
  Json gaps = Json::array();
  for (const GapRecord& gap : coverage.gaps) {
    gaps.push_back(ToJson(gap));
    gaps.back()["acknowledged"] = gap.missing.Intersection(coverage.acknowledged).ToString();
  }
  const std::string& error = coverage.acknowledgements_error;
  return {{"archived", coverage.archived.ToString()},
          {"transactions", coverage.archived.Count()},
          {"before", coverage.before.ToString()},
          {"gaps", std::move(gaps)},
          {"end", coverage.end.ToString()},
          {"acknowledged", coverage.acknowledged.ToString()},
          {"acknowledgements", ArrayOf(coverage.acknowledgements)},
          {"acknowledgements_error", error.empty() ? Json() : Json(error)}};
}

Json ToJson(const SegmentRecord& segment) {
  const SegmentHeader& header = segment.header;
  Json json;
  json["number"] = header.number;
  json["server_uuid"] = header.server_uuid.ToString();
  json["source_file"] = header.source_file;
  json["source_start"] = header.source_start;
  json["source_end"] = header.source_start + segment.raw_bytes - header.prefix_bytes;
  json["raw_bytes"] = segment.raw_bytes;
  json["stored_bytes"] = segment.stored_bytes;
  json["transactions"] = segment.transactions;
  json["gtids"] = segment.gtids.ToString();
  json["previous"] = header.previous.ToString();
  json["gap"] = header.gap.missing.empty() ? Json() : ToJson(header.gap);
  AddTime(&json, "created", header.created_us);
  AddTime(&json, "first_commit", segment.first_commit_us);
  AddTime(&json, "last_commit", segment.last_commit_us);
  json["sealed"] = segment.sealed;
  json["seal_reason"] = segment.sealed ? Json(SealReasonName(segment.reason)) : Json();
  json["ends_source_file"] = segment.ends_source_file;
  return json;
}

Json ToJson(const PlannedSegment& segment) {
  return {{"number", segment.number},
          {"source_file", segment.source_file},
          {"transactions", segment.transactions},
          {"raw_bytes", segment.raw_bytes},
          {"stored_bytes", segment.stored_bytes}};
}

Json ToJson(const VerifyFinding& finding) {
  return {{"code", CodeName(finding.code)},
          {"segment", finding.segment == 0 ? Json() : Json(finding.segment)},
          {"message", finding.message}};
}

Json ToJson(const Surgery& surgery) {
  const auto tables = [](const std::vector<TableName>& names) {
    Json array = Json::array();
    for (const TableName& name : names)
      array.push_back({{"schema", name.schema}, {"table", name.table}});
    return array;
  };
  return {{"skip", surgery.skip.ToString()},
          {"leave_out", surgery.leave_out.ToString()},
          {"only_tables", tables(surgery.only_tables)},
          {"only_schemas", surgery.only_schemas},
          {"without_tables", tables(surgery.without_tables)},
          {"description", DescribeSurgery(surgery)}};
}

Json ToJson(const LineageFork& fork) {
  Json json = {{"source", fork.source}, {"continues", fork.fork.parent}};
  AddTime(&json, "since", fork.fork.at_us);
  json["behind"] = fork.fork.set.ToString();
  json["lost"] = fork.fork.lost.ToString();
  json["segment"] = fork.fork.segment;
  return json;
}

Json ToJson(const Lineage& lineage) {
  return {{"continues", ArrayOf(lineage.continues)},
          {"continued_by", ArrayOf(lineage.continued_by)}};
}

Json ToJson(const Plan& plan) {
  Json json;
  json["source"] = plan.source;
  json["lineage"] = ToJson(plan.lineage);
  json["target"] = ToJson(plan.target);
  json["base"] = plan.base.ToString();
  json["boundary"] = ToJson(plan.boundary);
  json["to_apply"] = plan.to_apply.ToString();
  json["transactions"] = plan.transactions;
  json["end_set"] = plan.end_set.ToString();
  json["raw_bytes"] = plan.raw_bytes;
  json["segments"] = ArrayOf(plan.segments);
  json["surgery"] = ToJson(plan.surgery);
  json["warnings"] = plan.warnings;
  return json;
}

Json ToJson(const VerifyReport& report) {
  return {{"segments", report.segments},      {"transactions", report.transactions},
          {"raw_bytes", report.raw_bytes},    {"stored_bytes", report.stored_bytes},
          {"gtids", report.gtids.ToString()}, {"findings", ArrayOf(report.findings)},
          {"gaps", ArrayOf(report.gaps)},     {"not_indexed_yet", report.not_indexed_yet}};
}

Json ToJson(const Status& error) {
  return {{"code", CodeName(error.code())},
          {"message", error.message()},
          {"hint", error.hint().empty() ? Json() : Json(error.hint())}};
}

std::string JsonText(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tidemark
