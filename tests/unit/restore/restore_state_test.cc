#include "pitr/restore/restore_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pitr/json.h"
#include "pitr/restore/continuation.h"
#include "tests/support/binlog_builder.h"
#include "tests/support/memory_file_system.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::HasSubstr;
using ::testing::Not;

RestoreState Full() {
  RestoreState state;
  state.step = RestoreStep::kApplying;
  state.source = "main";
  state.dump_path = "/backups/base.sql";
  state.dump_bytes = 12345;
  state.point.kind = TargetKind::kGtid;
  state.point.edge = Edge::kBefore;
  state.point.gtid = BuilderGtid(17);
  state.surgery.skip = BuilderSet(12, 12);
  state.surgery.leave_out = BuilderSet(14, 15);
  state.surgery.only_tables = {{"shop", "orders"}, {"a.b", "`c`"}};
  state.surgery.only_schemas = {"crm"};
  state.surgery.without_tables = {{"crm", "log"}};
  state.base = BuilderSet(1, 10);
  state.end_set = BuilderSet(1, 13);
  state.secret_file = "/restored/restore.secret";
  state.server_id = 4000000000;
  state.socket = "/restored/mysqld.sock";
  state.mysqld_options = {"--lower-case-table-names=1"};
  state.port = 3307;
  state.runs = 3;
  state.started_us = 1795269787123456;
  return state;
}

RestoreRequest RequestOf(const RestoreState& state) {
  return {state.source, state.dump_path, state.dump_bytes, state.point, state.surgery};
}

TEST(RestoreState, ComesBackFromItsText) {
  const RestoreState state = Full();
  const Result<RestoreState> read = DecodeRestoreState(EncodeRestoreState(state));
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(EncodeRestoreState(*read), EncodeRestoreState(state));
  EXPECT_EQ(read->step, state.step);
  EXPECT_EQ(read->point.gtid, state.point.gtid);
  EXPECT_EQ(read->point.edge, state.point.edge);
  EXPECT_EQ(read->surgery, state.surgery);
  EXPECT_EQ(read->base, state.base);
  EXPECT_EQ(read->end_set, state.end_set);
  EXPECT_EQ(read->server_id, state.server_id);
  EXPECT_EQ(read->started_us, state.started_us);
  EXPECT_EQ(read->mysqld_options, state.mysqld_options);
  EXPECT_EQ(read->port, state.port);
  EXPECT_EQ(read->runs, state.runs);
}

TEST(RestoreState, EveryStepAndKindOfTargetComesBack) {
  for (const RestoreStep step :
       {RestoreStep::kClaimed, RestoreStep::kLoaded, RestoreStep::kApplying, RestoreStep::kApplied,
        RestoreStep::kDone}) {
    for (const TargetKind kind : {TargetKind::kGtid, TargetKind::kTime, TargetKind::kLatest}) {
      RestoreState state = Full();
      state.step = step;
      state.point.kind = kind;
      state.point.time_us = -5;  // before 1970
      const Result<RestoreState> read = DecodeRestoreState(EncodeRestoreState(state));
      ASSERT_TRUE(read.ok()) << read.error().message();
      EXPECT_EQ(read->step, step);
      EXPECT_EQ(read->point.ToString(), state.point.ToString());
    }
  }
}

// A file that lost any of its members, or has another kind of value there, is no state.
TEST(RestoreState, EveryMemberIsNeeded) {
  const Json whole = Json::parse(EncodeRestoreState(Full()));
  for (const auto& [name, value] : whole.items()) {
    Json without = whole;
    without.erase(name);
    const Result<RestoreState> read = DecodeRestoreState(without.dump());
    ASSERT_FALSE(read.ok()) << name;
    EXPECT_EQ(read.error().code(), Code::kCorruption) << name;
    Json other = whole;
    other[name] = Json::array({1});
    EXPECT_FALSE(DecodeRestoreState(other.dump()).ok()) << name;
  }
}

TEST(RestoreState, ValuesThatCannotBeAreRefused) {
  for (const auto& [name, value] :
       std::vector<std::pair<const char*, Json>>{{"step", "resting"},
                                                 {"base", "nonsense"},
                                                 {"server_id", 4294967296},
                                                 {"port", 65536},
                                                 {"runs", -1}}) {
    Json json = Json::parse(EncodeRestoreState(Full()));
    json[name] = value;
    const Result<RestoreState> read = DecodeRestoreState(json.dump());
    ASSERT_FALSE(read.ok()) << name;
    EXPECT_THAT(read.error().message(), HasSubstr(std::string("\"") + name + "\""));
  }
  for (const char* text : {"", "{", "[]", "{}", "null", "\"x\""})
    EXPECT_EQ(DecodeRestoreState(text).error().code(), Code::kCorruption) << text;
}

TEST(RestoreState, OfANewerVersionIsNotTouched) {
  Json json = Json::parse(EncodeRestoreState(Full()));
  json["version"] = kRestoreStateVersion + 1;
  EXPECT_EQ(DecodeRestoreState(json.dump()).error().code(), Code::kUnsupportedFormat);
}

