// What Prometheus gets of a running daemon: by curl, judged by promtool and by what the source
// says.
#include "tests/e2e/rpc_fixture.h"
#include "tests/support/metrics_text.h"
#include "tests/support/promtool.h"

namespace tidemark {
namespace {

using testing::Curl;
using testing::Curled;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::Load;
using testing::MetricsPage;
using testing::MySqlServer;
using testing::RpcDaemon;
using testing::WaitUntil;

class MetricsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    primary_ = testing::StartPrimary();
    ASSERT_NE(primary_, nullptr);
  }
  std::string Text() {
    const Curled page = daemon_.Page("/metrics");
    EXPECT_EQ(page.http, 200) << page.body;
    return page.body;
  }
  MetricsPage Page() { return MetricsPage(Text()); }
  // Of source "main".
  double Value(const std::string& name, const std::string& labels = "") {
    return Page().Value(name + "{source=\"main\"" + labels + "}");
  }
  bool WaitForValue(const std::string& name, const std::string& labels, double value) {
    return WaitUntil([&] { return Value(name, labels) == value; }, testing::kPatienceMs);
  }
  double ExecutedCount() { return static_cast<double>(ExecutedOn(*primary_).Count()); }

  std::unique_ptr<MySqlServer> primary_;
  RpcDaemon daemon_;
};

