// The three checksums Tidemark meets, each computed by a library: CRC-32 (MySQL's event checksum;
// libdeflate), SHA-256 (a segment's raw bytes; OpenSSL) and XXH64 (zstd's frame checksum, RFC 8878
// §3.1.1; xxHash).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "replication/base/bytes.h"

namespace tidemark {

// CRC-32 (ISO-HDLC, as zlib's), continuing from `seed` (0 to begin).
uint32_t Crc32(uint32_t seed, Bytes bytes);

using Sha256Digest = std::array<uint8_t, 32>;

// Incremental SHA-256; one thread at a time.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;

  void Update(Bytes bytes);
  Sha256Digest Finish();  // the object may not be updated afterwards
  Sha256 Copy() const;    // of what was given so far; each goes on alone

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Incremental XXH64 with seed 0; zstd stores the low 32 bits of it, little-endian, behind each
// checksummed frame.
class Xxh64 {
 public:
  Xxh64();
  ~Xxh64();
  Xxh64(Xxh64&&) noexcept;
  Xxh64& operator=(Xxh64&&) noexcept;

  void Reset();
  void Update(Bytes bytes);
  uint64_t Digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string Hex(Bytes bytes);  // lower case

}  // namespace tidemark
