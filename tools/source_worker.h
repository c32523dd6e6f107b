// One source at work, in a thread of its own: recovers what is on disk, brings the index up to
// date, archives. What keeps it from starting (a damaged segment, a full disk) is its own trouble:
// it says so, waits and tries again, and the other sources never notice.
//
// One that is paused does all that but archive: it waits to be stopped.
//
// Made, stopped and joined by one thread; the rest by any. A crash loses nothing that was
// announced.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "index/index.h"
#include "replication/archive/operator_record.h"
#include "replication/sink/source_archiver.h"
#include "tools/daemon_config.h"

namespace tidemark {

class SourceWorker {
 public:
  // Beginnings that failed are repeated after this, doubling, up to the source's retry_ms_max.
  static constexpr int64_t kStartBackoffUsMin = 1'000'000;

  struct Surroundings {
    ArchiveDirectory& archive;
    Index& index;  // may be written by several threads
    DurableListener& listener;
    bool once = false;           // what the source has now, then the end; no second try
    std::function<void()> news;  // called when it has begun, failed or ended; any thread
    std::optional<OperatorNote> pause = {};  // why it is paused, if it is
    SpaceReserve* reserve = nullptr;
  };
  // Starts the thread.
  SourceWorker(SourceConfig config, Surroundings surroundings);
  ~SourceWorker();  // stops and waits

  const std::string& name() const { return config_.archiver.source; }
  const SourceConfig& config() const { return config_; }

  void Stop();  // asks it to end; what is archived gets sealed
  bool stopping() const { return stopping_; }
  // The first attempt to begin is over: it archives (or tries to connect), or waits to try again.
  bool tried() const { return tried_; }
  bool finished() const { return finished_; }  // the thread is at its end: Join does not wait
  Status Join();                               // waits for the end; how it ended
  const std::optional<OperatorNote>& pause() const { return surroundings_.pause; }
  // As SourceArchiver::Seal. kSourceUnavailable, too: it has not started yet.
  Result<SealAnswer> Seal(const std::function<bool()>& give_up);

  struct Condition {
    bool started = false;  // recovered and up to date; `archiver` is what it says since
    bool paused = false;
    ArchiverStatus archiver;  // not started: state kWaiting and the error, or kStarting
  };
  Condition condition() const;
  static const char* StateName(const Condition& condition);  // for status

 private:
  Status Run();
  Status Begin(std::shared_ptr<SourceArchiver>* archiver);
  Status BeginOnce(SourceArchiver& archiver);
  Status Rest();
  bool WaitBeforeRetry(uint32_t failures, const Status& error);

  const SourceConfig config_;
  const Surroundings surroundings_;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> tried_ = false;
  std::atomic<bool> finished_ = false;

  mutable std::mutex mutex_;  // guards the five below
  std::condition_variable wake_up_;
  std::shared_ptr<SourceArchiver> archiver_;   // once it has begun
  std::shared_ptr<SourceArchiver> beginning_;  // until then: it may be asking its source
  Status begin_error_;                         // why it has not
  Status result_;
  std::thread thread_;
};

}  // namespace tidemark
