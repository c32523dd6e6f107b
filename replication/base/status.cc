#include "replication/base/status.h"

namespace tidemark {

const char* CodeName(Code code) {
  switch (code) {
    case Code::kOk: return "ok";
    case Code::kUsage: return "usage";
    case Code::kNotFound: return "not-found";
    case Code::kEndOfData: return "end-of-data";
    case Code::kTruncated: return "truncated";
    case Code::kCorruption: return "corruption";
    case Code::kUnsupportedFormat: return "unsupported-format";
    case Code::kUnreachableTarget: return "unreachable-target";
    case Code::kGap: return "gap";
    case Code::kSourceRefused: return "source-refused";
    case Code::kSourceUnavailable: return "source-unavailable";
    case Code::kDivergence: return "divergence";
    case Code::kTargetRefused: return "target-refused";
    case Code::kBadBackup: return "bad-backup";
    case Code::kEndStateNotReached: return "end-state-not-reached";
    case Code::kLocked: return "locked";
    case Code::kInterrupted: return "interrupted";
    case Code::kDiskFull: return "disk-full";
    case Code::kIo: return "io";
  }
  return "unknown";
}

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "tidemark: broken invariant at %s:%d: %s\n", file, line, expression);
  std::abort();
}

}  // namespace tidemark
