// Clocks that jump: the daemon's under load, the primary's between commits. libfaketime gives each
// of the two a wall clock of its own; its monotonic one goes on, as when a real clock is stepped.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <ctime>

#include "tests/e2e/archived_primary.h"
#include "tests/e2e/rpc_fixture.h"
#include "tests/support/metrics_text.h"
#include "tests/support/sanitized.h"

namespace tidemark {
namespace {

using testing::ArchivedPrimary;
using testing::ExecutedOn;
using ::testing::HasSubstr;
using testing::Load;
using testing::MetricsPage;
using testing::PitrResult;
using testing::RestoredServer;
using testing::RpcDaemon;
using testing::StartPrimary;
using testing::TempDir;
using testing::WaitUntil;

constexpr char kLibrary[] = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

#define NEEDS_FAKETIME()             \
  if (::access(kLibrary, R_OK) != 0) \
  GTEST_SKIP() << "libfaketime is not installed (tools/bootstrap has it): nothing was tested"

// The wall clock of the processes that are started with it.
class FakeClock {
 public:
  FakeClock() { Step(0); }
  // So far from the real one, from now on.
  void Step(int64_t seconds) {
    offset_s_ = seconds;
    std::ofstream(directory_.Path("new")) << (seconds < 0 ? "" : "+") << seconds << "\n";
    std::filesystem::rename(directory_.Path("new"), directory_.Path("offset"));
  }
  int64_t now_s() const { return std::time(nullptr) + offset_s_; }
  std::vector<std::pair<std::string, std::string>> Environment() const {
    return {{"LD_PRELOAD", kLibrary},
            {"FAKETIME_TIMESTAMP_FILE", directory_.Path("offset")},
            {"FAKETIME_NO_CACHE", "1"},
            {"FAKETIME_DONT_FAKE_MONOTONIC", "1"},
            {"FAKETIME_FORCE_MONOTONIC_FIX", "0"},  // made for older glibc: would spin
            {"NO_FAKE_STAT", "1"}};
  }

