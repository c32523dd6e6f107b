// What a transaction's events say it did: tables touched with row counts, the text of DDL, the
// boundary kind of each.
//
// Pure. Knows nothing of checksums, offsets and framing: the scanner feeds it bodies, from the
// stream or out of a decompressed payload. Steady state allocates nothing: table maps are parsed
// again only when their bytes change.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "replication/base/bytes.h"
#include "replication/event/row_counter.h"
#include "replication/event/transaction.h"
#include "replication/event/transaction_boundary.h"

namespace tidemark {

class TransactionContent {
 public:
  // `count_rows` false: tables and rows are not looked at.
  explicit TransactionContent(bool count_rows) : count_rows_(count_rows) {}

  void BeginTransaction(
      Transaction* transaction);  // empties and later fills it; must outlive the transaction
  // One event of the transaction: its body, or as much of it as there is (Feed brings the rest),
  // then End. Not for Gtid and Transaction_payload events. `after_gtid`: nothing but the Gtid has
  // been seen of the transaction.
  BoundaryEvent Begin(EventType type, Bytes body, bool after_gtid);
  void Feed(Bytes body_piece);
  void End();
  bool count_rows() const { return count_rows_; }

 private:
  struct CachedTable {
    std::string map;  // the Table_map body's used part, compared with the next one of the same id
    std::string schema;
    std::string table;
    std::vector<ColumnSize> columns;  // empty: not understood, rows are not counted
    uint64_t touched_in = 0;          // number of the transaction that has seen it
    size_t touch = 0;                 // index in Transaction::tables, or kOmitted
  };

  BoundaryEvent TakeQuery(Bytes body, bool after_gtid);
  void TakeTableMap(Bytes body);
  void BeginRows(EventType type, Bytes body);
  CachedTable* FindTable(uint64_t table_id);
  TableTouch* Touch(CachedTable* table);

  bool count_rows_;
  Transaction* transaction_ = nullptr;
  uint64_t transaction_number_ = 0;
  std::unordered_map<uint64_t, CachedTable> tables_;
  size_t cached_bytes_ = 0;
  uint64_t last_id_ = 0;
  CachedTable* last_table_ = nullptr;
  std::vector<TableTouch> spare_;  // strings with capacity, for the next transaction
  RowCounter counter_;
  RowsKind rows_kind_ = RowsKind::kWrite;
  CachedTable* counting_ = nullptr;  // table of the rows event under way
};

}  // namespace tidemark
