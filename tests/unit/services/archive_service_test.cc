#include "tools/rpc/archive_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/services/service_fixture.h"
#include "tidemark/v1/stream_service.pb.h"
#include "tools/rpc/convert.h"

namespace tidemark::rpc {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using testing::BuildSome;
using testing::Drain;
using ::testing::HasSubstr;
using testing::History;
using testing::Services;

TEST(ArchiveService, EveryMethodOfTheServiceHasAHandler) {
  History history;
  BuildSome(&history);
  Services services(history);
  for (const auto* file :
       {v1::GetStatusRequest::descriptor()->file(), v1::StreamEventsRequest::descriptor()->file()})
    for (int i = 0; i < file->service_count(); ++i)
      for (int j = 0; j < file->service(i)->method_count(); ++j) {
        const auto* method = file->service(i)->method(j);
        EXPECT_NE(services.registry.Find(file->service(i)->full_name() + "/" + method->name()),
                  nullptr)
            << method->full_name();
      }
}

TEST(ArchiveService, StatusIsWhatTheArchiveHasNow) {
  History history;
  BuildSome(&history);
  Services services(history);
  auto first = services.Call<v1::GetStatusResponse>("GetStatus", v1::GetStatusRequest());
  ASSERT_TRUE(first.ok()) << first.error().message();
  EXPECT_EQ(first->archive(), history.dir.path());
  ASSERT_EQ(first->sources_size(), 1);
  EXPECT_EQ(first->sources(0).transactions(), history.all.size());
  EXPECT_EQ(first->sources(0).coverage().archived(), history.builder.set().ToString());
  EXPECT_EQ(first->sources(0).place().file(), "binlog.000002");
  EXPECT_EQ(first->sources(0).place().position(), history.all.back().end);
  EXPECT_FALSE(first->sources(0).has_daemon()) << "nobody has written daemon.json";

  history.Add();
  history.builder.Publish();
  std::ofstream(history.dir.path() + "/main/daemon.json")
      << R"({"pid": 1, "state": "waiting", "server_version": "9.7.4",
             "replicas": [{"peer": "::1:5", "user": "r", "server_id": 7, "tls": true}],
             "error": {"code": "gap", "message": "purged", "hint": "adopt"}})";
  auto second = services.Call<v1::GetStatusResponse>("GetStatus", v1::GetStatusRequest());
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->sources(0).transactions(), history.all.size());
  const v1::DaemonStatus& daemon = second->sources(0).daemon();
  EXPECT_EQ(daemon.state(), "waiting");
  EXPECT_EQ(daemon.error().code(), "gap");
  ASSERT_EQ(daemon.replicas_size(), 1);
  EXPECT_EQ(daemon.replicas(0).server_id(), 7u);
}

TEST(ArchiveService, ASourceThatIsNotThereIsNotFound) {
  History history;
  BuildSome(&history);
  Services services(history);
  v1::GetStatusRequest request;
  request.set_source("other");
  auto answer = services.Call<v1::GetStatusResponse>("GetStatus", request);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().code(), Code::kNotFound);
  request.set_source("../main");
  EXPECT_EQ(services.Call<v1::GetStatusResponse>("GetStatus", request).error().code(),
            Code::kUsage);
}

TEST(ArchiveService, PagesOfSegmentsMakeTheWholeListOnce) {
  History history;
  history.BeginFile("binlog.000001");
  for (int i = 0; i < 7; ++i) {
    history.AddMany(2);
    history.builder.Continue();
  }
  history.AddMany(1);
  history.builder.Publish();
  Services services(history);
  v1::ListSegmentsRequest request;
  request.set_page_size(3);
  std::string listed;
  int pages = 0;
  do {
    auto page = services.Call<v1::ListSegmentsResponse>("ListSegments", request);
    ASSERT_TRUE(page.ok()) << page.error().message();
    EXPECT_LE(page->segments_size(), 3);
    for (const v1::Segment& segment : page->segments()) {
      auto record = FromMessage(segment);
      ASSERT_TRUE(record.ok());
      listed += JsonText(ToJson(*record));
      EXPECT_EQ(segment.path(), history.builder.SegmentPath(segment.number()));
    }
    request.set_page_token(page->next_page_token());
    ASSERT_LE(++pages, 3);
  } while (!request.page_token().empty());
  EXPECT_EQ(pages, 3);
  auto view = services.archive.OpenView("main");
  ASSERT_TRUE(view.ok());
  std::string expected;
  for (const SegmentRecord& segment : (*view)->segments()) expected += JsonText(ToJson(segment));
  EXPECT_EQ(listed, expected);
  request.set_page_token("7x");
  EXPECT_EQ(services.Call<v1::ListSegmentsResponse>("ListSegments", request).error().code(),
            Code::kUsage);
}

