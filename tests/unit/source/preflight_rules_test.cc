#include "replication/source/preflight_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::HasSubstr;

constexpr const char* kSourceUuid = "11111111-1111-1111-1111-111111111111";
constexpr const char* kOurUuid = "22222222-2222-2222-2222-222222222222";
constexpr const char* kOtherUuid = "33333333-3333-3333-3333-333333333333";

GtidSet Parsed(const std::string& text) { return GtidSet::Parse(text).value(); }

class PreflightRules : public ::testing::Test {
 protected:
  PreflightRules() {
    settings_.endpoint = "archiver@db1:3306";
    settings_.user = "archiver";
    settings_.version = "8.4.3";
    settings_.version_number = 80403;
    settings_.variables = {{"log_bin", "ON"},
                           {"gtid_mode", "ON"},
                           {"enforce_gtid_consistency", "ON"},
                           {"binlog_format", "ROW"},
                           {"binlog_row_image", "FULL"},
                           {"binlog_checksum", "CRC32"},
                           {"binlog_expire_logs_seconds", "2592000"},
                           {"binlog_expire_logs_auto_purge", "ON"},
                           {"sync_binlog", "1"},
                           {"innodb_flush_log_at_trx_commit", "1"},
                           {"binlog_encryption", "OFF"},
                           {"binlog_transaction_compression", "OFF"}};
    settings_.may_replicate = true;
    settings_.may_list_binlogs = true;
    SourceFacts facts;
    facts.server_uuid = Uuid::Parse(kSourceUuid).value();
    facts.server_id = 1;
    facts.gtid_executed = Parsed(std::string(kSourceUuid) + ":1-100");
    settings_.facts = facts;
    options_.server_id = 7;
    options_.our_uuid = Uuid::Parse(kOurUuid).value();
    options_.resume_set = Parsed(std::string(kSourceUuid) + ":1-50");
  }

  PreflightReport Judge() { return JudgeSource(settings_, options_); }
  // The finding of that check; the worst if there are several, none if there is none.
  Finding Of(const std::string& check) {
    Finding worst;
    for (const Finding& finding : Judge().findings) {
      if (finding.check == check && (worst.check.empty() || finding.severity > worst.severity)) {
        worst = finding;
      }
    }
    EXPECT_EQ(worst.check, check) << "no such finding";
    return worst;
  }
  void ExpectVariable(const char* variable, const char* value, const char* check,
                      Severity severity) {
    settings_.variables[variable] = value;
    EXPECT_EQ(Of(check).severity, severity) << variable << "=" << value;
  }

  SourceSettings settings_;
  PreflightOptions options_;
};

TEST_F(PreflightRules, AGoodSourceHasNothingButOk) {
  PreflightReport report = Judge();
  EXPECT_TRUE(report.fit());
  EXPECT_GE(report.findings.size(), 18u);
  for (const Finding& finding : report.findings) {
    EXPECT_EQ(finding.severity, Severity::kOk) << finding.check << ": " << finding.message;
  }
}

TEST_F(PreflightRules, OfAMariaDbNothingElseIsJudged) {
  settings_.mariadb = true;
  settings_.version = "10.11.6-MariaDB";
  settings_.facts.reset();
  PreflightReport report = Judge();
  ASSERT_EQ(report.findings.size(), 1u);
  EXPECT_EQ(report.findings[0].check, "server-kind");
  EXPECT_EQ(report.ToStatus().code(), Code::kSourceRefused);
}

TEST_F(PreflightRules, VersionsBefore8AreRefused) {
  settings_.version_number = 50744;
  EXPECT_EQ(Of("version").severity, Severity::kError);
  settings_.version_number = 80000;
  EXPECT_EQ(Of("version").severity, Severity::kOk);
}

TEST_F(PreflightRules, WhatMakesArchivingImpossibleIsAnError) {
  ExpectVariable("log_bin", "OFF", "log-bin", Severity::kError);
  for (const char* mode : {"OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE"}) {
    ExpectVariable("gtid_mode", mode, "gtid-mode", Severity::kError);
  }
  for (const char* value : {"OFF", "WARN"}) {
    ExpectVariable("enforce_gtid_consistency", value, "enforce-gtid-consistency", Severity::kError);
  }
}

TEST_F(PreflightRules, WhatMakesAnArchivePoorerIsAWarning) {
  ExpectVariable("binlog_format", "STATEMENT", "binlog-format", Severity::kWarning);
  ExpectVariable("binlog_format", "MIXED", "binlog-format", Severity::kWarning);
  ExpectVariable("binlog_row_image", "MINIMAL", "binlog-row-image", Severity::kWarning);
  ExpectVariable("binlog_checksum", "NONE", "binlog-checksum", Severity::kWarning);
  ExpectVariable("sync_binlog", "0", "sync-binlog", Severity::kWarning);
  ExpectVariable("sync_binlog", "1000", "sync-binlog", Severity::kWarning);
  ExpectVariable("innodb_flush_log_at_trx_commit", "2", "innodb-flush-log-at-trx-commit",
                 Severity::kWarning);
  EXPECT_TRUE(Judge().fit());
}

TEST_F(PreflightRules, AServerWithoutBinlogFormatWritesRows) {
  settings_.variables.erase("binlog_format");
  EXPECT_EQ(Of("binlog-format").severity, Severity::kOk);
}

