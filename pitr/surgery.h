// What a restore does otherwise than the source did: transactions that are not applied, tables that
// are not written. Pure values; printed in plan, receipt and exit summary. A restore with surgery
// is not the source's state.
#pragma once

#include <string>
#include <vector>

#include "replication/base/status.h"
#include "replication/event/gtid_set.h"

namespace tidemark {

struct TableName {
  std::string schema;
  std::string table;
  bool operator==(const TableName&) const = default;
};

struct Surgery {
  GtidSet skip;       // committed as empty transactions under the same GTIDs: the set stays whole
  GtidSet leave_out;  // not applied and not in gtid_executed: holes, on purpose
  // Replication filters of the target: a table is written if it is named in only_tables or its
  // schema in only_schemas (or both are empty), and not in without_tables.
  std::vector<TableName> only_tables;
  std::vector<std::string> only_schemas;
  std::vector<TableName> without_tables;

  bool empty() const { return skip.empty() && leave_out.empty() && !filters(); }
  bool filters() const {
    return !only_tables.empty() || !only_schemas.empty() || !without_tables.empty();
  }
  bool operator==(const Surgery&) const = default;
};

// "schema.table"; either part may be in backquotes. kUsage.
Result<TableName> ParseTableName(const std::string& text);
Result<std::string> ParseSchemaName(const std::string& text);  // likewise
// kUsage if skip and leave_out have a GTID in common, or a table is both wanted and unwanted.
Status CheckSurgery(const Surgery& surgery);
// One line for each thing, for people: "skips 1 transaction: uuid:17", "writes only shop.orders", …
std::vector<std::string> DescribeSurgery(const Surgery& surgery);
// The statement that sets the filters for replication channel `channel`, "" if there are none.
// Names are taken literally ('_' and '%' too). For an sql_mode without NO_BACKSLASH_ESCAPES.
//
// What a server does then: changes of rows are filtered table by table, and so is DDL of one table;
// a statement that names several tables (DROP TABLE a, b; RENAME) is executed as a whole if the
// first that any list names is wanted. CREATE, ALTER and DROP DATABASE are executed for schemas
// that are wanted or hold a wanted table (all, if nothing but without_tables is given), accounts
// are not changed where only_* is given, stored programs always are
// (and fail if their schema is not there). Rows of unwanted tables inside
// an XA transaction are an error.
std::string FilterStatement(const Surgery& surgery, const std::string& channel);

}  // namespace tidemark
