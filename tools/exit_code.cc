#include "tools/exit_code.h"

namespace tidemark {

int ExitCodeOf(Code code) {
  switch (code) {
    case Code::kOk:
    case Code::kEndOfData: return kExitDone;
    case Code::kUsage: return kExitUsage;
    case Code::kNotFound: return kExitNotFound;
    case Code::kTruncated:
    case Code::kCorruption: return kExitCorruption;
    case Code::kUnsupportedFormat: return kExitUnsupportedFormat;
    case Code::kUnreachableTarget: return kExitUnreachableTarget;
    case Code::kGap: return kExitGap;
    case Code::kSourceRefused: return kExitSourceRefused;
    case Code::kSourceUnavailable: return kExitSourceUnavailable;
    case Code::kDivergence: return kExitDivergence;
    case Code::kTargetRefused: return kExitTargetRefused;
    case Code::kBadBackup: return kExitBadBackup;
    case Code::kEndStateNotReached: return kExitEndStateNotReached;
    case Code::kLocked: return kExitLocked;
    case Code::kInterrupted: return kExitInterrupted;
    case Code::kDiskFull: return kExitDiskFull;
    case Code::kIo: return kExitIo;
  }
  return kExitBug;
}

}  // namespace tidemark
