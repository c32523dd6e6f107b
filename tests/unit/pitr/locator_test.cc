#include "pitr/locator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/support/seed.h"
#include "tests/unit/pitr/history.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::HasSubstr;
using testing::History;
using testing::KnownTransaction;
using testing::RowChange;
using testing::TransactionSpec;

Target AtTime(int64_t time_us, Edge edge = Edge::kThrough) {
  Target target;
  target.kind = TargetKind::kTime;
  target.time_us = time_us;
  target.edge = edge;
  return target;
}

Target AtGtid(const Gtid& gtid, Edge edge) {
  Target target;
  target.kind = TargetKind::kGtid;
  target.gtid = gtid;
  target.edge = edge;
  return target;
}

void ExpectIs(const std::optional<Located>& found, const KnownTransaction& known) {
  ASSERT_TRUE(found) << known.gtid.ToString();
  EXPECT_EQ(found->transaction.gtid, known.gtid);
  EXPECT_EQ(found->transaction.immediate_commit_us, known.commit_us);
  EXPECT_EQ(found->segment, known.segment);
  EXPECT_EQ(found->source_file, known.file);
  EXPECT_EQ(found->source_begin, known.begin);
  EXPECT_EQ(found->transaction.size(), known.end - known.begin);
  EXPECT_EQ(found->transaction.source_end_pos, static_cast<uint32_t>(known.end));
}

void ExpectIsAt(const std::optional<Located>& found, const History& history, size_t at) {
  if (at >= history.all.size()) {
    EXPECT_FALSE(found);
  } else {
    ExpectIs(found, history.all[at]);
  }
}

