#include "replication/base/clock.h"

#include <chrono>

namespace tidemark {
namespace {

class RealClock : public Clock {
 public:
  int64_t WallMicroseconds() override { return Count(std::chrono::system_clock::now()); }
  int64_t MonotonicMicroseconds() override { return Count(std::chrono::steady_clock::now()); }

 private:
  template <typename TimePoint>
  static int64_t Count(TimePoint now) {
    return std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  }
};

}  // namespace

Clock& SystemClock() {
  static RealClock clock;
  return clock;
}

}  // namespace tidemark
