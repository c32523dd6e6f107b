#include "replication/sink/pipeline.h"

#include <pthread.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "replication/archive/segment_catalog.h"
#include "replication/sink/byte_ring.h"

namespace tidemark {
namespace {

// The catalog hears of events inside a transaction only so often: enough to end frames in time.
constexpr uint64_t kUnreportedBytesMax = 64u << 10;

// Bytes are hashed in stretches of this size: each call costs, and most events are small.
constexpr size_t kHashBytes = 64u << 10;

// One segment on its way through the ring. Positions are the ring's.
struct Job {
  Job(SegmentStart segment_start, int64_t commit_high_us, uint64_t position)
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

}  // namespace

struct Pipeline::State {
  State(ArchiveDirectory& directory, std::string name, Clock& time, DurableListener& durable,
        PipelineOptions opts)
      : archive(directory),
        source(std::move(name)),
        clock(time),
        listener(durable),
        options(opts),
        ring(opts.ring_bytes) {
    options.writer.hash_raw = false;
  }

  void Fail(Status status, bool in_sync = false);
  Status WriteRing(Bytes bytes);
  void HashWritten();
  void WriterLoop();
  void SyncerLoop();
  // The writer's steps; each is called with the mutex held and returns with it held.
  bool WriterStep(std::unique_lock<std::mutex>& lock);
  Status OpenWriter(Job& job);
  void DurableStep(std::unique_lock<std::mutex>& lock, Job& job);
  void EarlyStep(std::unique_lock<std::mutex>& lock, Job& job, uint64_t until);
  void SealStep(std::unique_lock<std::mutex>& lock);
  Status WriteUntil(uint64_t until, const std::vector<uint64_t>& frame_ends);
  static std::vector<uint64_t> TakeFrameEnds(Job& job, uint64_t until);
  void Enqueue(DurableBatch batch, bool synced);
  bool Settled() const;

  ArchiveDirectory& archive;
  const std::string source;
  Clock& clock;
  DurableListener& listener;
  PipelineOptions options;

  ByteRing ring;
  std::mutex mutex;
  std::condition_variable work;           // for the writer
  std::condition_variable space;          // for the caller
  std::condition_variable batches_ready;  // for the syncer
  std::deque<std::unique_ptr<Job>> jobs;
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

  // The writer thread's own; `flushed` and `announced` are read under the mutex.
  std::shared_ptr<SegmentWriter> writer;
  uint64_t flushed = 0;    // ring position of the last block end
  uint64_t announced = 0;  // ring position covered by enqueued batches

