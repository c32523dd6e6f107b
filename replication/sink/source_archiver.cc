#include "replication/sink/source_archiver.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace tidemark {
namespace {

std::string Describe(const Status& status) {
  return status.hint().empty() ? status.message() : status.message() + "; hint: " + status.hint();
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

SourceArchiver::SourceArchiver(ArchiveDirectory& archive, std::unique_ptr<EventSource> source,
                               Clock& clock, DurableListener& listener, ArchiverOptions options)
    : archive_(archive),
      source_(std::move(source)),
      clock_(clock),
      announcer_(listener),
      options_(std::move(options)),
      jitter_(static_cast<uint32_t>(clock.WallMicroseconds())) {}

SourceArchiver::~SourceArchiver() = default;

Status SourceArchiver::Prepare() {
  TM_RETURN_IF_ERROR(archive_.CreateSource(options_.source));
  TM_ASSIGN_OR_RETURN(identity_, archive_.ReadIdentity(options_.source));
  TM_ASSIGN_OR_RETURN(Recovery recovery, RecoverSource(archive_, clock_, options_.source));
  if (recovery.sealed)
    spdlog::info("[{}] recovered segment {}: {} transactions kept, {} unacknowledged bytes cut",
                 options_.source, recovery.sealed->segment.header.number,
                 recovery.sealed->segment.transactions, recovery.cut_bytes);
  announcer_.StartBehind(recovery.resume.next_segment - 1, recovery.resume.commit_high_us);
  session_.emplace(options_.source, std::move(recovery.resume), options_.limits);
  return OkStatus();
}

// After a failure the disk decides what the archive holds, not our memory of it.
Status SourceArchiver::Recover() {
  distrust_tail_ = distrust_tail_ || (pipeline_ != nullptr && pipeline_->SyncFailed());
  pipeline_.reset();
  session_.reset();
  if (distrust_tail_) TM_RETURN_IF_ERROR(announcer_.DropUnannounced(archive_, options_.source));
  Result<Recovery> recovered = RecoverSource(archive_, clock_, options_.source);
  if (!recovered.ok()) {
    distrust_tail_ = distrust_tail_ || recovered.error().code() == Code::kIo;
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

Status SourceArchiver::ArchiveUntilBroken(bool non_blocking) {
  SetState(ArchiverState::kConnecting, status().last_error);  // holds until we got through
  DumpRequest request;
  TM_RETURN_IF_ERROR(Connect(&request));
  request.non_blocking = non_blocking;
  TM_RETURN_IF_ERROR(source_->StartDump(request));
  scanner_.emplace(ScannerOptions{});
  SetState(ArchiverState::kArchiving, OkStatus());
  Status error = Pump();
  if (error.code() != Code::kEndOfData || non_blocking) return error;
  return Status(Code::kSourceUnavailable,
                "source " + options_.source + " has ended the dump, as it does when it stops");
}

Status SourceArchiver::Connect(DumpRequest* request) {
  TM_ASSIGN_OR_RETURN(SourceFacts facts, source_->Connect());
  TM_ASSIGN_OR_RETURN(GapRecord gap, CheckHistory(facts));
  TM_RETURN_IF_ERROR(CheckPlace(facts, request));
  TM_RETURN_IF_ERROR(RememberServer(facts.server_uuid));
  request->server_id = options_.server_id;
  request->our_uuid = identity_.replica_uuid;
  request->heartbeat_us = options_.heartbeat_us;
  {
    std::lock_guard lock(mutex_);
    ++status_.connections;
    status_.server_version = facts.version;
  }
  spdlog::info(
      "[{}] connected to MySQL {} ({}), {}; archived up to {}", options_.source, facts.version,
      facts.server_uuid.ToString(), facts.tls_cipher.empty() ? "no TLS" : facts.tls_cipher,
      session_->resume().place.file.empty() ? "nothing yet" : session_->resume().place.file);
  if (!gap.missing.empty())
    spdlog::warn("[{}] gap: {} will never be archived: {}", options_.source, gap.missing.ToString(),
                 gap.reason);
  session_->OnConnected(facts.server_uuid, gap);
  request->exclude = session_->resume().executed;
  return OkStatus();
}

// Compares histories before anything is asked for (invariants 6 and 10).
Result<GapRecord> SourceArchiver::CheckHistory(const SourceFacts& facts) const {
  const GtidSet& ours = session_->resume().executed;
  // The source sends a transaction before it counts as executed there.
  const GtidSet lost = ours.Minus(facts.gtid_executed).Minus(facts.gtid_owned);
  if (!lost.empty())
    return Status(Code::kDivergence,
                  "the archive has transactions that source " + options_.source +
                      " does not have: " + lost.ToString(),
                  "the source was rewound, restored or replaced; archive it under a new source "
                  "name, or bring these transactions back to it");
  GapRecord gap;
  gap.missing = facts.gtid_purged.Minus(ours);
  if (gap.missing.empty() || options_.adopt_purged) {
    gap.reason = ours.empty()
                     ? "purged by the source before its first archiving (adopt_purged = true)"
                     : "purged by the source before they could be archived (adopt_purged = true)";
    gap.noticed_us = clock_.WallMicroseconds();
    return gap;
  }
  return Status(
      Code::kGap,
      "source " + options_.source +
          " has purged transactions that the archive does not have: " + gap.missing.ToString(),
      "set adopt_purged = true for this source to go on without them; they will be listed as a "
      "gap");
}

Status SourceArchiver::RememberServer(const Uuid& server_uuid) {
  if (!identity_.server_uuids.empty() && identity_.server_uuids.back() == server_uuid)
    return OkStatus();
  identity_.server_uuids.push_back(server_uuid);
  return archive_.WriteIdentity(options_.source, identity_);
}

// The dump begins where the archive ends, in the same file, as long as the source has that file.
// Left to itself the source would begin in the newest file that holds something we lack: it would
// skip what stands behind a file's last transaction (its Rotate) and files without transactions,
// and the archive's copies of those files would not be whole.
Status SourceArchiver::CheckPlace(const SourceFacts& facts, DumpRequest* request) const {
  const SourcePlace& place = session_->resume().place;
  if (place.server_uuid != facts.server_uuid) return OkStatus();
  for (const SourceBinlog& binlog : facts.binlogs) {
    if (binlog.name != place.file) continue;
    if (binlog.bytes < place.position)
      return Status(
          Code::kDivergence,
          "source " + options_.source + " has a shorter " + place.file + " (" +
              std::to_string(binlog.bytes) + " bytes) than the archive (" +
              std::to_string(place.position) + " bytes)",
          "the source's binary logs were reset or truncated; archive it under a new source name");
    request->file = place.file;
    request->position = std::max<uint64_t>(place.position, kBinlogMagicSize);
    return OkStatus();
  }
  // Purged files are older than all that are listed. One that is newer was never on this source as
  // it is now.
  const auto older = [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() < b.size() : a < b;
  };
  if (!place.file.empty() && !facts.binlogs.empty() && older(facts.binlogs.back().name, place.file))
    return Status(Code::kDivergence,
                  "source " + options_.source + " writes " + facts.binlogs.back().name +
                      ", but the archive goes up to " + place.file,
                  "the source's binary logs were reset; archive it under a new source name");
  return OkStatus();
}

// Until the link breaks or ends: an error says how.
Status SourceArchiver::Pump() {
  for (;;) {
    TM_ASSIGN_OR_RETURN(const Bytes bytes, source_->Next());
    ScannedEvent event;
    TM_RETURN_IF_ERROR(scanner_->FeedEvent(bytes, &event));
    SessionAction action;
    TM_RETURN_IF_ERROR(session_->OnEvent(bytes, event, &action));
    TM_RETURN_IF_ERROR(Perform(bytes, event, action));
    if (event.role == EventRole::kHeartbeat && pipeline_ != nullptr)
      TM_RETURN_IF_ERROR(pipeline_->Health());
    if (event.role == EventRole::kHeartbeat || event.finished != nullptr)
      TM_RETURN_IF_ERROR(BetweenTransactions());
  }
}

Status SourceArchiver::Perform(Bytes bytes, ScannedEvent event, SessionAction& action) {
  if (action.seal_before) TM_RETURN_IF_ERROR(pipeline_->Seal(*action.seal_before));
  if (action.begin) {
    if (pipeline_ == nullptr)
      pipeline_ = std::make_unique<Pipeline>(archive_, options_.source, clock_, announcer_,
                                             options_.pipeline);
    segment_begun_us_ = clock_.MonotonicMicroseconds();
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
  }
  if (action.seal_after) TM_RETURN_IF_ERROR(pipeline_->Seal(*action.seal_after));
  return OkStatus();
}

// Whatever needs doing now and then, and has no event of its own.
Status SourceArchiver::BetweenTransactions() {
  failures_ = 0;  // this connection got somewhere
  if (!session_->segment_open() || session_->in_transaction()) return OkStatus();
  if (clock_.MonotonicMicroseconds() - segment_begun_us_ < options_.limits.segment_age_us_max)
    return OkStatus();
  TM_RETURN_IF_ERROR(pipeline_->Seal(SealReason::kAge));
  session_->OnSealed();
  return OkStatus();
}

// False if asked to stop meanwhile.
bool SourceArchiver::WaitBeforeRetry(const Status& error) {
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
