// Whatever a command asks, the server's answer is what the files say.
#include "tools/cli/remote_archive.h"

#include <gmock/gmock.h>

#include "pitr/json.h"
#include "tests/unit/cli/remote_fixture.h"

namespace tidemark::cli {
namespace {

using testing::BuilderSet;
using ::testing::HasSubstr;
using testing::KnownTransaction;

class RemoteQuestions : public testing::RemoteArchiveTest {
 protected:
  void SetUp() override {
    history_.Gap(3, "lost");
    history_.BeginFile("binlog.000003");
    history_.AddMany(40);
    history_.builder.Publish();
    ArchiveDirectory directory(PosixFileSystem(), history_.dir.path());
    SourceIdentity identity = *directory.ReadIdentity("main");
    identity.server_uuids = {history_.all[0].gtid.tsid.uuid};
    ASSERT_TRUE(directory.WriteIdentity("main", identity).ok());
    Start();
    local_archive_ = Local();
    remote_archive_ = Remote();
    local_ = Open(*local_archive_);
    remote_ = Open(*remote_archive_);
  }
  static std::unique_ptr<SourceAccess> Open(ArchiveAccess& archive) {
    auto source = archive.OpenSource();
    EXPECT_TRUE(source.ok()) << source.error().message();
    return source.ok() ? std::move(*source) : nullptr;
  }
  template <typename Ask, typename ToText>
  void ExpectSame(Ask ask, ToText text) {
    const auto here = ask(*local_), there = ask(*remote_);
    EXPECT_EQ(here.ok(), there.ok());
    if (here.ok() && there.ok()) {
      EXPECT_EQ(text(*there), text(*here));
    } else {
      EXPECT_EQ(there.error().code(), here.error().code());
      EXPECT_EQ(there.error().message(), here.error().message());
      EXPECT_EQ(there.error().hint(), here.error().hint());
    }
  }
  static Target AtTime(int64_t time_us, Edge edge) {
    Target target;
    target.kind = TargetKind::kTime;
    target.edge = edge;
    target.time_us = time_us;
    return target;
  }
  static Target AtGtid(const Gtid& gtid, Edge edge) {
    Target target;
    target.kind = TargetKind::kGtid;
    target.edge = edge;
    target.gtid = gtid;
    return target;
  }
  std::vector<Target> Targets() const {
    std::vector<Target> targets = {
        {}, AtTime(4'000'000'000'000'000, Edge::kThrough), AtTime(0, Edge::kBefore)};
    for (size_t at : {size_t{0}, size_t{150}, size_t{151}, history_.all.size() - 2}) {
      for (Edge edge : {Edge::kBefore, Edge::kThrough}) {
        targets.push_back(AtGtid(history_.all[at].gtid, edge));
        targets.push_back(AtTime(history_.all[at].commit_us, edge));
      }
    }
    targets.push_back(AtGtid(tidemark::testing::BuilderGtid(9999), Edge::kThrough));
    return targets;
  }

  std::unique_ptr<ArchiveAccess> local_archive_, remote_archive_;
  std::unique_ptr<SourceAccess> local_, remote_;
};

const auto kAsJson = [](const auto& value) { return JsonText(ToJson(value)); };

TEST_F(RemoteQuestions, Status) {
  const auto here = local_archive_->ReadStatus(), there = remote_archive_->ReadStatus();
  ASSERT_TRUE(here.ok() && there.ok());
  ASSERT_EQ(there->size(), 1u);
  EXPECT_EQ(JsonText(ToJson(there->front().summary, there->front().live)),
            JsonText(ToJson(here->front().summary, here->front().live)));
  EXPECT_EQ(*remote_archive_->SourceNames(), *local_archive_->SourceNames());
  EXPECT_EQ(remote_->source(), "main");
  EXPECT_EQ(*remote_->ServerUuids(), *local_->ServerUuids());
  ExpectSame([](SourceAccess& source) { return source.ReadCoverage(); }, kAsJson);
}

TEST_F(RemoteQuestions, SegmentsWithTheirPaths) {
  ExpectSame([](SourceAccess& source) { return source.ListSegments(); },
             [](const std::vector<SegmentFile>& segments) {
               std::string text;
               for (const auto& [record, path] : segments)
                 text += JsonText(ToJson(record)) + path + "\n";
               return text;
             });
}

TEST_F(RemoteQuestions, Timelines) {
  for (const size_t limit : {size_t{0}, size_t{1}, size_t{1000}})
    for (const int64_t from : {std::numeric_limits<int64_t>::min(), history_.all[160].commit_us})
      ExpectSame(
          [&](SourceAccess& source) {
            return source.ReadTimeline({.from_us = from, .ddl_max = limit});
          },
          kAsJson);
}

TEST_F(RemoteQuestions, Places) {
  const KnownTransaction& long_one = history_.all[151];
  for (const Place& place :
       {Place(long_one.gtid), Place(tidemark::testing::BuilderGtid(9999)),
        Place(CommittedFrom{long_one.commit_us}), Place(CommittedFrom{-1}),
        Place(FilePosition{long_one.file, long_one.begin}), Place(FilePosition{"nowhere", 4})})
    ExpectSame([&](SourceAccess& source) { return source.Locate(place); },
               [](const FoundPlace& found) {
                 return JsonText(ToJson(found.around)) + found.segment_path;
               });
}

TEST_F(RemoteQuestions, BoundariesAndPlans) {
  const GtidSet gap = GtidSet(history_.builder.set()).Minus(local_->ReadCoverage()->archived);
  std::vector<Surgery> surgeries(3);
  surgeries[1].leave_out = gap;
  surgeries[2].skip = gap;
  for (const Target& target : Targets()) {
    SCOPED_TRACE(target.ToString());
    ExpectSame([&](SourceAccess& source) { return source.Resolve(target); }, kAsJson);
    for (const Surgery& surgery : surgeries)
      for (const GtidSet& base : {GtidSet(), BuilderSet(1, 100), BuilderSet(1, 150)})
        ExpectSame(
            [&](SourceAccess& source) { return source.MakePlan(target, base, surgery, true); },
            [](const ProvedPlan& proved) {
              std::string text = JsonText(ToJson(proved.plan)) + proved.source_version;
              for (uint32_t id : proved.source_server_ids) text += " " + std::to_string(id);
              return text + " " + std::to_string(proved.plan.apply_bytes);
            });
  }
}

TEST_F(RemoteQuestions, TimesBefore1970AreNoMistake) {
  for (Edge edge : {Edge::kBefore, Edge::kThrough})
    ExpectSame([&](SourceAccess& source) { return source.Resolve(AtTime(-5, edge)); }, kAsJson);
}

TEST_F(RemoteQuestions, Verifying) {
  uint64_t done = 0, all = 0;
  const auto there = remote_archive_->Verify("main", [&](uint64_t bytes, uint64_t total) {
    EXPECT_GT(bytes, done);
    done = bytes;
    all = total;
    return true;
  });
  const auto here = local_archive_->Verify("main", [](uint64_t, uint64_t) { return true; });
  ASSERT_TRUE(here.ok() && there.ok());
  EXPECT_EQ(JsonText(ToJson(*there)), JsonText(ToJson(*here)));
  EXPECT_EQ(done, all);
  EXPECT_EQ(
      remote_archive_->Verify("main", [](uint64_t, uint64_t) { return false; }).error().code(),
      Code::kInterrupted);
  EXPECT_EQ(
      remote_archive_->Verify("nobody", [](uint64_t, uint64_t) { return true; }).error().code(),
      Code::kNotFound);
}

TEST_F(RemoteQuestions, SourcesThatAreNotThere) {
  for (const std::string& name : {std::string("nobody"), std::string("../main")}) {
    const auto there = Remote(name)->OpenSource(), here = Local(name)->OpenSource();
    ASSERT_FALSE(there.ok() || here.ok());
    EXPECT_EQ(there.error().code(), here.error().code());
    EXPECT_EQ(there.error().message(), here.error().message());
    EXPECT_EQ(there.error().hint(), here.error().hint());
    EXPECT_EQ(Remote(name)->ReadStatus().error().message(), here.error().message());
  }
}

TEST(RemoteArchive, ServerThatIsNotThereIsUnavailableAndSaysWhatToLookAt) {
  rpc::RpcClientOptions options;
  options.endpoint = "unix:/nowhere/rpc.sock";
  options.retry.attempts_max = 1;
  auto archive = RemoteArchive::Create(options, "", [] { return false; });
  ASSERT_TRUE(archive.ok());
  const auto status = (*archive)->ReadStatus();
  EXPECT_EQ(status.error().code(), Code::kSourceUnavailable);
  EXPECT_THAT(status.error().message(), HasSubstr("/nowhere/rpc.sock"));
  EXPECT_THAT(status.error().hint(), HasSubstr("tidemarkd"));
  EXPECT_EQ((*archive)->OpenSource().error().code(), Code::kSourceUnavailable);
}

}  // namespace
}  // namespace tidemark::cli
