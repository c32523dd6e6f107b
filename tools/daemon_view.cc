#include "tools/daemon_view.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace tidemark {
namespace {

// Replaces the file; on a full disk, where there is no room for a second one, overwrites it: that
// is when people look.
bool WriteView(const std::string& path, const std::string& text) {
  const std::string fresh = path + ".new";
  std::error_code error;
  if (std::ofstream(fresh, std::ios::binary) << text << std::flush) {
    std::filesystem::rename(fresh, path, error);
    return !error;
  }
  std::filesystem::remove(fresh, error);
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  if (!(file << text << std::flush)) return false;
  std::filesystem::resize_file(path, text.size(), error);
  return !error;
}

nlohmann::ordered_json ReplicasOf(const DaemonServing* serving, const std::string& source) {
  nlohmann::ordered_json replicas = nlohmann::ordered_json::array();
  if (serving == nullptr) return replicas;
  for (const ServedReplica& replica : serving->Replicas())
    if (replica.source == source)
      replicas.push_back({{"peer", replica.peer},
                          {"user", replica.user},
                          {"server_id", replica.server_id},
                          {"server_uuid", replica.uuid},
                          {"tls", replica.tls},
                          {"since_us", replica.since_us}});
  return replicas;
}

}  // namespace

void DaemonView::Publish(const SourceWorker& worker, const DaemonServing* serving) {
  const SourceWorker::Condition condition = worker.condition();
  const ArchiverStatus& status = condition.archiver;
  nlohmann::ordered_json state = {{"pid", ::getpid()},
                                  {"state", SourceWorker::StateName(condition)},
                                  {"connections", status.connections},
                                  {"server", status.server},
                                  {"server_version", status.server_version},
                                  {"semi_sync", SemiSyncStateName(status.semi_sync)},
                                  {"replicas", ReplicasOf(serving, worker.name())}};
  if (!status.last_error.ok())
    state["error"] = {{"code", CodeName(status.last_error.code())},
                      {"message", status.last_error.message()},
                      {"hint", status.last_error.hint()}};
  if (const auto& pause = worker.pause())
    state["paused"] = {{"by", pause->by}, {"at_us", pause->at_us}, {"reason", pause->reason}};
  if (const GapRecord& gap = status.gap_ahead; !gap.missing.empty())
    state["gap_ahead"] = {{"missing", gap.missing.ToString()},
                          {"reason", gap.reason},
                          {"noticed_us", gap.noticed_us}};
  std::string text =
      state.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  {
    std::lock_guard lock(mutex_);
    states_[worker.name()] = text;
  }
  std::string& published = published_[worker.name()];
  if (text == published) return;
  const std::string path = JoinPath(JoinPath(archive_.root(), worker.name()), "daemon.json");
  if (WriteView(path, text)) published = std::move(text);
}

std::optional<LiveState> DaemonView::StateOf(const std::string& source) const {
  std::lock_guard lock(mutex_);
  const auto state = states_.find(source);
  return state == states_.end() ? std::nullopt : ParseLiveState(state->second);
}

}  // namespace tidemark
