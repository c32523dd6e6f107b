// Archives one source for as long as it is told to: connect, dump, pipeline; and after any failure
// cut the tail back, wait with exponential back-off and jitter, and go on from the last durable
// transaction.
//
// Run() occupies one thread (plus the pipeline's two); Stop() and status() may be called from any
// thread. A crash at any moment loses nothing that was announced to the DurableListener.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>

#include "replication/archive/archive_directory.h"
#include "replication/base/clock.h"
#include "replication/sink/announcer.h"
#include "replication/sink/pipeline.h"
#include "replication/sink/resume.h"
#include "replication/sink/session.h"
#include "replication/source/event_source.h"

namespace tidemark {

struct ArchiverOptions {
  std::string source;      // its name in the archive
  uint32_t server_id = 0;  // ours, unique in the topology
  int64_t heartbeat_us = 5'000'000;
  int64_t backoff_us_min = 100'000;
  int64_t backoff_us_max = 30'000'000;
  // Transactions the source has purged before we could archive them are given up, and recorded as a
  // gap. Without this they are an error (invariant 6).
  bool adopt_purged = false;
  SessionLimits limits;
  PipelineOptions pipeline;
};

// Persisted nowhere; shown by logs and status.
enum class ArchiverState : uint8_t { kStarting, kConnecting, kArchiving, kWaiting, kStopped };
const char* ArchiverStateName(ArchiverState state);

struct ArchiverStatus {
  ArchiverState state = ArchiverState::kStarting;
  Status last_error;         // why it waits, connects anew or stopped; OK while archiving
  uint64_t connections = 0;  // made so far
  std::string server_version;
};

class SourceArchiver {
 public:
  SourceArchiver(ArchiveDirectory& archive, std::unique_ptr<EventSource> source, Clock& clock,
                 DurableListener& listener, ArchiverOptions options);
  ~SourceArchiver();

  // Creates the source's directory if needed and recovers its last segment, announcing it to nobody
  // (the caller heals the index afterwards). Once, before Run.
  Status Prepare();
  // Until Stop: returns OK after everything is durable and the open segment sealed. Errors are
  // logged and retried; an error is returned only if the final sealing fails.
  Status Run();
  // Archives what the source has now and returns, sealing the segment; the first error ends it.
  Status RunOnce();
  void Stop();
  ArchiverStatus status() const;

 private:
  Status Connect(DumpRequest* request);
  Status Pump();
  Status Perform(Bytes bytes, ScannedEvent event, SessionAction& action);
  Status BetweenTransactions();
  Status ArchiveUntilBroken(bool non_blocking);
  Status Recover();
  Status AfterBreak(const Status& error);
  Status Finish();
  Status RememberServer(const Uuid& server_uuid);
  Result<GapRecord> CheckHistory(const SourceFacts& facts) const;
  Status CheckPlace(const SourceFacts& facts, DumpRequest* request) const;
  bool WaitBeforeRetry(const Status& error);
  void SetState(ArchiverState state, Status error);

  ArchiveDirectory& archive_;
  std::unique_ptr<EventSource> source_;
  Clock& clock_;
  Announcer announcer_;
  const ArchiverOptions options_;
  SourceIdentity identity_;

  std::optional<Session> session_;
  std::unique_ptr<Pipeline> pipeline_;
  std::optional<StreamScanner> scanner_;
  bool distrust_tail_ = false;    // an fdatasync failed: what is not announced must not be believed
  int64_t segment_begun_us_ = 0;  // monotonic
  uint32_t failures_ = 0;         // in a row
  std::minstd_rand jitter_;

  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;  // status_, wake_up_
  std::condition_variable wake_up_;
  ArchiverStatus status_;
};

}  // namespace tidemark