  std::thread writer_thread;
  std::thread syncer_thread;
};

Pipeline::Pipeline(ArchiveDirectory& archive, std::string source, Clock& clock,
                   DurableListener& listener, PipelineOptions options)
    : state_(std::make_unique<State>(archive, std::move(source), clock, listener, options)) {
  state_->writer_thread = std::thread([state = state_.get()] { state->WriterLoop(); });
  state_->syncer_thread = std::thread([state = state_.get()] { state->SyncerLoop(); });
}

Pipeline::~Pipeline() {
  {
    std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->work.notify_all();
  state_->batches_ready.notify_all();
  state_->writer_thread.join();
  state_->syncer_thread.join();
}

Status Pipeline::Begin(SegmentStart start, int64_t commit_high_us) {
  start.header.created_us = state_->clock.WallMicroseconds();
  const std::string head = std::move(start.file_head);
  auto job = std::make_unique<Job>(std::move(start), commit_high_us, state_->ring.head());
  // The catalog sees the segment's first events, ours or the file's, as every later reader will.
  StreamScanner scanner(ScannerOptions{.expect_magic = true});
  TM_RETURN_IF_ERROR(
      scanner.FeedBytes(AsBytes(job->start.prefix.empty() ? head : job->start.prefix),
                        [&](const ScannedEvent& event) {
                          job->catalog.OnEvent(event);
                          return OkStatus();
                        }));
  Job* opened = job.get();
  state_->sha256 = Sha256();
  state_->sha256.Update(AsBytes(job->start.prefix));
  state_->hashed = job->begin;
  {
    std::lock_guard lock(state_->mutex);
    TM_CHECK(state_->jobs.empty() || state_->jobs.back()->sealed);
    state_->jobs.push_back(std::move(job));
  }
  TM_RETURN_IF_ERROR(state_->WriteRing(AsBytes(head)));
  std::lock_guard lock(state_->mutex);
  opened->end = state_->ring.head();
  return state_->error;
}

Status Pipeline::Append(Bytes bytes, const ScannedEvent& event) {
  TM_RETURN_IF_ERROR(state_->WriteRing(bytes));
  // Events inside a transaction change nothing that the writer waits for: most of them need no
  // lock.
  state_->unreported_bytes += bytes.size();
  const bool inside = event.role == EventRole::kTransaction && !event.begins_transaction &&
                      event.finished == nullptr;
  if (inside && state_->unreported_bytes < kUnreportedBytesMax) return OkStatus();
  state_->unreported_bytes = 0;
  {
    std::lock_guard lock(state_->mutex);
    if (!state_->error.ok()) return state_->error;
    Job& job = *state_->jobs.back();
    job.catalog.OnEvent(event);
    job.end = state_->ring.head();
    if (!job.catalog.in_transaction()) job.whole = job.end;
    if (job.catalog.FrameMayEnd()) {
      job.catalog.EndFrame(job.RawOffset(job.end));
      job.frame_ends.push_back(job.end);
    }
    if (job.whole != job.end) return OkStatus();
  }
  state_->work.notify_one();
  return OkStatus();
}

Status Pipeline::Seal(SealReason reason) {
  state_->HashWritten();
  const Sha256Digest digest = state_->sha256.Finish();
  {
    std::lock_guard lock(state_->mutex);
    TM_RETURN_IF_ERROR(state_->error);
    TM_CHECK(!state_->jobs.empty() && !state_->jobs.back()->sealed);
    Job& job = *state_->jobs.back();
    TM_CHECK(job.whole == job.end);
    job.raw_sha256 = digest;
    job.sealed = reason;
  }
  state_->work.notify_one();
  return OkStatus();
}

Status Pipeline::Health() const {
  std::lock_guard lock(state_->mutex);
  return state_->error;
}

bool Pipeline::SyncFailed() const {
  std::lock_guard lock(state_->mutex);
  return state_->sync_failed;
}

Status Pipeline::Drain() {
  std::unique_lock lock(state_->mutex);
  state_->space.wait(lock, [this] { return !state_->error.ok() || state_->Settled(); });
  return state_->error;
}

bool Pipeline::State::Settled() const {
  if (jobs.size() > 1 || !batches.empty() || syncing || sealing) return false;
  return jobs.empty() || (!jobs.front()->sealed && announced >= jobs.front()->whole);
}

void Pipeline::State::Fail(Status status, bool in_sync) {
  {
    std::lock_guard lock(mutex);
    if (error.ok()) error = std::move(status);
    sync_failed = sync_failed || in_sync;
  }
  space.notify_all();
  work.notify_all();
  batches_ready.notify_all();
}

Status Pipeline::State::WriteRing(Bytes bytes) {
  for (;;) {
    // Never so much at once that bytes not yet hashed could be overwritten.
    bytes = bytes.subspan(ring.Write(bytes.first(std::min(bytes.size(), ring.capacity() / 2))));
    if (ring.head() - hashed >= std::min(kHashBytes, ring.capacity() / 4)) HashWritten();
    if (bytes.empty()) return OkStatus();
    if (ring.head() - ring.tail() < ring.capacity()) continue;
    std::unique_lock lock(mutex);
    // Where the ring is full the writer always finds something to do: see WriterStep.
    work.notify_one();
    space.wait(lock, [this] { return !error.ok() || ring.head() - ring.tail() < ring.capacity(); });
    TM_RETURN_IF_ERROR(error);
  }
}

void Pipeline::State::HashWritten() {
  while (hashed < ring.head()) {
    const Bytes piece = ring.Written(hashed);
    sha256.Update(piece);
    hashed += piece.size();
  }
}

void Pipeline::State::WriterLoop() {
  pthread_setname_np(pthread_self(), "tm-write");
  std::unique_lock lock(mutex);
  while (!stopping && error.ok()) {
    if (!WriterStep(lock)) work.wait(lock);
  }
}

// Does the most useful thing there is to do; false if there is nothing.
bool Pipeline::State::WriterStep(std::unique_lock<std::mutex>& lock) {
  if (jobs.empty()) return false;
  Job& job = *jobs.front();
  const uint64_t waiting = job.whole - announced;
  const bool disk_free = batches.empty() && !syncing;
  if (job.whole > announced && batches.size() < options.batches_max &&
      (disk_free || waiting >= options.batch_raw_bytes || job.sealed)) {
    DurableStep(lock, job);
    return true;
  }
  // Sealing syncs the file itself. Beside another fdatasync of it, only one of the two would hear
  // of a failed write.
  if (job.sealed && announced == job.end && disk_free) {
    SealStep(lock);
    return true;
  }
  // Compress ahead while the disk is busy or a transaction is long; never past an unflushed
  // transaction end.
  const uint64_t tail = ring.tail();
  const uint64_t head = ring.head();
  const uint64_t until = job.whole > flushed ? job.whole : job.sealed ? job.end : head;
  const bool pressed = until - tail >= ring.capacity() / 4 || head - tail == ring.capacity();
  if (pressed && (until > tail || job.whole > flushed)) {
    EarlyStep(lock, job, until);
    return true;
  }
  return false;
}

Status Pipeline::State::OpenWriter(Job& job) {
  if (writer != nullptr) return OkStatus();
  TM_ASSIGN_OR_RETURN(
      writer,
      SegmentWriter::Create(archive.files(), archive.SegmentPath(source, job.start.header.number),
                            job.start.header, AsBytes(job.start.prefix), options.writer));
  return OkStatus();
}

std::vector<uint64_t> Pipeline::State::TakeFrameEnds(Job& job, uint64_t until) {
  std::vector<uint64_t> ends;
  for (; !job.frame_ends.empty() && job.frame_ends.front() <= until; job.frame_ends.pop_front())
    ends.push_back(job.frame_ends.front());
  return ends;
}

Status Pipeline::State::WriteUntil(uint64_t until, const std::vector<uint64_t>& frame_ends) {
  size_t next_end = 0;
  for (;;) {
    const uint64_t tail = ring.tail();
    while (next_end < frame_ends.size() && frame_ends[next_end] <= tail) {
      TM_RETURN_IF_ERROR(writer->EndFrame());
      ++next_end;
    }
    if (tail >= until) return OkStatus();
    const uint64_t stop = next_end < frame_ends.size() ? frame_ends[next_end] : until;
    const Bytes piece = ring.Front(std::min<uint64_t>(stop - tail, 256u << 10));
    TM_RETURN_IF_ERROR(writer->Append(piece));
    ring.Consume(piece.size());
    { std::lock_guard lock(mutex); }  // the caller is either before its check or waiting
    space.notify_one();
  }
}

void Pipeline::State::DurableStep(std::unique_lock<std::mutex>& lock, Job& job) {
  const uint64_t until = job.whole;
  const std::vector<uint64_t> ends = TakeFrameEnds(job, until);
  DurableBatch batch = job.catalog.TakeBatch();
  lock.unlock();
  Status status = OpenWriter(job);
  if (status.ok()) status = WriteUntil(until, ends);
  if (status.ok()) status = writer->Flush();
  if (!status.ok()) Fail(std::move(status));
  lock.lock();
  if (!error.ok()) return;
  flushed = announced = until;
  Enqueue(std::move(batch), false);
}

void Pipeline::State::EarlyStep(std::unique_lock<std::mutex>& lock, Job& job, uint64_t until) {
  const bool ends_whole = until == job.whole;
  const std::vector<uint64_t> ends = TakeFrameEnds(job, until);
  lock.unlock();
  Status status = OpenWriter(job);
  if (status.ok()) status = WriteUntil(until, ends);
  if (status.ok() && ends_whole) status = writer->Flush();
  if (!status.ok()) Fail(std::move(status));
  lock.lock();
  if (ends_whole) flushed = until;
}

void Pipeline::State::SealStep(std::unique_lock<std::mutex>& lock) {
  std::unique_ptr<Job> job = std::move(jobs.front());
  jobs.pop_front();
  sealing = true;
  DurableBatch batch = job->catalog.TakeBatch();
  SegmentFooter footer = job->catalog.FooterSoFar();
  lock.unlock();
  footer.reason = *job->sealed;
  footer.raw_sha256 = job->raw_sha256;
  footer.sealed_us = clock.WallMicroseconds();
  Status status = OpenWriter(*job);
  if (status.ok()) {
    Result<uint64_t> size = writer->Seal(footer);
    if (size.ok())
      batch.segment.stored_bytes = *size;
    else
      status = size.error();
  }
  if (!status.ok()) Fail(std::move(status), /*in_sync=*/true);
  lock.lock();
  sealing = false;
  if (!error.ok()) return;
  batch.segment.sealed = true;
  batch.segment.reason = *job->sealed;
  Enqueue(std::move(batch), true);
  writer.reset();
  flushed = announced = job->end;
}

void Pipeline::State::Enqueue(DurableBatch batch, bool synced) {
  batch.source = source;
  if (!synced) batch.segment.stored_bytes = writer->stored_bytes();
  for (FrameRecord& frame : batch.frames) frame.place = writer->frames().at(frame.frame);
  batches.push_back({writer, std::move(batch), synced});
  batches_ready.notify_one();
}

void Pipeline::State::SyncerLoop() {
  pthread_setname_np(pthread_self(), "tm-sync");
  std::unique_lock lock(mutex);
  for (;;) {
    batches_ready.wait(lock, [this] { return stopping || !error.ok() || !batches.empty(); });
    if (stopping || !error.ok()) return;
    std::deque<PendingBatch> group = std::exchange(batches, {});
    syncing = true;
    lock.unlock();
    Status status;
    // One fdatasync makes all of a file's waiting batches durable; the group's last of each file
    // stands for it.
    for (size_t i = 0; i < group.size() && status.ok(); ++i) {
      const bool last_of_file = i + 1 == group.size() || group[i + 1].writer != group[i].writer;
      if (last_of_file && !group[i].synced) status = group[i].writer->file().DataSync();
    }
    const bool synced = status.ok();
    for (size_t i = 0; i < group.size() && status.ok(); ++i)
      status = listener.OnDurable(group[i].batch);
    if (!status.ok()) Fail(std::move(status), !synced);
    group.clear();
    lock.lock();
    syncing = false;
    work.notify_one();
    space.notify_all();
  }
}

}  // namespace tidemark
