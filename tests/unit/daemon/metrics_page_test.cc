// The page /metrics, and whether dashboard and alert rules speak of what it has.
#include "tools/metrics_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <regex>

#include "tests/support/metrics_text.h"
#include "tests/support/process.h"
#include "tests/support/promtool.h"
#include "tests/unit/daemon/metrics_fixture.h"

namespace tidemark {
namespace {

using testing::BusyDaemon;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using testing::MetricsPage;
using ::testing::Not;

const std::string kDeploy = TIDEMARK_DEPLOY_DIR;

// What Prometheus adds by itself.
const std::set<std::string> kAdded = {"instance", "job"};

// Every name, label and fixed label value in an expression (or any text with some in it).
void ExpectExported(const std::string& text, const MetricsPage& page, bool values,
                    const std::string& where) {
  static const std::regex name("\\b((?:tidemark|process)_[a-z0-9_]+)(\\{[^}]*\\})?");
  static const std::regex label("([a-z_]+)\\s*(=~|!=|!~|=)\\s*\"([^\"]*)\"");
  for (std::sregex_iterator at(text.begin(), text.end(), name), end; at != end; ++at) {
    const auto series = page.series.find((*at)[1]);
    if (series == page.series.end()) {
      ADD_FAILURE() << where << ": there is no " << (*at)[1];
      continue;
    }
    const std::string selector = (*at)[2];
    for (std::sregex_iterator l(selector.begin(), selector.end(), label); l != end; ++l) {
      if (kAdded.contains((*l)[1])) continue;
      const auto known = series->second.find((*l)[1]);
      ASSERT_NE(known, series->second.end()) << where << ": " << (*at)[1] << " has no " << (*l)[1];
      if (values && (*l)[2] == "=") {
        EXPECT_TRUE(known->second.contains((*l)[3])) << where << ": " << l->str();
      }
    }
  }
}

size_t Expressions(const nlohmann::json& node, std::vector<std::string>* found) {
  if (node.is_object() && node.contains("expr")) found->push_back(node["expr"]);
  if (node.is_structured())
    for (const auto& child : node) Expressions(child, found);
  return found->size();
}

TEST(Dashboard, SpeaksOnlyOfMetricsLabelsAndStatesThatTheDaemonExports) {
  const auto dashboard = nlohmann::json::parse(
      testing::ReadWholeFile(kDeploy + "/grafana/tidemark.json"), nullptr, false);
  ASSERT_TRUE(dashboard.is_object()) << "not valid JSON";
  const MetricsPage page(RenderMetrics(BusyDaemon()));
  std::vector<std::string> expressions;
  ASSERT_GT(Expressions(dashboard["panels"], &expressions), 50u);
  for (const std::string& expression : expressions) {
    EXPECT_THAT(expression, ContainsRegex("(tidemark|process)_")) << "looks at nothing of ours";
    ExpectExported(expression, page, true, expression);
  }
  for (const auto& variable : dashboard["templating"]["list"])
    if (variable["type"] == "query")
      ExpectExported(variable["definition"], page, true, variable["name"]);
}

TEST(Dashboard, PanelsHaveTheirOwnIdsAndDoNotOverlap) {
  const auto dashboard =
      nlohmann::json::parse(testing::ReadWholeFile(kDeploy + "/grafana/tidemark.json"));
  std::set<int> ids;
  std::set<std::pair<int, int>> taken;
  for (const auto& panel : dashboard["panels"]) {
    EXPECT_TRUE(ids.insert(panel["id"].get<int>()).second) << panel["title"];
    const auto& at = panel["gridPos"];
    for (int x = at["x"]; x < at["x"].get<int>() + at["w"].get<int>(); ++x)
      for (int y = at["y"]; y < at["y"].get<int>() + at["h"].get<int>(); ++y)
        ASSERT_TRUE(x < 24 && taken.insert({x, y}).second) << panel["title"];
  }
}

TEST(AlertRules, SpeakOnlyOfMetricsLabelsAndStatesThatTheDaemonExports) {
  const MetricsPage page(RenderMetrics(BusyDaemon()));
  const std::string rules = testing::ReadWholeFile(kDeploy + "/prometheus/tidemark.rules.yml");
  ASSERT_THAT(rules, HasSubstr("expr: tidemark_source_up == 0"));
  ExpectExported(rules, page, true, "tidemark.rules.yml");
  const std::string tests = testing::ReadWholeFile(kDeploy + "/prometheus/tidemark.rules.test.yml");
  ASSERT_THAT(tests, HasSubstr("tidemark_source_up{"));
  ExpectExported(tests, page, false, "tidemark.rules.test.yml");
}

TEST(AlertRules, EachIsTestedAndTellsWhatToDo) {
  const std::string rules = testing::ReadWholeFile(kDeploy + "/prometheus/tidemark.rules.yml");
  const std::string tests = testing::ReadWholeFile(kDeploy + "/prometheus/tidemark.rules.test.yml");
  static const std::regex alert("- alert: (\\w+)");
  size_t count = 0;
  for (std::sregex_iterator at(rules.begin(), rules.end(), alert), end; at != end; ++at, ++count) {
    const size_t begin = static_cast<size_t>(at->position());
    const std::string rule = rules.substr(begin, rules.find("- alert:", begin + 1) - begin);
    for (const char* part : {"severity: ", "summary: ", "description: ", "runbook: "})
      EXPECT_THAT(rule, HasSubstr(part)) << (*at)[1];
    const std::string tested = "alertname: " + at->str(1) + "\n        exp_alerts:\n";
    EXPECT_THAT(tests, HasSubstr(tested)) << "no test lets it fire";
  }
  EXPECT_GE(count, 15u);
}

TEST(MetricsPage, PromtoolFindsNothingWrong) {
  if (testing::Promtool().empty())
    GTEST_SKIP() << "promtool is not installed (tools/bootstrap fetches it)";
  EXPECT_EQ(testing::CheckMetrics(RenderMetrics(BusyDaemon())), "");
  EXPECT_EQ(testing::CheckMetrics(RenderMetrics(DaemonNumbers())), "") << "nothing known yet";
}

TEST(MetricsPage, HistogramIsCumulativeInSeconds) {
  const MetricsPage page(RenderMetrics(BusyDaemon()));
  const auto bucket = [&](const std::string& bound) {
    return page.Value("tidemark_source_durable_latency_seconds_bucket{source=\"main\",le=\"" +
                      bound + "\"}");
  };
  EXPECT_EQ(bucket("0.0001"), 1);
  EXPECT_EQ(bucket("0.00025"), 3);
  EXPECT_EQ(bucket("60"), 6);
  EXPECT_EQ(bucket("+Inf"), 7);
  EXPECT_EQ(page.Value("tidemark_source_durable_latency_seconds_count{source=\"main\"}"), 7);
  EXPECT_EQ(page.Value("tidemark_source_durable_latency_seconds_sum{source=\"main\"}"), 2.5);
}

TEST(MetricsPage, NumbersKeepTheirPrecision) {
  const MetricsPage page(RenderMetrics(BusyDaemon()));
  EXPECT_EQ(page.Value("tidemark_source_received_bytes_total{source=\"main\"}"), 5e9);
  EXPECT_NEAR(page.Value("tidemark_source_last_commit_timestamp_seconds{source=\"main\"}"),
              1'799'999'999.0, 1e-4);
  EXPECT_EQ(page.Value("tidemark_source_lag_seconds{source=\"main\"}"), 0.0025);
}

TEST(MetricsPage, FirstConnectionIsNoReconnect) {
  DaemonNumbers numbers = BusyDaemon();
  numbers.sources[0].archiver.connections = 1;
  numbers.sources[1].archiver.connections = 0;
  const MetricsPage page(RenderMetrics(numbers));
  EXPECT_EQ(page.Value("tidemark_source_reconnects_total{source=\"main\"}"), 0);
  EXPECT_EQ(page.Value("tidemark_source_reconnects_total{source=\"other\"}"), 0);
}

TEST(MetricsPage, SourceIsInOneStateAndSaysWhyItIsNotUp) {
  DaemonNumbers numbers = BusyDaemon();
  numbers.sources[0].state = "cannot-start";
  numbers.sources[0].archiver.state = ArchiverState::kWaiting;
  numbers.sources[1].archiver.last_error = OkStatus();
  const MetricsPage page(RenderMetrics(numbers));
  EXPECT_EQ(page.Value("tidemark_source_up{source=\"main\"}"), 0);
  EXPECT_EQ(page.Value("tidemark_source_up{source=\"other\"}"), 1);
  double states = 0;
  for (const std::string& state : page.series.at("tidemark_source_state").at("state"))
    states += page.Value("tidemark_source_state{source=\"main\",state=\"" + state + "\"}");
  EXPECT_EQ(states, 1);
  EXPECT_EQ(page.Value("tidemark_source_state{source=\"main\",state=\"cannot-start\"}"), 1);
  EXPECT_EQ(page.Value("tidemark_source_error{source=\"main\",code=\"disk-full\"}"), 1);
  EXPECT_FALSE(page.Has("tidemark_source_error{source=\"other\",code=\"disk-full\"}"));
}

TEST(MetricsPage, AcknowledgedGapsAreCountedApart) {
  DaemonNumbers numbers = BusyDaemon();
  numbers.sources[0].totals.emplace();
  numbers.sources[0].totals->gap_inside = 7;
  numbers.sources[0].totals->acknowledged_inside = 4;
  const MetricsPage page(RenderMetrics(numbers));
  const std::string gaps = "tidemark_source_gap_transactions{source=\"main\",at=\"inside\",";
  EXPECT_EQ(page.Value(gaps + "acknowledged=\"false\"}"), 3);
  EXPECT_EQ(page.Value(gaps + "acknowledged=\"true\"}"), 4);
}

TEST(MetricsPage, GapThatNoSegmentRecordsYetCounts) {
  for (const bool begun : {false, true}) {
    SCOPED_TRACE(begun);
    DaemonNumbers numbers = BusyDaemon();
    numbers.sources[0].totals.emplace();
    numbers.sources[0].totals->open.segments = begun ? 1 : 0;
    numbers.sources[0].totals->gap_at_start = 2;
    numbers.sources[0].archiver.gap_ahead.missing =
        *GtidSet::Parse("aaaaaaaa-0000-0000-0000-000000000001:1-7");
    const MetricsPage page(RenderMetrics(numbers));
    const std::string gaps = "tidemark_source_gap_transactions{source=\"main\",at=";
    EXPECT_EQ(page.Value(gaps + "\"start\",acknowledged=\"false\"}"), begun ? 2 : 9);
    EXPECT_EQ(page.Value(gaps + "\"inside\",acknowledged=\"false\"}"), begun ? 7 : 0);
  }
}

TEST(MetricsPage, WhatIsNotKnownIsAbsentAndNotZero) {
  DaemonNumbers numbers;
  numbers.sources.resize(1);
  numbers.sources[0].name = "main";
  const std::string text = RenderMetrics(numbers);
  EXPECT_THAT(text, Not(HasSubstr("tidemark_source_lag_seconds")));
  EXPECT_THAT(text, Not(HasSubstr("tidemark_source_last_commit_timestamp_seconds")));
  EXPECT_THAT(text, Not(HasSubstr("tidemark_source_gap_transactions")));
  EXPECT_THAT(text, Not(HasSubstr("tidemark_archive_filesystem")));
  EXPECT_THAT(text, HasSubstr("tidemark_index_readable 0"));
  EXPECT_THAT(text, HasSubstr("tidemark_source_up{source=\"main\"} 0"));
}

}  // namespace
}  // namespace tidemark
