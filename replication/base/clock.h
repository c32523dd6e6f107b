// Time as an interface, so that session and simulator see the same clock.
#pragma once

#include <cstdint>

namespace tidemark {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t WallMicroseconds() = 0;       // since the Unix epoch, UTC; may step
  virtual int64_t MonotonicMicroseconds() = 0;  // never goes back
};

Clock& SystemClock();

}  // namespace tidemark
