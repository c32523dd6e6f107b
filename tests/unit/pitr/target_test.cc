#include "pitr/target.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <random>

#include "tests/support/seed.h"

namespace tidemark {
namespace {

int64_t Parsed(std::string_view text) {
  auto time = ParseTime(text);
  EXPECT_TRUE(time.ok()) << text << ": " << time.error().message();
  return time.ok() ? *time : -1;
}

struct Refusal {
  std::string message, hint;
};

Refusal Refused(std::string_view text) {
  auto time = ParseTime(text);
  EXPECT_FALSE(time.ok()) << text << " gave " << (time.ok() ? *time : 0);
  if (time.ok()) return {};
  EXPECT_EQ(time.error().code(), Code::kUsage);
  return {time.error().message(), time.error().hint()};
}

// Sets TZ for one test.
class InZone {
 public:
  explicit InZone(const char* zone) {
    const char* old = std::getenv("TZ");
    if (old != nullptr) old_ = old;
    setenv("TZ", zone, 1);
    tzset();
  }
  ~InZone() {
    old_.empty() ? unsetenv("TZ") : setenv("TZ", old_.c_str(), 1);
    tzset();
  }

 private:
  std::string old_;
};

TEST(ParseTime, UtcAndZonesNameTheSameInstant) {
  EXPECT_EQ(Parsed("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(Parsed("2026-11-21T14:03:07Z"), 1795269787000000);
  EXPECT_EQ(Parsed("2026-11-21 16:03:07+02:00"), 1795269787000000);
  EXPECT_EQ(Parsed("2026-11-21t08:33:07-05:30"), 1795269787000000);
  EXPECT_EQ(Parsed(" 2026-11-21 14:03:07 z "), 1795269787000000);
}

TEST(ParseTime, FractionsAreMicrosecondsAtMost) {
  EXPECT_EQ(Parsed("1970-01-01T00:00:00.1Z"), 100000);
  EXPECT_EQ(Parsed("1970-01-01T00:00:00.000001Z"), 1);
  EXPECT_EQ(Parsed("1970-01-01T00:00:00.123456+00:00"), 123456);
  Refused("1970-01-01T00:00:00.1234567Z");
  Refused("1970-01-01T00:00:00.Z");
}

TEST(ParseTime, DatesThatDoNotExistAreRefused) {
  EXPECT_EQ(Parsed("2024-02-29T00:00:00Z"), 1709164800000000);
  for (const char* text :
       {"2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z",
        "2024-01-32T00:00:00Z", "2024-01-01T24:00:00Z", "2024-01-01T00:60:00Z",
        "2024-01-01T00:00:60Z", "1969-12-31T23:59:59Z", "1970-01-01T00:30:00+01:00"}) {
    Refused(text);
  }
}

TEST(ParseTime, OtherFormsAreRefused) {
  for (const char* text :
       {"", "now", "2024-01-01", "2024-01-01T00:00Z", "20240101T000000Z", "2024-01-01T00:00:00ZZ",
        "2024-01-01T00:00:00+0200", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+02:60",
        "2024-1-1T00:00:00Z", "1704067200", "2024-01-01T00:00:00 CET", "+024-01-01T00:00:00Z"}) {
    EXPECT_FALSE(Refused(text).hint.empty()) << text;
  }
}

TEST(ParseTime, WithoutZoneTheHintShowsBothReadings) {
  InZone zone("CET-1CEST,M3.5.0,M10.5.0/3");
  Refusal winter = Refused("2026-01-21 14:03:07");
  EXPECT_NE(winter.hint.find("2026-01-21 14:03:07Z"), std::string::npos) << winter.hint;
  EXPECT_NE(winter.hint.find("2026-01-21 14:03:07+01:00"), std::string::npos) << winter.hint;
  Refusal summer = Refused("2026-07-21 14:03:07.5");
  EXPECT_NE(summer.hint.find("2026-07-21 14:03:07.5+02:00"), std::string::npos) << summer.hint;
}

TEST(ParseTime, ReadingsInTheHintAreAcceptedThemselves) {
  InZone zone("NPT-5:45");
  std::string hint = Refused("2026-01-21T14:03:07").hint;
  size_t at = hint.find("2026-01-21T14:03:07+");
  ASSERT_NE(at, std::string::npos) << hint;
  EXPECT_EQ(Parsed(hint.substr(at, 25)), Parsed("2026-01-21T08:18:07Z"));
}

TEST(ParseTime, ControlCharactersDoNotReachTheMessage) {
  EXPECT_EQ(Refused("2024\x1b[31m").message.find('\x1b'), std::string::npos);
}

TEST(FormatTime, ParseGivesItBack) {
  EXPECT_EQ(FormatTime(1795269787123456), "2026-11-21T14:03:07.123456Z");
  EXPECT_EQ(FormatTime(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(FormatTime(-1), "1969-12-31T23:59:59.999999Z");
  std::mt19937_64 random(testing::TestSeed());
  for (int i = 0; i < 2000; ++i) {
    auto time_us = static_cast<int64_t>(random() % 253402300800000000);  // to the end of 9999
    EXPECT_EQ(Parsed(FormatTime(time_us)), time_us);
  }
}

TEST(Target, EdgesOfATimeDifferByOneMicrosecond) {
  Target target;
  target.kind = TargetKind::kTime;
  target.time_us = 1000;
  EXPECT_EQ(target.last_included_us(), 1000);
  EXPECT_EQ(target.ToString(), "through 1970-01-01T00:00:00.001000Z");
  target.edge = Edge::kBefore;
  EXPECT_EQ(target.last_included_us(), 999);
  EXPECT_EQ(target.ToString(), "before 1970-01-01T00:00:00.001000Z");
}

TEST(Target, SaysWhichGtid) {
  Target target;
  EXPECT_EQ(target.ToString(), "latest");
  target.kind = TargetKind::kGtid;
  target.gtid = *Gtid::Parse("aaaaaaaa-0000-0000-0000-000000000001:tag:7");
  EXPECT_EQ(target.ToString(), "through GTID aaaaaaaa-0000-0000-0000-000000000001:tag:7");
}

}  // namespace
}  // namespace tidemark
