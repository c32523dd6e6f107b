// Archives one source for as long as it is told to: connect, dump, pipeline; and after any failure
// cut the tail back, wait with exponential back-off and jitter, and go on from the last durable
// transaction.
//
// Run() occupies one thread (plus the pipeline's two); Stop(), Seal() and status() may be called
// from any thread. A crash at any moment loses nothing that was announced to the DurableListener.
#pragma once

#include <atomic>
#include <bitset>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "replication/archive/archive_directory.h"
#include "replication/archive/space_reserve.h"
#include "replication/base/clock.h"
#include "replication/sink/acknowledger.h"
#include "replication/sink/announcer.h"
#include "replication/sink/commit_watch.h"
#include "replication/sink/lineage.h"
#include "replication/sink/pipeline.h"
#include "replication/sink/resume.h"
#include "replication/sink/seal_requests.h"
#include "replication/sink/session.h"
#include "replication/sink/source_meter.h"
#include "replication/source/event_source.h"
#include "replication/source/source_origins.h"

namespace tidemark {

// kAuto: be a semi-synchronous replica of a source that has the plugin for it.
enum class SemiSyncMode : uint8_t { kOff, kAuto };

struct ArchiverOptions {
  std::string source;      // its name in the archive
  uint32_t server_id = 0;  // ours, unique in the topology
  int64_t heartbeat_us = 5'000'000;
  int64_t backoff_us_min = 100'000;
  int64_t backoff_us_max = 30'000'000;
  // Transactions the source has purged before we could archive them are given up, and recorded as a
  // gap. Without this they are an error (invariant 6).
  bool adopt_purged = false;
  // The source that this one continues (lineage.h), if it is not there yet; "": none.
  std::string continues = {};
  LineageHooks lineage_hooks = {};
  SemiSyncMode semi_sync = SemiSyncMode::kOff;
  SessionLimits limits;
  PipelineOptions pipeline;
  SpaceReserve* reserve = nullptr;  // the archive's; must outlive the archiver
};

// Persisted nowhere; shown by logs and status.
enum class ArchiverState : uint8_t { kStarting, kConnecting, kArchiving, kWaiting, kStopped };
const char* ArchiverStateName(ArchiverState state);

// Persisted nowhere; shown by logs and status.
enum class SemiSyncState : uint8_t {
  kOff,          // not wanted
  kUnknown,      // not connected
  kUnavailable,  // the source lacks the plugin: archiving is asynchronous
  kReady,        // connected; since then the source has committed nothing
  kNotWaiting,   // the source's last commits did not wait for us: it is switched off there,
                 // another replica's acknowledgement came sooner, or it took a damaged one for a
                 // later place
  kOn            // the source waits for our acknowledgements
};
const char* SemiSyncStateName(SemiSyncState state);

struct ArchiverStatus {
  ArchiverState state = ArchiverState::kStarting;
  Status last_error;         // why it waits, connects anew or stopped; OK while archiving
  uint64_t connections = 0;  // made so far
  std::string server_version;
  // Where it was last connected: "db1:3306" or a socket's path, and who that is.
  std::string server;
  std::optional<Uuid> server_uuid;
  SemiSyncState semi_sync = SemiSyncState::kOff;
  AckCounters acks;  // since the start
  // Transactions that were adopted as a gap, and that no segment records yet, since nothing behind
  // them is archived.
  GapRecord gap_ahead;
  MeterReading meter;
};

class SourceArchiver {
 public:
  SourceArchiver(ArchiveDirectory& archive, std::unique_ptr<EventSource> source, Clock& clock,
                 DurableListener& listener, ArchiverOptions options);
  ~SourceArchiver();

  // Creates the source's directory if needed (of one that continues another one: asks the source
  // where they part) and recovers its last segment, announcing it to nobody
  // (the caller heals the index afterwards). Before Run; if it or the healing fails, again on the
  // same object, which remembers what a failed fdatasync has made doubtful.
  Status Prepare();
  // What Prepare has read of a segment that it had to recover, for the index; once.
  std::optional<SegmentContents> TakeRecovered() { return std::exchange(recovered_, {}); }
  // Until Stop: returns OK after everything is durable and the open segment sealed. Errors are
  // logged and retried; an error is returned only if the final sealing fails.
  Status Run();
  // Archives what the source has now and returns, sealing the segment; the first error ends it.
  Status RunOnce();
  void Stop();
  // Has Run seal the open segment at the next end of a transaction; of an idle source, at the
  // latest at its next heartbeat. Comes back when that is durable, or `give_up` says so
  // (kInterrupted). kSourceUnavailable: Run is over, which has sealed it.
  Result<SealAnswer> Seal(const std::function<bool()>& give_up);
  ArchiverStatus status() const;