TEST_F(PreflightRules, RetentionIsComparedWithTheLimitAndZeroMeansForever) {
  options_.retention_warn_s = 3600;
  ExpectVariable("binlog_expire_logs_seconds", "3599", "retention", Severity::kWarning);
  ExpectVariable("binlog_expire_logs_seconds", "3600", "retention", Severity::kOk);
  ExpectVariable("binlog_expire_logs_seconds", "0", "retention", Severity::kOk);
  ExpectVariable("binlog_expire_logs_seconds", "60", "retention", Severity::kWarning);
  ExpectVariable("binlog_expire_logs_auto_purge", "OFF", "retention", Severity::kOk);
}

TEST_F(PreflightRules, OldRetentionInDaysCountsWhenSecondsAreZero) {
  options_.retention_warn_s = 2 * 86'400;
  settings_.variables["binlog_expire_logs_seconds"] = "0";
  ExpectVariable("expire_logs_days", "1", "retention", Severity::kWarning);
  ExpectVariable("expire_logs_days", "2", "retention", Severity::kOk);
}

TEST_F(PreflightRules, MissingPrivilegesNameTheGrant) {
  settings_.may_replicate = false;
  settings_.may_list_binlogs = false;
  EXPECT_EQ(Of("replication-slave").severity, Severity::kError);
  EXPECT_THAT(Of("replication-slave").hint, HasSubstr("GRANT REPLICATION SLAVE"));
  EXPECT_EQ(Of("replication-client").severity, Severity::kWarning);
}

TEST_F(PreflightRules, OurServerIdMustNotBeTheSources) {
  options_.server_id = 1;
  EXPECT_EQ(Of("server-id").severity, Severity::kError);
  EXPECT_THAT(Of("server-id").message, HasSubstr("server_id 1"));
}

TEST_F(PreflightRules, OurUuidMustNotBeTheSources) {
  options_.our_uuid = settings_.facts->server_uuid;
  EXPECT_EQ(Of("server-id").severity, Severity::kError);
}

TEST_F(PreflightRules, AnotherReplicaWithOurServerIdIsNamed) {
  settings_.replicas = {{8, "calm", kOtherUuid}, {7, "clash", kOtherUuid}};
  EXPECT_EQ(Of("server-id").severity, Severity::kError);
  EXPECT_THAT(Of("server-id").message, HasSubstr("clash"));
}

TEST_F(PreflightRules, AnotherServerIdWithOurUuidIsAClash) {
  settings_.replicas = {{8, "copy", kOurUuid}};
  EXPECT_EQ(Of("server-id").severity, Severity::kError);
}

TEST_F(PreflightRules, OurselvesStillConnectedAreNoClash) {
  settings_.replicas = {{7, "tidemark", kOurUuid}};
  EXPECT_EQ(Of("server-id").severity, Severity::kOk);
}

TEST_F(PreflightRules, TransactionsTheSourceLacksAreADivergenceAndNamed) {
  options_.resume_set = Parsed(std::string(kSourceUuid) + ":1-120," + kOtherUuid + ":5");
  Finding finding = Of("divergence");
  EXPECT_EQ(finding.code, Code::kDivergence);
  EXPECT_EQ(finding.gtids, Parsed(std::string(kSourceUuid) + ":101-120," + kOtherUuid + ":5"));
  EXPECT_THAT(finding.message, HasSubstr(":101-120"));
  EXPECT_THAT(finding.message, HasSubstr(kOtherUuid));
}

TEST_F(PreflightRules, PurgedTransactionsWeLackAreAGapAndNamed) {
  settings_.facts->gtid_purged = Parsed(std::string(kSourceUuid) + ":1-60");
  Finding finding = Of("gap");
  EXPECT_EQ(finding.code, Code::kGap);
  EXPECT_EQ(finding.gtids, Parsed(std::string(kSourceUuid) + ":51-60"));
  EXPECT_EQ(Judge().ToStatus().code(), Code::kGap);
}

TEST_F(PreflightRules, PurgedTransactionsWeHaveAreFine) {
  settings_.facts->gtid_purged = Parsed(std::string(kSourceUuid) + ":1-50");
  EXPECT_EQ(Of("gap").severity, Severity::kOk);
}

TEST_F(PreflightRules, WithoutAnArchiveAPurgedBeginningIsAWarning) {
  options_.resume_set.reset();
  EXPECT_EQ(Of("gap").severity, Severity::kOk);
  settings_.facts->gtid_purged = Parsed(std::string(kSourceUuid) + ":1-60");
  EXPECT_EQ(Of("gap").severity, Severity::kWarning);
}

TEST_F(PreflightRules, AnEmptyArchiveIsNotNoArchive) {
  options_.resume_set = GtidSet();
  settings_.facts->gtid_purged = Parsed(std::string(kSourceUuid) + ":1-60");
  EXPECT_EQ(Of("gap").severity, Severity::kError);
}

TEST_F(PreflightRules, HistoryOutranksOtherErrorsInTheStatus) {
  settings_.variables["gtid_mode"] = "OFF";
  options_.resume_set = Parsed(std::string(kSourceUuid) + ":1-120");
  EXPECT_EQ(Judge().ToStatus().code(), Code::kDivergence);
}

TEST_F(PreflightRules, LongSetsAreShortenedInTheMessageOnly) {
  std::string text = kOtherUuid;
  for (int i = 0; i < 1000; ++i) text += ":" + std::to_string(2 * i + 1);
  options_.resume_set = Parsed(text);
  Finding finding = Of("divergence");
  EXPECT_EQ(finding.gtids.Count(), 1000u);
  EXPECT_LT(finding.message.size(), 800u);
  EXPECT_THAT(finding.message, HasSubstr("1000 GTIDs"));
}

}  // namespace
}  // namespace tidemark
