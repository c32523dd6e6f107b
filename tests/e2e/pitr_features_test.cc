// Everything that a MySQL can write into its binary log, in one history with quiet moments. At each
// the primary's whole state is noted down: checksums, definitions, accounts. A restored server that
// is taken to that moment must show the same.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <regex>

#include "tests/e2e/archived_primary.h"

namespace tidemark::testing {
namespace {

using State = std::map<std::string, std::string>;  // what -> how it is

std::string Text(const Result<Connection::Rows>& rows) {
  if (!rows.ok()) return rows.error().message();
  std::string text;
  for (const auto& row : *rows)
    for (const std::string& value : row) text += value + "|";
  return text;
}

// All that clients can see of a server and that a backup or the binary log carries.
State Observe(Connection& server) {
  State state;
  const std::string schemas = "NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')";
  const auto each = [&](const std::string& list, const std::string& show) {
    const auto names = server.Query(list);
    if (!names.ok())
      ADD_FAILURE() << list << ": " << names.error().message();
    else
      for (const auto& name : *names) state[show + name[0]] = Text(server.Query(show + name[0]));
  };
  const std::string quoted =
      "SELECT CONCAT('`', %s_schema, '`.`', %s_name, '`') FROM information_schema.";
  const auto names_of = [](std::string text, const std::string& what) {
    for (size_t at; (at = text.find("%s")) != std::string::npos;) text.replace(at, 2, what);
    return text;
  };
  each(names_of(quoted, "table") + "tables WHERE table_type = 'BASE TABLE' AND table_schema " +
           schemas,
       "CHECKSUM TABLE ");
  each(names_of(quoted, "table") + "tables WHERE table_schema " + schemas, "SHOW CREATE TABLE ");
  each(names_of(quoted, "routine") +
           "routines WHERE routine_type = 'PROCEDURE' AND routine_schema " + schemas,
       "SHOW CREATE PROCEDURE ");
  each(names_of(quoted, "routine") +
           "routines WHERE routine_type = 'FUNCTION' AND routine_schema " + schemas,
       "SHOW CREATE FUNCTION ");
  state["triggers"] =
      Text(server.Query(  // without the time of creation, which a dump does not carry
          "SELECT trigger_schema, trigger_name, action_timing, event_manipulation, "
          "event_object_table, action_statement, sql_mode, definer, "
          "character_set_client, collation_connection FROM information_schema.triggers WHERE "
          "trigger_schema " +
          schemas + " ORDER BY 1, 2"));
  each(names_of(quoted, "event") + "events WHERE event_schema " + schemas, "SHOW CREATE EVENT ");
  each("SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE user NOT LIKE 'mysql.%'",
       "SHOW GRANTS FOR ");
  each("SELECT CONCAT(QUOTE(user), '@', QUOTE(host)) FROM mysql.user WHERE user NOT LIKE 'mysql.%'",
       "SHOW CREATE USER ");
  each("SELECT CONCAT('`', schema_name, '`') FROM information_schema.schemata WHERE schema_name " +
           schemas,
       "SHOW CREATE DATABASE ");
  state["XA RECOVER"] = Text(server.Query("XA RECOVER CONVERT XID"));
  state["gtid_executed"] = Text(server.Query("SELECT @@GLOBAL.gtid_executed"));
  // Numbers that were handed out but not used come from no backup and no binary log.
  static const std::regex kCounter(" AUTO_INCREMENT=[0-9]+");
  for (auto& [what, how] : state)
    if (what.starts_with("SHOW CREATE TABLE ")) how = std::regex_replace(how, kCounter, "");
  return state;
}

constexpr char kBaseSchema[] = R"(
CREATE DATABASE shop DEFAULT CHARACTER SET utf8mb4;
CREATE TABLE shop.customers (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(60), balance DECIMAL(10,2), note JSON,
  doubled DECIMAL(12,2) AS (balance * 2) STORED, upper_name VARCHAR(60) AS (UPPER(name)) VIRTUAL, KEY (upper_name));
CREATE TABLE shop.orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT, amount DECIMAL(10,2),
  FOREIGN KEY (customer) REFERENCES shop.customers (id) ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE shop.audit (id BIGINT PRIMARY KEY AUTO_INCREMENT, what VARCHAR(200));
CREATE TABLE shop.keyless (a INT, b VARCHAR(20));
INSERT INTO shop.customers (name, balance, note) VALUES ('Ann', 10.5, '{"visits": 1, "tags": ["a", "b"], "text": "long enough to be worth a partial update"}'),
  ('Bob', 0, NULL), ('O''Brien \\ "q"', -3.25, '[]');
INSERT INTO shop.orders (customer, amount) VALUES (1, 5), (1, 6), (2, 7);
CREATE USER app@localhost IDENTIFIED BY 'Secret-1';
GRANT SELECT ON shop.* TO app@localhost;
)";

// Each entry: a quiet moment's name, and what is committed on the way to it.
struct Chapter {
  std::string name;
  std::vector<std::string> statements;  // each sent by itself: DELIMITER is for clients
};

const std::vector<Chapter>& Chapters() {
  static const std::vector<Chapter> chapters = {
      {"ddl",
       {"ALTER TABLE shop.audit ADD COLUMN at TIMESTAMP(6) NULL DEFAULT CURRENT_TIMESTAMP(6), ADD "
        "INDEX (what)",
        "CREATE TABLE shop.archive LIKE shop.orders",
        "INSERT INTO shop.archive SELECT * FROM shop.orders",
        "RENAME TABLE shop.archive TO shop.old_orders",
        "CREATE TABLE shop.copied AS SELECT id, name FROM shop.customers",
        "TRUNCATE TABLE shop.old_orders",
        "ALTER TABLE shop.copied ADD PRIMARY KEY (id), ALGORITHM=INPLACE",
        "CREATE TABLE shop.parts (id INT PRIMARY KEY, v INT) PARTITION BY HASH (id) PARTITIONS 4",
        "INSERT INTO shop.parts VALUES (1,1),(2,2),(3,3),(9,9)",
        "ALTER TABLE shop.parts COALESCE PARTITION 2",
        "CREATE DATABASE other CHARACTER SET latin1 COLLATE latin1_german1_ci",
        "CREATE TABLE other.t (a CHAR(3))", "INSERT INTO other.t VALUES ('äöü')",
        "DROP TABLE IF EXISTS shop.never_was"}},
      {"programs",
       {"CREATE TRIGGER shop.on_order AFTER INSERT ON shop.orders FOR EACH ROW INSERT INTO "
        "shop.audit (what) VALUES (CONCAT('order ', NEW.id))",
        "CREATE PROCEDURE shop.serve(IN times INT) BEGIN DECLARE i INT DEFAULT 0; WHILE i < times "
        "DO INSERT INTO shop.orders (customer, amount) VALUES (1, i); SET i = i + 1; END WHILE; "
        "END",
        "CREATE FUNCTION shop.twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2",
        "CALL shop.serve(5)",
        "INSERT INTO shop.keyless VALUES (shop.twice(21), 'from a function'), (shop.twice(21), "
        "'from a function'), (NULL, NULL)",
        "UPDATE shop.keyless SET b = 'changed' WHERE a = 42 LIMIT 1",
        "DELETE FROM shop.keyless WHERE a IS NULL",
        "CREATE EVENT shop.nightly ON SCHEDULE EVERY 1 DAY STARTS '2040-01-01 00:00:00' DO DELETE "
        "FROM shop.audit",
        "CREATE SQL SECURITY INVOKER VIEW shop.rich AS SELECT id, name FROM shop.customers WHERE "
        "balance > 0",
        "CREATE ROLE reader", "GRANT SELECT ON *.* TO reader", "GRANT reader TO app@localhost",
        "CREATE USER 'o''dd'@'10.0.0.%' IDENTIFIED BY 'x''y\"z\\\\' WITH MAX_USER_CONNECTIONS 3",
        "ALTER USER app@localhost ACCOUNT LOCK", "DELETE FROM shop.customers WHERE id = 2"}},
      {"gtids",
       {"SET gtid_next = 'bbbbbbbb-0000-0000-0000-000000000001:7'",
        "UPDATE shop.customers SET balance = balance + 1",
        "SET gtid_next = 'cccccccc-0000-0000-0000-000000000001:1'",
        "CREATE TABLE shop.from_c (id INT PRIMARY KEY)",
        "SET gtid_next = 'cccccccc-0000-0000-0000-000000000001:3'",
        "INSERT INTO shop.from_c VALUES (3)",
        "SET gtid_next = 'cccccccc-0000-0000-0000-000000000001:2'", "BEGIN", "COMMIT",
        "SET gtid_next = 'AUTOMATIC:billing'", "UPDATE shop.customers SET balance = balance + 2",
        "INSERT INTO shop.from_c VALUES (4)", "SET gtid_next = 'AUTOMATIC:batch_2'",
        "INSERT INTO shop.from_c VALUES (5)",
        "SET gtid_next = 'dddddddd-0000-0000-0000-000000000001:night:9'",
        "INSERT INTO shop.from_c VALUES (6)", "SET gtid_next = AUTOMATIC"}},
      {"xa",
       {"XA START 'committed','b',7", "INSERT INTO shop.from_c VALUES (10)",
        "XA END 'committed','b',7", "XA PREPARE 'committed','b',7",
        "UPDATE shop.parts SET v = v + 1", "XA COMMIT 'committed','b',7", "XA START 'rolled back'",
        "INSERT INTO shop.from_c VALUES (11)", "XA END 'rolled back'", "XA PREPARE 'rolled back'",
        "XA ROLLBACK 'rolled back'", "XA START 'one phase'", "INSERT INTO shop.from_c VALUES (12)",
        "XA END 'one phase'", "XA COMMIT 'one phase' ONE PHASE"}},
      {"xa undecided",
       {"XA START X'00ff27', 'bin', 3", "INSERT INTO shop.from_c VALUES (20)",
        "XA END X'00ff27', 'bin', 3", "XA PREPARE X'00ff27', 'bin', 3"}},
      {"xa decided", {"XA COMMIT X'00ff27', 'bin', 3", "INSERT INTO shop.from_c VALUES (21)"}},
      {"modes",
       {"SET binlog_transaction_compression = ON",
        "INSERT INTO shop.audit (what) SELECT REPEAT('abc', 60) FROM information_schema.columns "
        "LIMIT 500",
        "BEGIN",
        "UPDATE shop.audit SET what = CONCAT('c', what)",
        "DELETE FROM shop.audit WHERE id % 3 = 0",
        "COMMIT",
        "SET binlog_transaction_compression = OFF",
        "SET binlog_row_value_options = PARTIAL_JSON",
        "UPDATE shop.customers SET note = JSON_SET(note, '$.visits', 2)",
        "UPDATE shop.customers SET note = JSON_REMOVE(JSON_REPLACE(note, '$.tags[1]', 'z'), "
        "'$.visits') WHERE id = 1",
        "SET binlog_transaction_compression = ON",
        "UPDATE shop.customers SET note = JSON_SET(note, '$.text', 'short') WHERE id = 1",
        "SET binlog_transaction_compression = OFF",
        "SET binlog_row_value_options = ''",
        "SET SESSION binlog_format = STATEMENT",
        "SET @word = 'variable ''quoted'' \\\\'",
        "INSERT INTO shop.keyless VALUES (RAND(7) * 1000, @word)",
        "INSERT INTO shop.from_c VALUES (LAST_INSERT_ID() * 0 + 50)",
        "SET timestamp = 1000000000.5",
        "INSERT INTO shop.audit (what) VALUES (CONCAT('at ', NOW(6)))",
        "SET timestamp = DEFAULT",
        "SET time_zone = '-07:00'",
        "INSERT INTO shop.audit (what, at) VALUES ('zone', '2020-02-02 02:02:02')",
        "SET time_zone = SYSTEM",
        "SET NAMES latin1",
        "INSERT INTO shop.keyless VALUES (5, 'caf\xe9')",
        "SET NAMES utf8mb4",
        "SET SESSION binlog_format = ROW",
        "SET binlog_rows_query_log_events = ON",
        "UPDATE shop.parts SET v = 0",
        "SET binlog_rows_query_log_events = OFF",
        "SET foreign_key_checks = 0",
        "INSERT INTO shop.orders (customer, amount) VALUES (777, 1)",
        "SET foreign_key_checks = 1"}},
      {"temporary tables",
       {"CREATE TEMPORARY TABLE shop.scratch (a INT)", "INSERT INTO shop.scratch VALUES (1), (2)",
        "INSERT INTO shop.keyless SELECT a, 'scratch' FROM shop.scratch",
        "DROP TEMPORARY TABLE shop.scratch", "SET SESSION binlog_format = STATEMENT",
        "CREATE TEMPORARY TABLE shop.scratch2 (a INT)", "INSERT INTO shop.scratch2 VALUES (3)",
        "INSERT INTO shop.keyless SELECT a, 'scratch2' FROM shop.scratch2",
        "DROP TEMPORARY TABLE shop.scratch2", "SET SESSION binlog_format = ROW"}},
      {"types",
       {"CREATE TABLE shop.types (id INT PRIMARY KEY, t TINYINT, tu TINYINT UNSIGNED, s SMALLINT, "
        "m MEDIUMINT, b BIGINT UNSIGNED, f FLOAT, d DOUBLE, "
        "n DECIMAL(65,30), bits BIT(61), y YEAR, dt DATE, tm TIME(6), dtm DATETIME(3), ts "
        "TIMESTAMP(6) NULL, c CHAR(10), vc VARCHAR(3000), bin BINARY(5), vb VARBINARY(300), "
        "tb TINYBLOB, mt MEDIUMTEXT, lb LONGBLOB, e ENUM('a','b','ü'), st SET('x','y','z'), j "
        "JSON, g GEOMETRY, p POINT, bo BOOL)",
        "INSERT INTO shop.types VALUES "
        "(1,-128,255,-32768,-8388608,18446744073709551615,1.5e-30,-1.7976931348623157e308,"
        "-12345678901234567890123456789012345.123456789012345678901234567890,b'1010101',1901,'1000-"
        "01-01','-838:59:58.000001','9999-12-31 23:59:59.999',"
        "'2038-01-19 03:14:07.999999','日本','😀 mixed ''quotes'' \\\\ "
        "\\n',X'00FF270A5C',X'0022270D0A1A5C00',X'',REPEAT('é',70000),REPEAT(X'00FF0D0A1A5C27',"
        "20000),'ü','x,z',"
        "'{\"k\":[1,2.5,null,true,\"ü\"],\"big\":18446744073709551615}',ST_GeomFromText('POLYGON(("
        "0 0,1 0,1 1,0 0))'),POINT(1,-2),TRUE)",
        "INSERT INTO shop.types (id) VALUES (2)",
        "UPDATE shop.types SET j = NULL, lb = X'00' WHERE id = 1",
        "INSERT INTO shop.types (id, vc) VALUES (3, ''), (4, 'a\\0b')",
        "CREATE TABLE shop.`tablé 表 😀` (`名` VARCHAR(20) CHARACTER SET utf8mb4 COLLATE "
        "utf8mb4_ja_0900_as_cs, `back\\tick``` BLOB) CHARACTER SET latin1",
        "INSERT INTO shop.`tablé 表 😀` VALUES ('値😀', X'0027225C00')",
        "CREATE TABLE shop.gbk (a VARCHAR(20)) CHARACTER SET gbk",
        "INSERT INTO shop.gbk VALUES ('中文'), (X'D55C')",
        "CREATE TABLE shop.u16 (a VARCHAR(20) CHARACTER SET utf16, b VARCHAR(20) CHARACTER SET "
        "sjis)",
        "INSERT INTO shop.u16 VALUES ('ab𝄞', 'ソ表')",
        "CREATE TABLE shop.invisible (a INT, b INT INVISIBLE DEFAULT 5, c VECTOR(3))",
        "INSERT INTO shop.invisible (a, c) VALUES (1, STRING_TO_VECTOR('[1,2.5,-3]'))"}},
      {"big",
       {"CREATE TABLE shop.big (id INT PRIMARY KEY, b LONGBLOB)",
        "INSERT INTO shop.big VALUES (1, REPEAT(X'00A7FF0D', 5000000))",
        "UPDATE shop.big SET b = CONCAT(b, 'x')",
        "CREATE TABLE shop.many (id INT PRIMARY KEY AUTO_INCREMENT, filler CHAR(200) DEFAULT 'f')",
        "BEGIN", "INSERT INTO shop.many () VALUES (), (), (), ()",
        "INSERT INTO shop.many (filler) SELECT a.filler FROM shop.many a, shop.many b, shop.many "
        "c, shop.many d",
        "INSERT INTO shop.many (filler) SELECT a.filler FROM shop.many a, shop.many b LIMIT 20000",
        "COMMIT", "DROP TABLE shop.big"}},
  };
  return chapters;
}

struct Moment {
  std::string name;
  Gtid last;
  State state;
};

class PitrFeaturesTest : public ::testing::Test {
 protected:
  void Sql(Connection& session, const std::string& statement) {
    const Status status = session.Execute(statement);
    ASSERT_TRUE(status.ok()) << statement.substr(0, 200) << ": " << status.message();
  }
  // A last transaction to name the moment by: the one before may be of any kind, or several.
  void Note(Connection& session, const std::string& name) {
    const GtidSet before = rig_.Executed();
    Sql(session, "INSERT INTO shop.audit (what) VALUES ('moment " + name + "')");
    moments_.push_back({name, rig_.LastOf(before), Observe(session)});
  }
  void LoadData(Connection& session, const std::string& format) {
    const std::string file = rig_.directory.Path("load-" + format + ".txt");
    std::ofstream(file) << "31\tplain\n32\tit's \"quoted\"\n33\t\\N\n";
    Sql(session, "SET SESSION binlog_format = " + format);
    Sql(session, "LOAD DATA INFILE '" + file + "' INTO TABLE shop.keyless");
    Sql(session, "SET SESSION binlog_format = ROW");
  }
  void WriteHistory() {
    auto session = rig_.primary->Connect();
    ASSERT_TRUE(session.ok());
    ASSERT_NO_FATAL_FAILURE(Sql(**session, "SET NAMES utf8mb4"));
    for (const Chapter& chapter : Chapters()) {
      for (const std::string& statement : chapter.statements)
        ASSERT_NO_FATAL_FAILURE(Sql(**session, statement));
      if (chapter.name == "modes") {
        ASSERT_NO_FATAL_FAILURE(LoadData(**session, "ROW"));
        ASSERT_NO_FATAL_FAILURE(LoadData(**session, "STATEMENT"));
        ASSERT_NO_FATAL_FAILURE(Sql(**session, "FLUSH BINARY LOGS"));
      }
      ASSERT_NO_FATAL_FAILURE(Note(**session, chapter.name));
    }
  }
  void ExpectState(Connection& server, const Moment& moment) {
    State restored = Observe(server);
    // As on any replica; it is warned of.
    for (auto& [what, how] : restored)
      if (const size_t at = how.find("DISABLE ON REPLICA"); at != std::string::npos)
        how.replace(at, std::string("DISABLE ON REPLICA").size(), "ENABLE");
    for (const auto& [what, how] : moment.state) {
      const auto at = restored.find(what);
      if (at == restored.end())
        ADD_FAILURE() << moment.name << ": not restored: " << what;
      else
        EXPECT_EQ(at->second.substr(0, 4000), how.substr(0, 4000)) << moment.name << ": " << what;
    }
    for (const auto& [what, how] : restored)
      EXPECT_TRUE(moment.state.contains(what)) << moment.name << ": should not be there: " << what;
  }

