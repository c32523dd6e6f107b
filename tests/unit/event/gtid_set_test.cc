#include "replication/event/gtid_set.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <string>
#include <vector>

#include "replication/base/checksum.h"
#include "tests/support/random_gtid_set.h"
#include "tests/support/seed.h"

namespace tidemark {
namespace {

using testing::Random;
using testing::RandomInterval;
using testing::RandomIntervals;
using testing::RandomNumber;
using testing::SetOf;
using testing::SloppyText;

const std::string kA = "00000000-0000-0000-0000-00000000000a";
const std::string kB = "00000000-0000-0000-0000-00000000000b";

GtidSet Set(const std::string& text) {
  Result<GtidSet> set = GtidSet::Parse(text);
  EXPECT_TRUE(set.ok()) << text << ": " << set.error().message();
  return set.ok() ? *set : GtidSet();
}

std::string Canonical(const std::string& text) { return Set(text).ToString(); }

std::string U64(uint64_t value) {
  std::string out;
  ByteWriter(&out).U64(value);
  return out;
}

TEST(GtidSetTextTest, EmptyTextCommasAndBlanksAreTheEmptySet) {
  for (const char* text : {"", " ", "\n", ",", " , ,\n,"}) {
    EXPECT_TRUE(Set(text).empty()) << '"' << text << '"';
  }
  EXPECT_EQ(GtidSet().ToString(), "");
}

TEST(GtidSetTextTest, GroupsTagsOfOneUuidAndSortsEverything) {
  EXPECT_EQ(Canonical(kB + ":1," + kA + ":tag2:7," + kA + ":1-5:tag:1-3"),
            kA + ":1-5:tag:1-3:tag2:7," + kB + ":1");
  EXPECT_EQ(Canonical(kA + ":x:1:x:2:y:9:8"), kA + ":x:1-2:y:8-9");
}

TEST(GtidSetTextTest, JoinsOverlappingNestedAndAdjacentIntervals) {
  EXPECT_EQ(Canonical(kA + ":7-9:1-3:4:8-12:20:5-5:10"), kA + ":1-5:7-12:20");
}

TEST(GtidSetTextTest, AcceptsLinesAsMysqldumpAndXtraBackupWrapThem) {
  EXPECT_EQ(Canonical("\r\n " + kA + " : 1 - 5 :\n7 : Tag : 2 ,\r\n" + kB + ":1-3,\n"),
            kA + ":1-5:7:tag:2," + kB + ":1-3");
}

TEST(GtidSetTextTest, AnIntervalWhoseEndPrecedesItsStartIsEmpty) {
  EXPECT_TRUE(Set(kA + ":5-4").empty());
  EXPECT_TRUE(Set(kA + ":1-0:t:9-1").empty());
  EXPECT_EQ(Canonical(kA + ":5-4:2"), kA + ":2");
}

TEST(GtidSetTextTest, TheLargestNumberIsAllowedAndNoLarger) {
  const std::string all = kA + ":1-9223372036854775806";
  EXPECT_EQ(Canonical(all), all);
  EXPECT_EQ(Canonical(kA + ":9223372036854775806:9223372036854775805"),
            kA + ":9223372036854775805-9223372036854775806");
  EXPECT_FALSE(GtidSet::Parse(kA + ":1-9223372036854775807").ok());
  EXPECT_FALSE(GtidSet::Parse(kA + ":9223372036854775807").ok());
}

TEST(GtidSetTextTest, RefusesWhatDoesNotFollowTheGrammar) {
  const std::vector<std::string> bad = {"x",
                                        kA,
                                        kA + ":",
                                        kA + ":0",
                                        kA + ":1-",
                                        kA + ":-1",
                                        kA + ":1--2",
                                        kA + "1",
                                        kA + ":1 2",
                                        kA + ":t",
                                        kA + ":t:",
                                        kA + ":1:t",
                                        kA + ":t:u:1",
                                        kA + ":1;",
                                        kA + ":1" + kB + ":1",
                                        kA + ":01",
                                        kA + ":1-010",
                                        kA + ":0x1",
                                        ":1",
                                        "1-5",
                                        kA + ":1,1-5",
                                        "+" + kA + ":1",
                                        kA + ":1-t",
                                        std::string(1, '\0'),
                                        kA + ":" + std::string(33, 't') + ":1"};
  for (const std::string& text : bad) {
    Result<GtidSet> set = GtidSet::Parse(text);
    ASSERT_FALSE(set.ok()) << text;
    EXPECT_EQ(set.error().code(), Code::kUsage) << text;
  }
}

TEST(GtidSetBinaryTest, WorkedExamplesOfBothForms) {
  EXPECT_EQ(GtidSet().Encode(), U64(0));
  EXPECT_EQ(Hex(AsBytes(Set(kA + ":1-5:7").Encode())),
            "0100000000000000"                  // one TSID, untagged form
            "0000000000000000000000000000000a"  // UUID
            "0200000000000000"                  // two intervals
            "01000000000000000600000000000000"
            "07000000000000000800000000000000");
  EXPECT_EQ(Hex(AsBytes(Set(kA + ":1:ab:2").Encode())),
            "0102000000000001"  // two TSIDs, tagged form
            "0000000000000000000000000000000a"
            "00"  // no tag
            "0100000000000000"
            "01000000000000000200000000000000"
            "0000000000000000000000000000000a"
            "046162"  // two characters
            "0100000000000000"
            "02000000000000000300000000000000");
}

TEST(GtidSetBinaryTest, EveryTruncationAndExtensionIsCorruption) {
  for (const std::string& text : {kA + ":1-5:7," + kB + ":1", kA + ":1:ab:2-9," + kB + ":z:1"}) {
    const std::string whole = Set(text).Encode();
    for (size_t size = 0; size < whole.size(); ++size) {
      Result<GtidSet> set = GtidSet::Decode(AsBytes(whole.substr(0, size)));
      ASSERT_FALSE(set.ok()) << text << " cut to " << size;
      EXPECT_EQ(set.error().code(), Code::kCorruption);
    }
    EXPECT_FALSE(GtidSet::Decode(AsBytes(whole + '\0')).ok());
    EXPECT_TRUE(GtidSet::Decode(AsBytes(whole)).ok());
  }
}

TEST(GtidSetBinaryTest, CountsThatPromiseMoreThanThereIsAllocateNothing) {
  const std::string uuid(16, 'u');
  const uint64_t tagged = uint64_t{1} << 56 | 1;
  const std::vector<std::string> bad = {
      U64(UINT64_MAX),                               // an unknown format
      U64((uint64_t{1} << 56) - 1),                  // 2^56-1 untagged TSIDs
      U64(tagged | ((uint64_t{1} << 48) - 1) << 8),  // 2^48-1 tagged ones
      U64(uint64_t{1} << 56),                        // tagged by one byte and not by the other
      U64(uint64_t{2} << 56 | 2),
      U64(1) + uuid + U64(UINT64_MAX),                           // intervals
      U64(1) + uuid + U64(uint64_t{1} << 60) + U64(1) + U64(2),  // times 16 is 0 in 64 bits
      U64(tagged | 1 << 8) + uuid + "\xFF" + U64(0) + U64(0),    // a tag size of nine bytes
      U64(tagged | 1 << 8) + uuid + "\x42" + std::string(33, 'a') + U64(0),
  };
  for (const std::string& bytes : bad) {
    Result<GtidSet> set = GtidSet::Decode(AsBytes(bytes));
    ASSERT_FALSE(set.ok()) << Hex(AsBytes(bytes));
    EXPECT_EQ(set.error().code(), Code::kCorruption);
  }
}

TEST(GtidSetBinaryTest, IntervalsMustBeInOrderDisjointAndInRange) {
  const auto one = [](uint64_t first, uint64_t end) {
    return GtidSet::Decode(AsBytes(U64(1) + std::string(16, 'u') + U64(1) + U64(first) + U64(end)));
  };
  const auto two = [](uint64_t first, uint64_t end) {
    return GtidSet::Decode(
        AsBytes(U64(1) + std::string(16, 'u') + U64(2) + U64(5) + U64(8) + U64(first) + U64(end)));
  };
  EXPECT_TRUE(one(1, 2).ok());
  EXPECT_TRUE(one(1, INT64_MAX).ok());
  EXPECT_FALSE(one(0, 2).ok());
  EXPECT_FALSE(one(2, 2).ok());
  EXPECT_FALSE(one(3, 2).ok());
  EXPECT_FALSE(one(1, uint64_t{1} << 63).ok());
  EXPECT_FALSE(one(UINT64_MAX, 5).ok());
  EXPECT_TRUE(two(9, 10).ok());
  EXPECT_FALSE(
      two(8, 10).ok());  // touches: the server would have joined them, and refuses this too
  EXPECT_FALSE(two(6, 7).ok());
  EXPECT_FALSE(two(1, 2).ok());
}

TEST(GtidSetBinaryTest, TagsMustBeCanonicalAndEmptyTsidsVanish) {
  const auto with_tag = [](const std::string& tag) {
    return GtidSet::Decode(AsBytes(U64(uint64_t{1} << 56 | 1 << 8 | 1) + std::string(16, 'u') +
                                   static_cast<char>(tag.size() * 2) + tag + U64(1) + U64(1) +
                                   U64(2)));
  };
  EXPECT_TRUE(with_tag("").ok());
  EXPECT_TRUE(with_tag("a_0").ok());
  for (const char* tag : {"A", "0a", "a-b", " a", "a:", "\xC3\xA4"}) {
    EXPECT_FALSE(with_tag(tag).ok()) << tag;
  }
  Result<GtidSet> none = GtidSet::Decode(AsBytes(U64(1) + std::string(16, 'u') + U64(0)));
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(*none, GtidSet());
}

TEST(GtidSetTest, CountSaturatesInsteadOfWrapping) {
  const std::string all = ":1-9223372036854775806";
  EXPECT_EQ(Set(kA + all).Count(), static_cast<uint64_t>(kGnoMax));
  EXPECT_EQ(Set(kA + all + "," + kB + all + ":t" + all).Count(), UINT64_MAX);
  EXPECT_EQ(Set(kA + ":1-3:9:t:1").Count(), 5U);
  EXPECT_EQ(Set(kA + ":1-3:9:t:1").IntervalCount(), 3U);
}

TEST(GtidSetTest, OperationsOnItself) {
  GtidSet set = Set(kA + ":1-3:9:t:1," + kB + ":4");
  const GtidSet copy = set;
  set.Add(set);
  EXPECT_EQ(set, copy);
  EXPECT_TRUE(set.IsSubsetOf(set));
  EXPECT_EQ(set.Intersection(set), copy);
  set.Subtract(set);
  EXPECT_EQ(set, GtidSet());
}

TEST(GtidSetTest, TagsAreNamespacesOfTheirOwn) {
  const GtidSet plain = Set(kA + ":1-10");
  const GtidSet tagged = Set(kA + ":t:1-10");
  EXPECT_FALSE(plain.Intersects(tagged));
  EXPECT_FALSE(tagged.IsSubsetOf(plain));
  EXPECT_EQ(plain.Minus(tagged), plain);
  EXPECT_TRUE(plain.Intersection(tagged).empty());
  EXPECT_EQ(plain.Union(tagged).ToString(), kA + ":1-10:t:1-10");
}

TEST(GtidSetDeathTest, NumbersOutOfRangeAreABugOfTheCaller) {
  GtidSet set;
  const Tsid tsid{};
  EXPECT_DEATH(set.Add(Gtid{tsid, 0}), "kGnoMax");
  EXPECT_DEATH(set.Add(Gtid{tsid, INT64_MAX}), "kGnoMax");
  EXPECT_DEATH(set.Add(tsid, {5, 4}), "kGnoMax");
}

// Text made so that putting each interval into its place on arrival would move gigabytes: seconds
// become hours.
TEST(GtidSetTest, DescendingIntervalsTakeNoQuadraticTime) {
  std::string text = kA;
  std::string bytes = U64(300'000);
  Uuid uuid = Uuid::Parse(kA).value();
  for (uint64_t i = 300'000; i > 0; --i) {
    text += ":" + std::to_string(2 * i);
    bytes += std::string(AsText(uuid.bytes)) + U64(1) + U64(2 * i) + U64(2 * i + 1);
  }
  const auto start = std::chrono::steady_clock::now();
  const GtidSet parsed = Set(text);
  Result<GtidSet> decoded = GtidSet::Decode(AsBytes(bytes));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(parsed.IntervalCount(), 300'000U);
  EXPECT_EQ(parsed, *decoded);
}

// The model: a plain set of GTIDs, in which each operation is obvious.
using Model = std::set<Gtid>;

Model ModelOf(const std::vector<RandomInterval>& intervals) {
  Model model;
  for (const auto& [tsid, interval] : intervals) {
    for (int64_t gno = interval.first; gno <= interval.last; ++gno) model.insert({tsid, gno});
  }
  return model;
}

Model ModelOf(const GtidSet& set) {
  std::vector<RandomInterval> intervals;
  for (const auto& [tsid, list] : set.map()) {
    for (const GnoInterval& interval : list) intervals.push_back({tsid, interval});
  }
  return ModelOf(intervals);
}

void ExpectCanonicalShape(const GtidSet& set) {
  for (const auto& [tsid, intervals] : set.map()) {
    ASSERT_FALSE(intervals.empty());
    for (size_t i = 0; i < intervals.size(); ++i) {
      ASSERT_LE(1, intervals[i].first);
      ASSERT_LE(intervals[i].first, intervals[i].last);
      ASSERT_LE(intervals[i].last, kGnoMax);
      if (i > 0) {
        ASSERT_GT(intervals[i].first - 1, intervals[i - 1].last);
      }
    }
  }
}

void CheckPair(const GtidSet& a, const Model& model_a, const GtidSet& b, const Model& model_b) {
  Model united = model_a;
  united.insert(model_b.begin(), model_b.end());
  Model rest;
  Model common;
  for (const Gtid& gtid : model_a) (model_b.contains(gtid) ? common : rest).insert(gtid);
  for (const GtidSet& set : {a.Union(b), a.Minus(b), a.Intersection(b)}) ExpectCanonicalShape(set);
  ASSERT_EQ(ModelOf(a.Union(b)), united);
  ASSERT_EQ(ModelOf(a.Minus(b)), rest);
  ASSERT_EQ(ModelOf(a.Intersection(b)), common);
  ASSERT_EQ(a.IsSubsetOf(b), rest.empty());
  ASSERT_EQ(a.Intersects(b), !common.empty());
  ASSERT_EQ(a == b, model_a == model_b);
  ASSERT_EQ(a.Count(), model_a.size());
}

void CheckForms(const GtidSet& set, const std::string& sloppy) {
  Result<GtidSet> parsed = GtidSet::Parse(sloppy);
  ASSERT_TRUE(parsed.ok()) << sloppy << ": " << parsed.error().message();
  ASSERT_EQ(*parsed, set) << sloppy;
  Result<GtidSet> printed = GtidSet::Parse(set.ToString());
  ASSERT_TRUE(printed.ok()) << set.ToString();
  ASSERT_EQ(*printed, set);
  const std::string bytes = set.Encode();
  Result<GtidSet> decoded = GtidSet::Decode(AsBytes(bytes));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message();
  ASSERT_EQ(*decoded, set);
  ASSERT_EQ(decoded->Encode(), bytes);
}

TEST(GtidSetPropertyTest, AgreesWithASetOfGtids) {
  Random random(testing::TestSeed());
  for (int round = 0; round < 4000; ++round) {
    const bool near_end = round % 4 == 0;
    const std::vector<RandomInterval> intervals_a = RandomIntervals(random, 14, near_end);
    const std::vector<RandomInterval> intervals_b = RandomIntervals(random, 14, near_end);
    const GtidSet a = SetOf(intervals_a);
    const GtidSet b = SetOf(intervals_b);
    const Model model_a = ModelOf(intervals_a);
    ASSERT_EQ(ModelOf(a), model_a);
    ExpectCanonicalShape(a);
    CheckPair(a, model_a, b, ModelOf(intervals_b));
    CheckForms(a, SloppyText(random, intervals_a));
    if (HasFatalFailure()) FAIL() << "in round " << round << ": " << a.ToString();
    for (const Tsid& tsid : testing::SmallUniverse()) {
      const int64_t base = near_end ? kGnoMax - testing::kSmallGnoMax : 0;
      const Gtid gtid{tsid, base + RandomNumber(random, 1, testing::kSmallGnoMax)};
      ASSERT_EQ(a.Contains(gtid), model_a.contains(gtid)) << gtid.ToString();
    }
  }
}

TEST(GtidSetPropertyTest, AddingOneByOneInAnyOrderEqualsAddingIntervals) {
  Random random(testing::TestSeed());
  for (int round = 0; round < 500; ++round) {
    const std::vector<RandomInterval> intervals = RandomIntervals(random, 10, round % 4 == 0);
    const Model model = ModelOf(intervals);
    std::vector<Gtid> gtids(model.begin(), model.end());
    std::shuffle(gtids.begin(), gtids.end(), random);
    GtidSet set;
    for (const Gtid& gtid : gtids) set.Add(gtid);
    ASSERT_EQ(set, SetOf(intervals)) << "in round " << round;
    ExpectCanonicalShape(set);
  }
}

// Whatever the bytes, decoding ends without harm, and what it accepts survives a round trip.
TEST(GtidSetPropertyTest, ChangedBytesAreRefusedOrGiveAValidSet) {
  Random random(testing::TestSeed());
  size_t accepted = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = SetOf(RandomIntervals(random, 6, false)).Encode();
    for (int64_t changes = RandomNumber(random, 1, 3); changes > 0; --changes) {
      const size_t at = static_cast<size_t>(RandomNumber(random, 0, std::ssize(bytes) - 1));
      bytes[at] = static_cast<char>(RandomNumber(random, 0, 255));
    }
    Result<GtidSet> set = GtidSet::Decode(AsBytes(bytes));
    if (!set.ok()) continue;
    ++accepted;
    ExpectCanonicalShape(*set);
    Result<GtidSet> again = GtidSet::Parse(set->ToString());
    ASSERT_TRUE(again.ok());
    ASSERT_EQ(*again, *set);
  }
  EXPECT_GT(accepted, 0U);
}

TEST(GtidSetTest, LastOnesAreTheHighestOfEachTsid) {
  const std::string a = "aaaaaaaa-0000-0000-0000-000000000000";
  const std::string b = "bbbbbbbb-0000-0000-0000-000000000000";
  const GtidSet set = *GtidSet::Parse(a + ":1-5:8-9:tag:3," + b + ":7");
  EXPECT_EQ(set.LastOnes(), *GtidSet::Parse(a + ":9:tag:3," + b + ":7"));
  EXPECT_EQ(GtidSet().LastOnes(), GtidSet());
}

}  // namespace
}  // namespace tidemark
