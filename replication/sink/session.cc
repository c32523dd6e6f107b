#include "replication/sink/session.h"

#include <algorithm>
#include <utility>

#include "replication/archive/gap_room.h"
#include "replication/event/control_events.h"

namespace tidemark {
namespace {

// The sender's copy of an event, or one it made up: not in the source's file at this place.
bool MadeUpBySender(const EventHeader& header) {
  return header.artificial() || header.log_pos == 0;
}

Status OtherHistory(const std::string& source_name, const std::string& what) {
  return Status(Code::kDivergence, "source " + source_name + " " + what,
                "it lost its last transactions (in a crash, or it was set back to an older state) "
                "and was written to since, under the same GTIDs; archive it under a new source "
                "name, with continues = \"" +
                    source_name + "\" to go on from where the histories part");
}

}  // namespace

Status ComparedWithOurs(const std::string& source_name, const TransactionOrigin& ours,
                        const TransactionOrigin& theirs) {
  if (theirs.MayBe(ours)) return OkStatus();
  return OtherHistory(source_name, "has another transaction " + ours.gtid.ToString() +
                                       " than the archive: it was committed first at " +
                                       std::to_string(theirs.original_commit_us) +
                                       ", and ours at " + std::to_string(ours.original_commit_us) +
                                       " (microseconds since the epoch)");
}

Session::Session(std::string source_name, ResumePoint resume, SessionLimits limits)
    : source_name_(std::move(source_name)), limits_(limits), resume_(std::move(resume)) {}

void Session::OnConnected(const Uuid& server_uuid, const GapRecord& gap) {
  server_uuid_ = server_uuid;
  expects_last_ = in_last_ = false;
  stream_file_.clear();
  stream_position_ = 0;
  head_.clear();
  if (gap.missing.empty()) return;
  gap_ahead_.missing.Add(gap.missing);
  gap_ahead_.reason = gap.reason;
  gap_ahead_.noticed_us = gap.noticed_us;
  resume_.executed.Add(gap.missing);
  resume_.missing.Add(gap.missing);
}

void Session::ForgetGapAhead() {
  resume_.executed.Subtract(gap_ahead_.missing);
  resume_.missing.Subtract(gap_ahead_.missing);
  gap_ahead_ = {};
}

void Session::SkipTo(uint64_t position) {
  TM_CHECK(!in_transaction_ && position >= stream_position_);
  stream_position_ = position;
  head_.clear();
}

void Session::OnDisconnected() {
  TM_CHECK(!in_transaction_);
  stream_file_.clear();
  head_.clear();
}

void Session::OnSealed() { segment_.reset(); }

Status Session::OnEvent(Bytes bytes, const ScannedEvent& event, SessionAction* action) {
  switch (event.role) {
    case EventRole::kHeartbeat: return OkStatus();
    case EventRole::kRotate: return OnRotate(bytes, event, action);
    case EventRole::kFormatDescription: return OnFormatDescription(bytes, event);
    case EventRole::kPreviousGtids: return OnPreviousGtids(bytes, event);
    case EventRole::kStop:
      TM_RETURN_IF_ERROR(Archive(bytes, event, action));
      if (action->archive) action->seal_after = SealReason::kRotation;
      break;
    case EventRole::kTransaction:
    case EventRole::kBetween:
      if (event.role == EventRole::kBetween && MadeUpBySender(event.header)) return OkStatus();
      TM_RETURN_IF_ERROR(Archive(bytes, event, action));
      if (action->archive && !in_transaction_ &&
          segment_->raw_bytes >= limits_.segment_raw_bytes_max)
        action->seal_after = SealReason::kSize;
      break;
  }
  if (action->seal_after) segment_.reset();
  return OkStatus();
}

Status Session::OnRotate(Bytes bytes, const ScannedEvent& event, SessionAction* action) {
  TM_ASSIGN_OR_RETURN(Rotate rotate, ParseRotate(EventBody(event.head, event.checksum)));
  if (in_transaction_)
    return Status(Code::kCorruption, "the source left " + stream_file_ + " for " +
                                         rotate.next_file + " inside a transaction");
  if (!MadeUpBySender(event.header)) {
    TM_RETURN_IF_ERROR(Archive(bytes, event, action));
    if (action->archive) {
      action->seal_after = SealReason::kRotation;
      segment_.reset();
      resume_.finished = resume_.place;
      resume_.place = {server_uuid_, rotate.next_file, 0};
      resume_.file_created.reset();
    }
    return OkStatus();
  }
  stream_file_ = rotate.next_file;
  stream_position_ = rotate.position;
  head_.clear();
  // A request that was damaged on its way, or misunderstood.
  if (Have(0) &&
      rotate.position > std::max<uint64_t>(EndInStreamFile()->position, kBinlogMagicSize))
    return Status(Code::kCorruption, "the source begins at " + rotate.next_file + " position " +
                                         std::to_string(rotate.position) +
                                         ", behind what is archived up to " +
                                         std::to_string(EndInStreamFile()->position));
  return OkStatus();
}

// All that the source's earlier files hold has been sent, or is known to be missing: by this event
// a source proves it that has left out more than it was asked to.
Status Session::OnPreviousGtids(Bytes bytes, const ScannedEvent& event) {
  if (MadeUpBySender(event.header)) return OkStatus();
  TM_ASSIGN_OR_RETURN(const GtidSet previous,
                      ParsePreviousGtids(EventBody(event.head, event.checksum)));
  unsent_ = previous.Minus(resume_.executed);
  if (!unsent_.empty())
    return Status(Code::kGap,
                  "the source's " + stream_file_ +
                      " stands behind transactions that were not sent: " + unsent_.ToString(),
                  "set adopt_purged = true for this source to go on without them; they will be "
                  "listed as a gap, which `pitr import` can fill");
  if (head_.empty()) return OkStatus();
  head_.append(AsText(bytes));
  stream_position_ += bytes.size();
  return OkStatus();
}

Status Session::OnFormatDescription(Bytes bytes, const ScannedEvent& event) {
  stream_file_created_ = event.header.timestamp;
  if (EndInStreamFile() == &resume_.place && Have(kBinlogMagicSize) &&
      resume_.file_created.value_or(stream_file_created_) != stream_file_created_)
    return Status(Code::kDivergence,
                  "the source's " + stream_file_ +
                      " is not the file of that name in the archive: it was made at " +
                      std::to_string(stream_file_created_) + " and ours at " +
                      std::to_string(*resume_.file_created) + " (seconds since the epoch)",
                  "the source's binary logs were reset; archive it under a new source name");
  format_description_ = AsText(bytes);
  head_.clear();
  // Only the file's own copy, met at the file's beginning, can open a native segment.
  if (MadeUpBySender(event.header) || stream_position_ != kBinlogMagicSize) return OkStatus();
  head_.assign(reinterpret_cast<const char*>(kBinlogMagic), kBinlogMagicSize);
  head_.append(AsText(bytes));
  stream_position_ += bytes.size();
  return OkStatus();
}

// Where the event begins in the source's file. The sender may skip transactions we have; log_pos
// then jumps forward. log_pos has 32 bits only and wraps in files beyond 4 GiB.
Result<uint64_t> Session::PlaceEvent(const ScannedEvent& event) const {
  const uint64_t size = event.header.size;
  const uint64_t expected_end = stream_position_ + size;
  if (static_cast<uint32_t>(expected_end) == event.header.log_pos) return stream_position_;
  if (in_transaction_)
    return Status(Code::kCorruption,
                  "an event in " + stream_file_ + " ends at position " +
                      std::to_string(event.header.log_pos) + " where " +
                      std::to_string(static_cast<uint32_t>(expected_end)) +
                      " was expected: the source skipped bytes inside a transaction");
  uint64_t end = (expected_end & ~uint64_t{0xFFFFFFFF}) | event.header.log_pos;
  if (end < expected_end) end += uint64_t{1} << 32;
  return end - size;
}

// Up to where we have the file that the sender is in; nullptr: nothing that we know of.
const SourcePlace* Session::EndInStreamFile() const {
  for (const SourcePlace* place : {&resume_.place, &resume_.finished})
    if (place->server_uuid == server_uuid_ && place->file == stream_file_) return place;
  return nullptr;
}

bool Session::Have(uint64_t begin) const {
  const SourcePlace* end = EndInStreamFile();
  return end != nullptr && begin < end->position;
}

Status Session::Archive(Bytes bytes, const ScannedEvent& event, SessionAction* action) {
  if (stream_file_.empty())
    return Status(Code::kCorruption, "the source sent an event before it said which file it is in");
  TM_ASSIGN_OR_RETURN(const uint64_t begin, PlaceEvent(event));
  const uint64_t end = begin + event.header.size;
  if (event.begins_transaction) transaction_begin_ = begin;
  if (expects_last_) [[unlikely]]
    TM_RETURN_IF_ERROR(CompareLast(event, begin));
  if (in_last_) [[unlikely]] {
    in_last_ = event.finished == nullptr;
    if (!in_last_)
      TM_RETURN_IF_ERROR(
          ComparedWithOurs(source_name_, resume_.last->origin, OriginOf(*event.finished)));
    stream_position_ = end;
    head_.clear();
    return OkStatus();
  }
  if (!in_transaction_ && Have(begin)) {
    if (event.role == EventRole::kTransaction)
      return Status(Code::kCorruption, "the source sent a transaction at " + stream_file_ +
                                           " position " + std::to_string(begin) +
                                           " that the archive already has");
    stream_position_ = end;
    return OkStatus();
  }
  if (event.finished != nullptr && resume_.executed.Contains(event.finished->gtid))
    return SentAgain(event.finished->gtid);

  // Inside a transaction PlaceEvent has seen to it.
  if (!in_transaction_ && !FollowsSegment(begin)) {
    if (segment_) action->seal_before = SealReason::kSourceChange;
    TM_ASSIGN_OR_RETURN(action->begin, StartSegment(begin, event));
  }
  action->archive = true;
  head_.clear();
  segment_->next_position = end;
  segment_->raw_bytes += bytes.size();
  action->raw_end = segment_->raw_bytes;
  stream_position_ = end;
  in_transaction_ = event.role == EventRole::kTransaction && event.finished == nullptr;
  if (event.finished != nullptr) {
    resume_.executed.Add(event.finished->gtid);
    resume_.commit_high_us = std::max(resume_.commit_high_us, event.finished->immediate_commit_us);
    resume_.last = ArchivedOrigin{OriginOf(*event.finished), resume_.next_segment - 1, server_uuid_,
                                  stream_file_, transaction_begin_};
  }
  if (!in_transaction_) {
    resume_.place = {server_uuid_, stream_file_, end};
    resume_.file_created = stream_file_created_;
  }
  return OkStatus();
}

// The first event of the dump: not of our last transaction, or else that is compared at its end.
Status Session::CompareLast(const ScannedEvent& event, uint64_t begin) {
  const TransactionOrigin& ours = resume_.last->origin;
  const std::optional<TransactionOrigin> theirs = OriginOf(event.head, event.checksum);
  if (!theirs || theirs->gtid != ours.gtid)
    return OtherHistory(source_name_, "has something else where the archive has transaction " +
                                          ours.gtid.ToString() + " (" + stream_file_ +
                                          " position " + std::to_string(begin) + ")");
  expects_last_ = false;
  in_last_ = true;
  return OkStatus();
}

Status Session::SentAgain(const Gtid& gtid) const {
  if (!resume_.missing.Contains(gtid))
    return Status(Code::kCorruption, "the source sent transaction " + gtid.ToString() +
                                         ", which the archive already has, again");
  return Status(Code::kDivergence,
                "the source, which lacked transaction " + gtid.ToString() +
                    " of a recorded gap, has made another one of that name",
                "it was set back: archive it under a new source name");
}

bool Session::FollowsSegment(uint64_t begin) const {
  return segment_ && segment_->next_position == begin && segment_->file == stream_file_ &&
         segment_->server_uuid == server_uuid_ && gap_ahead_.missing.empty();
}

Result<std::unique_ptr<SegmentStart>> Session::StartSegment(uint64_t begin,
                                                            const ScannedEvent& event) {
  if (format_description_.empty())
    return Status(Code::kCorruption, "the source sent an event before its format description");
  auto start = std::make_unique<SegmentStart>();
  SegmentHeader& header = start->header;
  if (!gap_ahead_.missing.empty()) resume_.next_segment += kSegmentNumbersPerGap;
  header.number = resume_.next_segment++;
  header.source_name = source_name_;
  header.server_uuid = server_uuid_;
  header.source_file = stream_file_;
  header.previous = resume_.executed;
  header.gap = std::exchange(gap_ahead_, {});
  const bool native = !head_.empty() && begin == stream_position_ && !Have(kBinlogMagicSize);
  if (native) {
    start->file_head = std::move(head_);
  } else {
    start->prefix.assign(reinterpret_cast<const char*>(kBinlogMagic), kBinlogMagicSize);
    start->prefix += format_description_;
    const EventStamp stamp{event.header.timestamp, event.header.server_id, 0, kEventFlagArtificial};
    start->prefix += EncodePreviousGtids(header.previous, stamp, event.checksum);
    header.prefix_bytes = static_cast<uint32_t>(start->prefix.size());
    header.source_start = begin;
  }
  segment_ = OpenSegment{server_uuid_, stream_file_, begin,
                         start->prefix.size() + start->file_head.size()};
  return start;
}

}  // namespace tidemark
