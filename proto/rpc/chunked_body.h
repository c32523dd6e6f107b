// HTTP/1.1's chunked bodies (RFC 9112, 7.1), as they come. Pure; the bytes are hostile.
//
// Our own because Beast's decoder (1.81) fails an assertion on some malformed trailers, found by
// tests/fuzz/rpc_request_fuzz.cc. Strict: lines end with CRLF, extensions and trailers are passed
// over, and have limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark::rpc {

inline constexpr size_t kChunkLineBytesMax = 4096;
inline constexpr size_t kTrailerBytesMax = 16 << 10;

class ChunkedBody {
 public:
  // Takes what is usable from the front of `input`, and appends the data in it to `body`. True: the
  // body is complete; what follows stays. kCorruption: not chunks; final.
  Result<bool> Put(std::string* input, std::string* body);

 private:
  enum class State : uint8_t { kSize, kData, kDataEnd, kTrailer, kDone };
  Status TakeLine(std::string_view line);

  State state_ = State::kSize;
  uint64_t left_ = 0;  // of the chunk's data
  size_t trailer_bytes_ = 0;
};

}  // namespace tidemark::rpc
