// The pieces that index values are made of: varints, texts, GTIDs, GTID sets (KEYS.md, "Pieces").
// Internal to value_codec.cc. A reader with a limit, as ByteReader: the first field that does not
// fit or is not valid turns ok() false, and nothing is allocated by what a count claims.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "replication/base/bytes.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

class ValueWriter {
 public:
  explicit ValueWriter(std::string* out) : out_(out) {}

  ValueWriter& U8(uint8_t value);
  ValueWriter& Varint(uint64_t value);              // LEB128
  ValueWriter& Time(int64_t micros);                // varint of the two's complement
  ValueWriter& Delta(int64_t value, int64_t base);  // zigzag varint of value - base, modulo 2^64
  ValueWriter& Text(std::string_view text);         // varint length, bytes
  ValueWriter& WriteUuid(const Uuid& uuid);
  ValueWriter& WriteTsid(const Tsid& tsid);
  ValueWriter& WriteGtid(const Gtid& gtid);
  ValueWriter& Set(const GtidSet& set);

 private:
  std::string* out_;
};

class ValueReader {
 public:
  explicit ValueReader(std::string_view value) : reader_(AsBytes(value)) {}

  bool ok() const { return ok_ && reader_.ok(); }
  bool Finished() const { return ok() && reader_.remaining() == 0; }
  size_t remaining() const { return reader_.remaining(); }
  void Fail() { ok_ = false; }

  uint8_t U8() { return reader_.U8(); }
  uint64_t Varint();
  uint32_t Varint32();
  int64_t Time() { return static_cast<int64_t>(Varint()); }
  int64_t Delta(int64_t base);
  std::string Text();
  std::string Text(size_t size);
  Uuid ReadUuid();
  Tsid ReadTsid();
  Gtid ReadGtid();
  GtidSet Set();

 private:
  ByteReader reader_;
  bool ok_ = true;
};

}  // namespace tidemark
