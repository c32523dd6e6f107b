// Two lineages in one archive, made as the daemon makes them, as everybody who reads it sees them.
#include "pitr/lineage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <filesystem>

#include "pitr/local_archive.h"
#include "replication/sink/source_archiver.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/pitr/indexing.h"
#include "tests/unit/sink/model_source.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Indexing;
using ::testing::IsEmpty;
using testing::ModelServer;
using testing::ModelSource;

// main has 1 to 30 in three files; main-b is another server's, which had 1 to 24 of them, and has
// committed 101 to 105 since.
class PitrLineage : public ::testing::Test {
 protected:
  void SetUp() override {
    spdlog::set_level(spdlog::level::off);
    lock_ = std::move(*directory_.LockForWriting());
    index_ = std::move(*Index::OpenForWriting(directory_.IndexPath()));
    ModelServer first;
    for (int file = 0; file < 3; ++file) {
      if (file > 0) first.Rotate();
      first.Commit(9);
      (void)first.Commit({.ddl = "CREATE TABLE t (x INT)"});
    }
    Archive("main", first, "");
    ModelServer second(*Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002"));
    second.Commit(24);
    second.last_number = 100;
    second.Commit(5);
    Archive("main-b", second, "main");
    ASSERT_TRUE(index_->Flush().ok());
  }
  void Archive(const std::string& name, ModelServer& server, const std::string& continues) {
    Indexing listener(*index_);
    ArchiverOptions options;
    options.source = name;
    options.server_id = 9;
    options.continues = continues;
    options.lineage_hooks.shared = [&](const std::string& parent,
                                       const std::vector<uint64_t>& segments) -> Status {
      for (const uint64_t number : segments)
        TM_RETURN_IF_ERROR(CopySegmentRecords(*index_, parent, name, number));
      return OkStatus();
    };
    SourceArchiver archiver(directory_, std::make_unique<ModelSource>(server), SystemClock(),
                            listener, options);
    ASSERT_TRUE(archiver.Prepare().ok());
    const auto healed = HealIndex(*index_, directory_, name, {});
    ASSERT_TRUE(healed.ok()) << healed.error().message();
    if (!continues.empty()) {
      EXPECT_EQ(healed->segments_current, 2u) << "copied";
      EXPECT_EQ(healed->segments_scanned, 1u) << "written anew";
    }
    ASSERT_TRUE(archiver.RunOnce().ok());
  }
  std::unique_ptr<SourceAccess> Open(const std::string& source) {
    auto opened = LocalArchive(PosixFileSystem(), dir_.path(), source).OpenSource();
    EXPECT_TRUE(opened.ok()) << opened.error().message();
    return opened.ok() ? std::move(*opened) : nullptr;
  }
  static Target Gtid(Edge edge, int64_t number) {
    Target target;
    target.kind = TargetKind::kGtid;
    target.edge = edge;
    target.gtid = BuilderGtid(number);
    return target;
  }
  // The numbers of the transactions that the lineage gives back.
  std::vector<int64_t> Exported(const std::string& source) {
    std::vector<int64_t> numbers;
    StreamScanner scanner({.expect_magic = true});
    StreamProgress progress;
    const Status written = Open(source)->WriteEvents(
        {}, {}, {},
        [&](Bytes bytes) {
          return scanner.FeedBytes(bytes, [&](const ScannedEvent& event) {
            if (event.finished != nullptr) numbers.push_back(event.finished->gtid.gno);
            return OkStatus();
          });
        },
        &progress);
    EXPECT_TRUE(written.ok()) << written.message();
    return numbers;
  }

  testing::TempDir dir_;
  ArchiveDirectory directory_{PosixFileSystem(), dir_.path()};
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<Index> index_;
};

TEST_F(PitrLineage, EachGivesBackItsOwnHistory) {
  std::vector<int64_t> of_main, of_child;
  for (int64_t number = 1; number <= 30; ++number) of_main.push_back(number);
  for (int64_t number = 1; number <= 24; ++number) of_child.push_back(number);
  for (int64_t number = 101; number <= 105; ++number) of_child.push_back(number);
  EXPECT_EQ(Exported("main"), of_main);
  EXPECT_EQ(Exported("main-b"), of_child);
  EXPECT_EQ(Open("main-b")->ReadCoverage()->end, BuilderSet(1, 24).Union(BuilderSet(101, 105)));
}

TEST_F(PitrLineage, BothVerifyAndARebuildMakesTheSameIndex) {
  LocalArchive archive(PosixFileSystem(), dir_.path(), "");
  for (const char* name : {"main", "main-b"}) {
    const auto report = archive.Verify(name, [](uint64_t, uint64_t) { return true; });
    ASSERT_TRUE(report.ok()) << report.error().message();
    EXPECT_THAT(report->findings, IsEmpty())
        << name << ": " << JsonText(ToJson(*report)).substr(0, 2000);
  }
  std::string before, after;
  ASSERT_TRUE(DumpIndex(*index_, &before).ok());
  index_.reset();
  ASSERT_TRUE(RebuildIndex(directory_, {}).ok());
  index_ = std::move(*Index::OpenForWriting(directory_.IndexPath()));
  ASSERT_TRUE(DumpIndex(*index_, &after).ok());
  EXPECT_EQ(after, before);
}

TEST_F(PitrLineage, SharedSegmentsAreOneFileWithTwoNames) {
  EXPECT_EQ(std::filesystem::hard_link_count(directory_.SegmentPath("main-b", 1)), 2u);
  EXPECT_EQ(std::filesystem::hard_link_count(directory_.SegmentPath("main-b", 2)), 2u);
  EXPECT_EQ(std::filesystem::hard_link_count(directory_.SegmentPath("main-b", 3)), 1u);
}

TEST_F(PitrLineage, StatusAndTimelineSayItOnBothSides) {
  const auto states = LocalArchive(PosixFileSystem(), dir_.path(), "").ReadStatus();
  ASSERT_TRUE(states.ok()) << states.error().message();
  ASSERT_EQ(states->size(), 2u);
  const Lineage& parent = (*states)[0].summary.lineage;
  const Lineage& child = (*states)[1].summary.lineage;
  EXPECT_THAT(parent.continues, IsEmpty());
  ASSERT_EQ(child.continues.size(), 1u);
  EXPECT_EQ(parent.continued_by, child.continues);
  EXPECT_THAT(child.continued_by, IsEmpty());
  const LineageFork& fork = child.continues[0];
  EXPECT_EQ(fork.source, "main-b");
  EXPECT_EQ(fork.fork.parent, "main");
  EXPECT_EQ(fork.fork.set, BuilderSet(1, 24));
  EXPECT_EQ(fork.fork.lost, BuilderSet(25, 30));
  const Json json = ToJson((*states)[1].summary, std::nullopt);
  EXPECT_EQ(json["lineage"]["continues"][0]["continues"], "main");
  for (const char* name : {"main", "main-b"}) {
    const auto timeline = Open(name)->ReadTimeline({});
    ASSERT_TRUE(timeline.ok());
    size_t forks = 0;
    for (const TimelineEntry& entry : timeline->entries)
      if (const auto* found = std::get_if<LineageFork>(&entry.event)) {
        ++forks;
        EXPECT_EQ(*found, fork);
        EXPECT_EQ(entry.time_us, fork.fork.at_us);
      }
    EXPECT_EQ(forks, 1u) << name;
  }
}

TEST_F(PitrLineage, LostTransactionIsRefusedNamingTheLineageThatHasIt) {
  for (const Edge edge : {Edge::kBefore, Edge::kThrough}) {
    const auto lost = Open("main-b")->Resolve(Gtid(edge, 27));
    ASSERT_FALSE(lost.ok());
    EXPECT_EQ(lost.error().code(), Code::kUnreachableTarget);
    EXPECT_THAT(lost.error().message(), HasSubstr("main-b, but in that of main"));
    EXPECT_EQ(lost.error().hint(), "--source main");
    EXPECT_TRUE(Open("main")->Resolve(Gtid(edge, 27)).ok());
  }
  const auto of_child = Open("main")->Resolve(Gtid(Edge::kThrough, 103));
  EXPECT_EQ(of_child.error().hint(), "--source main-b");
  const auto nobodys = Open("main")->Resolve(Gtid(Edge::kThrough, 500));
  EXPECT_THAT(nobodys.error().message(), HasSubstr("after the end"));
}

TEST_F(PitrLineage, TimeIsResolvedInTheLineageThatWasChosen) {
  Target target;
  target.kind = TargetKind::kTime;
  target.time_us = 1'700'000'000'000'000 + 28;
  EXPECT_EQ(Open("main")->Resolve(target)->set, BuilderSet(1, 28));
  EXPECT_EQ(Open("main-b")->Resolve(target)->set, BuilderSet(1, 24));
}

TEST_F(PitrLineage, PlansCrossTheForkAndSayWhereTheyAre) {
  const auto across =
      Open("main-b")->MakePlan(Gtid(Edge::kThrough, 103), BuilderSet(1, 5), {}, false);
  ASSERT_TRUE(across.ok()) << across.error().message();
  EXPECT_EQ(across->plan.end_set, BuilderSet(1, 24).Union(BuilderSet(101, 103)));
  EXPECT_EQ(across->plan.lineage.continues.size(), 1u);
  EXPECT_THAT(across->plan.warnings, IsEmpty());
  EXPECT_EQ(ToJson(across->plan)["lineage"]["continues"][0]["source"], "main-b");

  const auto given_up = Open("main")->MakePlan(Target{}, BuilderSet(1, 5), {}, false);
  ASSERT_TRUE(given_up.ok()) << given_up.error().message();
  EXPECT_THAT(given_up->plan.warnings,
              ElementsAre(HasSubstr("6 transactions beyond the point where main-b")));
  const auto before = Open("main")->MakePlan(Gtid(Edge::kThrough, 24), BuilderSet(1, 5), {}, false);
  EXPECT_THAT(before->plan.warnings, IsEmpty());

  const auto wrong_base = Open("main-b")->MakePlan(Target{}, BuilderSet(1, 26), {}, false);
  ASSERT_FALSE(wrong_base.ok());
  EXPECT_EQ(wrong_base.error().code(), Code::kUnreachableTarget);
  EXPECT_THAT(wrong_base.error().message(), HasSubstr("taken from main"));
  EXPECT_THAT(wrong_base.error().message(), HasSubstr(":25-26"));
  EXPECT_THAT(wrong_base.error().hint(), HasSubstr("--source main"));
}

TEST_F(PitrLineage, WithoutANameTheChoiceSaysWhatContinuesWhat) {
  const auto opened = LocalArchive(PosixFileSystem(), dir_.path(), "").OpenSource();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code(), Code::kUsage);
  EXPECT_THAT(opened.error().message(), HasSubstr("main, main-b (continues main)"));
}

