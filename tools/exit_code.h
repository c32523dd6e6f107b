// The one table of exit codes (tools/README.md documents it; scripts depend on it: do not change
// values).
#pragma once

#include "replication/base/status.h"

namespace tidemark {

enum ExitCode : int {
  kExitDone = 0,
  kExitBug = 1,
  kExitUsage = 2,
  kExitUnreachableTarget = 3,
  kExitGap = 4,
  kExitCorruption = 5,
  kExitSourceRefused = 6,
  kExitTargetRefused = 7,
  kExitEndStateNotReached = 8,
  kExitLocked = 9,
  kExitInterrupted = 10,
  kExitIo = 11,
  kExitDivergence = 12,
  kExitNotFound = 13,
  kExitDiskFull = 14,
  kExitUnsupportedFormat = 15,
  kExitBadBackup = 16,
  kExitSourceUnavailable = 17,
};

int ExitCodeOf(Code code);

}  // namespace tidemark
