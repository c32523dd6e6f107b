#include "replication/sink/source_archiver.h"

#include <openssl/rand.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace tidemark {
namespace {

std::string Describe(const Status& status) {
  return status.hint().empty() ? status.message() : status.message() + "; hint: " + status.hint();
}

Result<Uuid> RandomUuid() {
  Uuid uuid;
  if (RAND_bytes(uuid.bytes.data(), static_cast<int>(uuid.bytes.size())) != 1)
    return Status(Code::kIo, "the system has no random numbers to make a replica UUID of");
  uuid.bytes[6] = static_cast<uint8_t>((uuid.bytes[6] & 0x0F) | 0x40);  // RFC 4122, version 4
  uuid.bytes[8] = static_cast<uint8_t>((uuid.bytes[8] & 0x3F) | 0x80);
  return uuid;
}

// Worth trying again soon; anything else waits as long as it may, since a person has to act first.
bool Transient(const Status& error) { return error.code() == Code::kSourceUnavailable; }

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

SourceArchiver::SourceArchiver(ArchiveDirectory& archive, std::unique_ptr<EventSource> source, Clock& clock,
                               DurableListener& listener, ArchiverOptions options)
    : archive_(archive), source_(std::move(source)), clock_(clock), listener_(listener), options_(std::move(options)),
      jitter_(static_cast<uint32_t>(clock.WallMicroseconds())) {}

SourceArchiver::~SourceArchiver() = default;

Status SourceArchiver::Prepare() {
  TM_RETURN_IF_ERROR(archive_.CreateSource(options_.source));
  TM_ASSIGN_OR_RETURN(identity_, archive_.ReadIdentity(options_.source));
  if (identity_.replica_uuid == Uuid{}) {
    TM_ASSIGN_OR_RETURN(identity_.replica_uuid, RandomUuid());
    TM_RETURN_IF_ERROR(archive_.WriteIdentity(options_.source, identity_));
  }
  TM_ASSIGN_OR_RETURN(Recovery recovery, RecoverSource(archive_, clock_, options_.source));
  if (recovery.sealed)
    spdlog::info("[{}] recovered segment {}: {} transactions kept, {} unacknowledged bytes cut", options_.source,
                 recovery.sealed->segment.header.number, recovery.sealed->segment.transactions, recovery.cut_bytes);
  session_.emplace(options_.source, std::move(recovery.resume), options_.limits);
  return OkStatus();
}

// After a failure the disk decides what the archive holds, not our memory of it.
Status SourceArchiver::Recover() {
  pipeline_.reset();
  session_.reset();
  TM_ASSIGN_OR_RETURN(Recovery recovery, RecoverSource(archive_, clock_, options_.source));
  if (recovery.sealed) {
    spdlog::info("[{}] cut segment {} back to its last whole transaction ({} bytes dropped, the source will send them again)",
                 options_.source, recovery.sealed->segment.header.number, recovery.cut_bytes);
    TM_RETURN_IF_ERROR(listener_.OnDurable(*recovery.sealed));
  }
  session_.emplace(options_.source, std::move(recovery.resume), options_.limits);
  return OkStatus();
}

// A link that broke between transactions leaves the segment open; anything else goes through Recover.
Status SourceArchiver::AfterBreak(const Status& error) {
  source_->Disconnect();
  const bool clean = error.code() == Code::kSourceUnavailable && !session_->in_transaction();
  if (clean && (pipeline_ == nullptr || pipeline_->Drain().ok())) {
    session_->OnDisconnected();
    return OkStatus();
  }
  if (pipeline_ != nullptr) (void)pipeline_->Drain();  // if that fails there is less on disk, and Recover sees it
  return Recover();
}

Status SourceArchiver::Run() {
  while (!stopping_) {
    Status error = session_ ? ArchiveUntilBroken(false) : Recover();
    if (stopping_) break;
    if (error.ok()) continue;
    if (session_) {
      Status cut = AfterBreak(error);
      if (!cut.ok()) error = std::move(cut).WithContext("cannot recover the archive");
    }
    if (!WaitBeforeRetry(error)) break;
  }
  Status finished = Finish();
  SetState(ArchiverState::kStopped, finished);
  return finished;
}

Status SourceArchiver::RunOnce() {
  Status result = ArchiveUntilBroken(true);
  if (result.code() == Code::kEndOfData) result = OkStatus();
  Status finished = Finish();
  SetState(ArchiverState::kStopped, result.ok() ? finished : result);
  return result.ok() ? finished : result;
}

// Orderly stop: what is whole becomes durable, the segment is sealed; a transaction under way is cut off.
Status SourceArchiver::Finish() {
  source_->Disconnect();
  if (session_ && session_->in_transaction())
    TM_RETURN_IF_ERROR(AfterBreak(Status(Code::kInterrupted, "stopped inside a transaction")));
  if (!session_ || pipeline_ == nullptr) return OkStatus();
  if (session_->segment_open()) TM_RETURN_IF_ERROR(pipeline_->Seal(SealReason::kStop));
  session_->OnSealed();
  Status drained = pipeline_->Drain();
  pipeline_.reset();
  return drained;
}

void SourceArchiver::Stop() {
  stopping_ = true;
  source_->Interrupt();
  std::lock_guard lock(mutex_);
  wake_up_.notify_all();
}

Status SourceArchiver::ArchiveUntilBroken(bool non_blocking) {
  SetState(ArchiverState::kConnecting, OkStatus());
  DumpRequest request;
  TM_RETURN_IF_ERROR(Connect(&request));
  request.non_blocking = non_blocking;
  request.exclude = session_->resume().executed;
  TM_RETURN_IF_ERROR(source_->StartDump(request));
  scanner_.emplace(ScannerOptions{});
  SetState(ArchiverState::kArchiving, OkStatus());
  return Pump(false);
}

Status SourceArchiver::Connect(DumpRequest* request) {
  TM_ASSIGN_OR_RETURN(SourceFacts facts, source_->Connect());
  TM_ASSIGN_OR_RETURN(GapRecord gap, CheckHistory(facts));
  TM_RETURN_IF_ERROR(RememberServer(facts.server_uuid));
  request->server_id = options_.server_id;
  request->our_uuid = identity_.replica_uuid;
  request->heartbeat_us = options_.heartbeat_us;
  {
    std::lock_guard lock(mutex_);
    ++status_.connections;
    status_.server_version = facts.version;
  }
  spdlog::info("[{}] connected to MySQL {} ({}), {}; archived up to {}", options_.source, facts.version,
               facts.server_uuid.ToString(), facts.tls_cipher.empty() ? "no TLS" : facts.tls_cipher,
               session_->resume().place.file.empty() ? "nothing yet" : session_->resume().place.file);
  if (!gap.missing.empty())
    spdlog::warn("[{}] gap: {} will never be archived: {}", options_.source, gap.missing.ToString(), gap.reason);
  session_->OnConnected(facts.server_uuid, gap);
  return FinishFile(*request, facts);
}

// Compares histories before anything is asked for (invariants 6 and 10).
Result<GapRecord> SourceArchiver::CheckHistory(const SourceFacts& facts) const {
  const GtidSet& ours = session_->resume().executed;
  const GtidSet lost = ours.Minus(facts.gtid_executed);
  if (!lost.empty())
    return Status(Code::kDivergence,
                  "the archive has transactions that source " + options_.source + " does not have: " + lost.ToString(),
                  "the source was rewound, restored or replaced; archive it under a new source name, or bring these transactions back to it");
  GapRecord gap;
  gap.missing = facts.gtid_purged.Minus(ours);
  if (gap.missing.empty() || options_.adopt_purged) {
    gap.reason = ours.empty() ? "purged by the source before its first archiving (adopt_purged = true)"
                              : "purged by the source before they could be archived (adopt_purged = true)";
    gap.noticed_us = clock_.WallMicroseconds();
    return gap;
  }
  return Status(Code::kGap,
                "source " + options_.source + " has purged transactions that the archive does not have: " + gap.missing.ToString(),
                "set adopt_purged = true for this source to go on without them; they will be listed as a gap");
}

Status SourceArchiver::RememberServer(const Uuid& server_uuid) {
  if (!identity_.server_uuids.empty() && identity_.server_uuids.back() == server_uuid) return OkStatus();
  identity_.server_uuids.push_back(server_uuid);
  return archive_.WriteIdentity(options_.source, identity_);
}

// Auto-position starts at the newest file that can hold something we lack. If we stopped between a file's last
// transaction and its Rotate event, it would skip that event, and the file's copy would lack its end. So a file that
// the source has already left is first read to its end by position.
Status SourceArchiver::FinishFile(const DumpRequest& base, const SourceFacts& facts) {
  const SourcePlace place = session_->resume().place;
  if (place.file.empty() || place.server_uuid != facts.server_uuid || place.position <= kBinlogMagicSize) return OkStatus();
  for (size_t i = 0; i + 1 < facts.binlogs.size(); ++i) {
    if (facts.binlogs[i].name != place.file || facts.binlogs[i].bytes <= place.position) continue;
    if (place.position > UINT32_MAX) break;  // COM_BINLOG_DUMP cannot say it
    DumpRequest request = base;
    request.by_position = true;
    request.non_blocking = true;
    request.file = place.file;
    request.position = place.position;
    TM_RETURN_IF_ERROR(source_->StartDump(request));
    scanner_.emplace(ScannerOptions{});
    Status status = Pump(true);
    if (status.code() != Code::kEndOfData) TM_RETURN_IF_ERROR(std::move(status));
    TM_ASSIGN_OR_RETURN(SourceFacts again, source_->Connect());
    session_->OnConnected(again.server_uuid, {});
    break;
  }
  return OkStatus();
}

// Until the link breaks or ends (an error says how), or, if so asked, OK when the source leaves the current file.
Status SourceArchiver::Pump(bool until_file_ends) {
  for (;;) {
    TM_ASSIGN_OR_RETURN(const Bytes bytes, source_->Next());
    failures_ = 0;
    ScannedEvent event;
    TM_RETURN_IF_ERROR(scanner_->FeedEvent(bytes, &event));
    SessionAction action;
    TM_RETURN_IF_ERROR(session_->OnEvent(bytes, event, &action));
    if (until_file_ends && action.file_ended) return OkStatus();
    TM_RETURN_IF_ERROR(Perform(bytes, event, action));
    if (event.role == EventRole::kHeartbeat || event.finished != nullptr) TM_RETURN_IF_ERROR(SealIfOld());
  }
}

Status SourceArchiver::Perform(Bytes bytes, ScannedEvent event, SessionAction& action) {
  if (action.seal_before) TM_RETURN_IF_ERROR(pipeline_->Seal(*action.seal_before));
  if (action.begin) {
    if (pipeline_ == nullptr)
      pipeline_ = std::make_unique<Pipeline>(archive_, options_.source, clock_, listener_, options_.pipeline);
    segment_begun_us_ = clock_.MonotonicMicroseconds();
    TM_RETURN_IF_ERROR(pipeline_->Begin(std::move(*action.begin), session_->resume().commit_high_us));
  }
  if (action.archive) {
    // The scanner counts what it is fed; the segment counts what it holds.
    if (scanner_->offset() != action.raw_end) {
      scanner_->Rebase(action.raw_end);
      event.offset = action.raw_end - bytes.size();
    }
    TM_RETURN_IF_ERROR(pipeline_->Append(bytes, event));
  }
  if (action.seal_after) TM_RETURN_IF_ERROR(pipeline_->Seal(*action.seal_after));
  return OkStatus();
}

Status SourceArchiver::SealIfOld() {
  if (!session_->segment_open()) return OkStatus();
  if (clock_.MonotonicMicroseconds() - segment_begun_us_ < options_.limits.segment_age_us_max) return OkStatus();
  TM_RETURN_IF_ERROR(pipeline_->Seal(SealReason::kAge));
  session_->OnSealed();
  return OkStatus();
}

// False if asked to stop meanwhile.
bool SourceArchiver::WaitBeforeRetry(const Status& error) {
  const bool transient = Transient(error);
  const int64_t full = transient ? std::min(options_.backoff_us_max, options_.backoff_us_min << std::min(failures_, 20u))
                                 : options_.backoff_us_max;
  if (failures_ < UINT32_MAX) ++failures_;
  const int64_t wait_us = std::uniform_int_distribution<int64_t>(full / 2, full)(jitter_);
  if (transient) spdlog::warn("[{}] {}; trying again in {:.1f} s", options_.source, error.message(), 1e-6 * static_cast<double>(wait_us));
  else spdlog::error("[{}] {}; trying again in {:.1f} s", options_.source, Describe(error), 1e-6 * static_cast<double>(wait_us));
  SetState(ArchiverState::kWaiting, error);
  std::unique_lock lock(mutex_);
  wake_up_.wait_for(lock, std::chrono::microseconds(wait_us), [this] { return stopping_.load(); });
  return !stopping_;
}

void SourceArchiver::SetState(ArchiverState state, Status error) {
  std::lock_guard lock(mutex_);
  status_.state = state;
  status_.last_error = std::move(error);
}

ArchiverStatus SourceArchiver::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace tidemark
