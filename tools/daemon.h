// tidemarkd's body: the archive's lock, its index, one worker per source, and the archive served,
// as the configuration says, until told to stop. A new configuration is taken over while it runs.
//
// A source that cannot start does not keep the others from being archived. Everything the daemon
// does besides the workers' and the server's own threads happens in the thread that calls
// RunDaemon, a turn about every 100 ms; a turn that comes is its sign of life for a service
// manager's watchdog.
#pragma once

#include <atomic>
#include <string>

#include "tools/daemon_reload.h"

namespace tidemark {

struct DaemonOptions {
  std::string config_path;  // read again when asked to
  bool once = false;        // archive what the sources have now, then stop
};

// Set by signal handlers.
struct DaemonSignals {
  std::atomic<int> stop = 0;         // a signal's number: stop in an orderly way
  std::atomic<bool> reload = false;  // read the configuration again
};

// Returns when told to stop and everything durable is sealed; or with the error that kept it from
// starting: that of the first source, if not even one of them could start. With `once`: with the
// first source's error, after all have had their turn.
Status RunDaemon(LoadedConfig config, const DaemonOptions& options, DaemonSignals& signals);

}  // namespace tidemark
