// Query events, and what the statement inside means for the transaction around it.
//
// Pure; the result points into the body. Source of facts: MySQL 9.7
// libs/mysql/binlog/event/statement_events.{h,cpp}, trx_boundary_parser.cpp.
#pragma once

#include <cstdint>
#include <string_view>

#include "replication/base/bytes.h"

namespace tidemark {

struct QueryEvent {
  uint32_t thread_id = 0;
  uint32_t execution_seconds = 0;
  uint16_t error_code = 0;
  std::string_view schema;     // the session's default schema; may be empty
  std::string_view statement;  // as far as the bytes given reach
};

// `body` may be cut short (the head of a long event); false if even the fixed part and the schema
// are not there.
[[nodiscard]] bool ParseQueryEvent(Bytes body, QueryEvent* out);

enum class StatementKind : uint8_t {
  kBegin,
  kCommit,
  kRollback,  // of the whole transaction; ROLLBACK TO is kSavepoint
  kXaStart,
  kXaEnd,
  kXaPrepare,
  kXaCommit,
  kXaRollback,
  kSavepoint,
  kDdl,    // CREATE, ALTER, DROP, GRANT, …
  kOther,  // statement-format changes, SET, …
};

// Reads at most the first keywords, behind blanks and comments.
StatementKind ClassifyStatement(std::string_view statement);

}  // namespace tidemark
