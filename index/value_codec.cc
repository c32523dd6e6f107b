#include "index/value_codec.h"

#include "index/value_fields.h"

namespace tidemark {
namespace {

constexpr uint8_t kExtentSealed = 0x01;
constexpr uint8_t kExtentEndsSourceFile = 0x02;
constexpr uint8_t kFrameStartsInTransaction = 0x01;
constexpr uint8_t kFrameClockSteppedBack = 0x02;

// Reads the version byte; afterwards the reader stands at the first field.
Status CheckVersion(ValueReader& reader, const char* what) {
  const uint8_t version = reader.U8();
  if (!reader.ok() || version == 0) {
    return {Code::kCorruption, std::string("the index holds an empty ") + what + " record",
            kIndexRebuildHint};
  }
  if (version > kIndexValueVersion) {
    return {Code::kUnsupportedFormat,
            std::string("the index holds a ") + what + " record of version " +
                std::to_string(version) + ", this program knows up to " +
                std::to_string(kIndexValueVersion),
            "use the newer tidemark, or rebuild it with this one: pitr index rebuild"};
  }
  return OkStatus();
}

Status CheckFinished(const ValueReader& reader, const char* what) {
  if (reader.Finished()) return OkStatus();
  return {Code::kCorruption, std::string("the index holds a malformed ") + what + " record",
          kIndexRebuildHint};
}

void WriteTables(ValueWriter& writer, const std::vector<TableTouch>& tables) {
  writer.Varint(tables.size());
  const std::string* schema_before = nullptr;
  for (const TableTouch& table : tables) {
    if (schema_before != nullptr && *schema_before == table.schema) {
      writer.Varint(0);
    } else {
      writer.Varint(table.schema.size() + 1);
      for (char c : table.schema) writer.U8(static_cast<uint8_t>(c));
    }
    schema_before = &table.schema;
    writer.Text(table.table).Varint(table.inserted).Varint(table.updated).Varint(table.deleted);
  }
}

std::vector<TableTouch> ReadTables(ValueReader& reader) {
  std::vector<TableTouch> tables;
  const uint64_t count = reader.Varint();
  for (uint64_t i = 0; reader.ok() && i < count; ++i) {
    TableTouch table;
    const uint64_t schema = reader.Varint();
    if (schema == 0 && tables.empty()) reader.Fail();
    if (!reader.ok()) break;
    table.schema = schema == 0 ? tables.back().schema : reader.Text(schema - 1);
    table.table = reader.Text();
    table.inserted = reader.Varint();
    table.updated = reader.Varint();
    table.deleted = reader.Varint();
    tables.push_back(std::move(table));
  }
  return tables;
}

}  // namespace

std::string EncodeMetaFormat(uint32_t version) {
  std::string value;
  ByteWriter(&value).U32Big(version);
  return value;
}

Result<uint32_t> DecodeMetaFormat(std::string_view value) {
  ByteReader reader(AsBytes(value));
  const uint32_t version = reader.U32Big();
  if (reader.ok() && reader.remaining() == 0) return version;
  return Status(Code::kCorruption, "the index holds a malformed format version", kIndexRebuildHint);
}

std::string EncodeHeaderValue(const SegmentHeader& header) {
  std::string value;
  ValueWriter writer(&value);
  writer.U8(kIndexValueVersion)
      .Varint(header.format_version)
      .Text(header.source_name)
      .WriteUuid(header.server_uuid)
      .Text(header.source_file)
      .Varint(header.source_start)
      .Varint(header.prefix_bytes)
      .Time(header.created_us)
      .Set(header.previous)
      .Set(header.gap.missing)
      .Text(header.gap.reason)
      .Time(header.gap.noticed_us);
  return value;
}

Result<SegmentHeader> DecodeHeaderValue(uint64_t number, std::string_view value) {
  ValueReader reader(value);
  TM_RETURN_IF_ERROR(CheckVersion(reader, "segment header"));
  SegmentHeader header;
  header.number = number;
  const uint32_t format = reader.Varint32();
  if (format > UINT16_MAX) reader.Fail();
  header.format_version = static_cast<uint16_t>(format);
  header.source_name = reader.Text();
  header.server_uuid = reader.ReadUuid();
  header.source_file = reader.Text();
  header.source_start = reader.Varint();
  header.prefix_bytes = reader.Varint32();
  header.created_us = reader.Time();
  header.previous = reader.Set();
  header.gap.missing = reader.Set();
  header.gap.reason = reader.Text();
  header.gap.noticed_us = reader.Time();
  TM_RETURN_IF_ERROR(CheckFinished(reader, "segment header"));
  return header;
}

std::string EncodeExtentValue(const SegmentRecord& segment) {
  std::string value;
  ValueWriter writer(&value);
  const int flags =
      (segment.sealed ? kExtentSealed : 0) | (segment.ends_source_file ? kExtentEndsSourceFile : 0);
  writer.U8(kIndexValueVersion)
      .U8(static_cast<uint8_t>(flags))
      .U8(static_cast<uint8_t>(segment.reason))
      .Varint(segment.raw_bytes)
      .Varint(segment.stored_bytes)
      .Varint(segment.transactions)
      .Time(segment.first_commit_us)
      .Delta(segment.last_commit_us, segment.first_commit_us)
      .Delta(segment.commit_high_us, segment.last_commit_us)
      .Set(segment.gtids);
  return value;
}

Status DecodeExtentValue(std::string_view value, SegmentRecord* segment) {
  ValueReader reader(value);
  TM_RETURN_IF_ERROR(CheckVersion(reader, "segment extent"));
  const uint8_t flags = reader.U8();
  const uint8_t reason = reader.U8();
  if ((flags & ~(kExtentSealed | kExtentEndsSourceFile)) != 0) reader.Fail();
  if (reason < static_cast<uint8_t>(SealReason::kRotation) ||
      reason > static_cast<uint8_t>(SealReason::kRequest)) {
    reader.Fail();
  }
  segment->sealed = (flags & kExtentSealed) != 0;
  segment->ends_source_file = (flags & kExtentEndsSourceFile) != 0;
  segment->reason = static_cast<SealReason>(reason);
  segment->raw_bytes = reader.Varint();
  segment->stored_bytes = reader.Varint();
  segment->transactions = reader.Varint();
  segment->first_commit_us = reader.Time();
  segment->last_commit_us = reader.Delta(segment->first_commit_us);
  segment->commit_high_us = reader.Delta(segment->last_commit_us);
  segment->gtids = reader.Set();
  return CheckFinished(reader, "segment extent");
}

std::string EncodeFrameValue(const FrameRecord& frame) {
  std::string value;
  ValueWriter writer(&value);
  const int flags = (frame.starts_in_transaction ? kFrameStartsInTransaction : 0) |
                    (frame.clock_stepped_back ? kFrameClockSteppedBack : 0);
  writer.U8(kIndexValueVersion)
      .U8(static_cast<uint8_t>(flags))
      .Varint(frame.place.raw_offset)
      .Varint(frame.place.stored_offset)
      .Varint(frame.raw_end)
      .Varint(frame.transactions)
      .Time(frame.first_commit_us)
      .Delta(frame.last_commit_us, frame.first_commit_us)
      .Delta(frame.commit_high_us, frame.last_commit_us)
      .Set(frame.gtids)
      .Varint(frame.tables_omitted);
  WriteTables(writer, frame.tables);
  return value;
}

Result<FrameRecord> DecodeFrameValue(uint32_t number, std::string_view value) {
  ValueReader reader(value);
  TM_RETURN_IF_ERROR(CheckVersion(reader, "frame"));
  FrameRecord frame;
  frame.frame = number;
  const uint8_t flags = reader.U8();
  if ((flags & ~(kFrameStartsInTransaction | kFrameClockSteppedBack)) != 0) reader.Fail();
  frame.starts_in_transaction = (flags & kFrameStartsInTransaction) != 0;
  frame.clock_stepped_back = (flags & kFrameClockSteppedBack) != 0;
  frame.place.raw_offset = reader.Varint();
  frame.place.stored_offset = reader.Varint();
  frame.raw_end = reader.Varint();
  frame.transactions = reader.Varint();
  frame.first_commit_us = reader.Time();
  frame.last_commit_us = reader.Delta(frame.first_commit_us);
  frame.commit_high_us = reader.Delta(frame.last_commit_us);
  frame.gtids = reader.Set();
  frame.tables_omitted = reader.Varint();
  frame.tables = ReadTables(reader);
  TM_RETURN_IF_ERROR(CheckFinished(reader, "frame"));
  return frame;
}

std::string EncodeGtidValue(int64_t first, const GtidPlace& place) {
  std::string value;
  ValueWriter(&value)
      .U8(kIndexValueVersion)
      .Varint(static_cast<uint64_t>(place.last - first))
      .Varint(place.segment)
      .Varint(place.frame);
  return value;
}

Result<GtidPlace> DecodeGtidValue(int64_t first, std::string_view value) {
  ValueReader reader(value);
  TM_RETURN_IF_ERROR(CheckVersion(reader, "gtid"));
  const uint64_t length = reader.Varint();
  if (first < 1 || first > kGnoMax || length > static_cast<uint64_t>(kGnoMax - first))
    reader.Fail();
  GtidPlace place;
  place.segment = reader.Varint();
  place.frame = reader.Varint32();
  TM_RETURN_IF_ERROR(CheckFinished(reader, "gtid"));
  place.last = first + static_cast<int64_t>(length);
  return place;
}

std::string EncodePositionValue(const PositionPlace& place) {
  std::string value;
  ValueWriter(&value)
      .U8(kIndexValueVersion)
      .WriteUuid(place.server_uuid)
      .Varint(place.source_start);
  return value;
}

Result<PositionPlace> DecodePositionValue(std::string_view value) {
  ValueReader reader(value);
  TM_RETURN_IF_ERROR(CheckVersion(reader, "position"));
  PositionPlace place;
  place.server_uuid = reader.ReadUuid();
  place.source_start = reader.Varint();
  TM_RETURN_IF_ERROR(CheckFinished(reader, "position"));
  return place;
}

std::string EncodeDdlValue(const DdlRecord& ddl) {
  std::string value;
  ValueWriter(&value)
      .U8(kIndexValueVersion)
      .WriteGtid(ddl.gtid)
      .Time(ddl.commit_us)
      .Varint(ddl.frame)
      .Text(ddl.schema)
      .Text(ddl.statement);
  return value;
}

Result<DdlRecord> DecodeDdlValue(uint64_t raw_offset, std::string_view value) {
  ValueReader reader(value);
  TM_RETURN_IF_ERROR(CheckVersion(reader, "ddl"));
  DdlRecord ddl;
  ddl.raw_offset = raw_offset;
  ddl.gtid = reader.ReadGtid();
  ddl.commit_us = reader.Time();
  ddl.frame = reader.Varint32();
  ddl.schema = reader.Text();
  ddl.statement = reader.Text();
  TM_RETURN_IF_ERROR(CheckFinished(reader, "ddl"));
  return ddl;
}

std::string EncodeOversizeValue(const OversizeRecord& oversize) {
  std::string value;
  ValueWriter(&value)
      .U8(kIndexValueVersion)
      .WriteGtid(oversize.gtid)
      .Time(oversize.commit_us)
      .Varint(oversize.frame)
      .Varint(oversize.raw_end);
  return value;
}

Result<OversizeRecord> DecodeOversizeValue(uint64_t raw_begin, std::string_view value) {
  ValueReader reader(value);
  TM_RETURN_IF_ERROR(CheckVersion(reader, "oversize"));
  OversizeRecord oversize;
  oversize.raw_begin = raw_begin;
  oversize.gtid = reader.ReadGtid();
  oversize.commit_us = reader.Time();
  oversize.frame = reader.Varint32();
  oversize.raw_end = reader.Varint();
  TM_RETURN_IF_ERROR(CheckFinished(reader, "oversize"));
  return oversize;
}

}  // namespace tidemark
