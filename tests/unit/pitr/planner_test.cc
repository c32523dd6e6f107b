#include "pitr/planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/support/binlog_builder.h"
#include "tests/support/seed.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::HasSubstr;

// A history of 1, 2, 3, …: the archive begins behind `before`, in segments that end at
// `segment_ends`.
struct World {
  Coverage coverage;
  std::vector<SegmentRecord> segments;
};

void AddSegment(World* world, int64_t first, int64_t last, const GtidSet& gap = {}) {
  SegmentRecord segment;
  segment.header.number = world->segments.size() + 1;
  segment.header.source_file = "binlog.000001";
  segment.header.previous = BuilderSet(1, first - 1);
  segment.header.gap = {gap, "the source had purged them", 5};
  segment.gtids = BuilderSet(first, last);
  segment.transactions = static_cast<uint64_t>(last - first + 1);
  segment.raw_bytes = segment.transactions * 100;
  segment.stored_bytes = segment.transactions * 50;
  if (world->segments.empty()) world->coverage.before = segment.header.previous;
  world->segments.push_back(segment);
  world->coverage.archived.Add(segment.gtids);
  if (!gap.empty()) world->coverage.gaps.push_back(segment.header.gap);
  world->coverage.end = BuilderSet(1, last);
}

// Behind transaction `last`, which is in the world's archive, or its start.
Boundary BoundaryBehind(const World& world, int64_t last) {
  Boundary boundary;
  boundary.set = BuilderSet(1, last);
  for (const SegmentRecord& segment : world.segments) {
    int64_t first = segment.gtids.map().begin()->second.front().first;
    for (int64_t number : {last, last + 1}) {
      if (!segment.gtids.Contains(BuilderGtid(number))) continue;
      Located located;
      located.segment = segment.header.number;
      located.transaction.gtid = BuilderGtid(number);
      located.transaction.begin_offset = static_cast<uint64_t>(number - first) * 100;
      (number == last ? boundary.last_included : boundary.first_excluded) = located;
    }
  }
  return boundary;
}

Result<Plan> PlanTo(const World& world, const GtidSet& base, int64_t last,
                    const Surgery& surgery = {}) {
  Target target;
  target.kind = TargetKind::kGtid;
  target.gtid = BuilderGtid(last);
  return MakePlan("main", target, base, BoundaryBehind(world, last), world.coverage, world.segments,
                  surgery);
}

World TwoSegments() {  // 1-10 | 11-20 | 21-30
  World world;
  AddSegment(&world, 11, 20);
  AddSegment(&world, 21, 30);
  return world;
}

TEST(Planner, ReadsOnlySegmentsThatContribute) {
  World world = TwoSegments();
  auto plan = PlanTo(world, BuilderSet(1, 20), 25);
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  ASSERT_EQ(plan->segments.size(), 1u);
  EXPECT_EQ(plan->segments[0].number, 2u);
  EXPECT_EQ(plan->segments[0].transactions, 5u);
  EXPECT_EQ(plan->segments[0].raw_bytes, 500u);
  EXPECT_EQ(plan->segments[0].stored_bytes, 250u);
  EXPECT_EQ(plan->raw_bytes, 500u);
  EXPECT_EQ(plan->transactions, 5u);
  EXPECT_EQ(plan->end_set, BuilderSet(1, 25));
  EXPECT_TRUE(plan->warnings.empty());
}

TEST(Planner, BaseAtTheBoundaryAppliesNothingAndSaysSo) {
  auto plan = PlanTo(TwoSegments(), BuilderSet(1, 20), 20);
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  EXPECT_TRUE(plan->to_apply.empty());
  EXPECT_TRUE(plan->segments.empty());
  ASSERT_EQ(plan->warnings.size(), 1u);
  EXPECT_THAT(plan->warnings[0], HasSubstr("nothing is to be applied"));
}

TEST(Planner, BaseNewerThanTheBoundaryIsRefusedNamingTheExcess) {
  auto plan = PlanTo(TwoSegments(), BuilderSet(1, 23), 20);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code(), Code::kUnreachableTarget);
  EXPECT_THAT(plan.error().message(), HasSubstr("3 transactions beyond"));
  EXPECT_THAT(plan.error().message(), HasSubstr(BuilderSet(21, 23).ToString()));
  EXPECT_FALSE(plan.error().hint().empty());
}

TEST(Planner, ForeignTransactionInTheBaseIsBeyondTheBoundary) {
  GtidSet base = BuilderSet(1, 12);
  base.Add(*Gtid::Parse("bbbbbbbb-0000-0000-0000-000000000001:1"));
  auto plan = PlanTo(TwoSegments(), base, 20);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code(), Code::kUnreachableTarget);
  EXPECT_THAT(plan.error().message(), HasSubstr("bbbbbbbb-0000-0000-0000-000000000001:1"));
}