  static MySqlServerOptions Options() {
    MySqlServerOptions options;
    options.extra_args = {"--secure-file-priv=", "--max-allowed-packet=256M"};
    return options;
  }

  ArchivedPrimary rig_{Options()};
  std::vector<Moment> moments_;
};

// One new server, taken from moment to moment by one restore each.
TEST_F(PitrFeaturesTest, EveryMomentOfARichHistoryComesBack) {
  ASSERT_TRUE(rig_.primary->Execute(kBaseSchema).ok());
  rig_.StartDaemon();
  const std::string base = rig_.Dump("base.sql");
  ASSERT_NO_FATAL_FAILURE(WriteHistory());
  rig_.CatchUp();
  const PitrResult verify = rig_.PitrJson({"verify"});
  EXPECT_EQ(verify.exit_code, 0) << verify.message();

  const PitrResult first =
      rig_.Restore("restored", {"--dump", base, "--through-gtid", moments_[0].last.ToString()});
  ASSERT_EQ(first.exit_code, 0) << first.message();
  RestoredServer server(first.json);
  ExpectState(server.sql(), moments_[0]);
  // For the statement-format LOAD DATA; a server that pitr provisions has it on while it restores.
  ASSERT_TRUE(server.sql().Execute("SET GLOBAL local_infile = ON").ok());
  for (size_t at = 1; at < moments_.size(); ++at) {
    const PitrResult next =
        rig_.RestoreRunning(server.socket(), {"--through-gtid", moments_[at].last.ToString()});
    ASSERT_EQ(next.exit_code, 0) << moments_[at].name << ": " << next.message();
    EXPECT_EQ(next.json.at("end_state_reached"), true);
    EXPECT_NE(next.json.at("warnings").dump().find("shop.nightly"), std::string::npos)
        << "an event that replication disabled is warned of";
    ExpectState(server.sql(), moments_[at]);
    const bool undecided = moments_[at].name == "xa undecided";
    EXPECT_EQ(next.json.at("warnings").dump().find("XA RECOVER") != std::string::npos, undecided)
        << next.json.at("warnings");
  }
}

}  // namespace
}  // namespace tidemark::testing
