#include "tools/daemon.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "index/index.h"
#include "replication/source/mysql_event_source.h"
#include "tools/daemon_serving.h"

namespace tidemark {
namespace {

// Index after segments, replicas after the index (invariant 1). One index serves all sources, and
// takes one writer at a time.
class PublishingListener : public DurableListener {
 public:
  explicit PublishingListener(Index& index) : index_(index) {}
  void SetServing(DaemonServing* serving) { serving_ = serving; }
  Status OnDurable(const DurableBatch& batch) override {
    {
      std::lock_guard lock(mutex_);
      TM_RETURN_IF_ERROR(index_.Apply(batch));
    }
    if (serving_ != nullptr) serving_->NotifyDurable(batch.source);
    return OkStatus();
  }

 private:
  std::mutex mutex_;
  Index& index_;
  DaemonServing* serving_ = nullptr;  // set before the sources' threads begin
};

// Rung by a worker that has finished; a signal handler cannot ring it, so nobody waits for it for
// long.
class Bell {
 public:
  void Ring() {
    {
      std::lock_guard lock(mutex_);
      rung_ = true;
    }
    condition_.notify_all();
  }
  void Wait(std::chrono::milliseconds at_most) {
    std::unique_lock lock(mutex_);
    condition_.wait_for(lock, at_most, [this] { return rung_; });
    rung_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable condition_;
  bool rung_ = false;
};

// One source at work.
struct Worker {
  std::string name;
  std::unique_ptr<SourceArchiver> archiver;
  std::thread thread;
  Status result;
  std::atomic<bool> finished = false;
  std::string published;  // what daemon.json says without the time
};

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

void PublishState(ArchiveDirectory& archive, const DaemonServing* serving, Worker& worker) {
  const ArchiverStatus status = worker.archiver->status();
  nlohmann::ordered_json state = {{"pid", ::getpid()},
                                  {"state", ArchiverStateName(status.state)},
                                  {"connections", status.connections},
                                  {"server_version", status.server_version},
                                  {"replicas", ReplicasOf(serving, worker.name)}};
  if (!status.last_error.ok())
    state["error"] = {{"code", CodeName(status.last_error.code())},
                      {"message", status.last_error.message()},
                      {"hint", status.last_error.hint()}};
  std::string text = state.dump(2) + "\n";
  if (text == worker.published) return;
  const std::string path = JoinPath(JoinPath(archive.root(), worker.name), "daemon.json");
  if (!WriteView(path, text)) return;
  worker.published = std::move(text);
}

// An index that is damaged or of another version is made anew: it is derived.
Result<std::unique_ptr<Index>> OpenOrRebuildIndex(ArchiveDirectory& archive) {
  Result<std::unique_ptr<Index>> index = Index::OpenForWriting(archive.IndexPath());
  if (index.ok() || index.error().code() != Code::kCorruption) return index;
  spdlog::warn("the index is damaged and is made anew from the segments: {}",
               index.error().message());
  TM_ASSIGN_OR_RETURN(HealReport report, RebuildIndex(archive, [](const HealReport&) {}));
  spdlog::info("index rebuilt from {} segments", report.segments_scanned);
  return Index::OpenForWriting(archive.IndexPath());
}

Status Heal(Index& index, ArchiveDirectory& archive, const std::string& source) {
  TM_ASSIGN_OR_RETURN(HealReport report,
                      HealIndex(index, archive, source, [](const HealReport&) {}));
  if (!report.segments_lost.empty())
    spdlog::warn("[{}] {} segment file(s) that the index knew are gone, and with them {}", source,
                 report.segments_lost.size(), report.gtids_lost.ToString());
  if (report.segments_scanned > 0)
    spdlog::info("[{}] index brought up to date: {} segments read again, {} were current", source,
                 report.segments_scanned, report.segments_current);
  return OkStatus();
}

void WaitForEnd(ArchiveDirectory& archive, DaemonServing* serving,
                std::vector<std::unique_ptr<Worker>>& workers, bool once,
                const std::atomic<int>& stop, Bell& bell) {
  for (;;) {
    if (serving != nullptr) serving->TryAgain();
    bool all_finished = true;
    for (auto& worker : workers) {
      PublishState(archive, serving, *worker);
      all_finished = all_finished && worker->finished;
    }
    if (stop != 0 || (once && all_finished)) return;
    bell.Wait(std::chrono::milliseconds(100));
  }
}

}  // namespace

Status RunDaemon(const DaemonConfig& config, const DaemonOptions& options,
                 const std::atomic<int>& stop) {
  ArchiveDirectory archive(PosixFileSystem(), config.archive);
  TM_ASSIGN_OR_RETURN(auto lock, archive.LockForWriting());
  TM_ASSIGN_OR_RETURN(auto index, OpenOrRebuildIndex(archive));
  PublishingListener listener(*index);

  Bell bell;
  std::vector<std::unique_ptr<Worker>> workers;
  for (const SourceConfig& source : config.sources) {
    auto worker = std::make_unique<Worker>();
    worker->name = source.archiver.source;
    worker->archiver = std::make_unique<SourceArchiver>(
        archive, std::make_unique<MySqlEventSource>(source.connection), SystemClock(), listener,
        source.archiver);
    TM_RETURN_IF_ERROR(worker->archiver->Prepare());
    TM_RETURN_IF_ERROR(Heal(*index, archive, worker->name));
    workers.push_back(std::move(worker));
  }
  std::unique_ptr<DaemonServing> serving;
  if (config.serve.port != 0 && !options.once) {
    TM_ASSIGN_OR_RETURN(serving, DaemonServing::Start(config, archive, *index));
    listener.SetServing(serving.get());
  }
  for (auto& worker : workers)
    worker->thread = std::thread([&worker = *worker, once = options.once, &bell] {
      pthread_setname_np(pthread_self(), "tm-fetch");
      worker.result = once ? worker.archiver->RunOnce() : worker.archiver->Run();
      worker.finished = true;
      bell.Ring();
    });
  spdlog::info("tidemarkd archives {} source(s) into {}", workers.size(), config.archive);
  WaitForEnd(archive, serving.get(), workers, options.once, stop, bell);
  if (stop != 0) spdlog::info("stopping on signal {}", stop.load());

  Status result;
  for (auto& worker : workers) worker->archiver->Stop();
  for (auto& worker : workers) {
    worker->thread.join();
    PublishState(archive, nullptr, *worker);
    if (worker->result.ok()) continue;
    spdlog::error("[{}] {}", worker->name, worker->result.message());
    if (result.ok()) result = worker->result;
  }
  if (serving) serving->Stop();  // last: replicas get what was archived to the end
  TM_RETURN_IF_ERROR(index->Flush());
  spdlog::info("stopped; everything archived is sealed");
  return result;
}

}  // namespace tidemark
