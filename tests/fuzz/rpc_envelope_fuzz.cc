// Envelopes of a Connect stream, in one piece and cut as the first byte says: the same comes out.
// Then what a compressed one holds, within its limit.
#include <cstdint>
#include <string>
#include <string_view>

#include "proto/rpc/call_head.h"
#include "proto/rpc/compression.h"
#include "proto/rpc/envelope.h"

namespace {

using tidemark::rpc::Compression;
using tidemark::rpc::EnvelopeReader;

constexpr size_t kMessageMax = 4096;

std::string ReadAll(std::string_view bytes, size_t step) {
  EnvelopeReader reader(kMessageMax);
  std::string seen;
  for (size_t at = 0; at < bytes.size(); at += step) {
    reader.Append(bytes.substr(at, step));
    for (;;) {
      auto next = reader.Next();
      if (!next.ok()) return seen + "error " + next.error().message();
      if (!*next) break;
      TM_CHECK((*next)->payload.size() <= kMessageMax);
      tidemark::rpc::AppendEnvelope((*next)->flags, (*next)->payload, &seen);
    }
  }
  return seen + (reader.Finish().ok() ? "" : "truncated");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  TM_CHECK(ReadAll(bytes, bytes.size() + 1) == ReadAll(bytes, data[0] % 16 + 1u));
  for (const Compression one : {Compression::kIdentity, Compression::kGzip, Compression::kZstd}) {
    const auto message = tidemark::rpc::SoleMessage(bytes, one, kMessageMax);
    TM_CHECK(!message.ok() || message->size() <= kMessageMax);
    const auto plain = tidemark::rpc::Decompress(one, bytes, kMessageMax);
    TM_CHECK(!plain.ok() || plain->size() <= kMessageMax);
  }
  return 0;
}
