// Counts what one source's archiver takes in and makes durable, and knows how far behind its source
// it may be: what metrics show of it.
//
// It stands in front of the listener: what the listener has taken without an error is durable and
// published, and only that counts as archived (invariant 1). OnReceived, OnConnected and BeginDump
// are called by the thread that fetches, OnDurable by the announcing one, the rest by any. Memory
// is bounded by kArrivalsMax. Nothing persists: counters begin at 0 with the object.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>

#include "replication/base/clock.h"
#include "replication/sink/acknowledger.h"
#include "replication/sink/durable_listener.h"
#include "replication/sink/latency_histogram.h"

namespace tidemark {

// Times are the archiver's wall clock's, in microseconds since the epoch; 0: never.
struct MeterReading {
  uint64_t received_bytes = 0;         // events whole, heartbeats included
  uint64_t received_transactions = 0;  // one that is sent again counts again
  uint64_t heartbeats = 0;
  uint64_t archived_raw_bytes = 0;  // durable and published, as the source wrote them
  uint64_t archived_stored_bytes = 0;
  uint64_t archived_transactions = 0;
  std::map<SealReason, uint64_t> segments_sealed;
  std::map<Code, uint64_t> failures;  // whatever made the archiver wait and try again
  uint64_t sync_failures = 0;
  LatencyHistogram::Counts durable_latency;  // a transaction's last event's arrival to published
  LatencyHistogram::Counts sync_times;       // of group commits' fdatasyncs

  // For the lag.
  int64_t heard_us = 0;            // the last event or heartbeat
  int64_t last_commit_us = 0;      // of the last transaction archived since the start
  int64_t safe_until_us = 0;       // what the source committed before is archived
  int64_t pending_since_us = 0;    // commit time of the first transaction received and not archived
  int64_t receiving_since_us = 0;  // a long transaction that is not whole yet; from its arrival on
  uint64_t pending_transactions = 0;
  uint64_t known_behind = 0;  // executed by the source when the dump began, not archived since
  // As of this dump: nothing that proves anything yet; a transaction that has been archived; all
  // that there was.
  enum class Heard : uint8_t { kNothing, kTransaction, kIdle } heard = Heard::kNothing;
  int64_t last_delay_us = 0;  // of that transaction: from its commit to archived
};

// How old the oldest commit is that may be missing in the archive, as far as can be known here:
//   connected, something received is not archived: as old as its commit;
//   connected, the last word was a heartbeat (the source has nothing more): 0;
//   connected, the last word was a transaction: as old as that was when it had been archived;
//   not connected, or nothing heard yet in this dump: the time since the archive was last known to
//   be complete (`archive_end_us`: commit time of its last transaction, for what was before the
//   start). Negative: not known, never heard of the source.
// The source's clock counts for commits, ours for now: their difference is in the lag.
int64_t LagUs(const MeterReading& reading, bool connected, int64_t archive_end_us, int64_t now_us);
// Transactions known to be on the source and not archived: what it had executed when the dump began
// and has not been archived since, or what has been received and is not archived yet.
uint64_t LagTransactions(const MeterReading& reading);

class SourceMeter : public DurableListener {
 public:
  // Arrivals waiting for their fdatasync; beyond, the last one stands for what follows.
  static constexpr size_t kArrivalsMax = 4096;
  // Transactions that arrive so close together count as arrived with the first.
  static constexpr int64_t kArrivalGrainUs = 100;

  SourceMeter(DurableListener& listener, Clock& clock) : listener_(listener), clock_(clock) {}

  Status OnDurable(const DurableBatch& batch) override;

  // The source has executed `behind` transactions that the archive does not have, at this moment.
  void OnConnected(uint64_t behind);
  void BeginDump();
  // Each event before it is archived; its end will be at `place`, segment 0 if it is not archived.
  void OnReceived(size_t bytes, const ScannedEvent& event, ArchivePlace place);
  void OnFailure(Code code);
  void OnSync(int64_t duration_us, bool synced);

  MeterReading Read() const;

 private:
  struct Arrival {
    ArchivePlace place;
    int64_t monotonic_us = 0;
    int64_t commit_us = 0;  // of the first
    uint64_t transactions = 0;
  };
  static constexpr uint64_t kUnclockedBytesMax = 64u << 10;

  void Arrived(const Transaction& transaction, ArchivePlace place, int64_t now_us);
  void Settle(int64_t monotonic_us, int64_t wall_us);
  void CountBatch(const SegmentRecord& segment);
  void NoteIdle();

  DurableListener& listener_;
  Clock& clock_;

  // The fetching thread's own.
  uint64_t unclocked_bytes_ = 0;

  std::atomic<uint64_t> received_bytes_ = 0;  // written by the fetching thread only
  LatencyHistogram durable_latency_;
  LatencyHistogram sync_times_;

  mutable std::mutex mutex_;  // guards the rest
  MeterReading reading_;      // all but what the other members have
  std::deque<Arrival> arrivals_;
  int64_t open_since_us_ = 0;  // a long transaction is being received since then
  int64_t idle_at_us_ = 0;     // a heartbeat came behind the last arrival
  ArchivePlace archived_;
  SegmentRecord counted_;  // numbers of the last batch's segment: a batch has its segment's totals
};

}  // namespace tidemark
