#include "replication/event/gtid_event.h"

#include <algorithm>
#include <bit>

namespace tidemark {
namespace {

constexpr uint8_t kLogicalClock =
    2;  // LOGICAL_TIMESTAMP_TYPECODE; other values are 5.7 pre-releases
constexpr uint64_t kTimestampPairBit = uint64_t{1} << 55;
constexpr uint32_t kVersionPairBit = uint32_t{1} << 31;
constexpr uint32_t kVersionUnknown = 999999;  // UNDEFINED_SERVER_VERSION

// Everything behind the logical clock is optional: each server version appended some.
void ReadOptionalTail(ByteReader& reader, GtidEvent* out) {
  if (reader.remaining() < 7) return;
  const uint64_t immediate = reader.U56();
  out->immediate_commit_us = static_cast<int64_t>(immediate & ~kTimestampPairBit);
  out->original_commit_us = out->immediate_commit_us;
  if ((immediate & kTimestampPairBit) != 0)
    out->original_commit_us = static_cast<int64_t>(reader.U56());
  if (reader.remaining() < 1) return;
  out->transaction_length = reader.PackedInteger();
  if (reader.remaining() < 4) return;
  const uint32_t version = reader.U32();
  out->immediate_server_version = version & ~kVersionPairBit;
  out->original_server_version = out->immediate_server_version;
  if ((version & kVersionPairBit) != 0) out->original_server_version = reader.U32();
  if (reader.remaining() >= 8) out->commit_group_ticket = reader.U64();
}

bool ParseUntagged(Bytes body, GtidEvent* out) {
  ByteReader reader(body);
  out->flags = reader.U8();
  const Bytes uuid = reader.Take(out->gtid.tsid.uuid.bytes.size());
  std::copy(uuid.begin(), uuid.end(), out->gtid.tsid.uuid.bytes.begin());
  out->gtid.gno = static_cast<int64_t>(reader.U64());
  if (reader.remaining() < 1) return reader.ok();
  if (reader.U8() != kLogicalClock) return reader.ok();
  out->last_committed = static_cast<int64_t>(reader.U64());
  out->sequence_number = static_cast<int64_t>(reader.U64());
  ReadOptionalTail(reader, out);
  return reader.ok();
}

// MySQL's serialization library: the number of trailing ones of the first byte is the number of
// bytes that follow it.
uint64_t VariableInteger(ByteReader& reader) {
  const uint8_t first = reader.U8();
  const int more = std::countr_one(first);
  uint64_t value = more >= 7 ? 0 : static_cast<uint64_t>(first) >> (more + 1);
  if (more == 0) return value;
  const Bytes rest = reader.Take(static_cast<size_t>(more));
  if (rest.empty()) return 0;
  const uint64_t high = LoadLittleEndian(rest.data(), rest.size());
  return more == 8 ? high : value | high << (7 - more);
}

int64_t SignedVariableInteger(ByteReader& reader) {
  const uint64_t value = VariableInteger(reader);
  return static_cast<int64_t>((value >> 1) ^ (0 - (value & 1)));
}

// Field numbers of Gtid_tagged are the order of Gtid_event::define_fields().
enum TaggedField : uint64_t {
  kFlags = 0,
  kUuid,
  kGno,
  kTag,
  kLastCommitted,
  kSequenceNumber,
  kImmediateTimestamp,
  kOriginalTimestamp,
  kTransactionLength,
  kImmediateVersion,
  kOriginalVersion,
  kTicket,
  kFieldCount,
};

bool ReadTag(ByteReader& reader, std::string* tag) {
  const uint64_t size = VariableInteger(reader);
  if (size > kGtidTagBytesMax) return false;
  tag->assign(AsText(reader.Take(size)));
  if (!reader.ok() || (!tag->empty() && tag->front() >= '0' && tag->front() <= '9')) return false;
  return std::all_of(tag->begin(), tag->end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

bool ReadUuid(ByteReader& reader, Uuid* uuid) {
  for (uint8_t& byte : uuid->bytes) {
    const uint64_t value = VariableInteger(reader);
    if (value > UINT8_MAX) return false;
    byte = static_cast<uint8_t>(value);
  }
  return true;
}

bool ReadTaggedField(uint64_t field, ByteReader& reader, GtidEvent* out) {
  switch (field) {
    case kFlags: out->flags = static_cast<uint8_t>(VariableInteger(reader)); break;
    case kUuid: return ReadUuid(reader, &out->gtid.tsid.uuid);
    case kGno: out->gtid.gno = SignedVariableInteger(reader); break;
    case kTag: return ReadTag(reader, &out->gtid.tsid.tag);
    case kLastCommitted: out->last_committed = SignedVariableInteger(reader); break;
    case kSequenceNumber: out->sequence_number = SignedVariableInteger(reader); break;
    case kImmediateTimestamp:
      out->immediate_commit_us = static_cast<int64_t>(VariableInteger(reader));
      break;
    case kOriginalTimestamp:
      out->original_commit_us = static_cast<int64_t>(VariableInteger(reader));
      break;
    case kTransactionLength: out->transaction_length = VariableInteger(reader); break;
    case kImmediateVersion:
      out->immediate_server_version = static_cast<uint32_t>(VariableInteger(reader));
      break;
    case kOriginalVersion:
      out->original_server_version = static_cast<uint32_t>(VariableInteger(reader));
      break;
    case kTicket: out->commit_group_ticket = VariableInteger(reader); break;
    default: return false;
  }
  return reader.ok();
}

// Message: version, size of the whole, number of the last field that must be understood, then
// (number, value)… in rising order. Fields from kFieldCount on are newer than we are, and ignorable
// unless that header says otherwise.
bool ParseTagged(Bytes body, GtidEvent* out) {
  ByteReader reader(body);
  const uint64_t version = VariableInteger(reader);
  const uint64_t size = VariableInteger(reader);
  const uint64_t last_needed = VariableInteger(reader);
  if (!reader.ok() || version != 1 || size != body.size() || last_needed > kFieldCount)
    return false;
  uint32_t seen = 0;
  while (reader.remaining() > 0) {
    const uint64_t field = VariableInteger(reader);
    if (!reader.ok()) return false;
    if (field >= kFieldCount) break;
    if ((seen >> field) != 0) return false;
    seen |= uint32_t{1} << field;
    if (!ReadTaggedField(field, reader, out)) return false;
  }
  constexpr uint32_t kNeeded = 1U << kUuid | 1U << kGno | 1U << kTag | 1U << kImmediateTimestamp;
  if ((seen & kNeeded) != kNeeded) return false;
  if ((seen & 1U << kOriginalTimestamp) == 0) out->original_commit_us = out->immediate_commit_us;
  if ((seen & 1U << kOriginalVersion) == 0)
    out->original_server_version = out->immediate_server_version;
  return true;
}

void Reset(GtidEvent* out) {
  std::string tag = std::move(out->gtid.tsid.tag);  // keeps its capacity
  tag.clear();
  *out = GtidEvent{};
  out->gtid.tsid.tag = std::move(tag);
}

}  // namespace

bool ParseGtidEvent(EventType type, Bytes body, GtidEvent* out) {
  Reset(out);
  const bool read =
      type == EventType::kGtidTagged ? ParseTagged(body, out) : ParseUntagged(body, out);
  if (!read || out->immediate_commit_us < 0 || out->original_commit_us < 0) return false;
  if (out->immediate_server_version == kVersionUnknown) out->immediate_server_version = 0;
  if (out->original_server_version == kVersionUnknown) out->original_server_version = 0;
  if (type == EventType::kAnonymousGtid) return true;
  return out->gtid.gno >= 1 && out->gtid.gno <= kGnoMax;
}

}  // namespace tidemark
