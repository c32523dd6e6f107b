#include "tests/sim/link.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "replication/base/checksum.h"
#include "replication/event/control_events.h"

namespace tidemark::sim {
namespace {

constexpr uint32_t kServerId = 7;

std::string WithLogPos(std::string event, uint32_t log_pos) {
  std::memcpy(&event[13], &log_pos, sizeof(log_pos));
  const uint32_t crc = Crc32(0, AsBytes(event).first(event.size() - kChecksumSize));
  std::memcpy(&event[event.size() - kChecksumSize], &crc, sizeof(crc));
  return event;
}

bool IsEventsBegin(const std::string& bytes, uint64_t position) {
  uint64_t at = kBinlogMagicSize;
  while (at < position && at < bytes.size()) at += ReadEventHeader(AsBytes(bytes).data() + at).size;
  return at == position;
}

std::string EventAt(const std::string& bytes, uint64_t position) {
  const uint32_t size = ReadEventHeader(AsBytes(bytes).data() + position).size;
  return bytes.substr(position, size);
}

}  // namespace

Link::Link(Dice& dice, const LinkFaults& faults, std::function<std::shared_ptr<Server>()> server,
           std::function<void(const char*)> turn, OnAck on_ack)
    : dice_(dice),
      faults_(faults),
      server_now_(std::move(server)),
      turn_(std::move(turn)),
      on_ack_(std::move(on_ack)) {}

Status Link::Broken() {
  dumping_ = false;
  return Status(Code::kSourceUnavailable, "the link broke");
}

Result<SourceFacts> Link::Connect() {
  dumping_ = false;
  for (uint64_t turns = dice_.Between(1, 4); turns > 0; --turns) turn_("connect");
  if (interrupted_) return Status(Code::kInterrupted, "interrupted");
  server_ = server_now_();
  if (!server_->up || dice_.OneIn(faults_.unreached))
    return Status(Code::kSourceUnavailable, "cannot connect");
  epoch_ = server_->epoch();
  return server_->Facts(dice_);
}

Status Link::StartDump(const DumpRequest& request) {
  turn_("dump");
  if (interrupted_) return Status(Code::kInterrupted, "interrupted");
  request_ = request;
  packets_.clear();
  skipped_until_ = 0;
  file_.reset();
  dumping_ = true;
  return OkStatus();
}

// sql/rpl_binlog_sender.cc: what was purged meanwhile is refused at the dump's first event.
Status Link::FindStart() {
  const GtidSet lacking = server_->purged().Minus(request_.exclude);
  if (!lacking.empty()) return Status(Code::kGap, "the source purged " + lacking.ToString());
  const auto& files = server_->files();
  if (!request_.file.empty()) {
    for (const auto& file : files)
      if (file->name == request_.file) {
        file_ = file;
        return EnterFile(*file, request_.position);
      }
    return Status(Code::kSourceUnavailable, "could not find " + request_.file);
  }
  size_t i = files.size() - 1;
  while (i > 0 && !files[i]->previous.Minus(request_.exclude).empty()) --i;
  file_ = files[i];
  return EnterFile(*file_, kBinlogMagicSize);
}

Status Link::EnterFile(const LogFile& file, uint64_t position) {
  packets_.push_back(EncodeRotate({position, file.name},
                                  EventStamp{0, kServerId, 0, kEventFlagArtificial},
                                  ChecksumAlgorithm::kCrc32));
  const std::string description = EventAt(file.bytes, kBinlogMagicSize);
  const bool at_begin = position == kBinlogMagicSize;
  packets_.push_back(at_begin ? description : WithLogPos(description, 0));
  position_ = at_begin ? kBinlogMagicSize + description.size() : position;
  transaction_ = 0;
  if (position_ > file.bytes.size())
    return Status(Code::kDivergence, "impossible position in " + file.name);
  if (!IsEventsBegin(file.bytes, position_))
    return Status(Code::kCorruption, "bogus data at " + std::to_string(position_));
  return OkStatus();
}

// Puts the next event, and a heartbeat where something was left out, into packets_.
bool Link::NextInFile() {
  const auto& transactions = file_->transactions;
  while (transaction_ < transactions.size() && transactions[transaction_].end <= position_)
    ++transaction_;
  while (transaction_ < transactions.size() && transactions[transaction_].begin == position_ &&
         request_.exclude.Contains(transactions[transaction_].gtid))
    skipped_until_ = position_ = transactions[transaction_++].end;
  if (position_ >= file_->bytes.size()) return false;
  if (skipped_until_ != 0)
    packets_.push_back(EncodeHeartbeat({file_->name, std::exchange(skipped_until_, 0)}, kServerId,
                                       ChecksumAlgorithm::kCrc32));
  packets_.push_back(EventAt(file_->bytes, position_));
  position_ += packets_.back().size();
  return true;
}

bool Link::NextFile() {
  const auto& files = server_->files();
  const auto found = std::find(files.begin(), files.end(), file_);
  if (found == files.end() || found + 1 == files.end()) return false;
  file_ = *(found + 1);
  skipped_until_ = 0;
  (void)EnterFile(*file_, kBinlogMagicSize);
  return true;
}

Result<Bytes> Link::Next() {
  TM_CHECK(dumping_);
  ack_wanted_ = false;
  for (int waits = 0;; ++waits) {
    turn_("next");
    if (interrupted_) return Status(Code::kInterrupted, "interrupted");
    if (Down() || dice_.OneIn(faults_.cut)) return Broken();
    if (file_ == nullptr) {
      Status found = FindStart();
      if (!found.ok()) {
        dumping_ = false;
        return found;
      }
    }
    if (!packets_.empty() || NextInFile() || NextFile()) break;
    if (file_ != server_->files().back()) return Broken();  // it was purged under our hands
    if (request_.non_blocking) {
      dumping_ = false;
      return Status(Code::kEndOfData, "no further events");
    }
    if (waits < 3) continue;
    turn_(kIdle);
    return Send(EncodeHeartbeat({file_->name, position_}, kServerId, ChecksumAlgorithm::kCrc32));
  }
  std::string packet = std::move(packets_.front());
  packets_.pop_front();
  // Asked for at the end of a group of commits.
  ack_wanted_ = semi_sync() && packets_.empty() && transaction_ < file_->transactions.size() &&
                file_->transactions[transaction_].end == position_ && !dice_.OneIn(3);
  return Send(std::move(packet));
}

Status Link::Acknowledge(const std::string& file, uint64_t position) {
  turn_("acknowledge");
  if (interrupted_) return Status(Code::kInterrupted, "interrupted");
  if (Down() || dice_.OneIn(faults_.cut)) return Broken();
  on_ack_(*server_, file, position);
  return OkStatus();
}

bool Link::WaitForMore(int64_t) {
  for (uint64_t waits = dice_.Between(2, 20); waits > 0; --waits) {
    turn_("wait");
    if (interrupted_ || Down() || file_ == nullptr || !packets_.empty() || NextInFile() ||
        NextFile())
      return true;
    if (std::exchange(woken_, false)) return false;
  }
  return false;  // the time is over
}

// A dump's first Rotate says itself whether it has a checksum, and a source may change a format
// description without computing its checksum anew: damage to these two cannot be told (README.md).
Bytes Link::Send(std::string packet) {
  current_ = std::move(packet);
  const EventType type = ReadEventHeader(AsBytes(current_).data()).type;
  const bool checked = type != EventType::kRotate && type != EventType::kFormatDescription;
  if (checked && dice_.OneIn(faults_.damage)) {
    if (dice_.OneIn(2))
      current_.resize(dice_.Below(current_.size()));
    else
      current_[dice_.Below(current_.size())] ^= static_cast<char>(1 << dice_.Below(8));
  }
  return AsBytes(current_);
}

}  // namespace tidemark::sim
