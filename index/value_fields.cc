#include "index/value_fields.h"

#include <algorithm>

#include "replication/event/gtid_text.h"

namespace tidemark {

ValueWriter& ValueWriter::U8(uint8_t value) {
  out_->push_back(static_cast<char>(value));
  return *this;
}

ValueWriter& ValueWriter::Varint(uint64_t value) {
  while (value >= 0x80) {
    U8(static_cast<uint8_t>(value | 0x80));
    value >>= 7;
  }
  return U8(static_cast<uint8_t>(value));
}

ValueWriter& ValueWriter::Time(int64_t micros) { return Varint(static_cast<uint64_t>(micros)); }

ValueWriter& ValueWriter::Delta(int64_t value, int64_t base) {
  const uint64_t difference = static_cast<uint64_t>(value) - static_cast<uint64_t>(base);
  const bool negative = difference >> 63 != 0;
  return Varint(difference << 1 ^ (negative ? ~uint64_t{0} : 0));
}

ValueWriter& ValueWriter::Text(std::string_view text) {
  Varint(text.size());
  out_->append(text);
  return *this;
}

ValueWriter& ValueWriter::WriteUuid(const Uuid& uuid) {
  out_->append(AsText(uuid.bytes));
  return *this;
}

ValueWriter& ValueWriter::WriteTsid(const Tsid& tsid) {
  return WriteUuid(tsid.uuid).Text(tsid.tag);
}

ValueWriter& ValueWriter::WriteGtid(const Gtid& gtid) {
  return WriteTsid(gtid.tsid).Varint(static_cast<uint64_t>(gtid.gno));
}

ValueWriter& ValueWriter::Set(const GtidSet& set) {
  Varint(set.map().size());
  for (const auto& [tsid, intervals] : set.map()) {
    WriteTsid(tsid).Varint(intervals.size());
    int64_t before = 0;
    for (const GnoInterval& interval : intervals) {
      Varint(static_cast<uint64_t>(interval.first - before));
      Varint(static_cast<uint64_t>(interval.last - interval.first));
      before = interval.last;
    }
  }
  return *this;
}

uint64_t ValueReader::Varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const uint8_t byte = reader_.U8();
    const uint64_t bits = byte & 0x7F;
    if (shift == 63 && bits > 1) break;
    value |= bits << shift;
    if (byte < 0x80) {
      // One number, one spelling: a trailing zero group would be a second one.
      if (byte == 0 && shift > 0) break;
      return ok() ? value : 0;
    }
  }
  Fail();
  return 0;
}

uint32_t ValueReader::Varint32() {
  const uint64_t value = Varint();
  if (value > UINT32_MAX) Fail();
  return static_cast<uint32_t>(value);
}

int64_t ValueReader::Delta(int64_t base) {
  const uint64_t zigzag = Varint();
  const uint64_t difference = zigzag >> 1 ^ ((zigzag & 1) != 0 ? ~uint64_t{0} : 0);
  return static_cast<int64_t>(static_cast<uint64_t>(base) + difference);
}

std::string ValueReader::Text() { return Text(Varint()); }

std::string ValueReader::Text(size_t size) { return std::string(AsText(reader_.Take(size))); }

Uuid ValueReader::ReadUuid() {
  Uuid uuid;
  const Bytes bytes = reader_.Take(uuid.bytes.size());
  std::copy(bytes.begin(), bytes.end(), uuid.bytes.begin());
  return uuid;
}

Tsid ValueReader::ReadTsid() {
  Tsid tsid;
  tsid.uuid = ReadUuid();
  tsid.tag = Text();
  if (!tsid.tag.empty() && !IsCanonicalTag(tsid.tag)) Fail();
  return tsid;
}

Gtid ValueReader::ReadGtid() {
  Gtid gtid;
  gtid.tsid = ReadTsid();
  const uint64_t gno = Varint();
  if (gno > static_cast<uint64_t>(kGnoMax)) Fail();
  gtid.gno = static_cast<int64_t>(gno);
  return gtid;
}

GtidSet ValueReader::Set() {
  GtidSet set;
  Tsid before;
  const uint64_t tsids = Varint();
  for (uint64_t i = 0; ok() && i < tsids; ++i) {
    const Tsid tsid = ReadTsid();
    const uint64_t intervals = Varint();
    if ((i > 0 && !(before < tsid)) || intervals == 0) Fail();
    uint64_t last = 0;
    for (uint64_t k = 0; ok() && k < intervals; ++k) {
      const uint64_t skip = Varint();
      const uint64_t length = Varint();
      // Adjacent intervals would be one: a set has one spelling.
      if (skip < (k == 0 ? 1u : 2u) || skip > static_cast<uint64_t>(kGnoMax) - last) Fail();
      if (ok() && length > static_cast<uint64_t>(kGnoMax) - last - skip) Fail();
      if (!ok()) break;
      const uint64_t first = last + skip;
      last = first + length;
      set.Add(tsid, GnoInterval{static_cast<int64_t>(first), static_cast<int64_t>(last)});
    }
    before = tsid;
  }
  return set;
}

}  // namespace tidemark
