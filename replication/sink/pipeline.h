// From events to durable segments: three threads that overlap network, compression and disk.
//
//   caller (fetches) --ByteRing--> writer (compresses, writes) --batches--> syncer (fdatasync,
//   announces)
//
// Group commit without a timer: while the disk is busy with one fdatasync, what arrives is
// collected; when it is done, or 1 MiB is waiting, the writer ends a zstd block exactly at the last
// whole transaction and hands over the next batch. An idle source's transaction is therefore made
// durable at once, and a busy one's at most one fdatasync later.
//
// Invariants: nothing is announced before it is durable; every announced batch ends at a zstd block
// end which is a transaction end, so that recovery can cut there; memory is the ring plus a few
// batches, whatever the source sends. All public functions belong to one caller thread. Any failure
// stops everything: every later call returns it.
#pragma once

#include <memory>
#include <string>

#include "replication/archive/archive_directory.h"
#include "replication/archive/segment_writer.h"
#include "replication/base/clock.h"
#include "replication/sink/durable_listener.h"
#include "replication/sink/session.h"

namespace tidemark {

class SourceMeter;
class TurnScheduler;

struct PipelineOptions {
  size_t ring_bytes = 4u << 20;
  uint64_t batch_raw_bytes =
      1u << 20;            // a durable point is due when this much waits, even if the disk is busy
  size_t batches_max = 4;  // waiting for the disk
  SegmentWriterOptions writer = {};
  // Behind the segments' own names, so that nobody takes them for segments before they are renamed.
  std::string path_suffix = {};
  SourceMeter* meter = nullptr;    // of fdatasyncs; must outlive the pipeline
  TurnScheduler* turns = nullptr;  // simulation only (turn_scheduler.h); must outlive the pipeline
};

class Pipeline {
 public:
  Pipeline(ArchiveDirectory& archive, std::string source, Clock& clock, DurableListener& listener,
           PipelineOptions options);
  ~Pipeline();  // stops at once; an open segment is left unsealed, to be recovered

  // Begins a segment; the one before must have been sealed. `commit_high_us` as of its beginning.
  Status Begin(SegmentStart start, int64_t commit_high_us);
  // Archives one whole event; waits while the ring is full.
  Status Append(Bytes bytes, const ScannedEvent& event);
  // The open segment ends here (at a transaction boundary). Does not wait.
  Status Seal(SealReason reason);
  // The failure that stopped everything, if one did: an idle source gives no other occasion to
  // notice.
  Status Health() const;
  // Stops at once, as the destructor does; only Health and SyncFailed may be called then.
  void Stop();
  // Whether that failure leaves in doubt what the files hold behind the last announced batch. After
  // Stop: an fdatasync that was under way when something else failed may fail as well.
  bool SyncFailed() const;
  // Waits until every whole transaction given so far is durable and announced, and every Seal done.
  Status Drain();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tidemark
