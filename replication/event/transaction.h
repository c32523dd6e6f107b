// What is known of one transaction after its last event has been seen: identity, times, place,
// tables touched.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replication/event/gtid.h"

namespace tidemark {

inline constexpr size_t kDdlStatementBytesMax = 512;  // of a DDL statement's text we keep this much
inline constexpr size_t kTablesPerTransactionMax =
    256;  // further tables are counted in tables_omitted

struct TableTouch {
  std::string schema;
  std::string table;
  uint64_t inserted = 0;  // rows
  uint64_t updated = 0;
  uint64_t deleted = 0;
  bool operator==(const TableTouch&) const = default;
};

enum class TransactionKind : uint8_t {
  kRows = 1,       // BEGIN … XID/COMMIT, row events or statement events
  kDdl = 2,        // a single Query event that commits implicitly
  kXaPrepare = 3,  // XA START … XA PREPARE
  kXaEnd = 4,      // XA COMMIT / XA ROLLBACK of a prepared one
  kEmpty = 5,      // BEGIN, COMMIT and nothing between
};

struct Transaction {
  Gtid gtid;
  TransactionKind kind = TransactionKind::kRows;
  int64_t immediate_commit_us = 0;  // microseconds since the epoch, on the server that sent it
  int64_t original_commit_us = 0;   // on the server where it was first committed
  int64_t last_committed = 0;
  int64_t sequence_number = 0;
  uint64_t begin_offset = 0;    // of its Gtid event in the raw stream the scanner was fed
  uint64_t end_offset = 0;      // behind its last event
  uint32_t source_end_pos = 0;  // log_pos of its last event
  bool compressed = false;      // came as a Transaction_payload
  std::vector<TableTouch> tables;
  uint64_t tables_omitted = 0;
  // kDdl, and kRows that begin with CREATE TABLE … SELECT: the session's default schema; at most
  // kDdlStatementBytesMax.
  std::string ddl_schema;
  std::string ddl_statement;

  uint64_t size() const { return end_offset - begin_offset; }
};

}  // namespace tidemark
