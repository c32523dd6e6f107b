#include "replication/event/query_event.h"

#include <gtest/gtest.h>

#include "tests/unit/event/stream_builder.h"

namespace tidemark {
namespace {

TEST(QueryEvent, SchemaAndStatementAreFound) {
  QueryEvent query;
  const std::string body = testing::StreamBuilder::Query("DROP TABLE t", "shop");
  ASSERT_TRUE(ParseQueryEvent(AsBytes(body), &query));
  EXPECT_EQ(query.thread_id, 7U);
  EXPECT_EQ(query.schema, "shop");
  EXPECT_EQ(query.statement, "DROP TABLE t");
}

TEST(QueryEvent, CutBeforeTheStatementIsRefused) {
  const std::string body = testing::StreamBuilder::Query("", "shop");
  QueryEvent query;
  EXPECT_TRUE(ParseQueryEvent(AsBytes(body), &query));
  for (size_t size = 0; size < body.size(); ++size)
    EXPECT_FALSE(ParseQueryEvent(AsBytes(body).first(size), &query));
}

struct Case {
  const char* statement;
  StatementKind kind;
};

TEST(ClassifyStatement, KnowsWhatBeginsAndEndsTransactions) {
  const Case cases[] = {
      {"BEGIN", StatementKind::kBegin},
      {"begin ", StatementKind::kBegin},
      {"COMMIT", StatementKind::kCommit},
      {"/* app */ COMMIT", StatementKind::kCommit},
      {"ROLLBACK", StatementKind::kRollback},
      {"ROLLBACK TO `s1`", StatementKind::kSavepoint},
      {"rollback work to savepoint s1", StatementKind::kSavepoint},
      {"SAVEPOINT `s`", StatementKind::kSavepoint},
      {"RELEASE SAVEPOINT s", StatementKind::kSavepoint},
      {"XA START X'6f',X'',1", StatementKind::kXaStart},
      {"XA  END X'6f',X'',1", StatementKind::kXaEnd},
      {"XA PREPARE X'6f'", StatementKind::kXaPrepare},
      {"XA COMMIT X'6f'", StatementKind::kXaCommit},
      {"XA ROLLBACK X'6f'", StatementKind::kXaRollback},
      {"CREATE TABLE t (id INT)", StatementKind::kDdl},
      {"# comment\n-- another\nalter table t add c int", StatementKind::kDdl},
      {"/*!50003 CREATE*/ TRIGGER x", StatementKind::kDdl},
      {"GRANT ALL ON *.* TO u", StatementKind::kDdl},
      {"TRUNCATE t", StatementKind::kDdl},
      {"INSERT INTO t VALUES (1)", StatementKind::kOther},
      {"CREATEX", StatementKind::kOther},
      {"BEGINNING", StatementKind::kOther},
      {"", StatementKind::kOther},
      {"/* never closed", StatementKind::kOther},
      {"/*!", StatementKind::kOther},
      {"abcdefghijklmnopqrstuvwxyz", StatementKind::kOther},
  };
  for (const Case& c : cases) EXPECT_EQ(ClassifyStatement(c.statement), c.kind) << c.statement;
}

}  // namespace
}  // namespace tidemark