 private:
  Status BeginLineage();
  Result<GtidSet> SharedWithParent(const SourceFacts& facts);
  Status Connect(DumpRequest* request);
  Status Pump(bool non_blocking);
  ArchivePlace EndOf(const SessionAction& action) const;
  Status Perform(Bytes bytes, ScannedEvent event, SessionAction& action);
  Status BetweenTransactions();
  Status AwaitEvent();
  Status SealIfAsked();
  void ShowGapAhead();
  void BeginDump();
  Status NoteAckWanted(const ScannedEvent& event);
  Status AfterFirstEvent();
  Status Acknowledge();
  Status Say(const std::string& file, uint64_t position);
  Status BeHeard();
  void NoteUnsent();
  void WarnThatCommitsDidNotWait();
  void SetSemiSync(SemiSyncState state);
  Status ArchiveUntilBroken(bool non_blocking);
  Status DoubtTail();
  Status Recover();
  Status RecoverOnce();
  bool MakeRoom(const Status& error);
  Status KeepReserve();
  Status AfterBreak(const Status& error);
  Status Finish();
  Status RememberServer(const Uuid& server_uuid);
  Result<GapRecord> CheckHistory(const SourceFacts& facts) const;
  GtidSet Excluded(const SourceFacts& facts) const;
  Status CheckPlace(const SourceFacts& facts, DumpRequest* request) const;
  Result<SourceFacts> ConnectToSameHistory(DumpRequest* request, GapRecord* gap);
  Status CompareLast(const SourceFacts& facts);
  bool ArchivedLately(const Uuid& server_uuid) const;
  Status LookUp(const GtidSet& wanted);
  OriginsRequest Origins() const;
  bool CanBeginWithLast(const SourceFacts& facts, const DumpRequest& request) const;
  void BeginWithLast(DumpRequest* request);
  bool WaitBeforeRetry(const Status& error);
  void SetState(ArchiverState state, Status error);

  ArchiveDirectory& archive_;
  std::unique_ptr<EventSource> source_;
  Clock& clock_;
  SourceMeter meter_;  // from the announcer to the listener: acks_, then meter_
  Acknowledger acks_;
  Announcer announcer_;
  const ArchiverOptions options_;
  SourceIdentity identity_;
  std::optional<SegmentContents> recovered_;

  std::optional<Session> session_;
  std::unique_ptr<Pipeline> pipeline_;
  std::optional<StreamScanner> scanner_;
  GtidSet unsent_;  // what a server has proved that it left out
  std::optional<Uuid> unsent_of_;
  bool compare_by_gtid_ = false;                 // our last transaction, before the next dump
  std::map<Gtid, TransactionOrigin> looked_up_;  // what CompareLast has read of ours
  bool distrust_tail_ = false;    // an fdatasync failed: what is not announced must not be believed
  int64_t segment_begun_us_ = 0;  // monotonic

  ArchivePlace appended_;    // where what the pipeline was given ends
  bool ack_wanted_ = false;  // inside the transaction under way
  CommitWatch watch_;
  bool fresh_dump_ = false;   // no event yet
  bool said_ = false;         // something was acknowledged, and is not known to be heard
  int quiet_heartbeats_ = 0;  // since then
  std::optional<int64_t> commits_wait_since_us_;  // as far as we know, without an event; monotonic
  int unheard_ = 0;          // dumps ended for that since the source asked last
  SemiSyncState semi_sync_;  // as in status_
  std::bitset<8> semi_sync_logged_;
  std::optional<int64_t> warned_us_;  // that commits did not wait; monotonic

  uint32_t failures_ = 0;  // in a row
  std::minstd_rand jitter_;

  bool idle_ = false;  // the last event was a heartbeat, of a dump that goes on
  SealRequests seals_;
  std::atomic<bool> stopping_ = false;
  mutable std::mutex mutex_;  // status_, wake_up_
  std::condition_variable wake_up_;
  ArchiverStatus status_;
};

}  // namespace tidemark
