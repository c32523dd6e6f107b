// The archiver as a semi-synchronous replica: when it acknowledges, and what it says about that.
// What may be acknowledged is acknowledger.h's to know.
#include <spdlog/spdlog.h>

#include <algorithm>

#include "replication/base/failpoint.h"
#include "replication/sink/source_archiver.h"

namespace tidemark {
namespace {

// How long a pipeline that has failed may go unnoticed by a thread that waits for it.
constexpr int64_t kHealthCheckUs = 100'000;

// Another replica's acknowledgements may come sooner now and then.
constexpr int64_t kWarnAgainUs = 3'600'000'000;

// For how long commits that wait may have their events still on the way to us.
constexpr int64_t kOnTheWayUs = 1'000'000;

// So many say that a source is idle.
constexpr int kQuietHeartbeats = 2;

// Commits may also wait for another replica than us: another dump would not help them.
constexpr int kUnheardMax = 2;

}  // namespace

const char* SemiSyncStateName(SemiSyncState state) {
  switch (state) {
    case SemiSyncState::kOff: return "off";
    case SemiSyncState::kUnknown: return "unknown";
    case SemiSyncState::kUnavailable: return "unavailable";
    case SemiSyncState::kReady: return "ready";
    case SemiSyncState::kNotWaiting: return "not-waiting";
    case SemiSyncState::kOn: return "on";
  }
  return "unknown";
}

void SourceArchiver::BeginDump() {
  acks_.BeginDump(identity_.server_uuids.back());
  ack_wanted_ = false;
  fresh_dump_ = true;
  said_ = false;
  semi_sync_logged_.reset(static_cast<size_t>(SemiSyncState::kReady));
  semi_sync_logged_.reset(static_cast<size_t>(SemiSyncState::kOn));
}

// Everything that is archived when a dump begins has been published, and a source that is asked to
// begin at a place takes all in front of it for acknowledged (plugin/semisync,
// repl_semi_binlog_dump_start). One that had to find the place by GTID does not: it is told, or
// commits that we have already would go on waiting.
Status SourceArchiver::AfterFirstEvent() {
  fresh_dump_ = false;
  if (!source_->semi_sync()) {
    SetSemiSync(SemiSyncState::kUnavailable);
    return OkStatus();
  }
  SetSemiSync(watch_.did_not_wait() ? SemiSyncState::kNotWaiting : SemiSyncState::kReady);
  const SourcePlace& place = session_->resume().place;
  if (place.file.empty() || place.server_uuid != identity_.server_uuids.back()) return OkStatus();
  return Say(place.file, std::max<uint64_t>(place.position, kBinlogMagicSize));
}

// After each event: remembers what the source wants acknowledged, to the end of a transaction.
Status SourceArchiver::NoteAckWanted(const ScannedEvent& event) {
  bool wanted = source_->AckWanted();  // of the event, which AfterFirstEvent may overwrite
  // Not before the file is known to be the one that we have: the session has compared its format
  // description with ours, and our last transaction, if that comes first.
  const bool looked_at = event.role == EventRole::kFormatDescription || event.finished != nullptr;
  const bool known = !session_->comparing();
  if (fresh_dump_ && looked_at && known) {
    TM_RETURN_IF_ERROR(AfterFirstEvent());
    // Then all that we have is said to be safe, with the transaction that came once more.
    if (event.finished != nullptr) ack_wanted_ = wanted = false;
  }
  ack_wanted_ = ack_wanted_ || wanted;
  if (ack_wanted_ && known && !session_->in_transaction()) {
    ack_wanted_ = false;
    acks_.Want(appended_, clock_.MonotonicMicroseconds());
    watch_.Asked();
    SetSemiSync(SemiSyncState::kOn);
  } else if (source_->semi_sync() && !fresh_dump_) {
    if (event.finished != nullptr) watch_.NotAsked(*event.finished);
    if (event.role == EventRole::kHeartbeat) watch_.Idle();
    if (watch_.did_not_wait()) SetSemiSync(SemiSyncState::kNotWaiting);
  }
  if (event.finished != nullptr) commits_wait_since_us_.reset();
  if (event.role == EventRole::kHeartbeat && said_ && !acks_.waiting())
    TM_RETURN_IF_ERROR(BeHeard());
  return OkStatus();
}

// Before the next event is fetched: says what may be said; where the source wants an answer and has
// sent nothing more, waits for what it sends next or for what gets published, whichever comes
// first. So what arrives during one fdatasync is acknowledged together after the next.
Status SourceArchiver::Acknowledge() {
  while (acks_.waiting()) {
    if (const std::optional<SourcePlace> place = acks_.Due()) {
      TM_FAILPOINT("sink.acknowledging");
      TM_RETURN_IF_ERROR(Say(place->file, place->position));
      unheard_ = 0;
      acks_.Sent(clock_.MonotonicMicroseconds());
      continue;
    }
    if (source_->WaitForMore(kHealthCheckUs)) return OkStatus();
    if (pipeline_ != nullptr) TM_RETURN_IF_ERROR(pipeline_->Health());
  }
  return OkStatus();
}

Status SourceArchiver::Say(const std::string& file, uint64_t position) {
  TM_RETURN_IF_ERROR(source_->Acknowledge(file, position));
  said_ = true;
  quiet_heartbeats_ = 0;
  commits_wait_since_us_.reset();
  return OkStatus();
}

// At an idle source's heartbeat. An acknowledgement that was damaged on its way is not answered,
// and after a damaged length the source does not even read the next one (plugin/semisync,
// Ack_receiver::run), while its clients wait, perhaps for ever. So it is asked once whether commits
// still wait. If they do, and nothing comes, it takes another dump: its starting place tells the
// source what we have. Saying it again could complete the damaged one, to a wrong place.
Status SourceArchiver::BeHeard() {
  if (++quiet_heartbeats_ < kQuietHeartbeats || unheard_ == kUnheardMax) return OkStatus();
  const Result<bool> wait = source_->CommitsWait();
  if (!wait.ok()) {
    spdlog::warn("[{}] cannot ask whether commits wait for what was acknowledged: {}",
                 options_.source, wait.error().message());
    return OkStatus();  // at the next heartbeat again
  }
  if (!*wait) {
    said_ = false;
    return OkStatus();
  }
  const int64_t now_us = clock_.MonotonicMicroseconds();
  if (!commits_wait_since_us_) commits_wait_since_us_ = now_us;
  if (now_us - *commits_wait_since_us_ < kOnTheWayUs) return OkStatus();
  ++unheard_;
  return {Code::kSourceUnavailable,
          "the source's commits wait for an acknowledgement that was sent: it did not arrive whole",
          "if they go on waiting, it is another replica's acknowledgement that is missing"};
}

// Says it in the log once per connection; that the plugin is missing, once and for all; that
// commits did not wait, once an hour.
void SourceArchiver::SetSemiSync(SemiSyncState state) {
  if (semi_sync_ == SemiSyncState::kOff || state == semi_sync_) return;
  semi_sync_ = state;
  {
    std::lock_guard lock(mutex_);
    status_.semi_sync = state;
  }
  if (state == SemiSyncState::kNotWaiting) return WarnThatCommitsDidNotWait();
  auto logged = semi_sync_logged_[static_cast<size_t>(state)];
  if (logged) return;
  logged = true;
  if (state == SemiSyncState::kUnavailable)
    spdlog::warn(
        "[{}] the source has no plugin for semi-synchronous replication: archiving is "
        "asynchronous; "
        "hint: INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so', then reconnect",
        options_.source);
  else if (state == SemiSyncState::kReady)
    spdlog::info("[{}] semi-synchronous: ready, as soon as the source asks for acknowledgements",
                 options_.source);
  else if (state == SemiSyncState::kOn)
    spdlog::info("[{}] semi-synchronous: acknowledging what is durable", options_.source);
}

void SourceArchiver::WarnThatCommitsDidNotWait() {
  const int64_t now_us = clock_.MonotonicMicroseconds();
  if (warned_us_ && now_us - *warned_us_ < kWarnAgainUs) return;
  warned_us_ = now_us;
  semi_sync_logged_.reset(static_cast<size_t>(SemiSyncState::kOn));
  spdlog::warn(
      "[{}] semi-synchronous: the source's last commits did not wait for the archive: it is "
      "switched off there, rpl_semi_sync_source_timeout ran out, another replica acknowledges "
      "sooner, or the source believes a damaged acknowledgement; "
      "hint: if Rpl_semi_sync_source_status is ON there and no other replica acknowledges, SET "
      "GLOBAL rpl_semi_sync_source_enabled = OFF and then ON makes it ask again",
      options_.source);
}

}  // namespace tidemark