TEST(RestoreState, IsDurableOnceWritten) {
  MemoryFileSystem files;
  ASSERT_TRUE(files.CreateDirectories("/restored").ok());
  ASSERT_TRUE(files.SyncDirectory("/restored").ok());
  ASSERT_FALSE(*ReadRestoreState(files, "/restored"));
  ASSERT_TRUE(WriteRestoreState(files, "/restored", Full()).ok());
  files.Crash();
  const auto read = ReadRestoreState(files, "/restored");
  ASSERT_TRUE(read.ok()) << read.error().message();
  ASSERT_TRUE(*read);
  EXPECT_EQ((*read)->dump_path, Full().dump_path);
}

TEST(EarlierRestore, BareClaimIsOursAndAnythingElseIsNot) {
  MemoryFileSystem files;
  EXPECT_FALSE(*FindEarlierRestore(files, "/nowhere"));
  ASSERT_TRUE(files.CreateDirectories("/empty").ok());
  EXPECT_FALSE(*FindEarlierRestore(files, "/empty"));
  files.Put("/claimed/RESTORING", "");
  files.Put("/claimed/restore.lock", "");
  files.Put("/claimed/restore.json.new", "{");
  const auto claimed = FindEarlierRestore(files, "/claimed");
  ASSERT_TRUE(claimed.ok() && *claimed);
  EXPECT_EQ((*claimed)->step, RestoreStep::kClaimed);
  EXPECT_TRUE((*claimed)->source.empty());
  // It was killed a little later, or earlier.
  for (const char* name : {"my.cnf.new", "my.cnf", "RESTORING.new"}) {
    files.Put(std::string("/claimed/") + name, "");
    const auto again = FindEarlierRestore(files, "/claimed");
    EXPECT_TRUE(again.ok() && *again) << name;
  }
  files.Put("/theirs/my.cnf", "[mysqld]");
  EXPECT_FALSE(*FindEarlierRestore(files, "/theirs"));
  files.Put("/claimed/precious", "data");
  EXPECT_FALSE(*FindEarlierRestore(files, "/claimed"));
}

TEST(EarlierRestore, SameRequestGoesOn) {
  RestoreRequest request = RequestOf(Full());
  EXPECT_TRUE(CheckSameRequest("/d", Full(), request).ok());
  request.dump_bytes = 0;  // it is gone by now, and not needed
  EXPECT_TRUE(CheckSameRequest("/d", Full(), request).ok());
  request.dump_path.clear();
  EXPECT_TRUE(CheckSameRequest("/d", Full(), request).ok());
}

TEST(EarlierRestore, WhatDiffersIsNamed) {
  const RestoreState state = Full();
  const auto expect = [&](const RestoreRequest& request, const std::string& words) {
    const Status refused = CheckSameRequest("/d", state, request);
    EXPECT_EQ(refused.code(), Code::kTargetRefused);
    EXPECT_THAT(refused.message(), HasSubstr(words));
    EXPECT_THAT(refused.hint(), HasSubstr("--resume"));
  };
  RestoreRequest request = RequestOf(state);
  request.source = "other";
  expect(request, "source main, not other");
  request = RequestOf(state);
  request.dump_path = "/backups/new.sql";
  expect(request, "dump /backups/base.sql, not /backups/new.sql");
  request = RequestOf(state);
  ++request.dump_bytes;
  expect(request, "dump of size 12345, not 12346");
  request = RequestOf(state);
  request.point.edge = Edge::kThrough;
  expect(request, request.point.ToString());
  request = RequestOf(state);
  request.surgery = {};
  expect(request, "no surgery");
}

TEST(EarlierRestore, SurgeryAddsUp) {
  Surgery first, second;
  first.skip = BuilderSet(1, 1);
  first.only_schemas = {"a"};
  second.skip = BuilderSet(5, 5);
  second.only_schemas = {"a", "b"};
  const Surgery both = Merged(first, second);
  EXPECT_EQ(both.skip, BuilderSet(1, 1).Union(BuilderSet(5, 5)));
  EXPECT_EQ(both.only_schemas, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(Merged(both, second), both) << "the same command again adds nothing";
}

// What was skipped before and is executed need not be in the plan; what is new must be, so that a
// typing error is found.
TEST(EarlierRestore, RemainingSurgeryForgetsOnlyWhatWasDone) {
  Surgery earlier, given;
  earlier.skip = BuilderSet(1, 1).Union(BuilderSet(12, 12));
  given.skip = BuilderSet(1, 1).Union(BuilderSet(99, 99));
  const Surgery remaining = RemainingSurgery(earlier, given, BuilderSet(10, 20));
  EXPECT_EQ(remaining.skip, BuilderSet(12, 12).Union(BuilderSet(99, 99)));
}

}  // namespace
}  // namespace tidemark
