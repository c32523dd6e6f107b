#include "proto/rpc/compression.h"

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <memory>

namespace tidemark::rpc {
namespace {

constexpr int kGzipLevel = 1;  // on the wire, speed counts
constexpr int kZstdLevel = 1;
constexpr int kGzipWindow = 15 + 16;  // zlib.h, deflateInit2: 16 asks for gzip's header
// A window is allocated as its frame asks: no more than ours need (zstd.h, ZSTD_d_windowLogMax).
constexpr int kZstdWindowLogMax = 23;
constexpr size_t kStepBytes = 64 << 10;

Status TooLong(size_t bytes_max) {
  return Status(Code::kUsage,
                "a compressed message is longer than " + std::to_string(bytes_max) + " bytes");
}

std::string_view Trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

Bytef* AsZlib(const char* bytes) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(bytes));  // zlib 1.2's next_in has no const
}

std::string Gzip(std::string_view bytes) {
  z_stream stream{};
  TM_CHECK(deflateInit2(&stream, kGzipLevel, Z_DEFLATED, kGzipWindow, 8, Z_DEFAULT_STRATEGY) ==
           Z_OK);
  TM_CHECK(bytes.size() <= std::numeric_limits<uInt>::max() / 2);
  std::string packed(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = AsZlib(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = AsZlib(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  const int result = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  TM_CHECK(result == Z_STREAM_END);
  return packed;
}

Result<std::string> Gunzip(std::string_view bytes, size_t bytes_max) {
  z_stream stream{};
  TM_CHECK(inflateInit2(&stream, kGzipWindow) == Z_OK);
  const std::unique_ptr<z_stream, int (*)(z_stream*)> owner(&stream, inflateEnd);
  if (bytes.size() > std::numeric_limits<uInt>::max()) return TooLong(bytes_max);
  stream.next_in = AsZlib(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string plain;
  for (int result = Z_OK; result != Z_STREAM_END;) {
    const size_t before = plain.size();
    if (before > bytes_max) return TooLong(bytes_max);
    plain.resize(before + std::min(kStepBytes, bytes_max - before + 1));
    stream.next_out = AsZlib(plain.data() + before);
    stream.avail_out = static_cast<uInt>(plain.size() - before);
    result = inflate(&stream, Z_NO_FLUSH);
    plain.resize(plain.size() - stream.avail_out);
    if (result != Z_OK && result != Z_STREAM_END)
      return Status(Code::kCorruption, "a message is not whole gzip data");
  }
  if (plain.size() > bytes_max) return TooLong(bytes_max);
  if (stream.avail_in > 0) return Status(Code::kCorruption, "something follows the gzip data");
  return plain;
}

std::string Zstd(std::string_view bytes) {
  std::string packed(ZSTD_compressBound(bytes.size()), '\0');
  const size_t size =
      ZSTD_compress(packed.data(), packed.size(), bytes.data(), bytes.size(), kZstdLevel);
  TM_CHECK(!ZSTD_isError(size));
  packed.resize(size);
  return packed;
}

Result<std::string> Unzstd(std::string_view bytes, size_t bytes_max) {
  const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                   ZSTD_freeDCtx);
  TM_CHECK(context != nullptr);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kZstdWindowLogMax);
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  std::string plain;
  for (size_t wanted = 1; wanted != 0;) {
    const size_t before = plain.size();
    if (before > bytes_max) return TooLong(bytes_max);
    plain.resize(before + std::min(kStepBytes, bytes_max - before + 1));
    ZSTD_outBuffer out{plain.data() + before, plain.size() - before, 0};
    const size_t taken_before = in.pos;
    wanted = ZSTD_decompressStream(context.get(), &out, &in);
    plain.resize(before + out.pos);
    const bool stuck = wanted != 0 && out.pos == 0 && in.pos == taken_before;
    if (ZSTD_isError(wanted) || stuck)
      return Status(Code::kCorruption, "a message is not one whole zstd frame");
  }
  if (plain.size() > bytes_max) return TooLong(bytes_max);
  if (in.pos < in.size) return Status(Code::kCorruption, "something follows the zstd frame");
  return plain;
}

// In thousandths. RFC 9110, 12.4.2; what is no such number counts as 0.
int Quality(std::string_view parameters) {
  const std::string text = Lower(Trimmed(parameters));
  if (text.empty()) return 1000;
  if (!text.starts_with("q=") || text.size() < 3 || text.size() > 7) return 0;
  if (text[2] != '0' && text[2] != '1') return 0;
  int quality = (text[2] - '0') * 1000;
  int weight = 100;
  for (size_t at = 4; at < text.size(); ++at, weight /= 10) {
    if (text[3] != '.' || text[at] < '0' || text[at] > '9') return 0;
    quality += (text[at] - '0') * weight;
  }
  return std::min(quality, 1000);
}

}  // namespace

const char* CompressionName(Compression compression) {
  switch (compression) {
    case Compression::kGzip: return "gzip";
    case Compression::kZstd: return "zstd";
    case Compression::kIdentity: break;
  }
  return "identity";
}

std::optional<Compression> CompressionByName(std::string_view name) {
  const std::string lower = Lower(Trimmed(name));
  if (lower.empty() || lower == "identity") return Compression::kIdentity;
  if (lower == "gzip" || lower == "x-gzip") return Compression::kGzip;
  if (lower == "zstd") return Compression::kZstd;
  return std::nullopt;
}

Compression ChooseCompression(std::string_view accept_encoding) {
  Compression best = Compression::kIdentity;
  int best_quality = 0;
  while (!accept_encoding.empty()) {
    const size_t comma = std::min(accept_encoding.find(','), accept_encoding.size());
    const std::string_view item = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
    const size_t semicolon = std::min(item.find(';'), item.size());
    const std::string_view name = Trimmed(item.substr(0, semicolon));
    const std::optional<Compression> one = CompressionByName(name);
    if (!one || name.empty()) continue;
    const int quality = Quality(item.substr(std::min(semicolon + 1, item.size())));
    if (quality > best_quality) {
      best = *one;
      best_quality = quality;
    }
  }
  return best;
}

std::string Compress(Compression compression, std::string_view bytes) {
  switch (compression) {
    case Compression::kGzip: return Gzip(bytes);
    case Compression::kZstd: return Zstd(bytes);
    case Compression::kIdentity: break;
  }
  return std::string(bytes);
}

Result<std::string> Decompress(Compression compression, std::string_view bytes, size_t bytes_max) {
  switch (compression) {
    case Compression::kGzip: return Gunzip(bytes, bytes_max);
    case Compression::kZstd: return Unzstd(bytes, bytes_max);
    case Compression::kIdentity: break;
  }
  if (bytes.size() > bytes_max) return TooLong(bytes_max);
  return std::string(bytes);
}

}  // namespace tidemark::rpc