TEST(ArchiveService, TimelineShowsTheDropAndTheGap) {
  History history;
  BuildSome(&history);
  history.Gap(3, "purged early");
  history.BeginFile("binlog.000003");
  history.AddMany(2);
  history.builder.Publish();
  Services services(history);
  auto answer = services.Call<v1::GetTimelineResponse>("GetTimeline", v1::GetTimelineRequest());
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  int drops = 0, gaps = 0, large = 0;
  for (const v1::TimelineEntry& entry : answer->entries()) {
    drops += entry.has_ddl() && entry.ddl().statement() == "DROP TABLE orders";
    gaps += entry.has_gap() && entry.gap().reason() == "purged early";
    large += entry.has_large_transaction();
  }
  EXPECT_EQ(drops, 1);
  EXPECT_EQ(gaps, 1);
  EXPECT_EQ(large, 1);
  v1::GetTimelineRequest before;
  before.set_to_us(0);
  answer = services.Call<v1::GetTimelineResponse>("GetTimeline", before);
  ASSERT_TRUE(answer.ok());
  EXPECT_EQ(answer->entries_size(), 1) << "the gap alone: to_us = 0 is 1970, not \"not set\"";
  before.set_limit(kTimelineDdlMax + 1);
  EXPECT_EQ(services.Call<v1::GetTimelineResponse>("GetTimeline", before).error().code(),
            Code::kUsage);
}

TEST(ArchiveService, LocatesByGtidTimeAndPosition) {
  History history;
  BuildSome(&history);
  Services services(history);
  const auto& wanted = history.all[100];
  v1::LocateRequest request;
  request.set_gtid(wanted.gtid.ToString());
  auto by_gtid = services.Call<v1::LocateResponse>("Locate", request);
  ASSERT_TRUE(by_gtid.ok()) << by_gtid.error().message();
  EXPECT_EQ(by_gtid->found().source_begin(), wanted.begin);
  EXPECT_EQ(by_gtid->previous().gtid(), history.all[99].gtid.ToString());
  EXPECT_EQ(by_gtid->next().gtid(), history.all[101].gtid.ToString());
  EXPECT_EQ(by_gtid->segment_path(), history.builder.SegmentPath(wanted.segment));
  request.set_time_us(wanted.commit_us);
  auto by_time = services.Call<v1::LocateResponse>("Locate", request);
  ASSERT_TRUE(by_time.ok());
  EXPECT_EQ(by_time->SerializeAsString(), by_gtid->SerializeAsString());
  request.mutable_position()->set_file(wanted.file);
  request.mutable_position()->set_position(wanted.end - 1);
  auto by_position = services.Call<v1::LocateResponse>("Locate", request);
  ASSERT_TRUE(by_position.ok());
  EXPECT_EQ(by_position->SerializeAsString(), by_gtid->SerializeAsString());
}

