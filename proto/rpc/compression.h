// The encodings that a Connect message may be in: none, gzip, zstd. Whole messages, no state.
// What is expanded has a limit: a bomb costs no more memory than that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark::rpc {

enum class Compression : uint8_t { kIdentity, kGzip, kZstd };

inline constexpr size_t kCompressBytesMin = 1024;                  // less is not worth it
inline constexpr const char* kCompressionsOffered = "gzip, zstd";  // for Accept-Encoding

const char* CompressionName(Compression compression);  // "identity", "gzip", "zstd"
// A (Connect-)Content-Encoding; "" is identity.
std::optional<Compression> CompressionByName(std::string_view name);
// Of what a (Connect-)Accept-Encoding offers the one with the highest q, the first of those that
// share it; identity if there is none that we have.
Compression ChooseCompression(std::string_view accept_encoding);

std::string Compress(Compression compression, std::string_view bytes);
// kUsage: it would be longer than `bytes_max`. kCorruption: it is not such data, ends too early, or
// something follows.
Result<std::string> Decompress(Compression compression, std::string_view bytes, size_t bytes_max);

}  // namespace tidemark::rpc
