#include "tools/rpc/convert.h"

#include <gtest/gtest.h>

#include "tests/support/random_gtid_set.h"
#include "tests/support/seed.h"
#include "tests/unit/services/service_fixture.h"

namespace tidemark::rpc {
namespace {

using testing::Sent;
using tidemark::testing::Random;
using tidemark::testing::RandomIntervals;
using tidemark::testing::RandomNumber;

// Values with anything in them that they can have.
class Maker {
 public:
  explicit Maker(uint64_t seed) : random_(seed) {}

  bool Coin() { return RandomNumber(random_, 0, 1) == 1; }
  int64_t Number() { return RandomNumber(random_, 0, INT64_MAX); }
  uint64_t Unsigned() { return static_cast<uint64_t>(Number()); }
  int64_t Time() { return Coin() ? 0 : RandomNumber(random_, 1, 4'000'000'000'000'000); }
  GtidSet Set() { return tidemark::testing::SetOf(RandomIntervals(random_, 6, Coin())); }
  Gtid SomeGtid() {
    const auto& universe = tidemark::testing::SmallUniverse();
    const auto at = static_cast<size_t>(RandomNumber(random_, 0, std::ssize(universe) - 1));
    return {universe[at], RandomNumber(random_, 1, kGnoMax)};
  }
  std::string Text() {
    static const std::vector<std::string> kTexts = {"",       "a",          "shop",
                                                    "größer", "line\nline", "\"'`"};
    return kTexts[static_cast<size_t>(RandomNumber(random_, 0, std::ssize(kTexts) - 1))];
  }
  std::string AnyBytes() {
    std::string bytes;
    for (int64_t left = RandomNumber(random_, 0, 20); left > 0; --left)
      bytes.push_back(static_cast<char>(RandomNumber(random_, 0, 255)));
    return bytes;
  }
  template <typename T>
  std::vector<T> Several(T (Maker::*make)()) {
    std::vector<T> list;
    for (int64_t left = RandomNumber(random_, 0, 3); left > 0; --left)
      list.push_back((this->*make)());
    return list;
  }
  TableTouch Touch() { return {Text(), Text(), Unsigned(), Unsigned(), Unsigned()}; }
  Located SomeLocated() {
    Located located;
    located.segment = Unsigned();
    located.frame = static_cast<uint32_t>(Number());
    located.source_file = Text();
    located.source_begin = Unsigned() / 2;
    located.details_known = Coin();
    Transaction& transaction = located.transaction;
    transaction.gtid = SomeGtid();
    transaction.immediate_commit_us = Time();
    transaction.original_commit_us = Time();
    transaction.last_committed = Number();
    transaction.sequence_number = Number();
    transaction.begin_offset = Unsigned() / 4;
    transaction.end_offset = transaction.begin_offset + Unsigned() / 4;
    transaction.source_end_pos = static_cast<uint32_t>(Number());
    if (!located.details_known) return located;
    transaction.kind = static_cast<TransactionKind>(RandomNumber(random_, 1, 5));
    transaction.compressed = Coin();
    transaction.tables = Several(&Maker::Touch);
    transaction.tables_omitted = Unsigned();
    transaction.ddl_schema = Text();
    transaction.ddl_statement = AnyBytes();
    return located;
  }
  std::optional<Located> Perhaps() {
    if (Coin()) return SomeLocated();
    return std::nullopt;
  }
  GapRecord Gap() { return {Set(), Text(), Time()}; }
  OperatorNote Note() { return {Text(), Time(), Text()}; }
  GapAcknowledgement Acknowledgement() { return {Set(), Note()}; }
  Coverage SomeCoverage() {
    return {Set(), Set(), Several(&Maker::Gap), Set(), Set(), Several(&Maker::Acknowledgement),
            Text()};
  }
  Target SomeTarget() {
    Target target;
    target.kind = static_cast<TargetKind>(RandomNumber(random_, 0, 2));
    if (target.kind == TargetKind::kLatest) return target;
    target.edge = Coin() ? Edge::kBefore : Edge::kThrough;
    if (target.kind == TargetKind::kGtid)
      target.gtid = SomeGtid();
    else
      target.time_us = Time();
    return target;
  }
  SegmentRecord Segment() {
    SegmentRecord segment;
    segment.header.number = Unsigned();
    segment.header.source_name = "main";
    segment.header.server_uuid = SomeGtid().tsid.uuid;
    segment.header.source_file = Text();
    segment.header.source_start = Unsigned() / 4;
    segment.header.prefix_bytes = static_cast<uint32_t>(RandomNumber(random_, 0, 1000));
    segment.header.created_us = Time();
    segment.header.previous = Set();
    if (Coin()) segment.header.gap = Gap();
    segment.raw_bytes = Unsigned() / 4;
    segment.stored_bytes = Unsigned();
    segment.transactions = Unsigned();
    segment.gtids = Set();
    segment.first_commit_us = Time();
    segment.last_commit_us = Time();
    segment.commit_high_us = Time();
    segment.sealed = Coin();
    if (segment.sealed) segment.reason = static_cast<SealReason>(RandomNumber(random_, 1, 7));
    segment.ends_source_file = Coin();
    return segment;
  }
  PlannedSegment Planned() { return {Unsigned(), Text(), Unsigned(), Unsigned(), Unsigned()}; }
  TableName Name() { return {Text(), Text()}; }
  Plan SomePlan() {
    Plan plan;
    plan.source = Text();
    plan.target = SomeTarget();
    plan.base = Set();
    plan.boundary = {Perhaps(), Perhaps(), Set(), Text()};
    plan.to_apply = Set();
    plan.transactions = Unsigned();
    plan.end_set = Set();
    plan.segments = Several(&Maker::Planned);
    plan.raw_bytes = Unsigned();
    plan.apply_bytes = Unsigned();
    plan.warnings = Several(&Maker::Text);
    plan.surgery = {Set(), Set(), Several(&Maker::Name), Several(&Maker::Text),
                    Several(&Maker::Name)};
    plan.lineage = SomeLineage();
    return plan;
  }
  VerifyFinding Finding() {
    return {static_cast<Code>(RandomNumber(random_, 1, static_cast<int>(Code::kIo))), Unsigned(),
            Text()};
  }
  LineageFork Fork() { return {Text(), {Text(), Unsigned(), Set(), Set(), Time()}}; }
  Lineage SomeLineage() { return {Several(&Maker::Fork), Several(&Maker::Fork)}; }
  TimelineEntry Entry() {
    TimelineEntry entry;
    entry.time_us = Time();
    const int64_t kind = RandomNumber(random_, 0, 4);
    if (kind == 0) entry.event = TimelineDdl{SomeGtid(), Text(), AnyBytes()};
    if (kind == 1) entry.event = LargeTransaction{SomeGtid(), Unsigned()};
    if (kind == 2) entry.event = Gap();
    if (kind == 3)
      entry.event = ServerChange{SomeGtid().tsid.uuid, SomeGtid().tsid.uuid, Text(),
                                 Unsigned(),           Unsigned(),           Set()};
    if (kind == 4) entry.event = Fork();
    return entry;
  }
  LiveReplica Replica() {
    return {Text(), Text(), static_cast<uint32_t>(Number()), Text(), Coin(), Time()};
  }

 private:
  Random random_;
};

constexpr int kRounds = 500;

// What a client prints of it is what the server would, and nothing was lost on the way that only
// the messages show.
template <typename Value, typename ToIt>
void ExpectSameAfterSending(const Value& value, ToIt to_message) {
  const auto message = to_message(value);
  const auto back = FromMessage(Sent(message));
  ASSERT_TRUE(back.ok()) << back.error().message() << "\n" << message.DebugString();
  EXPECT_EQ(JsonText(ToJson(*back)), JsonText(ToJson(value)));
  EXPECT_EQ(to_message(*back).SerializeAsString(), message.SerializeAsString());
}

TEST(ConvertProperty, ValuesComeBackAsTheyWere) {
  Maker make(tidemark::testing::TestSeed());
  const auto plainly = [](const auto& value) { return ToMessage(value); };
  for (int round = 0; round < kRounds && !::testing::Test::HasFailure(); ++round) {
    ExpectSameAfterSending(make.SomeLocated(), plainly);
    ExpectSameAfterSending(make.SomeTarget(), plainly);
    ExpectSameAfterSending(make.SomeCoverage(), plainly);
    ExpectSameAfterSending(make.SomePlan(), plainly);
    ExpectSameAfterSending(Neighbourhood{make.SomeLocated(), make.Perhaps(), make.Perhaps()},
                           plainly);
    ExpectSameAfterSending(make.Segment(), [](const SegmentRecord& segment) {
      return ToMessage(segment, "/archive/main/segments/x");
    });
    ExpectSameAfterSending(
        Timeline{make.Text(), make.SomeCoverage(), make.Several(&Maker::Entry), make.Coin()},
        plainly);
    VerifyReport report{make.Unsigned(),          make.Unsigned(), make.Unsigned(),
                        make.Unsigned(),          make.Set(),      make.Several(&Maker::Finding),
                        make.Several(&Maker::Gap)};
    ExpectSameAfterSending(report, plainly);
  }
}

TEST(ConvertProperty, StatusComesBackAsItWas) {
  Maker make(tidemark::testing::TestSeed());
  for (int round = 0; round < kRounds; ++round) {
    SourceSummary summary{make.Text(),     make.Unsigned(),   make.Unsigned(), make.Unsigned(),
                          make.Unsigned(), make.Time(),       make.Time(),     make.SomeCoverage(),
                          std::nullopt,    make.SomeLineage()};
    if (make.Coin()) summary.end = {make.Text(), make.Text(), make.Unsigned()};
    std::optional<LiveState> live;
    if (make.Coin()) {
      live = {make.Text(),  make.Text(),  make.Text(), make.Text(), make.Several(&Maker::Replica),
              std::nullopt, std::nullopt, std::nullopt};
      if (make.Coin()) live->error = {make.Text(), make.Text(), make.Text()};
      if (make.Coin()) live->paused = make.Note();
      if (make.Coin()) live->gap_ahead = {make.Text(), make.Text(), make.Time()};
    }
    const auto back = FromMessage(Sent(ToMessage(summary, live)));
    ASSERT_TRUE(back.ok()) << back.error().message();
    ASSERT_EQ(JsonText(ToJson(back->summary, back->live)), JsonText(ToJson(summary, live)));
  }
}

TEST(Convert, DetailsThatAreNotKnownAreNotInvented) {
  Located located = Maker(1).SomeLocated();
  located.details_known = false;
  located.transaction.tables = {{"shop", "orders", 1, 0, 0}};
  const v1::Transaction message = ToMessage(located);
  EXPECT_EQ(message.kind(), v1::TRANSACTION_KIND_UNSPECIFIED);
  EXPECT_EQ(message.tables_size(), 0);
}

TEST(Convert, NamesThatAreNotUtf8AreStillMessages) {
  Located located = Maker(2).SomeLocated();
  located.details_known = true;
  located.source_file = "bin\xFFlog";
  located.transaction.tables = {{"a\xC3", "\x80", 1, 0, 0}};
  const v1::Transaction message = Sent(ToMessage(located));
  EXPECT_EQ(message.source_file(), "bin\xEF\xBF\xBDlog");
  EXPECT_EQ(message.tables(0).schema(), "a\xEF\xBF\xBD");
}

TEST(Convert, WhatIsNoTargetIsRefused) {
  v1::Target target;
  EXPECT_FALSE(FromMessage(target).ok());
  target.set_latest(false);
  EXPECT_FALSE(FromMessage(target).ok());
  target.set_before_gtid("no-gtid");
  EXPECT_FALSE(FromMessage(target).ok());
  target.set_before_time_us(-1);
  EXPECT_FALSE(FromMessage(target).ok());
  target.set_before_time_us(0);
  EXPECT_TRUE(FromMessage(target).ok());
}

TEST(Convert, ValuesOfANewerPeerAreAnErrorNotAGuess) {
  v1::Transaction transaction = ToMessage(Maker(3).SomeLocated());
  transaction.set_details_known(true);
  transaction.set_kind(static_cast<v1::TransactionKind>(77));
  ASSERT_FALSE(FromMessage(transaction).ok());
  EXPECT_EQ(FromMessage(transaction).error().code(), Code::kUnsupportedFormat);
  v1::GetTimelineResponse timeline;
  timeline.add_entries();
  EXPECT_FALSE(FromMessage(timeline).ok());
  v1::VerifyReport report;
  report.add_findings()->set_code("of-the-future");
  EXPECT_FALSE(FromMessage(report).ok());
}

}  // namespace
}  // namespace tidemark::rpc
