// Table_map and the rows events' headers: which table, which columns, where the row images begin.
//
// Pure; results point into the body. Bodies may be cut short (the head of a long event) as long as
// the parts named here are there. Source of facts: MySQL 9.7
// libs/mysql/binlog/event/rows_event.{h,cpp}.
#pragma once

#include <cstdint>
#include <string_view>

#include "replication/base/bytes.h"
#include "replication/event/binlog_format.h"

namespace tidemark {

inline constexpr uint64_t kColumnsMax = 4096;

struct TableMap {
  uint64_t table_id = 0;
  std::string_view schema;
  std::string_view table;
  Bytes column_types;  // one byte each
  Bytes metadata;      // as many bytes per column as its type has
  size_t used = 0;     // bytes of the body up to the metadata's end; optional metadata behind it is
                       // not looked at
};
[[nodiscard]] bool ParseTableMap(Bytes body, TableMap* out);

enum class RowsKind : uint8_t { kWrite, kUpdate, kDelete, kPartialUpdate };

struct RowsHeader {
  RowsKind kind = RowsKind::kWrite;
  uint64_t table_id = 0;
  uint64_t columns = 0;
  Bytes before_columns;  // bitmaps, one bit per column; for writes and deletes there is one image,
                         // and this is its
  Bytes after_columns;   // updates only
  size_t size = 0;       // bytes of the body in front of the first row
};
bool IsRowsEvent(EventType type);
[[nodiscard]] bool ParseRowsHeader(EventType type, Bytes body, RowsHeader* out);

}  // namespace tidemark
