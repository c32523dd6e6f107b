#include "replication/sink/pipeline.h"

#include <algorithm>
#include <utility>

#include "replication/sink/pipeline_state.h"

namespace tidemark {
namespace {

// The catalog hears of events inside a transaction only so often: enough to end frames in time.
constexpr uint64_t kUnreportedBytesMax = 64u << 10;

// Bytes are hashed in stretches of this size: each call costs, and most events are small.
constexpr size_t kHashBytes = 64u << 10;

}  // namespace

Pipeline::Pipeline(ArchiveDirectory& archive, std::string source, Clock& clock,
                   DurableListener& listener, PipelineOptions options)
    : state_(std::make_unique<State>(archive, std::move(source), clock, listener, options)) {
  state_->writer_party.Start([state = state_.get()] { state->WriterLoop(); });
  state_->syncer_party.Start([state = state_.get()] { state->SyncerLoop(); });
}

Pipeline::~Pipeline() { Stop(); }

void Pipeline::Stop() {
  {
    std::lock_guard lock(state_->mutex);
    if (std::exchange(state_->stopping, true)) return;
  }
  state_->work.notify_all();
  state_->batches_ready.notify_all();
  state_->writer_party.Join();
  state_->syncer_party.Join();
}

Status Pipeline::Begin(SegmentStart start, int64_t commit_high_us) {
  start.header.created_us = state_->clock.WallMicroseconds();
  const std::string head = std::move(start.file_head);
  auto job = std::make_unique<PipelineJob>(std::move(start), commit_high_us, state_->ring.head());
  // The catalog sees the segment's first events, ours or the file's, as every later reader will.
  StreamScanner scanner(ScannerOptions{.expect_magic = true});
  TM_RETURN_IF_ERROR(
      scanner.FeedBytes(AsBytes(job->start.prefix.empty() ? head : job->start.prefix),
                        [&](const ScannedEvent& event) {
                          job->catalog.OnEvent(event);
                          return OkStatus();
                        }));
  PipelineJob* opened = job.get();
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
    PipelineJob& job = *state_->jobs.back();
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
    PipelineJob& job = *state_->jobs.back();
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

}  // namespace tidemark
