// What administrators want of the running daemon (AdminService), between the threads of remote
// calls, which ask, and the main loop, which owns the workers and does it.
//
// A pause is written beside the source before it is acted upon, so that it holds whatever happens
// next, and is read again at the start and at each reload: a source stays paused until somebody
// resumes it. One that cannot be read is a pause.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tools/index_exchange.h"
#include "tools/rpc/admin_service.h"
#include "tools/source_worker.h"

namespace tidemark {

class DaemonControl : public rpc::DaemonControls {
 public:
  // `ring` wakes the main loop; any thread calls it.
  DaemonControl(ArchiveDirectory& archive, SerializedIndex& index, std::function<void()> ring);
  ~DaemonControl() override;

  // For the main loop.
  void SetSources(const std::vector<std::string>& names);  // and reads who is paused
  std::optional<OperatorNote> PauseOf(const std::string& source) const;
  bool WantsQuiet() const;  // no worker may be there: the index is being exchanged
  void NoteWorkers(const std::vector<std::shared_ptr<SourceWorker>>& workers);
  void Stop();  // whoever waits is told so; the index is not exchanged any more

  // For remote calls.
  Result<Paused> Pause(const std::string& source, const OperatorNote& note,
                       const GiveUp& give_up) override;
  Result<bool> Resume(const std::string& source, const GiveUp& give_up) override;
  Result<SealAnswer> Seal(const std::string& source, const GiveUp& give_up) override;
  Result<std::unique_ptr<rpc::IndexRebuilding>> RebuildIndex() override;

 private:
  Status CheckSource(const std::string& source) const;
  // One that has been tried to start, and is paused or not, or either.
  Result<std::shared_ptr<SourceWorker>> AwaitWorker(const std::string& source,
                                                    std::optional<bool> paused,
                                                    const GiveUp& give_up);

  ArchiveDirectory& archive_;
  SerializedIndex& index_;
  const std::function<void()> ring_;
  std::mutex files_mutex_;  // held while pauses are read and written; taken before mutex_

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::set<std::string> sources_;
  std::map<std::string, OperatorNote> pauses_;
  std::map<std::string, std::shared_ptr<SourceWorker>> workers_;
  std::shared_ptr<IndexExchange> exchange_;
  bool stopped_ = false;
};

}  // namespace tidemark
