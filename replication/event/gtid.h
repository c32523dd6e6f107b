// One global transaction identifier: source UUID, optional tag, number. Pure values.
//
// Text (MySQL manual, "GTID Format and Storage"): UUID:NUMBER or UUID:TAG:NUMBER, UUID as
// 8-4-4-4-12 hex digits (any case in, lower case out), TAG 1 to 32 of [a-z_][a-z0-9_]* (upper case
// is folded), NUMBER 1 .. 2^63-2.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "replication/base/bytes.h"
#include "replication/base/status.h"

namespace tidemark {

inline constexpr int64_t kGnoMax = INT64_MAX - 1;
inline constexpr size_t kGtidTagBytesMax = 32;

struct Uuid {
  std::array<uint8_t, 16> bytes{};

  static Result<Uuid> Parse(std::string_view text);
  std::string ToString() const;
  auto operator<=>(const Uuid&) const = default;
};

// What MySQL calls a TSID: the namespace in which numbers count. An empty tag means untagged, and
// sorts first.
struct Tsid {
  Uuid uuid;
  std::string tag;

  std::string ToString() const;  // UUID or UUID:TAG
  auto operator<=>(const Tsid&) const = default;
};

struct Gtid {
  Tsid tsid;
  int64_t gno = 0;

  static Result<Gtid> Parse(
      std::string_view text);  // surrounding blanks are ignored; kUsage on error
  std::string ToString() const;
  auto operator<=>(const Gtid&) const = default;
};

}  // namespace tidemark
