// GtidSet against the server's own arithmetic: random sets, many comparisons per query.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "replication/event/gtid_set.h"
#include "tests/support/mysql_server.h"
#include "tests/support/random_gtid_set.h"
#include "tests/support/seed.h"

namespace tidemark {
namespace {

using testing::MySqlServer;
using testing::Random;
using testing::RandomInterval;
using testing::RandomIntervals;
using testing::SetOf;

constexpr int kBatches = 25;
constexpr int kPairsPerBatch = 80;

struct Pair {
  std::string sloppy_a;  // as no server prints it
  GtidSet a;
  GtidSet b;
};

Pair RandomPair(Random& random, bool near_end) {
  const std::vector<RandomInterval> intervals = RandomIntervals(random, 14, near_end);
  Pair pair{SloppyText(random, intervals), SetOf(intervals),
            SetOf(RandomIntervals(random, 14, near_end))};
  // Left to chance, hardly any set is a subset of the other.
  if (testing::RandomNumber(random, 0, 2) == 0) pair.b.Add(pair.a);
  return pair;
}

// The server prints one UUID per line.
std::string OnOneLine(std::string text) {
  std::erase(text, '\n');
  return text;
}

std::string Question(const Pair& pair) {
  const std::string a = "'" + pair.sloppy_a + "'";
  const std::string b = "'" + pair.b.ToString() + "'";
  return "SELECT GTID_SUBSET(" + a + "," + b + "), GTID_SUBTRACT(" + a + "," + b +
         "), GTID_SUBTRACT(" + a + ",'')";
}

TEST(GtidSetServerTest, SubsetSubtractAndCanonicalTextAgreeWithTheServer) {
  Result<std::unique_ptr<MySqlServer>> started = MySqlServer::Start();
  ASSERT_TRUE(started.ok()) << started.error().message();
  MySqlServer& server = **started;
  Random random(testing::TestSeed());
  int subsets = 0;
  for (int batch = 0; batch < kBatches; ++batch) {
    std::vector<Pair> pairs;
    std::string query;
    for (int i = 0; i < kPairsPerBatch; ++i) {
      pairs.push_back(RandomPair(random, i % 4 == 0));
      query += (i > 0 ? " UNION ALL " : "") + Question(pairs.back());
    }
    Result<MySqlServer::Rows> rows = server.Query(query);
    ASSERT_TRUE(rows.ok()) << rows.error().message();
    ASSERT_EQ(rows->size(), pairs.size());
    for (size_t i = 0; i < pairs.size(); ++i) {
      const Pair& pair = pairs[i];
      SCOPED_TRACE(pair.sloppy_a + " against " + pair.b.ToString());
      Result<GtidSet> parsed = GtidSet::Parse(pair.sloppy_a);
      ASSERT_TRUE(parsed.ok()) << parsed.error().message();
      const std::vector<std::string>& row = (*rows)[i];
      ASSERT_EQ(row[0], parsed->IsSubsetOf(pair.b) ? "1" : "0");
      ASSERT_EQ(OnOneLine(row[1]), parsed->Minus(pair.b).ToString());
      ASSERT_EQ(OnOneLine(row[2]), parsed->ToString());
      subsets += row[0] == "1" ? 1 : 0;
    }
  }
  EXPECT_GT(subsets, 100);
  EXPECT_LT(subsets, kBatches * kPairsPerBatch - 100);
}

// What the server accepts as a text and what we do must not differ, save where we are stricter by
// intent.
TEST(GtidSetServerTest, AcceptsAndRefusesTheSameTexts) {
  Result<std::unique_ptr<MySqlServer>> started = MySqlServer::Start();
  ASSERT_TRUE(started.ok()) << started.error().message();
  const std::string uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
  const std::vector<std::string> texts = {"",
                                          ",",
                                          uuid + ":1",
                                          uuid + ":0",
                                          uuid + ":1-",
                                          uuid + ":5-0",
                                          uuid + ":-1",
                                          uuid + ":t:",
                                          uuid + ":T:1",
                                          uuid + ":7t:1",
                                          uuid + ":1-9223372036854775806",
                                          uuid + ":9223372036854775807",
                                          uuid + ":1-9223372036854775807",
                                          uuid + ":1 - 5 : 7",
                                          uuid + ":" + std::string(32, 't') + ":1",
                                          uuid + ":" + std::string(33, 't') + ":1",
                                          uuid + ":1,," + uuid + ":2,",
                                          uuid + ":1 2",
                                          "x",
                                          uuid + ":t u:1",
                                          uuid + ":t-u:1"};
  for (const std::string& text : texts) {
    const Result<std::string> theirs =
        (*started)->QueryValue("SELECT GTID_SUBTRACT('" + text + "','')");
    const Result<GtidSet> ours = GtidSet::Parse(text);
    ASSERT_EQ(ours.ok(), theirs.ok()) << text;
    if (ours.ok()) {
      EXPECT_EQ(OnOneLine(*theirs), ours->ToString()) << text;
    }
  }
}

// Commits one empty transaction for each GTID of the set.
std::string EmptyTransactions(const GtidSet& set) {
  std::string sql;
  for (const auto& [tsid, intervals] : set.map()) {
    for (const GnoInterval& interval : intervals) {
      for (int64_t gno = interval.first; gno <= interval.last; ++gno) {
        sql += "SET gtid_next = '" + Gtid{tsid, gno}.ToString() + "'; BEGIN; COMMIT; ";
      }
    }
  }
  return sql + "SET gtid_next = 'AUTOMATIC'";
}

// The binary form as the server writes it: in the Previous_gtids event that opens its next binary
// log file.
TEST(GtidSetServerTest, EncodesAsTheServerDoesInPreviousGtids) {
  for (const char* tail : {":1-5:7,", ":1-5:7:blue:3:green_2:1-9,"}) {
    Result<std::unique_ptr<MySqlServer>> started = MySqlServer::Start();
    ASSERT_TRUE(started.ok()) << started.error().message();
    MySqlServer& server = **started;
    Result<GtidSet> set = GtidSet::Parse(std::string("3e11fa47-71ca-11e1-9e33-c80aa9429562") +
                                         tail + "4e11fa47-71ca-11e1-9e33-c80aa9429562:1");
    ASSERT_TRUE(set.ok()) << set.error().message();
    const Status done = server.Execute(EmptyTransactions(*set) + "; FLUSH BINARY LOGS");
    ASSERT_TRUE(done.ok()) << done.message();
    Result<MySqlServer::Rows> status = server.Query("SHOW BINARY LOG STATUS");
    ASSERT_TRUE(status.ok()) << status.error().message();
    const std::string file =
        testing::ReadWholeFile(server.data_directory() + "/" + (*status)[0][0]);
    EXPECT_NE(file.find(set->Encode()), std::string::npos) << set->ToString();
  }
}

// The support class itself: what every other end-to-end test relies on.
TEST(MySqlServerTest, KeepsCommitsAcrossKillAndRestart) {
  Result<std::unique_ptr<MySqlServer>> started = MySqlServer::Start();
  ASSERT_TRUE(started.ok()) << started.error().message();
  MySqlServer& server = **started;
  Status made = server.Execute("CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY)");
  ASSERT_TRUE(made.ok()) << made.message();
  Result<std::unique_ptr<testing::Connection>> writer = server.Connect("d");
  ASSERT_TRUE(writer.ok()) << writer.error().message();
  ASSERT_TRUE((*writer)->Execute("INSERT INTO t VALUES (1), (2)").ok());
  Result<std::string> before = server.QueryValue("SELECT @@gtid_executed");
  ASSERT_TRUE(before.ok());
  const int port = server.port();
  server.Kill9();
  EXPECT_EQ(server.pid(), 0);
  EXPECT_FALSE(server.Execute("SELECT 1").ok());
  Status restarted = server.Restart();
  ASSERT_TRUE(restarted.ok()) << restarted.message();
  EXPECT_EQ(server.port(), port);
  EXPECT_EQ(server.QueryValue("SELECT @@gtid_executed").value(), *before);
  EXPECT_EQ(server.QueryValue("SELECT COUNT(*) FROM d.t").value(), "2");

  testing::ConnectionOptions over_tcp;
  over_tcp.port = port;
  Result<std::unique_ptr<testing::Connection>> remote = testing::Connection::Open(over_tcp);
  ASSERT_TRUE(remote.ok()) << remote.error().message();
  EXPECT_FALSE((*remote)->Execute("SELECT 1; SELECT nonsense; SELECT 2").ok());
  EXPECT_EQ((*remote)->last_error(), 1054U);
  remote->reset();
  Status down = server.Shutdown();
  EXPECT_TRUE(down.ok()) << down.message();
}

TEST(MySqlServerTest, AServerThatCannotStartSaysWhyAtOnce) {
  testing::MySqlServerOptions options;
  options.extra_args = {"--no-such-option=1"};
  Result<std::unique_ptr<MySqlServer>> started = MySqlServer::Start(options);
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.error().message().find("no-such-option"), std::string::npos)
      << started.error().message();
}

}  // namespace
}  // namespace tidemark
