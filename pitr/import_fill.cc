#include "pitr/import_fill.h"

#include <utility>

#include "pitr/abridged.h"
#include "replication/event/control_events.h"

namespace tidemark {
namespace {

constexpr uint64_t kJumpMax = INT32_MAX;

ResumePoint InFrontOf(const Hole& hole, SourcePlace place, std::optional<uint32_t> file_created) {
  ResumePoint resume;
  resume.executed = hole.reached;
  resume.place = std::move(place);
  resume.commit_high_us = hole.commit_high_us;
  resume.file_created = file_created;
  return resume;
}

}  // namespace

HoleFill::HoleFill(const Hole& hole, const std::string& source, SourcePlace place,
                   std::optional<uint32_t> file_created, SessionLimits limits,
                   SegmentPerformer& performer)
    : hole_(hole),
      performer_(performer),
      session_(source, InFrontOf(hole, std::move(place), file_created), limits) {}

Status HoleFill::TakeFile(FileSystem& files, const SurveyedFile& file,
                          const std::function<bool(uint64_t)>& progress) {
  TM_ASSIGN_OR_RETURN(auto input, BinlogFile::Open(files, file.path));
  if (input->bytes() < file.whole_bytes || input->created() != file.created)
    return Status(Code::kIo, file.path + " has changed since it was looked at",
                  "import a copy that nobody writes to");
  TM_RETURN_IF_ERROR(Enter(file));
  while (input->position() < file.whole_bytes) {
    const uint64_t begin = input->position();
    TM_ASSIGN_OR_RETURN(const Bytes event, input->Next());
    TM_RETURN_IF_ERROR(OnEvent(event, begin).WithContext(file.path));
    if (progress && !progress(begin))
      return Status(Code::kInterrupted, "interrupted while importing " + file.path);
  }
  return OkStatus();
}

// What the file builds on is in front of the hole, or missing in it: then it is recorded as what it
// is, a gap in front of what comes now.
Status HoleFill::Enter(const SurveyedFile& file) {
  const ResumePoint& resume = session_.resume();
  GapRecord gap = hole_.gap;
  gap.missing = file.previous.Minus(resume.executed);
  const GtidSet strange = gap.missing.Minus(hole_.gap.missing);
  if (!strange.empty())
    return Status(Code::kDivergence,
                  file.path +
                      " was begun behind transactions that the archive does not have in "
                      "front of this gap: " +
                      Abridged(strange),
                  "it is a file of another history, or of a server that committed in another "
                  "order; try the source's own files");
  const bool goes_on =
      resume.place.server_uuid == *file.server_uuid && resume.place.file == file.name;
  archived_to_ = goes_on ? resume.place.position : 0;
  session_.OnDisconnected();
  session_.OnConnected(*file.server_uuid, gap);
  scanner_.emplace(ScannerOptions{});
  taking_ = false;
  behind_.reset();
  return AnnounceFile(file);
}

// As a source says where it goes on.
Status HoleFill::AnnounceFile(const SurveyedFile& file) {
  given_to_ = kBinlogMagicSize;
  const std::string rotate =
      EncodeRotate({kBinlogMagicSize, file.name},
                   EventStamp{0, file.server_id, 0, kEventFlagArtificial}, scanner_->checksum());
  StreamScanner scanner(ScannerOptions{.checksum = scanner_->checksum(), .checksum_known = true});
  ScannedEvent event;
  TM_RETURN_IF_ERROR(scanner.FeedEvent(AsBytes(rotate), &event));
  SessionAction action;
  return session_.OnEvent(AsBytes(rotate), event, &action);
}

// What the archive has behind the hole may not stand in front of what is taken.
Status HoleFill::CheckOrder(const ScannedEvent& event) const {
  if (!behind_ || !event.begins_transaction) return OkStatus();
  return Status(Code::kDivergence,
                "transaction " + behind_->ToString() + " stands in front of " +
                    scanner_->open_gtid()->ToString() + " of the gap, and not so in the archive",
                "the file's server committed in another order than the source: try the source's "
                "own files");
}

bool HoleFill::IsTaken(const ScannedEvent& event) {
  if (event.begins_transaction) taking_ = hole_.gap.missing.Contains(*scanner_->open_gtid());
  return taking_;
}

Status HoleFill::OnEvent(Bytes bytes, uint64_t begin) {
  ScannedEvent event;
  TM_RETURN_IF_ERROR(scanner_->FeedEvent(bytes, &event));
  const uint64_t end = begin + bytes.size();
  const bool head =
      event.role == EventRole::kFormatDescription || event.role == EventRole::kPreviousGtids;
  if (head) given_to_ = end;
  if (event.role == EventRole::kFormatDescription) {
    // A source clears the flag of files that were not closed (sql/rpl_binlog_sender.cc,
    // send_format_description_event); the checksum does not cover it.
    std::string description(AsText(bytes));
    description[kEventHeaderSize - 2] &= static_cast<char>(~kEventFlagBinlogInUse);
    SessionAction action;
    return session_.OnEvent(AsBytes(description), event, &action);
  }
  if (event.role == EventRole::kPreviousGtids) {
    if (archived_to_ == 0) archived_to_ = end;
    SessionAction action;
    return session_.OnEvent(bytes, event, &action);
  }
  // What stands between transactions belongs to what is archived in front of it.
  const bool wanted =
      event.role == EventRole::kTransaction ? IsTaken(event) : begin == archived_to_;
  if (!wanted) {
    if (event.finished != nullptr && !session_.resume().executed.Contains(event.finished->gtid))
      behind_ = event.finished->gtid;
    return OkStatus();
  }
  TM_RETURN_IF_ERROR(CheckOrder(event));
  // How far was passed over log_pos says, but it has 32 bits only.
  if (begin - given_to_ > kJumpMax) session_.SkipTo(begin);
  archived_to_ = given_to_ = end;
  return Archive(bytes, event);
}

Status HoleFill::Archive(Bytes bytes, ScannedEvent event) {
  SessionAction action;
  TM_RETURN_IF_ERROR(session_.OnEvent(bytes, event, &action));
  if (action.seal_before) TM_RETURN_IF_ERROR(performer_.Seal(*action.seal_before));
  if (action.begin)
    TM_RETURN_IF_ERROR(
        performer_.Begin(std::move(*action.begin), session_.resume().commit_high_us));
  if (event.finished != nullptr) {
    taken_.Add(event.finished->gtid);
    last_commit_us_ = event.finished->immediate_commit_us;
    if (first_commit_us_ == 0) first_commit_us_ = last_commit_us_;
  }
  if (action.archive) {
    if (scanner_->offset() != action.raw_end) {
      scanner_->Rebase(action.raw_end);
      event.offset = action.raw_end - bytes.size();
    }
    TM_RETURN_IF_ERROR(performer_.Append(bytes, event));
  }
  if (action.seal_after) TM_RETURN_IF_ERROR(performer_.Seal(*action.seal_after));
  return OkStatus();
}

Status HoleFill::Finish() {
  if (!session_.segment_open()) return OkStatus();
  session_.OnSealed();
  return performer_.Seal(SealReason::kSourceChange);
}

}  // namespace tidemark