TEST(Planner, BaseOlderThanTheArchiveIsRefusedNamingTheMissingRange) {
  auto plan = PlanTo(TwoSegments(), BuilderSet(1, 7), 20);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code(), Code::kUnreachableTarget);
  EXPECT_THAT(plan.error().message(), HasSubstr(BuilderSet(8, 10).ToString()));
  EXPECT_THAT(plan.error().hint(), HasSubstr(BuilderSet(1, 10).ToString()));
}

World WithGap() {  // 1-10 | 11-20 | gap 21-24 | 25-30
  World world;
  AddSegment(&world, 11, 20);
  AddSegment(&world, 25, 30, BuilderSet(21, 24));
  return world;
}

TEST(Planner, GapIsRefusedWithItsReason) {
  auto plan = PlanTo(WithGap(), BuilderSet(1, 15), 27);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code(), Code::kGap);
  EXPECT_THAT(plan.error().message(), HasSubstr(BuilderSet(21, 24).ToString()));
  EXPECT_THAT(plan.error().message(), HasSubstr("the source had purged them"));
}

TEST(Planner, AcknowledgedGapIsRefusedAllTheSameAndSaysByWhom) {
  World world = WithGap();
  world.coverage.acknowledged = BuilderSet(21, 24);
  world.coverage.acknowledgements = {{BuilderSet(21, 24), {"alice", 7, "INC-4711"}}};
  auto plan = PlanTo(world, BuilderSet(1, 15), 27);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code(), Code::kGap);
  EXPECT_THAT(plan.error().message(), HasSubstr("acknowledged by alice (INC-4711)"));
}

TEST(Planner, GapAndMissingStartAreBothNamed) {
  auto plan = PlanTo(WithGap(), BuilderSet(1, 9), 27);
  ASSERT_FALSE(plan.ok());
  EXPECT_EQ(plan.error().code(), Code::kGap);
  EXPECT_THAT(plan.error().message(), HasSubstr(BuilderSet(21, 24).ToString()));
  EXPECT_THAT(plan.error().message(), HasSubstr(BuilderSet(10, 10).ToString()));
}

TEST(Planner, BaseThatCoversTheGapOrTargetBeforeItIsReachable) {
  EXPECT_TRUE(PlanTo(WithGap(), BuilderSet(1, 24), 27).ok());
  EXPECT_TRUE(PlanTo(WithGap(), BuilderSet(1, 26), 27).ok());
  EXPECT_TRUE(PlanTo(WithGap(), BuilderSet(1, 10), 20).ok());
}

TEST(Planner, TimeBeforeTheArchiveNeedsTheBaseItBeginsWith) {
  World world = TwoSegments();
  Target target;
  target.kind = TargetKind::kTime;
  target.time_us = 1;
  Boundary start = BoundaryBehind(world, 10);
  ASSERT_FALSE(start.last_included);
  auto reachable =
      MakePlan("main", target, BuilderSet(1, 10), start, world.coverage, world.segments);
  ASSERT_TRUE(reachable.ok()) << reachable.error().message();
  EXPECT_THAT(reachable->warnings.at(0), HasSubstr("before the archive's first transaction"));
  auto older = MakePlan("main", target, BuilderSet(1, 9), start, world.coverage, world.segments);
  ASSERT_FALSE(older.ok());
  EXPECT_EQ(older.error().code(), Code::kUnreachableTarget);
}

TEST(Planner, ClockNoteBecomesAWarning) {
  World world = TwoSegments();
  Boundary boundary = BoundaryBehind(world, 20);
  boundary.clock_note = "the clock was set back";
  auto plan =
      MakePlan("main", Target{}, BuilderSet(1, 10), boundary, world.coverage, world.segments);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->warnings, std::vector<std::string>{"the clock was set back"});
}

TEST(Planner, TransactionArchivedOnlyBehindTheBoundaryDoesNotCloseAGap) {
  World world = WithGap();
  AddSegment(&world, 31, 40);
  world.segments.back().gtids.Add(BuilderSet(21, 24));
  world.coverage.archived.Add(BuilderSet(21, 24));
  EXPECT_EQ(PlanTo(world, BuilderSet(1, 15), 27).error().code(), Code::kGap);
}

TEST(Planner, SkippedTransactionsAreExecutedAndLeftOutOnesAreNot) {
  Surgery surgery;
  surgery.skip = BuilderSet(22, 22);
  surgery.leave_out = BuilderSet(24, 25);
  auto plan = PlanTo(TwoSegments(), BuilderSet(1, 20), 27, surgery);
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  EXPECT_EQ(plan->to_apply, BuilderSet(21, 27));
  EXPECT_EQ(plan->end_set, BuilderSet(1, 23).Union(BuilderSet(26, 27)));
  EXPECT_EQ(plan->transactions, 5u);
  EXPECT_EQ(plan->surgery, surgery);
  ASSERT_EQ(plan->warnings.size(), 1u);
  EXPECT_THAT(plan->warnings[0], HasSubstr("is not the source's state"));
  EXPECT_THAT(plan->warnings[0], HasSubstr(BuilderGtid(22).ToString()));
}

