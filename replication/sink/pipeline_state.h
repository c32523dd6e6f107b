// What the pipeline's three threads share, and who may touch what. Internal to pipeline.cc (the
// caller's side) and pipeline_threads.cc (the writer and the syncer).
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "replication/archive/segment_catalog.h"
#include "replication/sink/byte_ring.h"
#include "replication/sink/pipeline.h"
#include "replication/sink/turn_scheduler.h"

namespace tidemark {

// One segment on its way through the ring. Positions are the ring's.
struct PipelineJob {
  PipelineJob(SegmentStart segment_start, int64_t commit_high_us, uint64_t position)
      : start(std::move(segment_start)),
        catalog(start.header, commit_high_us),
        begin(position),
        end(position),
        whole(position) {}

  uint64_t RawOffset(uint64_t position) const { return start.prefix.size() + (position - begin); }

  SegmentStart start;
  SegmentCatalog catalog;  // under the mutex
  uint64_t begin;
  uint64_t end;                      // of what the caller has appended
  uint64_t whole;                    // up to here: whole transactions
  std::deque<uint64_t> frame_ends;   // not yet written
  std::optional<SealReason> sealed;  // the caller is done with it
  Sha256Digest raw_sha256{};         // once it is
};

// A step of the archive that the syncer makes durable and announces.
struct PendingBatch {
  std::shared_ptr<SegmentWriter> writer;
  DurableBatch batch;
  bool synced = false;  // sealing has made it durable already
};

struct Pipeline::State {
  State(ArchiveDirectory& directory, std::string name, Clock& time, DurableListener& durable,
        PipelineOptions opts)
      : archive(directory),
        source(std::move(name)),
        clock(time),
        listener(durable),
        options(opts),
        ring(opts.ring_bytes),
        work(opts.turns),
        space(opts.turns),
        batches_ready(opts.turns),
        writer_party(opts.turns),
        syncer_party(opts.turns) {
    options.writer.hash_raw = false;
  }

  void Fail(Status status, bool in_sync = false);
  Status WriteRing(Bytes bytes);
  void HashWritten();
  void WriterLoop();
  void SyncerLoop();
  // The writer's steps; each is called with the mutex held and returns with it held.
  bool WriterStep(std::unique_lock<std::mutex>& lock);
  Status OpenWriter(PipelineJob& job);
  void DurableStep(std::unique_lock<std::mutex>& lock, PipelineJob& job);
  void EarlyStep(std::unique_lock<std::mutex>& lock, PipelineJob& job, uint64_t until);
  void SealStep(std::unique_lock<std::mutex>& lock);
  Status WriteUntil(uint64_t until, const std::vector<uint64_t>& frame_ends);
  Status FlushAt(uint64_t until, const std::vector<uint64_t>& frame_ends);
  static std::vector<uint64_t> TakeFrameEnds(PipelineJob& job, uint64_t until);
  void Enqueue(DurableBatch batch, bool synced);
  Status TimedSync(File& file);
  bool Settled() const;

  ArchiveDirectory& archive;
  const std::string source;
  Clock& clock;
  DurableListener& listener;
  PipelineOptions options;

  ByteRing ring;
  std::mutex mutex;
  Signal work;           // for the writer
  Signal space;          // for the caller
  Signal batches_ready;  // for the syncer
  std::deque<std::unique_ptr<PipelineJob>> jobs;
  std::deque<PendingBatch> batches;
  Status error;
  bool sync_failed = false;  // `error` is, or may be, an fdatasync's
  bool stopping = false;
  bool syncing = false;  // the syncer has a group in hand
  bool sealing = false;  // the writer has taken a job away to seal it

  // The caller's own. It also hashes: the writer, who compresses, is the busiest of the three.
  uint64_t unreported_bytes = 0;
  Sha256 sha256;
  uint64_t hashed = 0;  // ring position

  // The writer thread's own.
  std::shared_ptr<SegmentWriter> writer;
  uint64_t flushed = 0;               // ring position of the last block end that is a transaction's
  uint64_t flushed_stored_bytes = 0;  // the same place in the file
  uint64_t announced = 0;             // ring position covered by enqueued batches

  Party writer_party;
  Party syncer_party;
};

}  // namespace tidemark
