#include "replication/sink/source_archiver.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "replication/archive/gap_room.h"

namespace tidemark {
namespace {

std::string Describe(const Status& status) {
  return status.hint().empty() ? status.message() : status.message() + "; hint: " + status.hint();
}

// Worth trying again soon: a link that broke, or damaged what it carried. Anything else waits as
// long as it may, since a person has to act first.
bool Transient(const Status& error) {
  return error.code() == Code::kSourceUnavailable || error.code() == Code::kCorruption;
}

// An fdatasync may have failed, or whatever else touches the disk.
bool MayBeSyncs(const Status& error) {
  return error.code() == Code::kIo || error.code() == Code::kDiskFull;
}

}  // namespace

const char* ArchiverStateName(ArchiverState state) {
  switch (state) {
    case ArchiverState::kStarting: return "starting";
    case ArchiverState::kConnecting: return "connecting";
    case ArchiverState::kArchiving: return "archiving";
    case ArchiverState::kWaiting: return "waiting";
    case ArchiverState::kStopped: return "stopped";
  }
  return "unknown";
}

SourceArchiver::SourceArchiver(ArchiveDirectory& archive, std::unique_ptr<EventSource> source,
                               Clock& clock, DurableListener& listener, ArchiverOptions options)
    : archive_(archive),
      source_(std::move(source)),
      clock_(clock),
      meter_(listener, clock),
      acks_(meter_, [this] { source_->Wake(); }),
      announcer_(acks_),
      options_(std::move(options)),
      semi_sync_(options_.semi_sync == SemiSyncMode::kOff ? SemiSyncState::kOff
                                                          : SemiSyncState::kUnknown),
      jitter_(static_cast<uint32_t>(clock.WallMicroseconds())) {
  status_.semi_sync = semi_sync_;
}

SourceArchiver::~SourceArchiver() = default;

Status SourceArchiver::Prepare() {
  TM_RETURN_IF_ERROR(BeginLineage());
  TM_RETURN_IF_ERROR(archive_.CreateSource(options_.source));
  TM_RETURN_IF_ERROR(RemoveUnfinishedImport(archive_, options_.source));
  TM_ASSIGN_OR_RETURN(identity_, archive_.ReadIdentity(options_.source));
  TM_RETURN_IF_ERROR(DoubtTail());
  if (distrust_tail_) TM_RETURN_IF_ERROR(RewriteLastSegment(archive_, options_.source));
  Result<Recovery> recovered = RecoverSource(archive_, clock_, options_.source, identity_.forks);
  distrust_tail_ = !recovered.ok() && MayBeSyncs(recovered.error());
  if (!recovered.ok()) return recovered.error();
  Recovery& recovery = *recovered;
  if (recovery.sealed)
    spdlog::info("[{}] recovered segment {}: {} transactions kept, {} unacknowledged bytes cut",
                 options_.source, recovery.sealed->segment.header.number,
                 recovery.sealed->segment.transactions, recovery.cut_bytes);
  recovered_ = std::move(recovery.sealed);
  announcer_.StartBehind(recovery.resume.next_segment - 1, recovery.resume.commit_high_us);
  session_.emplace(options_.source, std::move(recovery.resume), options_.limits);
  return OkStatus();
}

// What a process before us could not make durable reads as well as what it could.
Status SourceArchiver::DoubtTail() {
  if (distrust_tail_) return OkStatus();
  const Result<bool> on_disk = LastSegmentIsOnDisk(archive_, options_.source);
  if (!on_disk.ok()) {
    distrust_tail_ = MayBeSyncs(on_disk.error());
    return on_disk.error();
  }
  distrust_tail_ = !*on_disk;
  if (distrust_tail_)
    spdlog::warn("[{}] the disk lacks some of the last segment: it is written again",
                 options_.source);
  return OkStatus();
}

// A full disk is what the reserve is for: cutting needs no room, sealing and the index do.
Status SourceArchiver::Recover() {
  Status status = RecoverOnce();
  return MakeRoom(status) ? RecoverOnce() : status;
}

// After a failure the disk decides what the archive holds, not our memory of it.
Status SourceArchiver::RecoverOnce() {
  if (pipeline_ != nullptr) {
    pipeline_->Stop();
    distrust_tail_ = distrust_tail_ || pipeline_->SyncFailed();
  }
  pipeline_.reset();
  session_.reset();
  appended_ = {};  // what the disk keeps of it gets published by what follows
  if (distrust_tail_) TM_RETURN_IF_ERROR(announcer_.DropUnannounced(archive_, options_.source));
  Result<Recovery> recovered = RecoverSource(archive_, clock_, options_.source, identity_.forks);
  if (!recovered.ok()) {
    distrust_tail_ = distrust_tail_ || MayBeSyncs(recovered.error());
    return recovered.error();
  }
  distrust_tail_ = false;
  Recovery& recovery = *recovered;
  if (recovery.sealed)
    spdlog::info(
        "[{}] cut segment {} back to its last whole transaction ({} bytes dropped, the source will "
        "send them again)",
        options_.source, recovery.sealed->segment.header.number, recovery.cut_bytes);
  TM_RETURN_IF_ERROR(announcer_.CatchUp(archive_, options_.source, recovery));
  session_.emplace(options_.source, std::move(recovery.resume), options_.limits);
  return OkStatus();
}

// A link that broke between transactions leaves the segment open; anything else goes through
// Recover.
Status SourceArchiver::AfterBreak(const Status& error) {
  source_->Disconnect();
  SetSemiSync(SemiSyncState::kUnknown);
  // Nothing sound stands where our last transaction was. Whether it is elsewhere is asked then.
  compare_by_gtid_ = error.code() == Code::kCorruption && session_->comparing();
  const bool clean = error.code() == Code::kSourceUnavailable && !session_->in_transaction();
  if (clean && (pipeline_ == nullptr || pipeline_->Drain().ok())) {
    session_->OnDisconnected();
    return OkStatus();
  }
  if (pipeline_ != nullptr)
    (void)pipeline_->Drain();  // if that fails there is less on disk, and Recover sees it
  return Recover();
}

Status SourceArchiver::Run() {
  while (!stopping_) {
    Status error = session_ ? ArchiveUntilBroken(false) : Recover();
    if (stopping_) break;
    if (error.ok()) continue;
    (void)MakeRoom(error);
    if (session_) {
      Status cut = AfterBreak(error);
      if (!cut.ok()) error = std::move(cut).WithContext("cannot recover the archive");
    }
    if (!WaitBeforeRetry(error)) break;
  }
  Status finished = Finish();
  SetState(ArchiverState::kStopped, finished);
  seals_.Close(Status(Code::kSourceUnavailable,
                      "source " + options_.source + " is not being archived any more",
                      "what there was is sealed, unless status says otherwise"));
  return finished;
}

Status SourceArchiver::RunOnce() {
  Status result = ArchiveUntilBroken(true);
  if (result.code() == Code::kEndOfData) result = OkStatus();
  (void)MakeRoom(result);
  Status finished = Finish();
  SetState(ArchiverState::kStopped, result.ok() ? finished : result);
  return result.ok() ? finished : result;
}

// Orderly stop: what is whole becomes durable, the segment is sealed; a transaction under way is
// cut off.
Status SourceArchiver::Finish() {
  source_->Disconnect();
  if (!session_ || session_->in_transaction()) {
    if (pipeline_ != nullptr) (void)pipeline_->Drain();
    return Recover();
  }
  if (pipeline_ == nullptr) return OkStatus();
  Status sealed = session_->segment_open() ? pipeline_->Seal(SealReason::kStop) : OkStatus();
  if (sealed.ok()) sealed = pipeline_->Drain();
  if (!sealed.ok()) {
    spdlog::error("[{}] {}", options_.source, Describe(sealed));
    return Recover();
  }
  session_->OnSealed();
  pipeline_.reset();
  return OkStatus();
}

void SourceArchiver::Stop() {
  stopping_ = true;
  source_->Interrupt();
  std::lock_guard lock(mutex_);
  wake_up_.notify_all();
}

Result<SealAnswer> SourceArchiver::Seal(const std::function<bool()>& give_up) {
  const auto wake = [this] {
    source_->Wake();
    std::lock_guard lock(mutex_);
    wake_up_.notify_all();
  };
  return seals_.Ask(wake, give_up);
}

// Gives the space reserve up if that is what `error` calls for. True: something was freed.
bool SourceArchiver::MakeRoom(const Status& error) {
  SpaceReserve* reserve = options_.reserve;
  if (reserve == nullptr || error.code() != Code::kDiskFull) return false;
  const uint64_t bytes = reserve->held_bytes();
  if (!reserve->GiveUp()) return false;
  spdlog::error(
      "[{}] {}; the space reserve of {} MiB is given up, so that what is archived can be sealed; "
      "hint: archiving goes on by itself when {} MiB are free",
      options_.source, error.message(), bytes >> 20,
      SpaceReserve::NeededBytes(reserve->wanted_bytes()) >> 20);
  return true;
}

// What was given up, by whichever source, must be there again before any of them archives.
Status SourceArchiver::KeepReserve() {
  if (options_.reserve == nullptr || !options_.reserve->given_up()) return OkStatus();
  TM_RETURN_IF_ERROR(options_.reserve->Keep());
  spdlog::info("[{}] there is room again, and the space reserve; archiving goes on",
               options_.source);
  return OkStatus();
}

Status SourceArchiver::ArchiveUntilBroken(bool non_blocking) {
  TM_RETURN_IF_ERROR(KeepReserve());
  SetState(ArchiverState::kConnecting, status().last_error);  // holds until we got through
  DumpRequest request;
  TM_RETURN_IF_ERROR(Connect(&request));
  request.non_blocking = non_blocking;
  request.semi_sync = options_.semi_sync == SemiSyncMode::kAuto;
  BeginDump();
  meter_.BeginDump();
  TM_RETURN_IF_ERROR(source_->StartDump(request));
  scanner_.emplace(ScannerOptions{.checksum_from_start = true});
  SetState(ArchiverState::kArchiving, OkStatus());
  Status error = Pump(non_blocking);
  if (error.code() != Code::kEndOfData || non_blocking) return error;
  return Status(Code::kSourceUnavailable,
                "source " + options_.source + " has ended the dump, as it does when it stops");
}

// Until the link breaks or ends: an error says how.
Status SourceArchiver::Pump(bool non_blocking) {
  idle_ = false;
  for (;;) {
    TM_RETURN_IF_ERROR(KeepReserve());
    if (acks_.waiting()) TM_RETURN_IF_ERROR(Acknowledge());
    if (idle_) TM_RETURN_IF_ERROR(AwaitEvent());
    TM_ASSIGN_OR_RETURN(const Bytes bytes, source_->Next());
    ScannedEvent event;
    TM_RETURN_IF_ERROR(scanner_->FeedEvent(bytes, &event));
    SessionAction action;
    if (Status taken = session_->OnEvent(bytes, event, &action); !taken.ok()) {
      NoteUnsent();
      return taken;
    }
    meter_.OnReceived(bytes.size(), event, EndOf(action));
    TM_RETURN_IF_ERROR(Perform(bytes, event, action));
    if (semi_sync_ != SemiSyncState::kOff) TM_RETURN_IF_ERROR(NoteAckWanted(event));
    if (event.role == EventRole::kHeartbeat) {
      source_->NoteArchived(
          {session_->resume().executed, identity_.server_uuids.back(), session_->resume().missing});
      if (pipeline_ != nullptr) TM_RETURN_IF_ERROR(pipeline_->Health());
    }
    idle_ = event.role == EventRole::kHeartbeat && !non_blocking;
    // Not for one that is only compared: this connection has not got anywhere with that.
    if (event.role == EventRole::kHeartbeat || (event.finished != nullptr && action.archive))
      TM_RETURN_IF_ERROR(BetweenTransactions());
  }
}

// Of an idle source: in a way that a request ends. Not for longer than its next heartbeat should
// take: whether the link is broken only Next finds out.
Status SourceArchiver::AwaitEvent() {
  for (;;) {
    TM_RETURN_IF_ERROR(SealIfAsked());
    if (source_->WaitForMore(2 * options_.heartbeat_us) || !seals_.pending()) return OkStatus();
  }
}

// Of the event; segment 0 if it is not archived.
ArchivePlace SourceArchiver::EndOf(const SessionAction& action) const {
  if (!action.archive) return {};
  return {action.begin ? action.begin->header.number : appended_.segment, action.raw_end};
}

Status SourceArchiver::Perform(Bytes bytes, ScannedEvent event, SessionAction& action) {
  if (action.seal_before) TM_RETURN_IF_ERROR(pipeline_->Seal(*action.seal_before));
  if (action.begin) {
    if (pipeline_ == nullptr) {
      PipelineOptions options = options_.pipeline;
      options.meter = &meter_;
      pipeline_ =
          std::make_unique<Pipeline>(archive_, options_.source, clock_, announcer_, options);
    }
    if (!action.begin->header.gap.missing.empty()) ShowGapAhead();
    segment_begun_us_ = clock_.MonotonicMicroseconds();
    appended_ = {action.begin->header.number, 0};
    TM_RETURN_IF_ERROR(
        pipeline_->Begin(std::move(*action.begin), session_->resume().commit_high_us));
  }
  if (action.archive) {
    // The scanner counts what it is fed; the segment counts what it holds.
    if (scanner_->offset() != action.raw_end) {
      scanner_->Rebase(action.raw_end);
      event.offset = action.raw_end - bytes.size();
    }
    TM_RETURN_IF_ERROR(pipeline_->Append(bytes, event));
    appended_.raw_bytes = action.raw_end;
  }
  if (action.seal_after) TM_RETURN_IF_ERROR(pipeline_->Seal(*action.seal_after));
  return OkStatus();
}

// Whatever needs doing now and then, and has no event of its own.
Status SourceArchiver::BetweenTransactions() {
  failures_ = 0;  // this connection got somewhere
  TM_RETURN_IF_ERROR(SealIfAsked());
  if (!session_->segment_open() || session_->in_transaction()) return OkStatus();
  if (clock_.MonotonicMicroseconds() - segment_begun_us_ < options_.limits.segment_age_us_max)
    return OkStatus();
  TM_RETURN_IF_ERROR(pipeline_->Seal(SealReason::kAge));
  session_->OnSealed();
  return OkStatus();
}

// Durable before it is answered. If it fails, the request waits for what recovery makes of it.
Status SourceArchiver::SealIfAsked() {
  if (!seals_.pending() || session_->in_transaction()) return OkStatus();
  const bool open = session_->segment_open();
  if (open) {
    TM_RETURN_IF_ERROR(pipeline_->Seal(SealReason::kRequest));
    session_->OnSealed();
    TM_RETURN_IF_ERROR(pipeline_->Drain());
    spdlog::info("[{}] segment {} sealed, as asked for", options_.source,
                 session_->resume().next_segment - 1);
  }
  seals_.Answer(SealAnswer{session_->resume().next_segment - 1, !open});
  return OkStatus();
}

// False if asked to stop meanwhile.
bool SourceArchiver::WaitBeforeRetry(const Status& error) {
  meter_.OnFailure(error.code());
  const bool transient = Transient(error);
  const int64_t full = transient ? std::min(options_.backoff_us_max,
                                            options_.backoff_us_min << std::min(failures_, 20u))
                                 : options_.backoff_us_max;
  if (failures_ < UINT32_MAX) ++failures_;
  const int64_t wait_us = std::uniform_int_distribution<int64_t>(full / 2, full)(jitter_);
  if (transient)
    spdlog::warn("[{}] {}; trying again in {:.1f} s", options_.source, error.message(),
                 1e-6 * static_cast<double>(wait_us));
  else
    spdlog::error("[{}] {}; trying again in {:.1f} s", options_.source, Describe(error),
                  1e-6 * static_cast<double>(wait_us));
  SetState(ArchiverState::kWaiting, error);
  const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(wait_us);
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      const bool called =
          wake_up_.wait_until(lock, until, [this] { return stopping_ || seals_.pending(); });
      if (!called || stopping_) return !stopping_;
    }
    // Without a session the disk is in trouble, and `error` says which.
    if (!session_)
      seals_.Answer(error);
    else if (const Status sealed = SealIfAsked(); !sealed.ok())
      (void)Recover();
  }
}

void SourceArchiver::SetState(ArchiverState state, Status error) {
  std::lock_guard lock(mutex_);
  status_.state = state;
  status_.last_error = std::move(error);
}

ArchiverStatus SourceArchiver::status() const {
  std::lock_guard lock(mutex_);
  ArchiverStatus status = status_;
  status.acks = acks_.counters();
  status.meter = meter_.Read();
  return status;
}

}  // namespace tidemark
