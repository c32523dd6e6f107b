#include "replication/sink/source_meter.h"

#include <algorithm>

namespace tidemark {

int64_t LagUs(const MeterReading& reading, bool connected, int64_t archive_end_us, int64_t now_us) {
  using Heard = MeterReading::Heard;
  const auto age = [now_us](int64_t then_us) { return std::max<int64_t>(now_us - then_us, 0); };
  if (connected && reading.pending_since_us != 0) return age(reading.pending_since_us);
  if (connected && reading.heard != Heard::kNothing) {
    const int64_t open = reading.receiving_since_us == 0 ? 0 : age(reading.receiving_since_us);
    return reading.heard == Heard::kIdle ? open : std::max(open, reading.last_delay_us);
  }
  const int64_t safe_us = std::max(reading.safe_until_us, archive_end_us);
  return safe_us == 0 ? -1 : age(safe_us);
}

uint64_t LagTransactions(const MeterReading& reading) {
  return std::max(reading.known_behind, reading.pending_transactions);
}

void SourceMeter::OnConnected(uint64_t behind) {
  const int64_t wall_us = clock_.WallMicroseconds();
  std::lock_guard lock(mutex_);
  reading_.known_behind = behind;
  if (behind == 0) reading_.safe_until_us = std::max(reading_.safe_until_us, wall_us);
}

// What an earlier dump brought and was not archived comes again.
void SourceMeter::BeginDump() {
  std::lock_guard lock(mutex_);
  arrivals_.clear();
  open_since_us_ = idle_at_us_ = 0;
  reading_.heard = MeterReading::Heard::kNothing;
}

void SourceMeter::OnReceived(size_t bytes, const ScannedEvent& event, ArchivePlace place) {
  received_bytes_.store(received_bytes_.load(std::memory_order_relaxed) + bytes,
                        std::memory_order_relaxed);
  unclocked_bytes_ += bytes;
  const bool heartbeat = event.role == EventRole::kHeartbeat;
  // Most events of a transaction need neither clock nor lock.
  if (!heartbeat && event.finished == nullptr && unclocked_bytes_ < kUnclockedBytesMax) return;
  unclocked_bytes_ = 0;
  const int64_t monotonic_us = clock_.MonotonicMicroseconds();
  const int64_t wall_us = clock_.WallMicroseconds();
  std::lock_guard lock(mutex_);
  reading_.heard_us = wall_us;
  if (event.finished != nullptr) {
    open_since_us_ = 0;
    ++reading_.received_transactions;
    if (place.segment != 0) Arrived(*event.finished, place, monotonic_us);
  } else if (heartbeat) {
    ++reading_.heartbeats;
    idle_at_us_ = wall_us;
    NoteIdle();
  } else if (event.role == EventRole::kTransaction && open_since_us_ == 0) {
    open_since_us_ = wall_us;
  }
}

void SourceMeter::Arrived(const Transaction& transaction, ArchivePlace place, int64_t now_us) {
  idle_at_us_ = 0;
  const bool joins =
      !arrivals_.empty() && (now_us - arrivals_.back().monotonic_us < kArrivalGrainUs ||
                             arrivals_.size() == kArrivalsMax);
  if (!joins) arrivals_.push_back({place, now_us, transaction.immediate_commit_us, 0});
  arrivals_.back().place = place;
  ++arrivals_.back().transactions;
}

// The source has sent all that it has, and all of it is archived.
void SourceMeter::NoteIdle() {
  if (idle_at_us_ == 0 || !arrivals_.empty() || open_since_us_ != 0) return;
  reading_.heard = MeterReading::Heard::kIdle;
  reading_.safe_until_us = std::max(reading_.safe_until_us, idle_at_us_);
  reading_.known_behind = 0;
}

Status SourceMeter::OnDurable(const DurableBatch& batch) {
  TM_RETURN_IF_ERROR(listener_.OnDurable(batch));
  const int64_t monotonic_us = clock_.MonotonicMicroseconds();
  const int64_t wall_us = clock_.WallMicroseconds();
  std::lock_guard lock(mutex_);
  CountBatch(batch.segment);
  archived_ = {batch.segment.header.number, batch.segment.raw_bytes};
  Settle(monotonic_us, wall_us);
  return OkStatus();
}

void SourceMeter::CountBatch(const SegmentRecord& segment) {
  if (counted_.header.number != segment.header.number) counted_ = {};
  const auto grown = [](uint64_t now, uint64_t before) { return now > before ? now - before : 0; };
  const uint64_t transactions = grown(segment.transactions, counted_.transactions);
  reading_.archived_raw_bytes += grown(segment.raw_bytes, counted_.raw_bytes);
  reading_.archived_stored_bytes += grown(segment.stored_bytes, counted_.stored_bytes);
  reading_.archived_transactions += transactions;
  reading_.known_behind -= std::min(reading_.known_behind, transactions);
  if (segment.sealed && !counted_.sealed) ++reading_.segments_sealed[segment.reason];
  if (segment.transactions > 0) {
    reading_.last_commit_us = segment.last_commit_us;
    reading_.safe_until_us = std::max(reading_.safe_until_us, segment.last_commit_us);
  }
  counted_.header.number = segment.header.number;
  counted_.transactions = segment.transactions;
  counted_.raw_bytes = segment.raw_bytes;
  counted_.stored_bytes = segment.stored_bytes;
  counted_.sealed = segment.sealed;
}

void SourceMeter::Settle(int64_t monotonic_us, int64_t wall_us) {
  bool any = false;
  for (; !arrivals_.empty() && arrivals_.front().place <= archived_; arrivals_.pop_front()) {
    const Arrival& arrival = arrivals_.front();
    durable_latency_.Count(monotonic_us - arrival.monotonic_us, arrival.transactions);
    any = true;
  }
  if (!any) return;
  reading_.heard = MeterReading::Heard::kTransaction;
  reading_.last_delay_us = std::max<int64_t>(wall_us - reading_.last_commit_us, 0);
  NoteIdle();
}

void SourceMeter::OnFailure(Code code) {
  std::lock_guard lock(mutex_);
  ++reading_.failures[code];
}

void SourceMeter::OnSync(int64_t duration_us, bool synced) {
  sync_times_.Count(duration_us);
  if (synced) return;
  std::lock_guard lock(mutex_);
  ++reading_.sync_failures;
}

MeterReading SourceMeter::Read() const {
  std::lock_guard lock(mutex_);
  MeterReading reading = reading_;
  reading.received_bytes = received_bytes_.load(std::memory_order_relaxed);
  reading.durable_latency = durable_latency_.Read();
  reading.sync_times = sync_times_.Read();
  for (const Arrival& arrival : arrivals_) reading.pending_transactions += arrival.transactions;
  reading.receiving_since_us = open_since_us_;
  if (!arrivals_.empty()) reading.pending_since_us = arrivals_.front().commit_us;
  return reading;
}

}  // namespace tidemark
