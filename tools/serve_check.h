// Whether [serve] can work, without serving: what can be known before the port is taken, so that a
// running server is not given up for one that cannot start.
#pragma once

#include "tools/daemon_config.h"

namespace tidemark {

// Reads passwords, certificate and keys. kUsage or kIo naming the file.
Status CheckServe(const ServeConfig& serve);

}  // namespace tidemark
