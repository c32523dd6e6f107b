#include "pitr/source_summary.h"

namespace tidemark {
namespace {

constexpr size_t kLiveStateBytesMax = 1 << 20;

// Of a file that somebody else wrote: what is of another type counts as absent.
std::string TextOf(const Json& object, const char* name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

int64_t NumberOf(const Json& object, const char* name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
}

LiveReplica ReplicaOf(const Json& object) {
  LiveReplica replica;
  replica.peer = TextOf(object, "peer");
  replica.user = TextOf(object, "user");
  replica.server_id = static_cast<uint32_t>(NumberOf(object, "server_id"));
  replica.server_uuid = TextOf(object, "server_uuid");
  const auto tls = object.find("tls");
  replica.tls = tls != object.end() && tls->is_boolean() && tls->get<bool>();
  replica.since_us = NumberOf(object, "since_us");
  return replica;
}

Json ToJson(const LiveState& live) {
  Json replicas = Json::array();
  for (const LiveReplica& replica : live.replicas)
    replicas.push_back({{"peer", replica.peer},
                        {"user", replica.user},
                        {"server_id", replica.server_id},
                        {"server_uuid", replica.server_uuid},
                        {"tls", replica.tls},
                        {"since_us", replica.since_us}});
  Json json = {{"state", live.state},
               {"server", live.server},
               {"server_version", live.server_version},
               {"semi_sync", live.semi_sync},
               {"replicas", std::move(replicas)}};
  if (live.error)
    json["error"] = {
        {"code", live.error->code}, {"message", live.error->message}, {"hint", live.error->hint}};
  if (live.paused) json["paused"] = tidemark::ToJson(*live.paused);
  if (live.gap_ahead) {
    Json& gap = json["gap_ahead"];
    gap = {{"missing", live.gap_ahead->missing}, {"reason", live.gap_ahead->reason}};
    AddTime(&gap, "noticed", live.gap_ahead->noticed_us);
  }
  return json;
}

}  // namespace

SourceSummary Summarize(const ArchiveView& view) {
  SourceSummary summary;
  summary.source = view.source();
  summary.segments = view.segments().size();
  bool any = false;
  for (const SegmentRecord& segment : view.segments()) {
    summary.transactions += segment.transactions;
    summary.raw_bytes += segment.raw_bytes;
    summary.stored_bytes += segment.stored_bytes;
    if (segment.transactions == 0) continue;
    if (!any) summary.first_commit_us = segment.first_commit_us;
    any = true;
    summary.last_commit_us = segment.last_commit_us;
  }
  summary.coverage = view.ComputeCoverage();
  summary.lineage = ReadLineage(view.archive(), view.source());
  if (view.segments().empty()) return summary;
  const SegmentRecord& last = view.segments().back();
  summary.end = {last.header.server_uuid.ToString(), last.header.source_file,
                 last.header.source_start + last.raw_bytes - last.header.prefix_bytes};
  return summary;
}

std::optional<LiveState> ParseLiveState(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  LiveState live;
  live.state = TextOf(json, "state");
  live.server = TextOf(json, "server");
  live.server_version = TextOf(json, "server_version");
  live.semi_sync = TextOf(json, "semi_sync");
  if (const auto replicas = json.find("replicas"); replicas != json.end() && replicas->is_array())
    for (const Json& replica : *replicas)
      if (replica.is_object()) live.replicas.push_back(ReplicaOf(replica));
  if (const auto error = json.find("error"); error != json.end() && error->is_object())
    live.error = {TextOf(*error, "code"), TextOf(*error, "message"), TextOf(*error, "hint")};
  if (const auto paused = json.find("paused"); paused != json.end() && paused->is_object())
    live.paused = {TextOf(*paused, "by"), NumberOf(*paused, "at_us"), TextOf(*paused, "reason")};
  if (const auto gap = json.find("gap_ahead"); gap != json.end() && gap->is_object())
    live.gap_ahead = {TextOf(*gap, "missing"), TextOf(*gap, "reason"),
                      NumberOf(*gap, "noticed_us")};
  return live;
}

std::optional<LiveState> ReadLiveState(ArchiveDirectory& archive, const std::string& source) {
  if (!archive.IsLockedForWriting()) return std::nullopt;
  const std::string path = JoinPath(JoinPath(archive.root(), source), "daemon.json");
  const Result<std::string> text = ReadSmallFile(archive.files(), path, kLiveStateBytesMax);
  return text.ok() ? ParseLiveState(*text) : std::nullopt;
}

Json ToJson(const SourceSummary& summary, const std::optional<LiveState>& live) {
  Json json = {{"source", summary.source},
               {"transactions", summary.transactions},
               {"segments", summary.segments},
               {"raw_bytes", summary.raw_bytes},
               {"stored_bytes", summary.stored_bytes}};
  AddTime(&json, "first_commit", summary.first_commit_us);
  AddTime(&json, "last_commit", summary.last_commit_us);
  json["coverage"] = ToJson(summary.coverage);
  json["lineage"] = tidemark::ToJson(summary.lineage);
  if (summary.end) {
    json["server_uuid"] = summary.end->server_uuid;
    json["source_file"] = summary.end->file;
    json["source_position"] = summary.end->position;
  }
  json["daemon"] = live ? ToJson(*live) : Json();
  return json;
}

}  // namespace tidemark
