#include "pitr/serve/statements.h"

#include <gtest/gtest.h>

#include "pitr/serve/served_variables.h"

namespace tidemark {
namespace {

constexpr char kUuid[] = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

// An answer as a client sees it. Parsed here, and not compared to payloads made by the same code.
struct Answer {
  int error = 0;  // 0: none
  std::string message;
  bool ok = false;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // NULL is "NULL"
  std::string Cell(size_t row = 0, size_t column = 0) const {
    return row < rows.size() && column < rows[row].size() ? rows[row][column] : "(no such cell)";
  }
};

std::string PackedText(ByteReader* reader) {
  return std::string(AsText(reader->Take(reader->PackedInteger())));
}

Answer Parse(const std::vector<std::string>& payloads) {
  Answer answer;
  ByteReader first(AsBytes(payloads.at(0)));
  const uint8_t marker = first.U8();
  if (marker == 0xFF) {
    EXPECT_EQ(payloads.size(), 1u);
    answer.error = first.U16();
    answer.message = payloads[0].substr(9);
    return answer;
  }
  if (marker == 0) {
    EXPECT_EQ(payloads, std::vector<std::string>{OkPayload()});
    answer.ok = true;
    return answer;
  }
  for (size_t i = 1; i <= marker; ++i) {
    ByteReader column(AsBytes(payloads.at(i)));
    for (int skipped = 0; skipped < 4; ++skipped) (void)PackedText(&column);
    answer.columns.push_back(PackedText(&column));
  }
  EXPECT_EQ(payloads.at(marker + 1u), EofPayload());
  EXPECT_EQ(payloads.back(), EofPayload());
  for (size_t i = marker + 2u; i + 1 < payloads.size(); ++i) {
    ByteReader row(AsBytes(payloads[i]));
    answer.rows.emplace_back();
    while (row.remaining() > 0 && row.ok()) {
      const bool null = static_cast<uint8_t>(payloads[i][row.position()]) == 0xFB;
      if (null) row.Skip(1);
      answer.rows.back().push_back(null ? "NULL" : PackedText(&row));
    }
    EXPECT_EQ(answer.rows.back().size(), marker);
  }
  return answer;
}

class StatementsTest : public ::testing::Test {
 protected:
  StatementsTest() {
    facts_.source = "shop";
    facts_.server_version = "9.7.4-tidemark";
    facts_.server_uuid = *Uuid::Parse(kUuid);
    facts_.server_id = 4242;
    facts_.gtid_executed = std::string(kUuid) + ":1-100";
    facts_.gtid_purged = std::string(kUuid) + ":1-7";
    facts_.now_us = 1'700'000'000'999'999;
  }
  Answer Ask(const std::string& sql) { return Parse(AnswerStatement(sql, facts_, &session_)); }
  std::string Cell(const std::string& sql) { return Ask(sql).Cell(); }