 private:
  TempDir directory_{"tidemark-clock"};
  int64_t offset_s_ = 0;
};

constexpr int64_t kHour = 3600;

class DaemonClockTest : public ::testing::Test {
 protected:
  double Metric(const std::string& name) {
    const testing::Curled page = daemon_.Page("/metrics");
    return page.http == 200 && MetricsPage(page.body).Has(name) ? MetricsPage(page.body).Value(name)
                                                                : -1;
  }
  // What is committed now is archived within seconds; how long it took is by the test's clock.
  void ExpectArchivesSoon(testing::MySqlServer& primary) {
    const auto begun = std::chrono::steady_clock::now();
    EXPECT_TRUE(daemon_.WaitFor(ExecutedOn(primary))) << daemon_.LogTail();
    EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  }
  FakeClock clock_;
  RpcDaemon daemon_;
};

TEST_F(DaemonClockTest, ItsJumpsChangeNothingAboutArchivingTimeoutsAndBackOff) {
  if (testing::kSanitized)
    GTEST_SKIP() << "libfaketime and a sanitizer's runtime both want to be loaded first";
  NEEDS_FAKETIME();
  NEEDS_CURL();
  auto primary = StartPrimary();
  ASSERT_NE(primary, nullptr);
  for (const auto& [name, value] : clock_.Environment()) daemon_.SetEnvironment(name, value);
  daemon_.Rpc("metrics_anonymous = true");
  ASSERT_NO_FATAL_FAILURE(daemon_.Begin(*primary));
  const char* const kContact = "tidemark_source_last_contact_timestamp_seconds{source=\"main\"}";
  {
    Load load(*primary, 2);
    for (const int64_t offset : {kHour, -kHour, 30 * 24 * kHour, int64_t{0}}) {
      SCOPED_TRACE(offset);
      clock_.Step(offset);
      ASSERT_TRUE(load.WaitForCommits(300));
      ExpectArchivesSoon(*primary);
      // It has noticed: this is its own clock's.
      EXPECT_TRUE(WaitUntil([&] {
        return std::abs(Metric(kContact) - static_cast<double>(clock_.now_s())) < 60;
      })) << Metric(kContact);
      EXPECT_EQ(Metric("tidemark_source_state{source=\"main\",state=\"archiving\"}"), 1);
    }
  }
  // A segment's age is no clock's business: none has been open for an hour (segment_age_s_max).
  EXPECT_EQ(Metric("tidemark_source_segments_sealed_total{source=\"main\",reason=\"age\"}"), -1);

  // Idle, while only heartbeats come: the link is not taken for dead, nor for alive when it is.
  for (const int64_t offset : {-kHour, kHour}) {
    SCOPED_TRACE(offset);
    clock_.Step(offset);
    const double heartbeats = Metric("tidemark_source_heartbeats_total{source=\"main\"}");
    EXPECT_TRUE(WaitUntil([&] {
      return Metric("tidemark_source_heartbeats_total{source=\"main\"}") >= heartbeats + 5;
    }));
    primary->Kill9();
    ASSERT_TRUE(daemon_.WaitForError("source-unavailable")) << daemon_.LogTail();
    clock_.Step(-offset);  // in the middle of a back-off
    ASSERT_TRUE(primary->Restart().ok());
    ASSERT_TRUE(primary->Execute("CREATE DATABASE after_" + std::to_string(offset + kHour)).ok());
    ExpectArchivesSoon(*primary);
  }
  clock_.Step(-2 * kHour);
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(daemon_.Stop(), 0) << daemon_.LogTail();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
  daemon_.ExpectVerified();
  daemon_.ExpectFilesExact(*primary, "main", /*crashed=*/true);
}

std::string TimeText(int64_t seconds) {
  const auto time = static_cast<time_t>(seconds);
  std::tm utc{};
  ::gmtime_r(&time, &utc);
  char text[64];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

// Its binary log then goes back in time. What is meant by a time is the longest prefix in archive
// order (ARCHITECTURE.md, "Time and GTID semantics"), and the neighbourhood is told.
TEST(PrimaryClockTest, ATimeIsTheLongestPrefixBeforeItAndThePlanSaysThatTheClockStepped) {
  NEEDS_FAKETIME();
  FakeClock clock;
  for (const auto& [name, value] : clock.Environment()) ::setenv(name.c_str(), value.c_str(), 1);
  ArchivedPrimary rig;
  for (const auto& [name, value] : clock.Environment()) ::unsetenv(name.c_str());
  const auto sql = [&rig](const std::string& text) {
    const Status status = rig.primary->Execute(text);
    EXPECT_TRUE(status.ok()) << status.message();
  };
  sql("CREATE DATABASE app; CREATE TABLE app.t (v VARCHAR(20))");
  rig.StartDaemon();
  const std::string base = rig.Dump("base.sql");
  const auto insert = [&](const std::string& value) {
    const GtidSet before = rig.Executed();
    sql("INSERT INTO app.t VALUES ('" + value + "')");
    return rig.LastOf(before).ToString();
  };
  const int64_t begun_s = std::time(nullptr);
  const std::string first = insert("now");
  clock.Step(kHour);
  const std::string ahead = insert("hour ahead");
  clock.Step(0);  // an hour back
  const std::string back = insert("back");
  clock.Step(2 * kHour);
  const std::string last = insert("two hours ahead");
  rig.CatchUp();

  struct Case {
    int64_t at_s;
    std::string last_included, first_excluded, values;
  };
  const std::vector<Case> cases = {
      // "back" was committed before this time, but stands behind one that was not.
      {begun_s + kHour / 2, first, ahead, "now"},
      {begun_s + kHour + kHour / 2, back, last, "back,hour ahead,now"},
  };
  for (const Case& one : cases) {
    const std::string time = TimeText(one.at_s);
    SCOPED_TRACE(time);
    const PitrResult located = rig.PitrJson({"locate", "--time", time});
    ASSERT_EQ(located.exit_code, 0) << located.message();
    EXPECT_THAT(located.out, HasSubstr(one.first_excluded));
    const PitrResult plan = rig.PitrJson({"plan", "--dump", base, "--before-time", time});
    ASSERT_EQ(plan.exit_code, 0) << plan.message();
    const testing::Json& boundary = plan.json.at("boundary");
    EXPECT_EQ(boundary.at("last_included").at("gtid"), one.last_included);
    EXPECT_EQ(boundary.at("first_excluded").at("gtid"), one.first_excluded);
    ASSERT_TRUE(boundary.at("clock_note").is_string()) << boundary.dump(2);
    EXPECT_THAT(plan.json.at("warnings").dump(), HasSubstr(boundary.at("clock_note")));

    const std::string name = "restored-" + std::to_string(one.at_s);
    const PitrResult run = rig.Restore(name, {"--dump", base, "--before-time", time});
    ASSERT_EQ(run.exit_code, 0) << run.message();
    RestoredServer server(run.json);
    EXPECT_EQ(server.receipt().at("end_state_reached"), true);
    EXPECT_EQ(server.Value("SELECT GROUP_CONCAT(v ORDER BY v) FROM app.t"), one.values);
  }
  EXPECT_EQ(rig.PitrJson({"verify"}).exit_code, 0);
  rig.StopDaemon();
}

}  // namespace
}  // namespace tidemark