// Frames of one, a few and many transactions; three segments, two files, one continuation.
void BuildMixed(History* history) {
  history->builder.StartBehind(BuilderSet(1, 9));
  history->next = 10;
  history->BeginFile("binlog.000001");
  history->AddMany(300, {.row_bytes = 20'000});
  history->AddMany(3, {.row_bytes = 1'500'000});
  history->builder.Continue();
  history->AddMany(40, {.row_bytes = 60'000});
  history->BeginFile("binlog.000002");
  history->AddMany(50);
  history->builder.Finish();
}

TEST(Locator, EveryTransactionAndItsNeighboursAreFound) {
  History history;
  BuildMixed(&history);
  auto view = history.Open();
  Locator locator(*view);
  for (size_t i = 0; i < history.all.size(); ++i) {
    auto around = locator.FindGtidWithNeighbours(history.all[i].gtid);
    ASSERT_TRUE(around.ok()) << around.error().message();
    ExpectIs(around->found, history.all[i]);
    ExpectIsAt(around->previous, history, i - 1);
    ExpectIsAt(around->next, history, i + 1);
    if (HasFailure()) return;
  }
}

TEST(Locator, EveryPositionGivesTheTransactionThatHoldsIt) {
  History history;
  BuildMixed(&history);
  auto view = history.Open();
  Locator locator(*view);
  for (size_t i = 0; i < history.all.size(); i += 7) {
    const KnownTransaction& known = history.all[i];
    for (uint64_t position : {known.begin, (known.begin + known.end) / 2, known.end - 1}) {
      auto found = locator.FindPosition(known.file, position);
      ASSERT_TRUE(found.ok()) << found.error().message();
      ExpectIs(*found, known);
    }
  }
  auto first = locator.FindPosition("binlog.000001", 4);
  ASSERT_TRUE(first.ok());
  ExpectIs(*first, history.all[0]);
  auto unknown = locator.FindPosition("binlog.000003", 4);
  ASSERT_TRUE(unknown.ok());
  EXPECT_FALSE(*unknown);
}

TEST(Locator, PositionBetweenTransactionsGivesTheNextOfThatFileOnly) {
  History history;
  BuildMixed(&history);
  auto view = history.Open();
  Locator locator(*view);
  auto last_of_file = std::find_if(history.all.begin(), history.all.end(),
                                   [](const auto& known) { return known.file != "binlog.000001"; });
  auto rotate = locator.FindPosition("binlog.000001", std::prev(last_of_file)->end);
  ASSERT_TRUE(rotate.ok());
  EXPECT_FALSE(*rotate) << "the Rotate event holds no transaction, and nothing follows in its file";
}

TEST(Locator, TablesAndStatementsAreShown) {
  History history;
  history.BeginFile("binlog.000001");
  history.Add({.schema = "shop", .table = "orders", .change = RowChange::kUpdate, .rows = 3});
  history.Add({.schema = "shop", .ddl = "DROP TABLE orders"});
  history.Add({.table = "t2", .change = RowChange::kDelete, .rows = 2, .events = 2});
  history.builder.Finish();
  auto view = history.Open();
  auto around = Locator(*view).FindGtidWithNeighbours(BuilderGtid(2));
  ASSERT_TRUE(around.ok()) << around.error().message();
  EXPECT_EQ(around->found.transaction.kind, TransactionKind::kDdl);
  EXPECT_EQ(around->found.transaction.ddl_statement, "DROP TABLE orders");
  EXPECT_EQ(around->found.transaction.ddl_schema, "shop");
  std::vector<TableTouch> updated{{"shop", "orders", 0, 3, 0}};
  EXPECT_EQ(around->previous->transaction.tables, updated);
  std::vector<TableTouch> deleted{{"test", "t2", 0, 0, 4}};
  EXPECT_EQ(around->next->transaction.tables, deleted);
}

// 100 MB: over many frames, and as one event in one frame.
class LongTransaction : public ::testing::TestWithParam<TransactionSpec> {};

TEST_P(LongTransaction, IsLocatedWithoutReadingItAndReadWhenAsked) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(3);
  history.Add(GetParam());
  history.AddMany(3);
  history.builder.Finish();
  auto view = history.Open();
  Locator locator(*view);
  for (size_t i = 0; i < history.all.size(); ++i) {
    auto around = locator.FindGtidWithNeighbours(history.all[i].gtid);
    ASSERT_TRUE(around.ok()) << around.error().message();
    ExpectIs(around->found, history.all[i]);
    ExpectIsAt(around->previous, history, i - 1);
    ExpectIsAt(around->next, history, i + 1);
    EXPECT_EQ(around->found.details_known, i != 3);
  }
  const KnownTransaction& known = history.all[3];
  for (uint64_t position = known.begin; position < known.end; position += 9'999'999) {
    auto found = locator.FindPosition(known.file, position);
    ASSERT_TRUE(found.ok()) << found.error().message();
    ExpectIs(*found, known);
  }
  auto found = locator.FindGtid(known.gtid);
  ASSERT_TRUE(found.ok());
  EXPECT_TRUE(found->transaction.tables.empty());
  Status read = locator.ReadDetails(&*found);
  ASSERT_TRUE(read.ok()) << read.message();
  EXPECT_TRUE(found->details_known);
  ASSERT_EQ(found->transaction.tables.size(), 1u);
  EXPECT_EQ(found->transaction.tables[0].inserted, uint64_t{GetParam().rows} * GetParam().events);
  ExpectIs(*found, known);
}

INSTANTIATE_TEST_SUITE_P(Shapes, LongTransaction,
                         ::testing::Values(TransactionSpec{.row_bytes = 100'000, .events = 1000},
                                           TransactionSpec{.rows = 10, .row_bytes = 10'000'000}));

TEST(Locator, GtidThatIsNotArchivedIsExplained) {
  History history;
  history.builder.StartBehind(BuilderSet(1, 9));
  history.next = 10;
  history.BeginFile("binlog.000001");
  history.AddMany(5);
  history.Gap(3, "disk was full");
  history.BeginFile("binlog.000002");
  history.Add({.gtid = BuilderGtid(30)});
  history.builder.Finish();
  auto view = history.Open();
  Locator locator(*view);
  auto why = [&locator](const Gtid& gtid) {
    auto found = locator.FindGtid(gtid);
    EXPECT_FALSE(found.ok());
    return found.ok() ? OkStatus() : found.error();
  };
  EXPECT_EQ(why(BuilderGtid(3)).code(), Code::kNotFound);
  EXPECT_THAT(why(BuilderGtid(3)).message(), HasSubstr("before the start"));
  EXPECT_EQ(why(BuilderGtid(16)).code(), Code::kGap);
  EXPECT_THAT(why(BuilderGtid(16)).message(), HasSubstr("disk was full"));
  EXPECT_EQ(why(BuilderGtid(20)).code(), Code::kNotFound);
  EXPECT_THAT(why(BuilderGtid(20)).message(), HasSubstr("had not committed it"));
  EXPECT_THAT(why(BuilderGtid(31)).message(), HasSubstr("after the end"));
  EXPECT_THAT(why(*Gtid::Parse("bbbbbbbb-0000-0000-0000-000000000001:1")).message(),
              HasSubstr("never saw"));
  // As a target each of them is refused with the class of its reason.
  auto resolved = [&locator](int64_t number) {
    return locator.Resolve(AtGtid(BuilderGtid(number), Edge::kThrough)).error().code();
  };
  EXPECT_EQ(resolved(3), Code::kUnreachableTarget);
  EXPECT_EQ(resolved(16), Code::kGap);
  EXPECT_EQ(resolved(31), Code::kUnreachableTarget);
}

TEST(Resolve, GtidEdgesAndSets) {
  History history;
  BuildMixed(&history);
  auto view = history.Open();
  Locator locator(*view);
  for (size_t i = 0; i < history.all.size(); i += 13) {
    const KnownTransaction& known = history.all[i];
    auto before = locator.Resolve(AtGtid(known.gtid, Edge::kBefore));
    ASSERT_TRUE(before.ok()) << before.error().message();
    EXPECT_EQ(before->set, known.before);
    ExpectIsAt(before->last_included, history, i - 1);
    ExpectIs(before->first_excluded, known);
    auto through = locator.Resolve(AtGtid(known.gtid, Edge::kThrough));
    ASSERT_TRUE(through.ok());
    GtidSet set = known.before;
    set.Add(known.gtid);
    EXPECT_EQ(through->set, set);
    ExpectIs(through->last_included, known);
    ExpectIsAt(through->first_excluded, history, i + 1);
  }
}

TEST(Resolve, LatestIsTheEnd) {
  History history;
  BuildMixed(&history);
  auto view = history.Open();
  auto latest = Locator(*view).Resolve(Target{});
  ASSERT_TRUE(latest.ok());
  EXPECT_EQ(latest->set, history.builder.set());
  ExpectIs(latest->last_included, history.all.back());
  EXPECT_FALSE(latest->first_excluded);
}

TEST(Resolve, TimeEdgesDifferAtTheExactCommitTime) {
  History history;
  BuildMixed(&history);
  auto view = history.Open();
  Locator locator(*view);
  const KnownTransaction& known = history.all[200];
  ExpectIs(locator.Resolve(AtTime(known.commit_us, Edge::kThrough))->last_included, known);
  ExpectIs(locator.Resolve(AtTime(known.commit_us, Edge::kBefore))->first_excluded, known);
  ExpectIs(locator.Resolve(AtTime(known.commit_us - 1))->first_excluded, known);
  ExpectIs(locator.Resolve(AtTime(known.commit_us + 999))->last_included, known);
}

TEST(Resolve, TimeAtOrPastTheLastCommitCannotBeProved) {
  History history;
  BuildMixed(&history);
  auto view = history.Open();
  Locator locator(*view);
  int64_t last_us = history.all.back().commit_us;
  for (int64_t time_us : {last_us, last_us + 1, last_us + 3'600'000'000}) {
    auto refused = locator.Resolve(AtTime(time_us));
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code(), Code::kUnreachableTarget);
    EXPECT_THAT(refused.error().hint(), HasSubstr("--latest"));
    EXPECT_THAT(refused.error().message(), HasSubstr(history.all.back().gtid.ToString()));
  }
  EXPECT_TRUE(locator.Resolve(AtTime(last_us, Edge::kBefore)).ok());
}

TEST(Resolve, TimeBeforeTheArchiveIsTheBoundaryBeforeItsFirstTransaction) {
  History history;
  BuildMixed(&history);
  auto view = history.Open();
  auto boundary = Locator(*view).Resolve(AtTime(History::kStartUs - 1));
  ASSERT_TRUE(boundary.ok());
  EXPECT_FALSE(boundary->last_included);
  ExpectIs(boundary->first_excluded, history.all[0]);
  EXPECT_EQ(boundary->set, BuilderSet(1, 9));
}

TEST(Resolve, ArchiveWithoutTransactions) {
  History history;
  history.builder.StartBehind(BuilderSet(1, 4));
  history.BeginFile("binlog.000001");
  history.builder.Finish();
  auto view = history.Open();
  Locator locator(*view);
  auto latest = locator.Resolve(Target{});
  ASSERT_TRUE(latest.ok()) << latest.error().message();
  EXPECT_EQ(latest->set, BuilderSet(1, 4));
  EXPECT_FALSE(latest->last_included);
  EXPECT_EQ(locator.Resolve(AtTime(5)).error().code(), Code::kUnreachableTarget);
}

TEST(Resolve, BoundaryAroundAGap) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(5);
  history.Gap(3);
  history.BeginFile("binlog.000002");
  history.AddMany(5);
  history.builder.Finish();
  auto view = history.Open();
  Locator locator(*view);
  EXPECT_EQ(locator.Resolve(AtGtid(BuilderGtid(5), Edge::kThrough))->set, BuilderSet(1, 5));
  EXPECT_EQ(locator.Resolve(AtGtid(BuilderGtid(9), Edge::kBefore))->set, BuilderSet(1, 8));
  // Between the two nobody knows when the missing ones were committed: they count as before the
  // boundary.
  EXPECT_EQ(locator.Resolve(AtTime(history.all[4].commit_us))->set, BuilderSet(1, 8));
}

TEST(Resolve, ClockThatStepsBackIsReportedOnlyNearTheStep) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(400, {.row_bytes = 20'000});
  int64_t before_step_us = history.now_us;
  history.now_us -= 50'000;
  history.AddMany(400, {.row_bytes = 20'000});
  history.AddMany(1000, {.row_bytes = 40'000});
  history.builder.Finish();
  auto view = history.Open();
  Locator locator(*view);
  auto near = locator.Resolve(AtTime(before_step_us - 10'000));
  ASSERT_TRUE(near.ok());
  EXPECT_THAT(near->clock_note, HasSubstr("40 transactions committed at or before"));
  EXPECT_THAT(near->clock_note, HasSubstr("the first is " + BuilderGtid(401).ToString()));
  auto far = locator.Resolve(AtTime(history.all[1700].commit_us));
  ASSERT_TRUE(far.ok());
  EXPECT_EQ(far->clock_note, "");
  EXPECT_EQ(locator.Resolve(AtTime(history.all[50].commit_us))->clock_note, "");
}

// Against the definition: the longest prefix in archive order before the first transaction past the
// target.
TEST(ResolveProperty, TimeTargetsOverRandomClocks) {
  uint64_t seed = testing::TestSeed();
  std::mt19937_64 random(seed);
  auto up_to = [&random](uint64_t most) { return random() % (most + 1); };
  for (int round = 0; round < 4; ++round) {
    History history;
    int file = 1;
    history.BeginFile("binlog.1");
    for (int i = 0; i < 300; ++i) {
      if (up_to(60) == 0) history.BeginFile("binlog." + std::to_string(++file));
      if (up_to(60) == 0) history.builder.Continue();
      if (up_to(20) == 0) history.now_us -= static_cast<int64_t>(up_to(30'000));
      if (up_to(20) == 0) history.now_us += static_cast<int64_t>(up_to(30'000));
      TransactionSpec spec{.commit_us = history.now_us + static_cast<int64_t>(up_to(3000))};
      history.now_us += 1000;
      spec.row_bytes = up_to(10) == 0 ? 3'000'000 : static_cast<uint32_t>(up_to(100'000));
      history.Add(spec);
    }
    history.builder.Finish();
    auto view = history.Open();
    Locator locator(*view);
    for (int i = 0; i < 200; ++i) {
      const KnownTransaction& picked = history.all[up_to(history.all.size() - 1)];
      Target target = AtTime(picked.commit_us + static_cast<int64_t>(up_to(2)) - 1,
                             up_to(1) == 0 ? Edge::kBefore : Edge::kThrough);
      size_t first_past = 0;
      while (first_past < history.all.size() &&
             history.all[first_past].commit_us <= target.last_included_us()) {
        ++first_past;
      }
      auto boundary = locator.Resolve(target);
      ASSERT_EQ(boundary.ok(), first_past < history.all.size());
      if (!boundary.ok()) continue;
      ASSERT_EQ(boundary->set, history.all[first_past].before);
      ExpectIs(boundary->first_excluded, history.all[first_past]);
      ExpectIsAt(boundary->last_included, history, first_past - 1);
      uint64_t late = 0;
      for (size_t k = first_past; k < history.all.size(); ++k) {
        late += history.all[k].commit_us <= target.last_included_us();
      }
      if (late > 0 && boundary->clock_note.empty()) {
        // Only what lies more than kClockNoteFramesMax frames behind may go unsaid.
        ASSERT_GT(history.all.size() - first_past, kClockNoteFramesMax);
      }
      if (HasFailure()) return;
    }
  }
}

// Over an index that is written meanwhile: what the view does not have is not there, and no damage.
TEST(Locator, AViewStaysAsItWasWhileItsIndexGrows) {
  for (const int more : {1, 40, 3000}) {  // in the last frame, and in others behind it
    History history;
    history.BeginFile("binlog.000001");
    history.AddMany(100, {.row_bytes = 700});
    history.builder.Publish();
    auto view =
        ArchiveView::Over(PosixFileSystem(), history.dir.path(), "main", history.builder.index());
    ASSERT_TRUE(view.ok());
    const size_t had = history.all.size();
    history.AddMany(more, {.row_bytes = 700});
    if (more > 1000) {
      history.BeginFile("binlog.000002");
      history.AddMany(10);
    }
    history.builder.Publish();
    Locator locator(**view);
    const auto last = locator.Last();
    ASSERT_TRUE(last.ok()) << last.error().message();
    ExpectIsAt(*last, history, had - 1);
    const auto around = locator.FindGtidWithNeighbours(history.all[had - 1].gtid);
    ASSERT_TRUE(around.ok()) << around.error().message();
    EXPECT_FALSE(around->next);
    for (const size_t at : {had, history.all.size() - 1}) {
      const auto later = locator.FindGtid(history.all[at].gtid);
      ASSERT_FALSE(later.ok());
      EXPECT_EQ(later.error().code(), Code::kNotFound) << later.error().message();
      const auto past = locator.FindFirstPast(history.all[at].commit_us - 1);
      ASSERT_TRUE(past.ok()) << past.error().message();
      EXPECT_FALSE(*past);
      const auto there = locator.FindPosition(history.all[at].file, history.all[at].begin);
      ASSERT_TRUE(there.ok()) << there.error().message();
      EXPECT_FALSE(*there);
    }
    const auto boundary = locator.Resolve(AtGtid(history.all[had - 1].gtid, Edge::kThrough));
    ASSERT_TRUE(boundary.ok()) << boundary.error().message();
  }
}

}  // namespace
}  // namespace tidemark