  ServedFacts facts_;
  ServeSession session_;
};

// sql/rpl_replica.cc of 8.4 and 9.7, in the order of get_master_uuid, …_version_and_clock.
TEST_F(StatementsTest, WhatAReplicaOfTodaySays) {
  EXPECT_EQ(Cell("SELECT @@GLOBAL.SERVER_UUID"), kUuid);
  EXPECT_EQ(Cell("SELECT UNIX_TIMESTAMP()"), "1700000000");
  EXPECT_EQ(Cell("SELECT @@GLOBAL.SERVER_ID"), "4242");
  EXPECT_TRUE(Ask("SET @master_heartbeat_period = 30000000000, @source_heartbeat_period = "
                  "30000000000")
                  .ok);
  EXPECT_EQ(session_.HeartbeatPeriod(), 30'000'000u);
  EXPECT_FALSE(session_.KnowsChecksums());
  EXPECT_TRUE(Ask("SET @master_binlog_checksum = @@global.binlog_checksum, "
                  "@source_binlog_checksum = @@global.binlog_checksum")
                  .ok);
  EXPECT_TRUE(session_.KnowsChecksums());
  EXPECT_TRUE(session_.FirstRotateHasChecksum());
  EXPECT_EQ(Cell("SELECT @source_binlog_checksum"), "CRC32");
  EXPECT_EQ(Cell("SELECT @@GLOBAL.GTID_MODE"), "ON");
  EXPECT_TRUE(Ask("SET @slave_uuid = '11111111-2222-3333-4444-555555555555', @replica_uuid = "
                  "'11111111-2222-3333-4444-555555555555'")
                  .ok);
  EXPECT_EQ(session_.ReplicaUuid(), "11111111-2222-3333-4444-555555555555");
}

TEST_F(StatementsTest, WhatAReplicaOf8_0Says) {
  EXPECT_TRUE(Ask("SET @master_heartbeat_period= 2500000000").ok);
  EXPECT_EQ(session_.HeartbeatPeriod(), 2'500'000u);
  EXPECT_TRUE(Ask("SET @master_binlog_checksum= @@global.binlog_checksum").ok);
  EXPECT_EQ(Cell("SELECT @master_binlog_checksum"), "CRC32");
  EXPECT_TRUE(session_.KnowsChecksums());
  EXPECT_TRUE(Ask("SET @slave_uuid= 'abc'").ok);
  EXPECT_EQ(session_.ReplicaUuid(), "abc");
}

// plugin/semisync/semisync_replica.cc: 1193 for both names is "no semi-sync there".
TEST_F(StatementsTest, SemiSyncIsAnUnknownVariable) {
  for (const char* name : {"rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"}) {
    const Answer answer = Ask(std::string("SELECT @@global.") + name);
    EXPECT_EQ(answer.error, 1193);
    EXPECT_EQ(answer.message, std::string("Unknown system variable '") + name + "'");
  }
  EXPECT_TRUE(Ask("SET @rpl_semi_sync_replica= 1").ok);
}

TEST_F(StatementsTest, WhatMysqlbinlogSays) {
  EXPECT_EQ(Cell("SELECT VERSION()"), "9.7.4-tidemark");
  EXPECT_TRUE(Ask("SET @master_binlog_checksum = 'NONE', @source_binlog_checksum = 'NONE'").ok);
  EXPECT_TRUE(session_.KnowsChecksums());
  EXPECT_FALSE(session_.FirstRotateHasChecksum());
}

TEST_F(StatementsTest, WhatTheMysqlClientSays) {
  EXPECT_EQ(Ask("select $$").error, 1064);
  EXPECT_EQ(Cell("select @@version_comment limit 1"), "Tidemark's archive of source 'shop'");
  EXPECT_EQ(Cell("SELECT DATABASE()"), "NULL");
  EXPECT_TRUE(Ask("SET NAMES utf8mb4").ok);
  EXPECT_TRUE(Ask("SET NAMES 'latin1' COLLATE 'latin1_bin'").ok);
  EXPECT_TRUE(Ask("set autocommit=1, @@session.sql_mode = 'ANSI'").ok);
}

// replication/source/{mysql_event_source,source_facts,preflight}.cc
TEST_F(StatementsTest, WhatAnotherTidemarkSays) {
  const Answer facts =
      Ask("SELECT @@GLOBAL.server_uuid AS uuid, @@GLOBAL.server_id AS id,"
          " @@GLOBAL.gtid_owned AS owned, @@GLOBAL.gtid_executed AS executed, "
          "@@GLOBAL.gtid_purged AS purged");
  EXPECT_EQ(facts.columns, (std::vector<std::string>{"uuid", "id", "owned", "executed", "purged"}));
  EXPECT_EQ(facts.rows, (std::vector<std::vector<std::string>>{
                            {kUuid, "4242", "", facts_.gtid_executed, facts_.gtid_purged}}));
  const Answer variables =
      Ask("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin','gtid_mode',"
          "'enforce_gtid_consistency','binlog_format','binlog_checksum')");
  EXPECT_EQ(variables.columns, (std::vector<std::string>{"Variable_name", "Value"}));
  EXPECT_EQ(variables.rows,
            (std::vector<std::vector<std::string>>{{"binlog_checksum", "CRC32"},
                                                   {"enforce_gtid_consistency", "ON"},
                                                   {"gtid_mode", "ON"},
                                                   {"log_bin", "ON"}}));
  EXPECT_TRUE(Ask("SET @source_binlog_checksum='CRC32', @master_binlog_checksum='CRC32', "
                  "@source_heartbeat_period=1000000, @master_heartbeat_period=1000000, "
                  "@replica_uuid='a', @slave_uuid='a'")
                  .ok);
  EXPECT_TRUE(Ask("SHOW REPLICAS").rows.empty());
  EXPECT_EQ(Ask("SHOW BINARY LOGS").error, 1235);
}

TEST_F(StatementsTest, ShowReplicasListsThemInBothWordings) {
  facts_.replicas = {{.server_id = 5, .host = "db7", .port = 3307, .uuid = "u"}};
  const Answer answer = Ask("SHOW REPLICAS");
  EXPECT_EQ(answer.columns,
            (std::vector<std::string>{"Server_Id", "Host", "Port", "Source_Id", "Replica_UUID"}));
  EXPECT_EQ(answer.rows,
            (std::vector<std::vector<std::string>>{{"5", "db7", "3307", "4242", "u"}}));
  EXPECT_EQ(Ask("SHOW SLAVE HOSTS").columns.back(), "Slave_UUID");
}

TEST_F(StatementsTest, StatusHasTheSetButNoFile) {
  for (const char* sql : {"SHOW BINARY LOG STATUS", "show master status;"}) {
    const Answer answer = Ask(sql);
    EXPECT_EQ(answer.columns.back(), "Executed_Gtid_Set");
    EXPECT_EQ(answer.Cell(0, 4), facts_.gtid_executed);
    EXPECT_EQ(answer.Cell(0, 0), "");
  }
}

TEST_F(StatementsTest, AnArchiveWithoutChecksumsSaysSo) {
  facts_.checksums = false;
  EXPECT_TRUE(Ask("SET @source_binlog_checksum = @@global.binlog_checksum").ok);
  EXPECT_EQ(session_.variables.at("source_binlog_checksum"), "NONE");
  EXPECT_TRUE(session_.KnowsChecksums());
}

TEST_F(StatementsTest, SwitchesAreWordsInShowAndNumbersInSelect) {
  EXPECT_EQ(Ask("SHOW VARIABLES LIKE 'log_bin'").Cell(0, 1), "ON");
  EXPECT_EQ(Cell("SELECT @@log_bin"), "1");
  EXPECT_EQ(Cell("SELECT @@super_read_only"), "1");
}

TEST_F(StatementsTest, LetterCaseSpaceQuotesAndCommentsMakeNoDifference) {
  for (const char* sql :
       {"select@@global.server_id", "  SELECT\n@@Global.Server_Id\t;  ", "SELECT @@server_id",
        "SELECT @@`global`.`server_id`", "-- what am I\nSELECT @@local.server_id # end",
        "/* a ' quote */ SELECT /**/ @@session.server_id -- x", "/*!40101 SELECT @@server_id */;",
        "SELECT /*!80000 @@server_id*/", "SELECT @@server_id --"}) {
    EXPECT_EQ(Cell(sql), "4242") << sql;
  }
  for (const char* sql : {"SET @X='v'", "set @x:=\"v\"", "SET @`x` = 'v'", "SET @'X' = 'v'"}) {
    session_.variables.clear();
    EXPECT_TRUE(Ask(sql).ok) << sql;
    EXPECT_EQ(session_.variables, (std::map<std::string, std::string>{{"x", "v"}})) << sql;
  }
}

TEST_F(StatementsTest, ColumnsAreCalledByAliasOrByWhatWasWritten) {
  const Answer answer =
      Ask("SELECT @@GLOBAL . SERVER_ID, @x /* no */ , 1 AS one, 2 two, 3 AS 'th ree', 4 `fo``ur`, "
          "VERSION( )");
  EXPECT_EQ(answer.columns, (std::vector<std::string>{"@@GLOBAL . SERVER_ID", "@x", "one", "two",
                                                      "th ree", "fo`ur", "VERSION( )"}));
  EXPECT_EQ(answer.rows[0],
            (std::vector<std::string>{"4242", "NULL", "1", "2", "3", "4", "9.7.4-tidemark"}));
}

TEST_F(StatementsTest, ValuesAreStoredUnquoted) {
  EXPECT_TRUE(Ask(R"(SET @a='it''s', @b="a\"b\\c\n", @c=-12.5, @d=TRUE, @e.f=0, @g='\%\_')").ok);
  EXPECT_EQ(session_.variables, (std::map<std::string, std::string>{{"a", "it's"},
                                                                    {"b", "a\"b\\c\n"},
                                                                    {"c", "-12.5"},
                                                                    {"d", "1"},
                                                                    {"e.f", "0"},
                                                                    {"g", "\\%\\_"}}));
}

TEST_F(StatementsTest, NullTakesAVariableAway) {
  EXPECT_TRUE(Ask("SET @source_binlog_checksum = 'CRC32'").ok);
  EXPECT_TRUE(Ask("SET @source_binlog_checksum = NULL").ok);
  EXPECT_FALSE(session_.KnowsChecksums());
  EXPECT_FALSE(session_.FirstRotateHasChecksum());
  EXPECT_EQ(Cell("SELECT @source_binlog_checksum"), "NULL");
}

TEST_F(StatementsTest, AssignmentsSeeTheValuesFromBefore) {
  EXPECT_TRUE(Ask("SET @a=1").ok);
  EXPECT_TRUE(Ask("SET @a=2, @b=@a").ok);
  EXPECT_EQ(Cell("SELECT @b"), "1");
}

TEST_F(StatementsTest, AFailedSetChangesNothing) {
  const auto before = session_.variables;
  EXPECT_EQ(Ask("SET @a=1, @b=@@global.no_such_thing").error, 1193);
  EXPECT_EQ(Ask("SET @a=1, @b=1+1").error, 1235);
  EXPECT_EQ(Ask("SET @a=1 nonsense").error, 1235);
  EXPECT_EQ(Ask("SET @a=1, ").error, 1235);
  EXPECT_EQ(session_.variables, before);
}

TEST_F(StatementsTest, VariablesHaveLimits) {
  const std::string longest(kSessionVariableBytesMax, 'v');
  EXPECT_TRUE(Ask("SET @a='" + longest + "'").ok);
  EXPECT_EQ(Ask("SET @a='" + longest + "v'").error, 1105);
  EXPECT_EQ(Ask("SET @" + std::string(kSessionVariableNameBytesMax + 1, 'n') + "=1").error, 1105);
  for (size_t i = 1; i < kSessionVariablesMax; ++i) {
    EXPECT_TRUE(Ask("SET @v" + std::to_string(i) + "=1").ok);
  }
  EXPECT_EQ(Ask("SET @one_more=1").error, 1105);
  EXPECT_TRUE(Ask("SET @v1=2").ok);
  EXPECT_EQ(session_.variables.size(), kSessionVariablesMax);
}

TEST_F(StatementsTest, ASelectHasLimitedItems) {
  std::string sql = "SELECT 1";
  for (size_t i = 1; i < kSelectItemsMax; ++i) sql += ",@@gtid_executed";
  EXPECT_EQ(Ask(sql).columns.size(), kSelectItemsMax);
  EXPECT_EQ(Ask(sql + ",1").error, 1235);
}

TEST_F(StatementsTest, AnEndlessStatementIsNotRead) {
  EXPECT_EQ(Ask("SELECT 1" + std::string(kStatementBytesMax, ' ')).error, 1235);
}

TEST_F(StatementsTest, EverythingElseIsToldWhatThisIs) {
  for (const char* sql : {"SELECT * FROM orders",
                          "SELECT 1 FROM dual",
                          "SELECT 1; SELECT 2",
                          "SELECT",
                          "SELECT ,",
                          "SELECT @",
                          "SELECT @@",
                          "SELECT @@global.",
                          "SELECT @@nobody.version",
                          "SELECT VERSION",
                          "SELECT NOW()",
                          "SELECT -'a'",
                          "SELECT -NULL",
                          "SELECT 1 LIMIT",
                          "SELECT 1 AS",
                          "SELECT `VERSION`()",
                          "SET",
                          "SET @",
                          "SET @a",
                          "SET @a=",
                          "SET GLOBAL read_only=0",
                          "SET @@global.autocommit=1",
                          "SET server_id=5",
                          "SET NAMES",
                          "SET PASSWORD = 'x'",
                          "SHOW",
                          "SHOW DATABASES",
                          "SHOW VARIABLES LIKE",
                          "SHOW VARIABLES WHERE Value = 'x'",
                          "SHOW VARIABLES WHERE Variable_name IN ('a'",
                          "SHOW BINARY LOG",
                          "SHOW SLAVE STATUS",
                          "DROP TABLE orders",
                          "BEGIN",
                          "'SELECT 1'",
                          "`SELECT` 1",
                          "12",
                          ";;",
                          "}"}) {
    const Answer answer = Ask(sql);
    EXPECT_EQ(answer.error, 1235) << sql;
    EXPECT_EQ(
        answer.message,
        "this is Tidemark's archive of source 'shop': it serves binary log events to replicas "
        "(CHANGE REPLICATION SOURCE TO ... SOURCE_AUTO_POSITION=1) and answers no other "
        "statement")
        << sql;
  }
}

TEST_F(StatementsTest, WhatIsNotTerminatedIsASyntaxError) {
  for (const char* sql : {"SELECT 'abc", "SELECT \"abc\\\"", "SELECT `abc", "SELECT 1 /* abc",
                          "/*!80000 SELECT 1", "SET @a='x"}) {
    EXPECT_EQ(Ask(sql).error, 1064) << sql;
  }
}

TEST_F(StatementsTest, NothingIsAnEmptyQuery) {
  for (const char* sql : {"", "  ", "-- nothing", "/* nothing */"}) {
    EXPECT_EQ(Ask(sql).error, 1065) << sql;
  }
}

TEST_F(StatementsTest, LimitZeroGivesNoRow) {
  EXPECT_EQ(Ask("SELECT 1 LIMIT 0").rows.size(), 0u);
  EXPECT_EQ(Ask("SELECT 1 LIMIT 10").rows.size(), 1u);
}

TEST_F(StatementsTest, ShowVariablesFilters) {
  EXPECT_EQ(Ask("SHOW VARIABLES").rows.size(), ServedVariables().size());
  EXPECT_EQ(Ask("SHOW SESSION VARIABLES LIKE 'SERVER\\_%'").rows.size(), 2u);
  EXPECT_EQ(Ask("SHOW VARIABLES WHERE `variable_name` = 'version'").Cell(0, 1), "9.7.4-tidemark");
  EXPECT_EQ(Ask("SHOW VARIABLES WHERE Variable_name LIKE 'gtid_p%'").Cell(0, 1),
            facts_.gtid_purged);
  EXPECT_TRUE(Ask("SHOW VARIABLES LIKE 'rpl_semi_sync%'").rows.empty());
}

TEST(ServeSessionTest, HeartbeatPeriodOfAnyText) {
  const auto period = [](const std::string& text) {
    return ServeSession{{{"source_heartbeat_period", text}}}.HeartbeatPeriod();
  };
  EXPECT_EQ(ServeSession().HeartbeatPeriod(), 0u);
  for (const char* none : {"0", "", "abc", "-5", "NULL"}) EXPECT_EQ(period(none), 0u) << none;
  EXPECT_EQ(period("1"), kHeartbeatUsMin);
  EXPECT_EQ(period("1500000"), 1500u);
  EXPECT_EQ(period("99999999999999999999999"), UINT64_MAX / 1000);
}

TEST(ServeSessionTest, TheNewerNameCounts) {
  const ServeSession session{{{"source_heartbeat_period", "2000000"},
                              {"master_heartbeat_period", "9000000"},
                              {"replica_uuid", "new"},
                              {"slave_uuid", "old"}}};
  EXPECT_EQ(session.HeartbeatPeriod(), 2000u);
  EXPECT_EQ(session.ReplicaUuid(), "new");
}

TEST(MatchesLikeTest, Wildcards) {
  EXPECT_TRUE(MatchesLike("", ""));
  EXPECT_TRUE(MatchesLike("", "%%"));
  EXPECT_FALSE(MatchesLike("", "_"));
  EXPECT_TRUE(MatchesLike("server_id", "SERVER%"));
  EXPECT_TRUE(MatchesLike("server_id", "%_id"));
  EXPECT_TRUE(MatchesLike("server_id", "s%r%d"));
  EXPECT_FALSE(MatchesLike("server_id", "server"));
  EXPECT_FALSE(MatchesLike("server", "server_"));
  EXPECT_TRUE(MatchesLike("serverXid", "server_id"));
  EXPECT_FALSE(MatchesLike("serverXid", "server\\_id"));
  EXPECT_TRUE(MatchesLike("a%b", "a\\%b"));
  EXPECT_TRUE(MatchesLike("a\\", "a\\"));
  EXPECT_TRUE(MatchesLike("aab", "%ab"));
  EXPECT_FALSE(MatchesLike(std::string(2000, 'a'), std::string("%a%a%a%a%a%a%a%a%b")));
}

}  // namespace
}  // namespace tidemark
