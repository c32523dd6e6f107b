// Passes an event stream on so that each stretch ends at an event's end, although it comes in
// pieces cut anywhere: only there can a heartbeat or an error packet follow. Looks at each event's
// header on the way, for a server_id that must not be sent.
//
// Pure. Holds one unfinished event of kHeldEventBytesMax; a longer one is passed on as it comes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "replication/base/bytes.h"
#include "replication/base/status.h"

namespace tidemark {

inline constexpr size_t kHeldEventBytesMax = 16 << 10;

class WholeEvents {
 public:
  using Pass = std::function<Status(Bytes)>;

  // 0: any server_id may be sent.
  explicit WholeEvents(uint32_t refused_server_id) : refused_server_id_(refused_server_id) {}

  // kSourceRefused at an event with that server_id, kCorruption at an impossible size; what came
  // before it has been passed. Errors of `pass` are returned as they are.
  Status Feed(Bytes piece, const Pass& pass);
  bool at_event_end() const { return held_.empty() && long_event_left_ == 0; }

 private:
  Status FinishHeld(Bytes* piece, const Pass& pass);
  Status CheckHeader(const uint8_t* header, uint32_t* size) const;

  const uint32_t refused_server_id_;
  std::string held_;              // an event's first bytes
  uint64_t long_event_left_ = 0;  // of an event that is not held
};

}  // namespace tidemark
