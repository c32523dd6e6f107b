// Where the daemon's log goes, and in which form. There is one logger for the process's life;
// configuring it anew changes what is behind it, so that any thread may log meanwhile.
#pragma once

#include <spdlog/formatter.h>

#include <memory>

#include "tools/daemon_config.h"

namespace tidemark {

// kUsage or kIo if the file cannot be written or the journal not be reached; then nothing has
// changed. One thread at a time.
Status ConfigureLog(const LogConfig& config);

// One JSON object per line: time (RFC 3339, microseconds), level, source (if the message concerns
// one), message. Whatever bytes a message has, the line is valid JSON.
std::unique_ptr<spdlog::formatter> MakeJsonFormatter(std::string end_of_line = "\n");

}  // namespace tidemark
