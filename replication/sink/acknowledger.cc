#include "replication/sink/acknowledger.h"

#include <algorithm>
#include <utility>

#include "replication/base/failpoint.h"

namespace tidemark {
namespace {

// Where a segment's durable part ends in the source's file.
uint64_t SourcePosition(const SegmentRecord& segment) {
  return segment.header.source_start + segment.raw_bytes - segment.header.prefix_bytes;
}

}  // namespace

Acknowledger::Acknowledger(DurableListener& listener, std::function<void()> wake)
    : listener_(listener), wake_(std::move(wake)) {}

Status Acknowledger::OnDurable(const DurableBatch& batch) {
  TM_RETURN_IF_ERROR(listener_.OnDurable(batch));
  TM_FAILPOINT("sink.indexed");
  const SegmentRecord& segment = batch.segment;
  bool wake = false;
  {
    std::lock_guard lock(mutex_);
    published_.place = {segment.header.number, segment.raw_bytes};
    published_.source.server_uuid = segment.header.server_uuid;
    published_.source.file = segment.header.source_file;
    published_.source.position = SourcePosition(segment);
    wake = wake_wanted_;
  }
  if (wake) wake_();
  return OkStatus();
}

void Acknowledger::BeginDump(const Uuid& server_uuid) {
  server_uuid_ = server_uuid;
  wanted_.clear();
  std::lock_guard lock(mutex_);
  wake_wanted_ = false;
}

void Acknowledger::Want(ArchivePlace place, int64_t now_us) {
  std::lock_guard lock(mutex_);
  ++counters_.wanted;
  if (wanted_.size() == kWantedMax)
    wanted_.back().place = place;
  else
    wanted_.push_back({place, now_us});
  wake_wanted_ = true;
}

std::optional<SourcePlace> Acknowledger::Due() {
  std::lock_guard lock(mutex_);
  if (wanted_.empty() || wanted_.front().place > published_.place) return std::nullopt;
  due_ = published_.place;
  if (published_.source.server_uuid == server_uuid_) return published_.source;
  // Nothing of this server has been archived yet, and so nothing can be said that it understands:
  // it asked for an event that it made up.
  std::erase_if(wanted_, [this](const Wanted& wanted) { return wanted.place <= due_; });
  wake_wanted_ = !wanted_.empty();
  return std::nullopt;
}

void Acknowledger::Sent(int64_t now_us) {
  std::lock_guard lock(mutex_);
  ++counters_.sent;
  for (; !wanted_.empty() && wanted_.front().place <= due_; wanted_.pop_front())
    CountLatency(now_us - wanted_.front().arrived_us);
  wake_wanted_ = !wanted_.empty();
}

void Acknowledger::CountLatency(int64_t latency_us) {
  const auto& bounds = AckCounters::kLatencyUsBounds;
  const auto bound = std::lower_bound(bounds.begin(), bounds.end(), latency_us);
  ++counters_.latency_counts[static_cast<size_t>(bound - bounds.begin())];
  ++counters_.answered;
  counters_.latency_us_sum += latency_us;
  counters_.latency_us_max = std::max(counters_.latency_us_max, latency_us);
}

AckCounters Acknowledger::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

}  // namespace tidemark
