// tidemarkd's body: the archive's lock, its index, and one archiver per source, until told to stop.
//
// At every change each source's live state is written to
// ARCHIVE/SOURCE/daemon.json for `pitr status`: not durable, not a truth, only a view.
#pragma once

#include <atomic>

#include "tools/daemon_config.h"

namespace tidemark {

struct DaemonOptions {
  bool once = false;  // archive what the sources have now, then stop
};

// Returns when `stop` (a signal number, 0 while there is none) is set and everything durable is
// sealed; or with the error that kept it from starting; or, with `once`, with the first source's
// error.
Status RunDaemon(const DaemonConfig& config, const DaemonOptions& options,
                 const std::atomic<int>& stop);

}  // namespace tidemark
