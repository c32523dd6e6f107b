// Semi-synchronous acknowledgement: what the source wants to be told is safe, what has been
// published, and so what it may be told.
//
// It stands in front of the listener: what the listener has taken without an error is published,
// and only that is ever acknowledged (invariant 1): always the end of a durable batch, in the
// source's own file. A failed fdatasync, a listener that refuses and a pipeline that died therefore
// acknowledge nothing. Acknowledgements are cumulative: one answers everything that was wanted up
// to its position, and that is group commit's.
//
// OnDurable is called by the announcing thread, counters() by any, the rest by the thread that
// fetches. Nothing persists; a new dump's starting place tells the source what we have.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "replication/sink/durable_listener.h"
#include "replication/sink/session.h"

namespace tidemark {

// A place in the archive of one source, in archive order.
struct ArchivePlace {
  uint64_t segment = 0;
  uint64_t raw_bytes = 0;  // of that segment
  auto operator<=>(const ArchivePlace&) const = default;
};

// What has been acknowledged since the start, for metrics. Latency is from an event's arrival here
// to the moment its acknowledgement was handed to the kernel.
struct AckCounters {
  static constexpr std::array<int64_t, 14> kLatencyUsBounds = {
      100,    200,    500,     1'000,   2'000,   5'000,     10'000,
      20'000, 50'000, 100'000, 200'000, 500'000, 1'000'000, 10'000'000};

  uint64_t wanted = 0;    // events that the source wanted acknowledged
  uint64_t answered = 0;  // of these
  uint64_t sent = 0;      // acknowledgements; one may answer several
  // Of the answered: [i] those of at most kLatencyUsBounds[i] that are above the bound before, the
  // last one those above all.
  std::array<uint64_t, kLatencyUsBounds.size() + 1> latency_counts = {};
  int64_t latency_us_sum = 0;
  int64_t latency_us_max = 0;
};

class Acknowledger : public DurableListener {
 public:
  // What waits beyond this is answered together with the last of them.
  static constexpr size_t kWantedMax = 4096;

  // `wake` is called by the announcing thread when something has been published while answers are
  // wanted.
  Acknowledger(DurableListener& listener, std::function<void()> wake);

  Status OnDurable(const DurableBatch& batch) override;

  // A new dump from this server: what an earlier one wanted will never be answered.
  void BeginDump(const Uuid& server_uuid);
  // The source wants to know when everything up to `place` is safe. `now_us`: monotonic.
  void Want(ArchivePlace place, int64_t now_us);
  bool waiting() const { return !wanted_.empty(); }
  // What may be acknowledged now, if that answers something; then Sent must follow.
  std::optional<SourcePlace> Due();
  void Sent(int64_t now_us);

  AckCounters counters() const;

 private:
  struct Wanted {
    ArchivePlace place;
    int64_t arrived_us;
  };
  struct Published {
    ArchivePlace place;
    SourcePlace source;  // the same
  };

  void CountLatency(int64_t latency_us);

  DurableListener& listener_;
  const std::function<void()> wake_;

  // The fetching thread's own.
  Uuid server_uuid_;
  std::deque<Wanted> wanted_;
  ArchivePlace due_;

  mutable std::mutex mutex_;  // guards the rest
  Published published_;
  bool wake_wanted_ = false;  // wanted_ is not empty
  AckCounters counters_;
};

}  // namespace tidemark