TEST(Planner, SurgeryOnWhatIsNotAppliedIsAMistake) {
  for (const auto& [number, why] : {std::pair{28, "behind the target"}, {20, "in the base"}}) {
    for (const bool leave_out : {false, true}) {
      Surgery surgery;
      (leave_out ? surgery.leave_out : surgery.skip) = BuilderSet(22, 22);
      (leave_out ? surgery.leave_out : surgery.skip).Add(BuilderGtid(number));
      auto plan = PlanTo(TwoSegments(), BuilderSet(1, 20), 27, surgery);
      ASSERT_FALSE(plan.ok()) << why;
      EXPECT_EQ(plan.error().code(), Code::kUsage);
      EXPECT_THAT(plan.error().message(), HasSubstr(BuilderGtid(number).ToString()));
    }
  }
}

TEST(Planner, GapThatIsNamedIsAcknowledged) {
  Surgery surgery;
  surgery.leave_out = BuilderSet(21, 23);
  EXPECT_EQ(PlanTo(WithGap(), BuilderSet(1, 15), 27, surgery).error().code(), Code::kGap);
  surgery.skip = BuilderSet(24, 24);
  auto plan = PlanTo(WithGap(), BuilderSet(1, 15), 27, surgery);
  ASSERT_TRUE(plan.ok()) << plan.error().message();
  EXPECT_EQ(plan->end_set, BuilderSet(1, 20).Union(BuilderSet(24, 27)));
}

TEST(Planner, FiltersAreWarnedOf) {
  Surgery surgery;
  surgery.only_schemas = {"shop"};
  auto plan = PlanTo(TwoSegments(), BuilderSet(1, 20), 27, surgery);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->end_set, BuilderSet(1, 27));
  EXPECT_THAT(plan->warnings.at(0), HasSubstr("shop"));
}

// Whatever the base and the boundary: a plan is made exactly if replaying archived transactions up
// to the boundary on the base can give the boundary's set, and then it gives that set.
TEST(PlannerProperty, PlanExactlyIfReplayReachesTheBoundary) {
  uint64_t seed = testing::TestSeed();
  std::mt19937_64 random(seed);
  auto up_to = [&random](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
  };
  int made = 0, refused = 0;
  for (int round = 0; round < 5000; ++round) {
    World world;
    int64_t at = up_to(6);
    int64_t archive_start = at;
    for (int64_t segments = 1 + up_to(4); segments > 0; --segments) {
      int64_t gap = up_to(5) == 0 ? 1 + up_to(2) : 0;
      if (world.segments.empty()) gap = 0;
      int64_t length = 1 + up_to(5);
      AddSegment(&world, at + gap + 1, at + gap + length, BuilderSet(at + 1, at + gap));
      at += gap + length;
    }
    int64_t last = archive_start + up_to(at - archive_start);
    GtidSet base = BuilderSet(1, up_to(at));
    if (up_to(3) == 0) base.Subtract(BuilderSet(1 + up_to(at), 1 + up_to(at)));
    auto plan = PlanTo(world, base, last);

    GtidSet replayed = base;
    for (int64_t number = 1; number <= last; ++number) {
      if (world.coverage.archived.Contains(BuilderGtid(number))) replayed.Add(BuilderGtid(number));
    }
    bool reachable = replayed == BuilderSet(1, last);
    ASSERT_EQ(plan.ok(), reachable)
        << "round " << round << ", base " << base.ToString() << ", boundary " << last << ": "
        << (plan.ok() ? "made" : plan.error().message());
    if (!plan.ok()) {
      ++refused;
      bool names_a_set = plan.error().message().find(testing::kBuilderUuid) != std::string::npos;
      ASSERT_TRUE(names_a_set) << plan.error().message();
      continue;
    }
    ++made;
    ASSERT_EQ(plan->end_set, replayed);
    ASSERT_EQ(base.Union(plan->to_apply), plan->end_set);
    ASSERT_FALSE(base.Intersects(plan->to_apply));
    GtidSet readable;
    for (const PlannedSegment& segment : plan->segments) {
      readable.Add(world.segments[segment.number - 1].gtids);
      ASSERT_LE(segment.raw_bytes, world.segments[segment.number - 1].raw_bytes);
    }
    ASSERT_TRUE(plan->to_apply.IsSubsetOf(readable));
  }
  EXPECT_GT(made, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace tidemark
