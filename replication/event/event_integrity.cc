#include "replication/event/event_integrity.h"

#include <algorithm>
#include <string>
#include <vector>

#include "replication/base/checksum.h"
#include "replication/event/event_framer.h"
#include "replication/event/stream_scanner.h"

namespace tidemark {
namespace {

// Events that are of use only whole have to be short enough to be held.
uint64_t EventBytesMax(EventType type) {
  switch (type) {
    case EventType::kFormatDescription:
    case EventType::kRotate:
    case EventType::kStop:
    case EventType::kXid:
    case EventType::kXaPrepare:
    case EventType::kGtid:
    case EventType::kGtidTagged:
    case EventType::kAnonymousGtid:
    case EventType::kHeartbeat:
    case EventType::kHeartbeatV2: return kEventHeadBytesMax;
    case EventType::kPreviousGtids: return kPreviousGtidsBytesMax;
    default: return kEventBytesMax;
  }
}

// A format description that says "no checksums" has one all the same, but a source that edits the
// event in flight (it clears `created` for a reconnecting replica) leaves that stale, so it cannot
// be insisted on. What can be told is whether it would be right if only the algorithm's byte had
// not been damaged.
bool ChecksumWasSwitchedOff(Bytes event) {
  const size_t algorithm_offset = event.size() - kChecksumSize - 1;
  if (event[algorithm_offset] != static_cast<uint8_t>(ChecksumAlgorithm::kOff) ||
      EventChecksumMatches(event)) {
    return false;
  }
  std::vector<uint8_t> repaired(event.begin(), event.end());
  repaired[algorithm_offset] = static_cast<uint8_t>(ChecksumAlgorithm::kCrc32);
  return EventChecksumMatches(repaired);
}

Status WrongChecksum(EventType type) {
  return {Code::kCorruption, EventName(type) + " has a wrong checksum"};
}

Status NotDescribed(EventType type) {
  return {Code::kCorruption, EventName(type) + " precedes the format description"};
}

}  // namespace

std::string EventName(EventType type) {
  return "event of type " + std::to_string(static_cast<int>(type));
}

bool EventIntegrity::SizeAllowed(const EventHeader& header) const {
  return header.size >= kEventHeaderSize + ChecksumBytes(header.type) &&
         header.size <= EventBytesMax(header.type);
}

Status EventIntegrity::CheckSize(const EventHeader& header) const {
  if (SizeAllowed(header)) return OkStatus();
  return {Code::kCorruption,
          EventName(header.type) + " announces " + std::to_string(header.size) + " bytes"};
}

bool EventIntegrity::IsSound(const EventHeader& header, Bytes event) const {
  if (!known_ || header.type == EventType::kFormatDescription || !SizeAllowed(header)) return false;
  return !verify_ || checksum_ == ChecksumAlgorithm::kOff || EventChecksumMatches(event);
}

Status EventIntegrity::TakeDescription(Bytes event) {
  TM_ASSIGN_OR_RETURN(const FormatDescription description, ParseFormatDescription(event));
  if (verify_ && ChecksumWasSwitchedOff(event)) return WrongChecksum(EventType::kFormatDescription);
  checksum_ = description.checksum;
  known_ = true;
  return OkStatus();
}

Status EventIntegrity::Check(const EventHeader& header, Bytes event) {
  if (header.type == EventType::kFormatDescription) {
    TM_RETURN_IF_ERROR(TakeDescription(event));
  } else if (!known_) {
    // The source's first artificial Rotate comes before any description; it says itself whether it
    // has a checksum.
    const bool announces = header.type == EventType::kRotate ||
                           header.type == EventType::kHeartbeat ||
                           header.type == EventType::kHeartbeatV2;
    if (!announces) return NotDescribed(header.type);
    checksum_ = from_start_ || EventChecksumMatches(event) ? ChecksumAlgorithm::kCrc32
                                                           : ChecksumAlgorithm::kOff;
  }
  TM_RETURN_IF_ERROR(CheckSize(header));
  const bool wrong =
      verify_ && checksum_ == ChecksumAlgorithm::kCrc32 && !EventChecksumMatches(event);
  return wrong ? WrongChecksum(header.type) : OkStatus();
}

Status EventIntegrity::BeginLong(const EventHeader& header, Bytes head) {
  if (!known_) return NotDescribed(header.type);
  TM_RETURN_IF_ERROR(CheckSize(header));
  crc_ = 0;
  stored_size_ = 0;
  covered_left_ = header.size - ChecksumBytes(header.type);
  (void)TakePart(head);
  return OkStatus();
}

size_t EventIntegrity::TakePart(Bytes part) {
  const Bytes covered =
      part.first(static_cast<size_t>(std::min<uint64_t>(covered_left_, part.size())));
  const Bytes stored = part.subspan(covered.size());
  covered_left_ -= covered.size();
  TM_CHECK(stored_size_ + stored.size() <= stored_.size());
  std::copy(stored.begin(), stored.end(), stored_.begin() + static_cast<ptrdiff_t>(stored_size_));
  stored_size_ += stored.size();
  if (verify_ && checksum_ == ChecksumAlgorithm::kCrc32 && !covered.empty())
    crc_ = Crc32(crc_, covered);
  return covered.size();
}

Status EventIntegrity::FinishLong(const EventHeader& header) const {
  if (!verify_ || checksum_ == ChecksumAlgorithm::kOff) return OkStatus();
  return crc_ == LoadLittleEndian(stored_.data(), stored_.size()) ? OkStatus()
                                                                  : WrongChecksum(header.type);
}

}  // namespace tidemark
