#include "replication/event/transaction_content.h"

#include <algorithm>

#include "replication/event/query_event.h"
#include "replication/event/rows_event.h"

namespace tidemark {
namespace {

// Table maps kept, by the bytes they take. Past it all are forgotten, and come again with the next
// statements.
constexpr size_t kTableCacheBytesMax = size_t{16} << 20;
constexpr size_t kOmitted = SIZE_MAX;

BoundaryEvent BoundaryOf(StatementKind kind) {
  switch (kind) {
    case StatementKind::kBegin: return BoundaryEvent::kBegin;
    case StatementKind::kCommit:
    case StatementKind::kRollback: return BoundaryEvent::kCommit;
    case StatementKind::kXaStart: return BoundaryEvent::kXaStart;
    case StatementKind::kXaEnd: return BoundaryEvent::kXaEndMark;
    case StatementKind::kXaCommit:
    case StatementKind::kXaRollback: return BoundaryEvent::kXaResolve;
    default: return BoundaryEvent::kStatement;
  }
}

}  // namespace

void TransactionContent::BeginTransaction(Transaction* transaction) {
  ++transaction_number_;
  transaction_ = transaction;
  for (TableTouch& touch : transaction->tables) spare_.push_back(std::move(touch));
  transaction->tables.clear();
  transaction->tables_omitted = 0;
  transaction->ddl_schema.clear();
  transaction->ddl_statement.clear();
  transaction->compressed = false;
}

BoundaryEvent TransactionContent::Begin(EventType type, Bytes body, bool after_gtid) {
  counting_ = nullptr;
  switch (type) {
    case EventType::kQuery: return TakeQuery(body, after_gtid);
    case EventType::kXid: return BoundaryEvent::kCommit;
    case EventType::kXaPrepare:
      return !body.empty() && body[0] != 0 ? BoundaryEvent::kXaOnePhase : BoundaryEvent::kXaPrepare;
    case EventType::kTableMap:
      if (count_rows_) TakeTableMap(body);
      return BoundaryEvent::kChange;
    case EventType::kWriteRows:
    case EventType::kUpdateRows:
    case EventType::kDeleteRows:
    case EventType::kPartialUpdateRows:
    case EventType::kWriteRowsV1:
    case EventType::kUpdateRowsV1:
    case EventType::kDeleteRowsV1:
      if (count_rows_) BeginRows(type, body);
      return BoundaryEvent::kChange;
    case EventType::kIntvar:
    case EventType::kRand:
    case EventType::kUserVar: return BoundaryEvent::kPreStatement;
    case EventType::kRowsQuery:
    case EventType::kBeginLoadQuery:
    case EventType::kExecuteLoadQuery:
    case EventType::kViewChange: return BoundaryEvent::kChange;
    case EventType::kIncident: return BoundaryEvent::kIncident;
    default: return BoundaryEvent::kUnknown;
  }
}

BoundaryEvent TransactionContent::TakeQuery(Bytes body, bool after_gtid) {
  QueryEvent query;
  if (!ParseQueryEvent(body, &query)) return BoundaryEvent::kStatement;
  const StatementKind kind = ClassifyStatement(query.statement);
  const BoundaryEvent boundary = BoundaryOf(kind);
  // Behind its Gtid any statement commits by itself; in a transaction only CREATE TABLE … SELECT is
  // DDL.
  const bool ddl =
      boundary == BoundaryEvent::kStatement && (after_gtid || kind == StatementKind::kDdl);
  if (ddl && transaction_ != nullptr && transaction_->ddl_statement.empty()) {
    transaction_->ddl_schema.assign(query.schema);
    transaction_->ddl_statement.assign(query.statement.substr(0, kDdlStatementBytesMax));
  }
  return boundary;
}

TransactionContent::CachedTable* TransactionContent::FindTable(uint64_t table_id) {
  if (last_table_ != nullptr && last_id_ == table_id) return last_table_;
  auto found = tables_.find(table_id);
  if (found == tables_.end()) return nullptr;
  last_id_ = table_id;
  last_table_ = &found->second;
  return last_table_;
}

void TransactionContent::TakeTableMap(Bytes body) {
  constexpr size_t kTableIdSize = 6;
  if (body.size() < kTableIdSize) return;
  const uint64_t id = LoadLittleEndian(body.data(), kTableIdSize);
  const CachedTable* known = FindTable(id);
  if (known != nullptr && !known->map.empty() && AsText(body).starts_with(known->map)) return;

  if (cached_bytes_ > kTableCacheBytesMax) {
    tables_.clear();
    cached_bytes_ = 0;
  }
  last_table_ = nullptr;
  CachedTable& table = tables_[id];
  table.touched_in = 0;
  table.columns.clear();
  table.map.clear();
  TableMap map;
  if (!ParseTableMap(body, &map)) return;
  table.map = AsText(body.first(map.used));
  table.schema = map.schema;
  table.table = map.table;
  if (!ColumnSizes(map.column_types, map.metadata, &table.columns)) table.columns.clear();
  cached_bytes_ += sizeof(CachedTable) + map.used * 2 + table.columns.size() * sizeof(ColumnSize);
}

TableTouch* TransactionContent::Touch(CachedTable* table) {
  std::vector<TableTouch>& touches = transaction_->tables;
  if (table->touched_in == transaction_number_) {
    return table->touch == kOmitted ? nullptr : &touches[table->touch];
  }
  table->touched_in = transaction_number_;
  // One table may have two ids in a transaction (the source reopened it).
  for (table->touch = 0; table->touch < touches.size(); ++table->touch) {
    TableTouch& touch = touches[table->touch];
    if (touch.table == table->table && touch.schema == table->schema) return &touch;
  }
  if (touches.size() == kTablesPerTransactionMax) {
    table->touch = kOmitted;
    ++transaction_->tables_omitted;
    return nullptr;
  }
  if (spare_.empty()) {
    touches.emplace_back();
  } else {
    touches.push_back(std::move(spare_.back()));
    spare_.pop_back();
  }
  TableTouch& touch = touches.back();
  touch.schema = table->schema;
  touch.table = table->table;
  touch.inserted = touch.updated = touch.deleted = 0;
  return &touch;
}

void TransactionContent::BeginRows(EventType type, Bytes body) {
  RowsHeader header;
  if (!ParseRowsHeader(type, body, &header)) return;
  CachedTable* table = FindTable(header.table_id);
  if (table == nullptr || table->map.empty()) return;
  counting_ = table;
  rows_kind_ = header.kind;
  counter_.Begin(header, table->columns);
  counter_.Feed(body.subspan(header.size));
}

void TransactionContent::Feed(Bytes body_piece) {
  if (counting_ != nullptr) counter_.Feed(body_piece);
}

void TransactionContent::End() {
  if (counting_ == nullptr) return;
  TableTouch* touch = transaction_ == nullptr ? nullptr : Touch(counting_);
  counting_ = nullptr;
  if (touch == nullptr) return;
  const uint64_t rows = counter_.Rows().value_or(0);
  switch (rows_kind_) {
    case RowsKind::kWrite: touch->inserted += rows; break;
    case RowsKind::kUpdate:
    case RowsKind::kPartialUpdate: touch->updated += rows; break;
    case RowsKind::kDelete: touch->deleted += rows; break;
  }
}

}  // namespace tidemark
