// A secret that stands in a file of its own: a password, a token.
#pragma once

#include <cstdint>
#include <string>

#include "replication/base/status.h"

namespace tidemark {

inline constexpr uint64_t kSecretFileBytesMax = 4096;

// The first line, without its "\n" or "\r\n"; may be empty. kUsage if it cannot be had, the file is
// longer than kSecretFileBytesMax, or anyone may read or write it; the message names `what`
// ("password file") and the path, never the contents. Does not hang on a FIFO.
Result<std::string> ReadSecretLine(const std::string& what, const std::string& path);

}  // namespace tidemark
