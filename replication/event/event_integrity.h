// Whether an event may be believed: its size is possible, and its checksum right, by the algorithm
// that holds just now.
//
// Pure; one thread. Errors are kCorruption or kUnsupportedFormat and do not name an offset: the
// scanner does.
#pragma once

#include <array>
#include <cstdint>

#include "replication/base/bytes.h"
#include "replication/base/status.h"
#include "replication/event/binlog_format.h"
#include "replication/event/control_events.h"

namespace tidemark {

class EventIntegrity {
 public:
  // `known`: `checksum` holds without a format description having said so. `from_start`: what comes
  // before one has a CRC32.
  EventIntegrity(bool verify, ChecksumAlgorithm checksum, bool known, bool from_start)
      : verify_(verify), checksum_(checksum), known_(known), from_start_(from_start) {}

  ChecksumAlgorithm checksum() const { return checksum_; }
  size_t ChecksumBytes(EventType type) const {
    return type == EventType::kFormatDescription ? kChecksumSize : ChecksumSizeOf(checksum_);
  }

  // A whole event: true for nearly all. Otherwise ask Check, which takes in what the event says of
  // checksums and tells what is wrong. Two questions, because a Status costs more than the first.
  bool IsSound(const EventHeader& header, Bytes event) const;
  Status Check(const EventHeader& header, Bytes event);
  Status CheckSize(const EventHeader& header) const;

  // A long event: its head, then the stretches behind it, then the verdict. TakePart answers how
  // many of the stretch's bytes are body.
  Status BeginLong(const EventHeader& header, Bytes head);
  size_t TakePart(Bytes part);
  Status FinishLong(const EventHeader& header) const;

 private:
  bool SizeAllowed(const EventHeader& header) const;
  Status TakeDescription(Bytes event);

  bool verify_;
  ChecksumAlgorithm checksum_;
  bool known_;
  const bool from_start_;
  uint32_t crc_ = 0;           // of a long event, so far
  uint64_t covered_left_ = 0;  // bytes of it in front of the checksum that are still to come
  std::array<uint8_t, kChecksumSize> stored_{};
  size_t stored_size_ = 0;
};

std::string EventName(EventType type);  // "event of type 30"

}  // namespace tidemark
