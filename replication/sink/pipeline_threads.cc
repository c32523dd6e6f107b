// The pipeline's writer and syncer threads. What each step may assume is in pipeline_state.h.
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "replication/base/failpoint.h"
#include "replication/sink/pipeline_state.h"
#include "replication/sink/source_meter.h"

namespace tidemark {

void Pipeline::State::WriterLoop() {
  if (options.turns == nullptr) pthread_setname_np(pthread_self(), "tm-write");
  std::unique_lock lock(mutex);
  while (!stopping && error.ok()) {
    if (!WriterStep(lock)) work.wait(lock);
  }
}

// Does the most useful thing there is to do; false if there is nothing.
bool Pipeline::State::WriterStep(std::unique_lock<std::mutex>& lock) {
  if (jobs.empty()) return false;
  PipelineJob& job = *jobs.front();
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

Status Pipeline::State::OpenWriter(PipelineJob& job) {
  if (writer != nullptr) return OkStatus();
  TM_ASSIGN_OR_RETURN(
      writer, SegmentWriter::Create(
                  archive.files(),
                  archive.SegmentPath(source, job.start.header.number) + options.path_suffix,
                  job.start.header, AsBytes(job.start.prefix), options.writer));
  return OkStatus();
}

std::vector<uint64_t> Pipeline::State::TakeFrameEnds(PipelineJob& job, uint64_t until) {
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

// Ends a block at a transaction's end. What is compressed ahead from here on belongs to no batch
// before the next such end: batches that end here end at this place in the file.
Status Pipeline::State::FlushAt(uint64_t until, const std::vector<uint64_t>& frame_ends) {
  TM_RETURN_IF_ERROR(WriteUntil(until, frame_ends));
  TM_RETURN_IF_ERROR(writer->Flush());
  flushed = until;
  flushed_stored_bytes = writer->stored_bytes();
  return OkStatus();
}

void Pipeline::State::DurableStep(std::unique_lock<std::mutex>& lock, PipelineJob& job) {
  const uint64_t until = job.whole;
  const std::vector<uint64_t> ends = TakeFrameEnds(job, until);
  DurableBatch batch = job.catalog.TakeBatch();
  lock.unlock();
  Status status = OpenWriter(job);
  if (status.ok() && flushed < until) status = FlushAt(until, ends);
  TM_FAILPOINT("sink.written");
  if (!status.ok()) Fail(std::move(status));
  lock.lock();
  if (!error.ok()) return;
  announced = until;
  Enqueue(std::move(batch), false);
}

void Pipeline::State::EarlyStep(std::unique_lock<std::mutex>& lock, PipelineJob& job,
                                uint64_t until) {
  const bool ends_whole = until == job.whole;
  const std::vector<uint64_t> ends = TakeFrameEnds(job, until);
  lock.unlock();
  Status status = OpenWriter(job);
  if (status.ok()) status = ends_whole ? FlushAt(until, ends) : WriteUntil(until, ends);
  if (!status.ok()) Fail(std::move(status));
  lock.lock();
}

void Pipeline::State::SealStep(std::unique_lock<std::mutex>& lock) {
  std::unique_ptr<PipelineJob> job = std::move(jobs.front());
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
  if (!synced) batch.segment.stored_bytes = flushed_stored_bytes;
  for (FrameRecord& frame : batch.frames) frame.place = writer->frames().at(frame.frame);
  batches.push_back({writer, std::move(batch), synced});
  batches_ready.notify_one();
}

Status Pipeline::State::TimedSync(File& file) {
  const int64_t begun_us = clock.MonotonicMicroseconds();
  Status status = file.DataSync();
  if (options.meter != nullptr)
    options.meter->OnSync(clock.MonotonicMicroseconds() - begun_us, status.ok());
  return status;
}

void Pipeline::State::SyncerLoop() {
  if (options.turns == nullptr) pthread_setname_np(pthread_self(), "tm-sync");
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
      if (last_of_file && !group[i].synced) status = TimedSync(group[i].writer->file());
    }
    const bool synced = status.ok();
    if (synced) TM_FAILPOINT("sink.synced");
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
