// Cuts a byte stream into events: whole ones in place, ones that straddle pieces copied, of long
// ones only the head.
//
// Pure; owns the copy. Memory is bounded by the head's limit whatever size an event announces.
// Looks at nothing but the header's size and type.
#pragma once

#include <cstdint>
#include <vector>

#include "replication/base/bytes.h"
#include "replication/event/binlog_format.h"

namespace tidemark {

// A Previous_gtids event is of use only whole, and sets with very many holes do get long: its head
// may be this long.
inline constexpr size_t kPreviousGtidsBytesMax = size_t{16} << 20;

class EventFramer {
 public:
  enum class Step : uint8_t {
    kNeedMore,  // the piece is used up
    kWhole,     // bytes() is an event
    kHead,      // bytes() is the beginning of a long event; kPart and kLastPart follow
    kPart,      // bytes() is the next stretch of it
    kLastPart,
    kBadSize,  // the header announces an impossible size; header() says which
  };

  // Takes the next step's bytes off the front of `piece`. bytes() is valid until the next call.
  Step Next(Bytes* piece);

  const EventHeader& header() const { return header_; }
  Bytes bytes() const { return bytes_; }
  bool in_event() const { return !held_.empty() && !delivered_; }
  uint64_t bytes_taken() const { return in_event() ? taken_ : 0; }  // of the event under way
  Bytes head() const { return held_; }                              // of the long event under way
  void Reset();

 private:
  Step Continue(Bytes* piece);
  bool Hold(Bytes* piece, size_t goal);

  EventHeader header_;
  std::vector<uint8_t> held_;  // the event's first bytes, if it did not come whole
  bool delivered_ = false;     // what is held has been handed out: forget it at the next call
  uint64_t left_ = 0;          // bytes behind the head that are still to come
  uint64_t taken_ = 0;
  Bytes bytes_;
};

}  // namespace tidemark
