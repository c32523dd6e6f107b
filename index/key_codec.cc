#include "index/key_codec.h"

#include <algorithm>

#include "replication/base/bytes.h"
#include "replication/base/checksum.h"
#include "replication/event/gtid_text.h"

namespace tidemark {
namespace {

constexpr uint64_t kSignBit = uint64_t{1} << 63;
constexpr size_t kFileNameBytesMax = 65535;

std::string TakeSource(ByteReader& reader) {
  const size_t size = reader.U8();
  if (size == 0 || size > kSourceNameBytesMax) reader.Skip(SIZE_MAX);  // turns the reader bad
  return std::string(AsText(reader.Take(size)));
}

template <typename Fields>
Result<Fields> Finish(const ByteReader& reader, bool valid, Fields fields, std::string_view key,
                      const char* what) {
  if (reader.ok() && valid && reader.remaining() == 0) return fields;
  return Status(Code::kCorruption, std::string("the index holds a malformed ") + what + " key " +
                                       Hex(AsBytes(key.substr(0, 64))));
}

}  // namespace

const char* FamilyName(Family family) {
  switch (family) {
    case Family::kMeta: return "default";
    case Family::kSegment: return "segment";
    case Family::kFrame: return "frame";
    case Family::kGtid: return "gtid";
    case Family::kTime: return "time";
    case Family::kPosition: return "position";
    case Family::kDdl: return "ddl";
    case Family::kOversize: return "oversize";
  }
  return "?";
}

std::string SourcePrefix(std::string_view source) {
  if (source.size() > kSourceNameBytesMax) source = {};
  std::string key;
  ByteWriter(&key).U8(static_cast<uint8_t>(source.size())).Text(source);
  return key;
}

std::string SegmentPrefix(std::string_view source, uint64_t segment) {
  std::string key = SourcePrefix(source);
  ByteWriter(&key).U64Big(segment);
  return key;
}

std::string SegmentKey(std::string_view source, uint64_t segment, SegmentPart part) {
  std::string key = SegmentPrefix(source, segment);
  ByteWriter(&key).U8(static_cast<uint8_t>(part));
  return key;
}

std::string FrameKey(std::string_view source, uint64_t segment, uint32_t frame) {
  std::string key = SegmentPrefix(source, segment);
  ByteWriter(&key).U32Big(frame);
  return key;
}

std::string GtidPrefix(std::string_view source, const Tsid& tsid) {
  std::string key = SourcePrefix(source);
  TM_CHECK(tsid.tag.size() <= kGtidTagBytesMax);
  ByteWriter(&key).Raw(tsid.uuid.bytes).U8(static_cast<uint8_t>(tsid.tag.size())).Text(tsid.tag);
  return key;
}

std::string GtidKey(std::string_view source, const Tsid& tsid, int64_t first) {
  std::string key = GtidPrefix(source, tsid);
  ByteWriter(&key).U64Big(static_cast<uint64_t>(first));
  return key;
}

std::string TimeKey(std::string_view source, int64_t commit_high_us, uint64_t segment,
                    uint32_t frame) {
  std::string key = SourcePrefix(source);
  ByteWriter(&key)
      .U64Big(static_cast<uint64_t>(commit_high_us) ^ kSignBit)
      .U64Big(segment)
      .U32Big(frame);
  return key;
}

std::string PositionPrefix(std::string_view source, std::string_view file) {
  std::string key = SourcePrefix(source);
  file = file.substr(0, kFileNameBytesMax);
  ByteWriter(&key)
      .U8(static_cast<uint8_t>(file.size() >> 8))
      .U8(static_cast<uint8_t>(file.size()))
      .Text(file);
  return key;
}

std::string PositionKey(std::string_view source, std::string_view file, uint64_t segment) {
  std::string key = PositionPrefix(source, file);
  ByteWriter(&key).U64Big(segment);
  return key;
}

std::string DdlKey(std::string_view source, uint64_t segment, uint64_t raw_offset) {
  std::string key = SegmentPrefix(source, segment);
  ByteWriter(&key).U64Big(raw_offset);
  return key;
}

std::string OversizeKey(std::string_view source, uint64_t segment, uint64_t raw_begin) {
  return DdlKey(source, segment, raw_begin);
}

Result<SegmentKeyFields> DecodeSegmentKey(std::string_view key) {
  ByteReader reader(AsBytes(key));
  SegmentKeyFields fields;
  fields.source = TakeSource(reader);
  fields.segment = reader.U64Big();
  const uint8_t part = reader.U8();
  fields.part = static_cast<SegmentPart>(part);
  return Finish(reader, part <= 1, std::move(fields), key, "segment");
}

Result<FrameKeyFields> DecodeFrameKey(std::string_view key) {
  ByteReader reader(AsBytes(key));
  FrameKeyFields fields;
  fields.source = TakeSource(reader);
  fields.segment = reader.U64Big();
  fields.frame = reader.U32Big();
  return Finish(reader, true, std::move(fields), key, "frame");
}

Result<GtidKeyFields> DecodeGtidKey(std::string_view key) {
  ByteReader reader(AsBytes(key));
  GtidKeyFields fields;
  fields.source = TakeSource(reader);
  const Bytes uuid = reader.Take(fields.tsid.uuid.bytes.size());
  std::copy(uuid.begin(), uuid.end(), fields.tsid.uuid.bytes.begin());
  fields.tsid.tag = AsText(reader.Take(reader.U8()));
  fields.first = static_cast<int64_t>(reader.U64Big());
  const bool valid = fields.first >= 1 && fields.first <= kGnoMax &&
                     (fields.tsid.tag.empty() || IsCanonicalTag(fields.tsid.tag));
  return Finish(reader, valid, std::move(fields), key, "gtid");
}

Result<TimeKeyFields> DecodeTimeKey(std::string_view key) {
  ByteReader reader(AsBytes(key));
  TimeKeyFields fields;
  fields.source = TakeSource(reader);
  fields.commit_high_us = static_cast<int64_t>(reader.U64Big() ^ kSignBit);
  fields.segment = reader.U64Big();
  fields.frame = reader.U32Big();
  return Finish(reader, true, std::move(fields), key, "time");
}

Result<PositionKeyFields> DecodePositionKey(std::string_view key) {
  ByteReader reader(AsBytes(key));
  PositionKeyFields fields;
  fields.source = TakeSource(reader);
  const size_t high = reader.U8();
  const size_t size = high << 8 | reader.U8();
  fields.file = AsText(reader.Take(size));
  fields.segment = reader.U64Big();
  return Finish(reader, true, std::move(fields), key, "position");
}

Result<OffsetKeyFields> DecodeOffsetKey(std::string_view key) {
  ByteReader reader(AsBytes(key));
  OffsetKeyFields fields;
  fields.source = TakeSource(reader);
  fields.segment = reader.U64Big();
  fields.raw_offset = reader.U64Big();
  return Finish(reader, true, std::move(fields), key, "ddl or oversize");
}

}  // namespace tidemark
