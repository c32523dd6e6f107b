#include "pitr/json.h"

#include <gtest/gtest.h>

#include "tests/support/binlog_builder.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;

Located SomeTransaction() {
  Located located;
  located.segment = 3;
  located.frame = 2;
  located.source_file = "binlog.000007";
  located.source_begin = 1000;
  located.transaction.gtid = BuilderGtid(5);
  located.transaction.immediate_commit_us = 1795269787123456;
  located.transaction.begin_offset = 900;
  located.transaction.end_offset = 1100;
  located.transaction.tables = {{"shop", "orders", 1, 2, 3}};
  return located;
}

// The documented form, member by member: a change here is a change for every script that reads it.
TEST(Json, TransactionIsAsDocumented) {
  EXPECT_EQ(JsonText(ToJson(SomeTransaction())), R"({
  "gtid": "aaaaaaaa-0000-0000-0000-000000000001:5",
  "commit_time": "2026-11-21T14:03:07.123456Z",
  "commit_time_us": 1795269787123456,
  "original_commit_time": null,
  "original_commit_time_us": null,
  "segment": 3,
  "frame": 2,
  "raw_begin": 900,
  "raw_end": 1100,
  "bytes": 200,
  "source_file": "binlog.000007",
  "source_begin": 1000,
  "source_end": 1200,
  "details_known": true,
  "kind": "rows",
  "compressed": false,
  "tables": [
    {
      "schema": "shop",
      "table": "orders",
      "inserted": 1,
      "updated": 2,
      "deleted": 3
    }
  ],
  "tables_omitted": 0,
  "schema": null,
  "statement": null
}
)");
}

TEST(Json, WhatWasNotReadIsNull) {
  Located located = SomeTransaction();
  located.details_known = false;
  Json json = ToJson(located);
  EXPECT_EQ(json["details_known"], false);
  EXPECT_TRUE(json["kind"].is_null());
  EXPECT_TRUE(json["tables"].is_null());
}

TEST(Json, StatementThatIsNotUtf8IsStillPrinted) {
  Located located = SomeTransaction();
  located.transaction.kind = TransactionKind::kDdl;
  located.transaction.ddl_statement = "DROP TABLE `caf\xE9`";
  std::string text = JsonText(ToJson(located));
  EXPECT_NE(text.find("DROP TABLE `caf\xEF\xBF\xBD`"), std::string::npos) << text;
  EXPECT_TRUE(Json::accept(text));
}

TEST(Json, PlanAtTheArchivesEndAndFromItsStart) {
  Plan plan;
  plan.source = "main";
  plan.target.kind = TargetKind::kTime;
  plan.target.edge = Edge::kBefore;
  plan.target.time_us = 1000000;
  plan.boundary.set = BuilderSet(1, 4);
  plan.to_apply = BuilderSet(3, 4);
  plan.segments = {{1, "binlog.000001", 2, 300, 100}};
  plan.warnings = {"look out"};
  Json json = ToJson(plan);
  EXPECT_EQ(json["target"].dump(),
            R"({"text":"before 1970-01-01T00:00:01.000000Z","edge":"before","gtid":null,)"
            R"("time":"1970-01-01T00:00:01.000000Z","time_us":1000000})");
  EXPECT_TRUE(json["boundary"]["last_included"].is_null());
  EXPECT_TRUE(json["boundary"]["first_excluded"].is_null());
  EXPECT_TRUE(json["boundary"]["clock_note"].is_null());
  EXPECT_EQ(json["boundary"]["set"], BuilderSet(1, 4).ToString());
  EXPECT_EQ(json["segments"].dump(),
            R"([{"number":1,"source_file":"binlog.000001","transactions":2,"raw_bytes":300,)"
            R"("stored_bytes":100}])");
  EXPECT_EQ(json["warnings"].dump(), R"(["look out"])");
  EXPECT_EQ(ToJson(Target{}).dump(),
            R"({"text":"latest","edge":null,"gtid":null,"time":null,"time_us":null})");
}

TEST(Json, CoverageSegmentAndVerify) {
  Coverage coverage;
  coverage.archived = BuilderSet(3, 9);
  coverage.before = BuilderSet(1, 1);
  coverage.gaps = {{BuilderSet(2, 2), "disk full", 1000000}};
  coverage.end = BuilderSet(1, 9);
  EXPECT_EQ(ToJson(coverage).dump(),
            R"({"archived":"aaaaaaaa-0000-0000-0000-000000000001:3-9","transactions":7,)"
            R"("before":"aaaaaaaa-0000-0000-0000-000000000001:1","gaps":[)"
            R"({"missing":"aaaaaaaa-0000-0000-0000-000000000001:2","transactions":1,)"
            R"("reason":"disk full","noticed":"1970-01-01T00:00:01.000000Z","noticed_us":1000000,)"
            R"("acknowledged":""}],)"
            R"("end":"aaaaaaaa-0000-0000-0000-000000000001:1-9","acknowledged":"",)"
            R"("acknowledgements":[],"acknowledgements_error":null})");
  SegmentRecord segment;
  segment.header.number = 4;
  segment.header.source_start = 5000;
  segment.header.prefix_bytes = 200;
  segment.raw_bytes = 700;
  Json json = ToJson(segment);
  EXPECT_EQ(json["source_start"], 5000);
  EXPECT_EQ(json["source_end"], 5500);
  EXPECT_TRUE(json["gap"].is_null());
  EXPECT_TRUE(json["seal_reason"].is_null());
  EXPECT_TRUE(json["first_commit"].is_null());
  VerifyReport report;
  report.findings = {{Code::kIo, 0, "a"}, {Code::kCorruption, 2, "b"}};
  EXPECT_EQ(ToJson(report)["findings"].dump(),
            R"([{"code":"io","segment":null,"message":"a"},)"
            R"({"code":"corruption","segment":2,"message":"b"}])");
}

}  // namespace
}  // namespace tidemark