TEST(ArchiveService, WhatCannotBeLocatedSaysWhy) {
  History history;
  BuildSome(&history);
  Services services(history);
  const auto code = [&](const v1::LocateRequest& request) {
    return services.Call<v1::LocateResponse>("Locate", request).error().code();
  };
  v1::LocateRequest request;
  EXPECT_EQ(code(request), Code::kUsage) << "nothing asked for";
  request.set_gtid("x:1");
  EXPECT_EQ(code(request), Code::kUsage);
  request.set_gtid(BuilderGtid(100'000).ToString());
  EXPECT_EQ(code(request), Code::kNotFound);
  request.set_time_us(history.now_us + 1);
  EXPECT_EQ(code(request), Code::kNotFound);
  request.set_time_us(INT64_MIN);
  EXPECT_TRUE(services.Call<v1::LocateResponse>("Locate", request).ok());
  request.mutable_position()->set_file("binlog.000009");
  EXPECT_EQ(code(request), Code::kNotFound);
}

TEST(ArchiveService, PlanIsTheOneMadeLocally) {
  History history;
  BuildSome(&history);
  Services services(history);
  const auto& excluded = history.all[160];
  v1::PlanRequest request;
  request.mutable_target()->set_before_gtid(excluded.gtid.ToString());
  request.set_base_gtids(BuilderSet(1, 40).ToString());
  request.mutable_surgery()->set_skip(BuilderSet(151, 151).ToString());
  auto answer = services.Call<v1::PlanResponse>("Plan", request);
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  auto view = services.archive.OpenView("main");
  ASSERT_TRUE(view.ok());
  Target target{.kind = TargetKind::kGtid, .edge = Edge::kBefore, .gtid = excluded.gtid};
  Surgery surgery;
  surgery.skip = BuilderSet(151, 151);
  auto boundary = Locator(**view).Resolve(target);
  ASSERT_TRUE(boundary.ok());
  auto local = MakePlan("main", target, BuilderSet(1, 40), *boundary, (*view)->ComputeCoverage(),
                        (*view)->segments(), surgery);
  ASSERT_TRUE(local.ok());
  auto remote = FromMessage(answer->plan());
  ASSERT_TRUE(remote.ok());
  EXPECT_EQ(JsonText(ToJson(*remote)), JsonText(ToJson(*local)));
  EXPECT_FALSE(answer->source_version().empty());
  EXPECT_EQ(answer->plan().surgery_description_size(), 1);

  v1::ResolveTargetRequest resolve;
  *resolve.mutable_target() = request.target();
  auto resolved = services.Call<v1::ResolveTargetResponse>("ResolveTarget", resolve);
  ASSERT_TRUE(resolved.ok());
  EXPECT_EQ(resolved->boundary().SerializeAsString(),
            answer->plan().boundary().SerializeAsString());
}

TEST(ArchiveService, PlansThatCannotBeAreRefusedAsLocally) {
  History history;
  BuildSome(&history);
  Services services(history);
  const auto code = [&](const v1::PlanRequest& request) {
    return services.Call<v1::PlanResponse>("Plan", request).error().code();
  };
  v1::PlanRequest request;
  EXPECT_EQ(code(request), Code::kUsage) << "no target";
  request.mutable_target()->set_through_gtid(BuilderGtid(100'000).ToString());
  EXPECT_EQ(code(request), Code::kUnreachableTarget);
  request.mutable_target()->set_latest(true);
  request.set_base_gtids(BuilderSet(1, 100'000).ToString());
  EXPECT_EQ(code(request), Code::kUnreachableTarget);
  request.set_base_gtids("nonsense");
  EXPECT_EQ(code(request), Code::kUsage);
  request.clear_base_gtids();
  request.mutable_surgery()->set_skip(BuilderSet(100'000, 100'000).ToString());
  EXPECT_EQ(code(request), Code::kUsage) << "nothing of that is applied";
}

TEST(ArchiveService, VerifyTellsProgressThenTheReport) {
  History history;
  BuildSome(&history);
  Services services(history);
  auto stream = services.Open("ArchiveService/Verify", v1::VerifyRequest());
  ASSERT_TRUE(stream.ok());
  auto drained = Drain<v1::VerifyResponse>(**stream);
  ASSERT_TRUE(drained.ended.ok()) << drained.ended.error().message();
  EXPECT_EQ(*drained.ended, MessageStream::State::kEnd);
  ASSERT_EQ(drained.messages.size(), 4u) << "three segments, and the report";
  EXPECT_EQ(drained.messages[0].progress().segments(), 1u);
  EXPECT_EQ(drained.messages[2].progress().raw_bytes(),
            drained.messages[2].progress().raw_bytes_total());
  const v1::VerifyReport& report = drained.messages[3].report();
  EXPECT_EQ(report.findings_size(), 0);
  EXPECT_EQ(report.gtids(), history.builder.set().ToString());
}

TEST(ArchiveService, VerifyFindsDamageAndGoesOn) {
  History history;
  BuildSome(&history);
  Services services(history);
  std::filesystem::resize_file(history.builder.SegmentPath(1), 2000);
  auto stream = services.Open("ArchiveService/Verify", v1::VerifyRequest());
  ASSERT_TRUE(stream.ok());
  auto drained = Drain<v1::VerifyResponse>(**stream);
  ASSERT_TRUE(drained.ended.ok());
  ASSERT_EQ(drained.messages.size(), 4u);
  EXPECT_GT(drained.messages[3].report().findings_size(), 0);
}

TEST(ArchiveService, VerifyEndsWhenTheCallIsCancelled) {
  History history;
  BuildSome(&history);
  Services services(history);
  int asked = 0;
  services.context.cancelled = [&asked] { return ++asked > 2; };
  auto stream = services.Open("ArchiveService/Verify", v1::VerifyRequest());
  ASSERT_TRUE(stream.ok());
  auto drained = Drain<v1::VerifyResponse>(**stream);
  EXPECT_EQ(drained.messages.size(), 2u);
  ASSERT_FALSE(drained.ended.ok());
  EXPECT_EQ(drained.ended.error().code(), Code::kInterrupted);
}

}  // namespace
}  // namespace tidemark::rpc
