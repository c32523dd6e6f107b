// The index made anew while the daemon runs, in a thread of its own: segments are read beside the
// old index, while archiving goes on; then, with no archiver at work, what has come since, which is
// little; then the new one takes the old one's place. Questions and replicas are answered
// throughout. Any thread; the surroundings must outlive the object.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>

#include "replication/archive/archive_directory.h"
#include "tools/rpc/admin_service.h"
#include "tools/serialized_index.h"

namespace tidemark {

class IndexExchange {
 public:
  using Progress = rpc::IndexRebuilding::Progress;
  // Starts it. `news` is called when quiet() or finished() has changed, by the thread.
  IndexExchange(ArchiveDirectory& archive, SerializedIndex& index, std::function<void()> news);
  ~IndexExchange();  // gives up and waits

  // No source may be archived now; SetQuiet: none is.
  bool wants_quiet() const;
  void SetQuiet();
  bool finished() const;
  void GiveUp();  // soon, unless it is just being put in place; the old one stays
  // Waits a moment for news.
  Result<Progress> Look(const Progress& known);

 private:
  Status Run();
  bool GivenUp() const;
  void Note(const HealReport& report);

  ArchiveDirectory& archive_;
  SerializedIndex& index_;
  const std::function<void()> news_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  Progress progress_;
  bool wants_quiet_ = false;
  bool quiet_ = false;
  bool given_up_ = false;
  bool finished_ = false;
  Status result_;
  std::thread thread_;
};

}  // namespace tidemark
