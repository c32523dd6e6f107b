// Requests to seal a source's open segment, on their way to the archiver's thread, which looks at
// them between transactions. Ask by any thread; the rest by the archiver's.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "replication/base/status.h"

namespace tidemark {

struct SealAnswer {
  uint64_t segment = 0;    // the last one, which is sealed and durable; 0: there is none yet
  bool was_sealed = true;  // before it was asked for: nothing has come since
};

class SealRequests {
 public:
  // Waits for the answer, which may be an error. `wake` is called once, when the request is there
  // to be seen; `give_up` is asked about ten times a second. kInterrupted: it said so.
  Result<SealAnswer> Ask(const std::function<void()>& wake, const std::function<bool()>& give_up);

  bool pending() const { return pending_; }
  // To everybody who waits.
  void Answer(const Result<SealAnswer>& answer);
  // The same, and to everybody who will ask.
  void Close(Status why);

 private:
  using Slot = std::optional<Result<SealAnswer>>;

  std::atomic<bool> pending_ = false;
  std::mutex mutex_;  // guards the rest
  std::condition_variable answered_;
  std::vector<std::shared_ptr<Slot>> waiting_;
  Status closed_;
};

}  // namespace tidemark
