// How planned transactions get onto the target. This release has one: the pipe of stock tools.
#pragma once

#include <functional>

#include "pitr/archive_access.h"

namespace tidemark {

struct ApplyProgress {
  uint64_t transactions_done = 0;  // given to the target; applied once Apply returns OK
  uint64_t transactions = 0;
  uint64_t bytes_done = 0;
};

class Applier {
 public:
  using OnProgress = std::function<bool(const ApplyProgress&)>;  // false: stop, kInterrupted
  virtual ~Applier() = default;
  virtual const char* name() const = 0;
  // Applies plan.to_apply from `archive`. kTargetRefused with the target's own message if it
  // rejects something, kInterrupted, or the error of reading the archive. The end state is asserted
  // by the caller.
  virtual Status Apply(SourceAccess& archive, const Plan& plan, const OnProgress& progress) = 0;
};

}  // namespace tidemark
