#include "pitr/serve/whole_events.h"

#include <algorithm>

#include "replication/event/binlog_format.h"

namespace tidemark {
namespace {

void MoveUpTo(size_t goal, Bytes* piece, std::string* held) {
  size_t size = std::min(goal - held->size(), piece->size());
  held->append(AsText(piece->first(size)));
  *piece = piece->subspan(size);
}

}  // namespace

Status WholeEvents::CheckHeader(const uint8_t* header, uint32_t* size) const {
  EventHeader event = ReadEventHeader(header);
  *size = event.size;
  if (event.size < kEventHeaderSize) [[unlikely]] {
    return Status(Code::kCorruption,
                  "an archived event says it has " + std::to_string(event.size) + " bytes",
                  "pitr verify tells what is damaged");
  }
  if (event.server_id == refused_server_id_ && refused_server_id_ != 0) [[unlikely]] {
    return Status(Code::kSourceRefused,
                  "the archive has transactions with server id " +
                      std::to_string(refused_server_id_) +
                      ", which is the replica's own: it would silently skip them",
                  "give the replica a server_id that no archived server has had");
  }
  return OkStatus();
}

// The event under way, as far as `piece` has it.
Status WholeEvents::FinishHeld(Bytes* piece, const Pass& pass) {
  if (!held_.empty()) {
    MoveUpTo(std::max(held_.size(), kEventHeaderSize), piece, &held_);
    if (held_.size() < kEventHeaderSize) return OkStatus();
    uint32_t size = 0;
    TM_RETURN_IF_ERROR(CheckHeader(AsBytes(held_).data(), &size));
    if (size <= kHeldEventBytesMax) MoveUpTo(size, piece, &held_);
    if (size <= kHeldEventBytesMax && held_.size() < size) return OkStatus();
    long_event_left_ = size - held_.size();
    TM_RETURN_IF_ERROR(pass(AsBytes(held_)));
    held_.clear();
  }
  auto rest = static_cast<size_t>(std::min<uint64_t>(long_event_left_, piece->size()));
  long_event_left_ -= rest;
  Bytes part = piece->first(rest);
  *piece = piece->subspan(rest);
  return part.empty() ? OkStatus() : pass(part);
}

Status WholeEvents::Feed(Bytes piece, const Pass& pass) {
  TM_RETURN_IF_ERROR(FinishHeld(&piece, pass));
  if (piece.empty()) return OkStatus();
  size_t end = 0;  // of the last whole event in the piece
  uint32_t size = 0;
  Status checked;
  while (piece.size() - end >= kEventHeaderSize) {
    checked = CheckHeader(piece.data() + end, &size);
    if (!checked.ok() || size > piece.size() - end) break;
    end += size;
  }
  bool long_event =
      checked.ok() && piece.size() - end >= kEventHeaderSize && size > kHeldEventBytesMax;
  if (long_event) {
    long_event_left_ = size - (piece.size() - end);
    return pass(piece);
  }
  if (end > 0) TM_RETURN_IF_ERROR(pass(piece.first(end)));
  TM_RETURN_IF_ERROR(checked);
  held_.assign(AsText(piece.subspan(end)));
  return OkStatus();
}

}  // namespace tidemark
