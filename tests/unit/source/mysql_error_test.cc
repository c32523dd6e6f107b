#include "replication/source/mysql_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const MysqlErrorContext kLogin = {"archiver@db1:3306", "archiver", SourcePhase::kLogin, ""};
const MysqlErrorContext kQuery = {"archiver@db1:3306", "archiver", SourcePhase::kQuery, ""};
const MysqlErrorContext kDump = {"archiver@db1:3306", "archiver", SourcePhase::kDump,
                                 "server_id 7, server_uuid X"};

Code DumpCode(const char* text) { return StatusFromMysqlError(1236, text, kDump).code(); }

TEST(MysqlError, MessageNamesSourceTextAndNumber) {
  Status status = StatusFromMysqlError(2003, "Can't connect to MySQL server", kLogin);
  EXPECT_EQ(status.message(),
            "source archiver@db1:3306 cannot be reached: Can't connect to MySQL server (MySQL "
            "error 2003)");
}

TEST(MysqlError, RefusedLoginsAreRefusalsWithTheGrantInTheHint) {
  for (unsigned number : {1045u, 1698u}) {
    Status status = StatusFromMysqlError(number, "Access denied", kLogin);
    EXPECT_EQ(status.code(), Code::kSourceRefused);
    EXPECT_THAT(status.hint(), HasSubstr("'archiver'"));
    EXPECT_THAT(status.hint(), HasSubstr("GRANT REPLICATION SLAVE"));
  }
}

TEST(MysqlError, MissingPrivilegesDoNotSendPeopleToThePassword) {
  for (unsigned number : {1044u, 1045u, 1142u, 1227u}) {
    Status status = StatusFromMysqlError(number, "Access denied; you need …", kQuery);
    EXPECT_EQ(status.code(), Code::kSourceRefused) << number;
    EXPECT_THAT(status.hint(), HasSubstr("TO 'archiver'")) << number;
    EXPECT_THAT(status.hint(), Not(HasSubstr("password"))) << number;
  }
}

TEST(MysqlError, LockedAndForeignAccountsAreRefusals) {
  for (unsigned number : {1129u, 1130u, 1820u, 1862u, 3118u, 3955u}) {
    Status status = StatusFromMysqlError(number, "no", kLogin);
    EXPECT_EQ(status.code(), Code::kSourceRefused) << number;
    EXPECT_FALSE(status.hint().empty()) << number;
  }
}

TEST(MysqlError, BrokenLinksAndOverloadAreWorthAnotherTry) {
  for (unsigned number : {1040u, 1053u, 1158u, 1159u, 1160u, 1161u, 1203u, 1226u, 1317u, 2002u,
                          2003u, 2005u, 2006u, 2012u, 2013u, 2055u, 3169u, 4031u}) {
    EXPECT_EQ(StatusFromMysqlError(number, "gone", kDump).code(), Code::kSourceUnavailable)
        << number;
  }
}

TEST(MysqlError, TlsDisagreementIsARefusalWithAHint) {
  for (unsigned number : {2026u, 3159u}) {
    Status status = StatusFromMysqlError(number, "certificate verify failed", kLogin);
    EXPECT_EQ(status.code(), Code::kSourceRefused) << number;
    EXPECT_THAT(status.hint(), HasSubstr("tls")) << number;
  }
}

TEST(MysqlError, AHandshakeCutByADyingServerIsNoVerdictOnCertificates) {
  for (const char* text :
       {"SSL connection error: error:0A000126:SSL routines::unexpected eof while reading",
        "SSL connection error: error:00000005:lib(0)::reason(5)", "Connection reset by peer"}) {
    EXPECT_EQ(StatusFromMysqlError(2026, text, kLogin).code(), Code::kSourceUnavailable) << text;
  }
}

TEST(MysqlError, AuthenticationThatNeedsEncryptionSaysHowToGetIt) {
  Status status = StatusFromMysqlError(
      2061, "Authentication plugin 'caching_sha2_password' reported error", kLogin);
  EXPECT_EQ(status.code(), Code::kSourceRefused);
  EXPECT_THAT(status.hint(), HasSubstr("public key"));
}

TEST(DumpError, PurgedGtidsAreAGapInOldAndNewWords) {
  EXPECT_EQ(DumpCode("Cannot replicate because the source purged required binary logs. …"),
            Code::kGap);
  EXPECT_EQ(DumpCode("Cannot replicate because the master purged required binary logs. …"),
            Code::kGap);
  EXPECT_EQ(DumpCode("Could not find first log file name in binary log index file"), Code::kGap);
  EXPECT_EQ(DumpCode("could not find next log; the first event …"), Code::kGap);
}

TEST(DumpError, ErrantGtidsAreADivergenceInOldAndNewWords) {
  EXPECT_EQ(DumpCode("Replica has more GTIDs than the source has, using the source's SERVER_UUID."),
            Code::kDivergence);
  EXPECT_EQ(DumpCode("Slave has more GTIDs than the master has, using the master's SERVER_UUID."),
            Code::kDivergence);
  EXPECT_EQ(DumpCode("Client requested source to start replication from position > file size"),
            Code::kDivergence);
}

TEST(DumpError, AnIdentityClashNamesOurIdentity) {
  Status status = StatusFromMysqlError(
      1236,
      "A replica with the same server_uuid/server_id as this replica has connected to the source; "
      "the first event …",
      kDump);
  EXPECT_EQ(status.code(), Code::kSourceRefused);
  EXPECT_THAT(status.message(), HasSubstr("server_id 7, server_uuid X"));
}

TEST(DumpError, UnfitSourcesAreRefusals) {
  EXPECT_EQ(DumpCode("Binary log is not open"), Code::kSourceRefused);
  EXPECT_EQ(DumpCode("Misconfigured source - source server_id is 0"), Code::kSourceRefused);
  EXPECT_EQ(DumpCode("The replication sender thread cannot start in AUTO_POSITION mode: this "
                     "server has GTID_MODE = OFF instead of ON."),
            Code::kSourceRefused);
}

TEST(DumpError, AnonymousTransactionsAreNotMistakenForAWrongGtidMode) {
  Status status = StatusFromMysqlError(
      1236,
      "Cannot replicate anonymous transaction when @@GLOBAL.GTID_MODE = ON, at file ./b.000001, "
      "position 4.",
      kDump);
  EXPECT_EQ(status.code(), Code::kSourceRefused);
  EXPECT_THAT(status.message(), HasSubstr("without a GTID"));
}

TEST(DumpError, DamageOnTheSourceIsCorruption) {
  EXPECT_EQ(DumpCode("Event crc check failed! Most likely there is event corruption."),
            Code::kCorruption);
  EXPECT_EQ(DumpCode("binlog truncated in the middle of event; consider out of disk space …"),
            Code::kCorruption);
}

TEST(DumpError, AnUnknownTextIsWorthAnotherTry) {
  EXPECT_EQ(DumpCode("something new in version 12"), Code::kSourceUnavailable);
}

TEST(MysqlError, ControlBytesOfAStrangerDoNotReachTheTerminal) {
  Status status = StatusFromMysqlError(1045, "bad\x1b[2J\nnews\x7f", kLogin);
  EXPECT_EQ(status.message().find('\x1b'), std::string::npos);
  EXPECT_EQ(status.message().find('\n'), std::string::npos);
  EXPECT_THAT(status.message(), HasSubstr("bad [2J news"));
}

}  // namespace
}  // namespace tidemark
