#include "pitr/serve/event_packetizer.h"

#include <algorithm>

#include "pitr/serve/packet.h"
#include "replication/event/binlog_format.h"

namespace tidemark {
namespace {

constexpr size_t kEventSizeAt = 9;  // ReadEventHeader has the whole layout
constexpr size_t kSizeKnownAfter = kEventSizeAt + 4;
constexpr char kOkByte = 0;

size_t EventSize(const uint8_t* header) {
  return static_cast<size_t>(LoadLittleEndian(header + kEventSizeAt, 4));
}

bool Plausible(size_t event_bytes) {
  return event_bytes >= kEventHeaderSize && event_bytes <= kEventBytesMax;
}

void AppendPacketHeader(size_t payload_bytes, uint8_t sequence, std::string* out) {
  const char header[kPacketHeaderSize] = {
      static_cast<char>(payload_bytes), static_cast<char>(payload_bytes >> 8),
      static_cast<char>(payload_bytes >> 16), static_cast<char>(sequence)};
  out->append(header, sizeof header);
}

}  // namespace

Status EventPacketizer::Append(Bytes events, std::string* out) {
  while (!events.empty()) {
    if (event_left_ > 0) {
      const Bytes piece = events.first(std::min<uint64_t>(event_left_, events.size()));
      AppendPiece(piece, out);
      events = events.subspan(piece.size());
      continue;
    }
    if (header_.empty()) events = AppendWholeEvents(events, out);
    if (!events.empty()) TM_RETURN_IF_ERROR(BeginEvent(&events, out));
  }
  return OkStatus();
}

// What nearly all events take: whole in the piece, and one packet. Gives back the rest, which
// begins with an event that is something else.
Bytes EventPacketizer::AppendWholeEvents(Bytes events, std::string* out) {
  uint8_t sequence = sequence_;
  while (events.size() >= kSizeKnownAfter) {
    const size_t event_bytes = EventSize(events.data());
    const size_t payload_bytes = event_bytes + 1;
    if (event_bytes > events.size() || event_bytes < kEventHeaderSize ||
        payload_bytes >= kPacketPayloadMax) {
      break;
    }
    // Header and OK byte at once: of small events the appending itself is what takes the time.
    const char before[kPacketHeaderSize + 1] = {
        static_cast<char>(payload_bytes), static_cast<char>(payload_bytes >> 8),
        static_cast<char>(payload_bytes >> 16), static_cast<char>(sequence++), kOkByte};
    out->append(before, sizeof before);
    out->append(AsText(events.first(event_bytes)));
    events = events.subspan(event_bytes);
  }
  sequence_ = sequence;
  return events;
}

// Takes of `events` what is missing to know the event's size; then the packet begins.
Status EventPacketizer::BeginEvent(Bytes* events, std::string* out) {
  const size_t taken = std::min(kSizeKnownAfter - header_.size(), events->size());
  header_.append(AsText(events->first(taken)));
  *events = events->subspan(taken);
  if (header_.size() < kSizeKnownAfter) return OkStatus();
  const size_t event_bytes = EventSize(AsBytes(header_).data());
  if (!Plausible(event_bytes)) {
    return {Code::kCorruption,
            "an event of " + std::to_string(event_bytes) + " bytes cannot be sent to a replica"};
  }
  event_left_ = event_bytes;
  BeginPacket(event_left_ + 1, out);
  out->push_back(kOkByte);
  --packet_left_;
  AppendPiece(AsBytes(header_), out);
  header_.clear();
  return OkStatus();
}

// `piece`: not more than what is left of the event.
void EventPacketizer::AppendPiece(Bytes piece, std::string* out) {
  while (!piece.empty()) {
    if (packet_left_ == 0) BeginPacket(event_left_, out);
    const Bytes part = piece.first(std::min<uint64_t>(packet_left_, piece.size()));
    out->append(AsText(part));
    piece = piece.subspan(part.size());
    packet_left_ -= part.size();
    event_left_ -= part.size();
  }
  if (event_left_ == 0 && packet_is_full_) BeginPacket(0, out);
}

void EventPacketizer::BeginPacket(uint64_t payload_left, std::string* out) {
  packet_left_ = std::min<uint64_t>(payload_left, kPacketPayloadMax);
  packet_is_full_ = packet_left_ == kPacketPayloadMax;
  AppendPacketHeader(packet_left_, sequence_++, out);
}

}  // namespace tidemark