TEST_F(MetricsTest, TellWhatTheSourceSaysUnderLoadAndAfterARestart) {
  NEEDS_CURL();
  daemon_.Rpc("metrics_anonymous = true");
  daemon_.Begin(*primary_);
  const double bytes_before = Value("tidemark_source_received_bytes_total");
  {
    Load load(*primary_);
    ASSERT_TRUE(load.WaitForCommits(500));
    const std::string text = Text();
    if (!testing::Promtool().empty()) {
      EXPECT_EQ(testing::CheckMetrics(text), "");
    }
    EXPECT_LT(MetricsPage(text).Value("tidemark_source_lag_seconds{source=\"main\"}"), 30);
    // Its heartbeats are so frequent that a busy machine may take it for dead now and then.
    EXPECT_TRUE(WaitForValue("tidemark_source_up", "", 1));
  }
  ASSERT_TRUE(daemon_.WaitFor(ExecutedOn(*primary_))) << daemon_.LogTail();
  const double executed = ExecutedCount();
  EXPECT_TRUE(WaitForValue("tidemark_source_transactions", "", executed));
  EXPECT_TRUE(WaitForValue("tidemark_source_archived_transactions_total", "", executed));
  EXPECT_TRUE(WaitForValue("tidemark_source_lag_transactions", "", 0));
  EXPECT_TRUE(WaitForValue("tidemark_source_lag_seconds", "", 0)) << "a heartbeat tells so";
  EXPECT_TRUE(WaitUntil([&] {
    return Value("tidemark_source_stored_bytes_total") ==
           static_cast<double>(daemon_.StoredBytes());
  }));

  const MetricsPage page = Page();
  const auto main = [&page](const std::string& name, const std::string& labels = "") {
    return page.Value(name + "{source=\"main\"" + labels + "}");
  };
  EXPECT_GT(main("tidemark_source_received_bytes_total"), bytes_before + 500 * 200);
  EXPECT_GE(main("tidemark_source_received_bytes_total"),
            main("tidemark_source_archived_bytes_total") / 2);
  EXPECT_EQ(main("tidemark_source_segment_stored_bytes", ",state=\"open\"") +
                main("tidemark_source_segment_stored_bytes", ",state=\"sealed\""),
            static_cast<double>(daemon_.StoredBytes()));
  EXPECT_EQ(main("tidemark_source_segments", ",state=\"sealed\"") +
                main("tidemark_source_segments", ",state=\"open\""),
            static_cast<double>(daemon_.Segments().size()));
  EXPECT_EQ(main("tidemark_source_durable_latency_seconds_count"), executed);
  EXPECT_GT(main("tidemark_source_durable_latency_seconds_sum"), 0);
  EXPECT_GT(main("tidemark_source_fdatasync_duration_seconds_count"), 0);
  EXPECT_LE(main("tidemark_source_fdatasync_duration_seconds_count"), executed + 10);
  EXPECT_EQ(main("tidemark_source_gap_transactions", ",at=\"inside\",acknowledged=\"false\""), 0);
  EXPECT_GT(page.Value("tidemark_index_size_bytes"), 0);
  EXPECT_GT(page.Value("tidemark_archive_filesystem_avail_bytes"), 0);
  EXPECT_GT(page.Value("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(page.Value("process_cpu_seconds_total"), 0);
  EXPECT_NEAR(page.Value("process_start_time_seconds"), static_cast<double>(::time(nullptr)), 600);

  const double reconnects = main("tidemark_source_reconnects_total");
  ASSERT_TRUE(primary_->Shutdown().ok());
  EXPECT_TRUE(WaitForValue("tidemark_source_up", "", 0));
  EXPECT_EQ(Value("tidemark_source_error", ",code=\"source-unavailable\""), 1);
  const double lag = Value("tidemark_source_lag_seconds");
  EXPECT_TRUE(WaitUntil([&] { return Value("tidemark_source_lag_seconds") > lag; }))
      << "it grows as long as nobody knows what the source commits";
  ASSERT_TRUE(primary_->Restart().ok());
  EXPECT_TRUE(WaitForValue("tidemark_source_up", "", 1)) << daemon_.LogTail();
  EXPECT_GE(Value("tidemark_source_reconnects_total"), reconnects + 1);
  EXPECT_GE(Value("tidemark_source_failures_total", ",code=\"source-unavailable\""), 1);
  EXPECT_TRUE(WaitForValue("tidemark_source_lag_seconds", "", 0));
}

TEST_F(MetricsTest, TellOfReplicasAndRemoteCalls) {
  NEEDS_CURL();
  const int port = testing::FreePort();
  daemon_.Rpc("anonymous = \"reader\"\n[serve]\nport = " + std::to_string(port) +
              "\n[[serve.account]]\nuser = \"replica\"\npassword_file = \"" +
              daemon_.Secret("replica.password", "secret") + "\"\nsource = \"main\"");
  ASSERT_TRUE(primary_->Execute("CREATE DATABASE d; CREATE TABLE d.t (a INT)").ok());
  daemon_.Begin(*primary_);
  EXPECT_TRUE(WaitForValue("tidemark_serve_replicas", "", 0));
  const std::string change =
      "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = " +
      std::to_string(port) +
      ", SOURCE_USER = 'replica', SOURCE_PASSWORD = 'secret', SOURCE_AUTO_POSITION = 1, "
      "SOURCE_CONNECT_RETRY = 1, GET_SOURCE_PUBLIC_KEY = 1";
  {
    testing::Replica replica(change);
    ASSERT_TRUE(replica.WaitFor(ExecutedOn(*primary_))) << replica.Why();
    EXPECT_TRUE(WaitForValue("tidemark_serve_replicas", "", 1));
    EXPECT_TRUE(WaitForValue("tidemark_serve_sent_transactions_total", "", ExecutedCount()));
  }
  EXPECT_TRUE(WaitForValue("tidemark_serve_replicas", "", 0));
  EXPECT_EQ(Value("tidemark_serve_sent_transactions_total"), ExecutedCount());
  EXPECT_GE(Value("tidemark_serve_dumps_total"), 1);

  EXPECT_EQ(daemon_.Call("ArchiveService/ListSources", "{}").http, 200);
  EXPECT_EQ(daemon_.Call("ArchiveService/GetStatus", R"({"source":"elsewhere"})").http, 404);
  const std::string text = Text();
  EXPECT_THAT(text, HasSubstr("ListSources\",code=\"ok\"} 1"));
  EXPECT_THAT(text, HasSubstr("GetStatus\",code=\"not_found\"} 1"));
  if (testing::Promtool().empty()) GTEST_SKIP() << "no promtool: only the values were tested";
  EXPECT_EQ(testing::CheckMetrics(text), "");
}

TEST_F(MetricsTest, AreForReadersUnlessTheConfigurationSaysOtherwise) {
  NEEDS_CURL();
  std::string lines;
  const std::string token = RpcDaemon::NewToken("prometheus", "reader", &lines);
  daemon_.Rpc("access_file = \"" + daemon_.Write("access", lines) + "\"");
  daemon_.Begin(*primary_);
  const std::string url = "http://127.0.0.1:" + std::to_string(daemon_.port()) + "/metrics";
  EXPECT_EQ(Curl({url}).http, 401);
  EXPECT_EQ(Curl({"-H", "Authorization: Bearer " + token, url}).http, 200);
  EXPECT_EQ(Curl({"--unix-socket", daemon_.socket(), "http://localhost/metrics"}).http, 200);
}

}  // namespace
}  // namespace tidemark
