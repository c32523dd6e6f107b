#include "replication/event/event_framer.h"

#include <algorithm>

#include "replication/event/stream_scanner.h"

namespace tidemark {
namespace {

size_t HeadBytesMax(const EventHeader& header) {
  return header.type == EventType::kPreviousGtids ? kPreviousGtidsBytesMax : kEventHeadBytesMax;
}

bool SizePossible(const EventHeader& header) {
  return header.size >= kEventHeaderSize && header.size <= kEventBytesMax;
}

}  // namespace

void EventFramer::Reset() {
  held_.clear();
  delivered_ = false;
  left_ = taken_ = 0;
  bytes_ = {};
}

EventFramer::Step EventFramer::Continue(Bytes* piece) {
  if (piece->empty()) return Step::kNeedMore;
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(left_, piece->size()));
  bytes_ = piece->first(taken);
  *piece = piece->subspan(taken);
  left_ -= taken;
  taken_ += taken;
  if (left_ > 0) return Step::kPart;
  delivered_ = true;
  return Step::kLastPart;
}

// True if `goal` bytes of the event are held afterwards.
bool EventFramer::Hold(Bytes* piece, size_t goal) {
  const size_t taken = std::min(goal - held_.size(), piece->size());
  held_.insert(held_.end(), piece->begin(), piece->begin() + static_cast<ptrdiff_t>(taken));
  *piece = piece->subspan(taken);
  taken_ += taken;
  return held_.size() == goal;
}

EventFramer::Step EventFramer::Next(Bytes* piece) {
  if (delivered_) Reset();
  if (left_ > 0) return Continue(piece);
  if (held_.empty() && piece->size() >= kEventHeaderSize) {
    header_ = ReadEventHeader(piece->data());
    if (!SizePossible(header_)) return Step::kBadSize;
    if (piece->size() >= header_.size) {
      bytes_ = piece->first(header_.size);
      *piece = piece->subspan(header_.size);
      return Step::kWhole;
    }
  }
  if (held_.size() < kEventHeaderSize) {
    if (!Hold(piece, kEventHeaderSize)) return Step::kNeedMore;
    header_ = ReadEventHeader(held_.data());
    if (!SizePossible(header_)) return Step::kBadSize;
  }
  const size_t goal = std::min<size_t>(header_.size, HeadBytesMax(header_));
  if (!Hold(piece, goal)) return Step::kNeedMore;
  bytes_ = held_;
  left_ = header_.size - goal;
  if (left_ > 0) return Step::kHead;
  delivered_ = true;
  return Step::kWhole;
}

}  // namespace tidemark
