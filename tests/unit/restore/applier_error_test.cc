#include "pitr/restore/applier_error.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

constexpr char kGtid[] = "67d1d431-e55b-11f1-9bf3-02fc00000001:27";
// As MySQL 9.7.4 gave them.
const std::string kWorker = std::string("Worker 2 failed executing transaction '") + kGtid +
                            "' at source log binlog.000001, end_log_pos 6463; ";
const std::string kRow =
    "Could not execute Write_rows event on table app.t; Duplicate entry '1' for key 't.PRIMARY', "
    "Error_code: 1062; handler error HA_ERR_FOUND_DUPP_KEY";
const std::string kRowBehind = "; the event's source log FIRST, end_log_pos 6463";

TEST(ApplierErrorTest, WorkersRowErrorIsTakenApart) {
  const ApplierError error = ParseApplierError(1062, kWorker + kRow + kRowBehind);
  EXPECT_EQ(error.number, 1062u);
  EXPECT_EQ(error.gtid, kGtid);
  EXPECT_EQ(error.table, "app.t");
  EXPECT_EQ(error.said, kRow);
}

TEST(ApplierErrorTest, StatementErrorNamesNoTable) {
  const ApplierError error = ParseApplierError(
      1049, kWorker +
                "Error 'Unknown database 'other'' on query. Default database: 'other'. "
                "Query: 'CREATE PROCEDURE `other`.`p`()\nSELECT 1'");
  EXPECT_EQ(error.gtid, kGtid);
  EXPECT_EQ(error.table, "");
  EXPECT_EQ(error.said,
            "Error 'Unknown database 'other'' on query. Default database: 'other'. Query: 'CREATE "
            "PROCEDURE `other`.`p`() SELECT 1'");
}

TEST(ApplierErrorTest, SingleThreadedApplierTellsNoGtid) {
  const ApplierError error = ParseApplierError(1062, kRow + kRowBehind);
  EXPECT_EQ(error.gtid, "");
  EXPECT_EQ(error.table, "app.t");
  EXPECT_EQ(error.said, kRow);
}

TEST(ApplierErrorTest, CoordinatorsMessageHasAtLeastTheGtid) {
  const ApplierError error = ParseApplierError(
      1062, std::string("Coordinator stopped because there were error(s) in the worker(s). The "
                        "most recent failure being: Worker 1 failed executing transaction '") +
                kGtid + "' at source log binlog.000001, end_log_pos 6710. See error log.");
  EXPECT_EQ(error.gtid, kGtid);
  EXPECT_TRUE(error.said.starts_with("Coordinator stopped because")) << error.said;
}

TEST(ApplierErrorTest, TaggedGtid) {
  const std::string tagged = "67d1d431-e55b-11f1-9bf3-02fc00000001:night_job:3";
  EXPECT_EQ(ParseApplierError(1, "Worker 1 failed executing transaction '" + tagged +
                                     "' at source log x, end_log_pos 1; no")
                .gtid,
            tagged);
}

TEST(ApplierErrorTest, WhatIsNoGtidIsNotGivenAsOne) {
  const ApplierError error = ParseApplierError(
      1, "Worker 1 failed executing transaction 'ANONYMOUS' at source log x, end_log_pos 1; no");
  EXPECT_EQ(error.gtid, "");
  EXPECT_EQ(error.said, "no");
}

TEST(ApplierErrorTest, CutOffMessagesAreTakenAsTheyAre) {
  const std::string whole = kWorker + kRow + kRowBehind;
  for (size_t size = 0; size <= whole.size(); ++size) {
    const ApplierError error = ParseApplierError(7, std::string_view(whole).substr(0, size));
    if (size > kWorker.size()) {
      EXPECT_EQ(error.gtid, kGtid);
    }
    EXPECT_TRUE(error.table.empty() || std::string("app.t").starts_with(error.table));
  }
}

std::string LogLine(const std::string& level, const std::string& channel, const std::string& text,
                    const std::string& code) {
  return "2026-11-21T03:28:14.215434Z 61 [" + level +
         "] [MY-010584] [Repl] Replica SQL for channel '" + channel + "': " + text +
         ", Error_code: MY-" + code + "\n";
}

TEST(ApplierErrorTest, LogsLastWorkerErrorOfOurChannel) {
  const std::string other = "Worker 1 failed executing transaction '" +
                            std::string("67d1d431-e55b-11f1-9bf3-02fc00000001:5") +
                            "' at source log x, end_log_pos 5; older";
  const std::string log =
      "3 [Note] noise\n" + LogLine("ERROR", "mine", other, "001146") +
      LogLine("ERROR", "mine", kWorker + kRow + kRowBehind, "001062") +
      LogLine("Warning", "mine", other, "001213") +
      LogLine("ERROR", "mine", "... The replica coordinator and worker threads are stopped",
              "001756") +
      LogLine("ERROR", "another", other, "001032") + "4 [Note] noise\n";
  const auto error = LastApplierErrorInLog(log, "mine");
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->number, 1062u);
  EXPECT_EQ(error->gtid, kGtid);
  EXPECT_EQ(error->said, kRow);
}

TEST(ApplierErrorTest, LogHasNoCommaBehindAFullStop) {
  const auto error = LastApplierErrorInLog(
      "2 [ERROR] [MY-010584] [Repl] Replica SQL for channel 'mine': " + kWorker +
          "The use of replication filters with XA transactions is not supported. Error_code: "
          "MY-003898\n",
      "mine");
  ASSERT_TRUE(error.has_value());
  EXPECT_EQ(error->number, 3898u);
  EXPECT_EQ(error->said, "The use of replication filters with XA transactions is not supported");
}

TEST(ApplierErrorTest, LogWithoutAnErrorGivesNone) {
  EXPECT_FALSE(LastApplierErrorInLog("", "mine").has_value());
  EXPECT_FALSE(
      LastApplierErrorInLog(LogLine("Warning", "mine", kWorker, "001213"), "mine").has_value());
  EXPECT_FALSE(
      LastApplierErrorInLog("for channel 'mine': cut, Error_code: MY-", "mine").has_value());
}

TEST(ApplierErrorTest, StatusNamesTransactionTableNumberAndMessage) {
  const Status status = ApplierErrorStatus(ParseApplierError(1062, kWorker + kRow + kRowBehind));
  EXPECT_EQ(status.code(), Code::kTargetRefused);
  for (const std::string& part : {std::string(kGtid), std::string("app.t"), std::string("1062"),
                                  std::string("Duplicate entry '1'")})
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  EXPECT_NE(status.hint().find(std::string("--skip-gtid ") + kGtid), std::string::npos);
}

TEST(ApplierErrorTest, FullDiskIsItsOwnClass) {
  EXPECT_EQ(ApplierErrorStatus({1114, kGtid, "app.t", "The table 't' is full"}).code(),
            Code::kDiskFull);
  EXPECT_EQ(ApplierErrorStatus({1026, kGtid, "app.t",
                                "Error writing file 'x' (OS errno 28 - No space left on device)"})
                .code(),
            Code::kDiskFull);
}

}  // namespace
}  // namespace tidemark
