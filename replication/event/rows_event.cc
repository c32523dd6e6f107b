#include "replication/event/rows_event.h"

namespace tidemark {
namespace {

constexpr size_t kMetadataBytesPerColumnMax = 4;

RowsKind KindOf(EventType type) {
  switch (type) {
    case EventType::kUpdateRows:
    case EventType::kUpdateRowsV1: return RowsKind::kUpdate;
    case EventType::kDeleteRows:
    case EventType::kDeleteRowsV1: return RowsKind::kDelete;
    case EventType::kPartialUpdateRows: return RowsKind::kPartialUpdate;
    default: return RowsKind::kWrite;
  }
}

bool IsVersion1(EventType type) {
  return type >= EventType::kWriteRowsV1 && type <= EventType::kDeleteRowsV1;
}

std::string_view ReadName(ByteReader& reader) {
  const std::string_view name = AsText(reader.Take(reader.U8()));
  reader.Skip(1);  // terminating zero
  return name;
}

}  // namespace

bool ParseTableMap(Bytes body, TableMap* out) {
  ByteReader reader(body);
  out->table_id = reader.U48();
  reader.Skip(2);  // flags
  out->schema = ReadName(reader);
  out->table = ReadName(reader);
  const uint64_t columns = reader.PackedInteger();
  if (!reader.ok() || columns > kColumnsMax) return false;
  out->column_types = reader.Take(columns);
  const uint64_t metadata_size = reader.PackedInteger();
  if (metadata_size > columns * kMetadataBytesPerColumnMax) return false;
  out->metadata = reader.Take(metadata_size);
  out->used = reader.position();
  return reader.ok();
}

bool IsRowsEvent(EventType type) {
  return (type >= EventType::kWriteRows && type <= EventType::kDeleteRows) || IsVersion1(type) ||
         type == EventType::kPartialUpdateRows;
}

bool ParseRowsHeader(EventType type, Bytes body, RowsHeader* out) {
  ByteReader reader(body);
  out->kind = KindOf(type);
  out->table_id = reader.U48();
  reader.Skip(2);  // flags
  if (!IsVersion1(type)) {
    const uint16_t extra_size = reader.U16();  // counts itself: NDB and partition numbers
    if (extra_size < 2) return false;
    reader.Skip(extra_size - 2U);
  }
  out->columns = reader.PackedInteger();
  if (!reader.ok() || out->columns == 0 || out->columns > kColumnsMax) return false;
  const size_t bitmap_size = (out->columns + 7) / 8;
  out->before_columns = reader.Take(bitmap_size);
  const bool two_images = out->kind == RowsKind::kUpdate || out->kind == RowsKind::kPartialUpdate;
  out->after_columns = two_images ? reader.Take(bitmap_size) : Bytes{};
  out->size = reader.position();
  return reader.ok();
}

}  // namespace tidemark