TEST_F(PitrLineage, AnotherSourcesSegmentBehindTheForkIsRefused) {
  // The parent's third segment whole, where only its beginning is shared: not of that length; and
  // as a fourth one it is not shared at all.
  const std::string mine = directory_.SegmentPath("main-b", 4);
  std::filesystem::remove(mine);
  std::filesystem::copy_file(directory_.SegmentPath("main", 3), mine);
  const auto report =
      LocalArchive(PosixFileSystem(), dir_.path(), "").Verify("main-b", [](uint64_t, uint64_t) {
        return true;
      });
  ASSERT_TRUE(report.ok());
  bool named = false;
  for (const VerifyFinding& finding : report->findings)
    named = named || finding.message.find("of source 'main'") != std::string::npos;
  EXPECT_TRUE(named);
  EXPECT_EQ(HealIndex(*index_, directory_, "main-b", {}).error().code(), Code::kCorruption);
}

TEST_F(PitrLineage, RelativesAreThoseWithASharedPastAlone) {
  ASSERT_TRUE(directory_.CreateSource("unrelated").ok());
  SourceIdentity sibling = *directory_.ReadIdentity("main-b");
  sibling.forks.back().segment = 1;
  ASSERT_TRUE(directory_.CreateDirectories("sibling").ok());
  ASSERT_TRUE(directory_.WriteIdentity("sibling", sibling).ok());
  EXPECT_THAT(RelatedSources(directory_, "main"), ElementsAre("main-b", "sibling"));
  EXPECT_THAT(RelatedSources(directory_, "sibling"), ElementsAre("main", "main-b"));
  EXPECT_THAT(RelatedSources(directory_, "unrelated"), IsEmpty());
  EXPECT_EQ(ReadLineage(directory_, "main").continued_by.size(), 2u);
  EXPECT_TRUE(ReadLineage(directory_, "unrelated").empty());
}

}  // namespace
}  // namespace tidemark
