#include "replication/event/gtid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace tidemark {
namespace {

const std::string kUuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";

TEST(UuidTest, PrintsLowerCaseWhatItReadInAnyCase) {
  Result<Uuid> uuid = Uuid::Parse(" 3E11FA47-71ca-11E1-9E33-C80AA9429562\n");
  ASSERT_TRUE(uuid.ok()) << uuid.error().message();
  EXPECT_EQ(uuid->ToString(), kUuid);
  EXPECT_EQ(uuid->bytes[0], 0x3E);
  EXPECT_EQ(uuid->bytes[15], 0x62);
}

TEST(UuidTest, RefusesAnyOtherShape) {
  for (size_t size = 0; size < kUuid.size(); ++size) {
    EXPECT_FALSE(Uuid::Parse(kUuid.substr(0, size)).ok()) << size;
  }
  for (size_t at = 0; at < kUuid.size(); ++at) {
    std::string changed = kUuid;
    changed[at] = 'g';
    EXPECT_FALSE(Uuid::Parse(changed).ok()) << changed;
  }
  EXPECT_FALSE(Uuid::Parse(kUuid + "0").ok());
  EXPECT_FALSE(Uuid::Parse("{" + kUuid + "}").ok());
  EXPECT_FALSE(Uuid::Parse("3e11fa4771ca11e19e33c80aa9429562").ok());
  EXPECT_FALSE(Uuid::Parse(std::string_view("\0", 1)).ok());
}

TEST(GtidTest, ReadsUntaggedAndTaggedWithBlanksAround) {
  Result<Gtid> plain = Gtid::Parse(kUuid + ":23");
  ASSERT_TRUE(plain.ok()) << plain.error().message();
  EXPECT_EQ(plain->tsid.tag, "");
  EXPECT_EQ(plain->gno, 23);
  EXPECT_EQ(plain->ToString(), kUuid + ":23");

  Result<Gtid> tagged = Gtid::Parse("\n " + kUuid + " : Blue_7 : 9223372036854775806 \t");
  ASSERT_TRUE(tagged.ok()) << tagged.error().message();
  EXPECT_EQ(tagged->tsid.tag, "blue_7");
  EXPECT_EQ(tagged->gno, kGnoMax);
  EXPECT_EQ(tagged->ToString(), kUuid + ":blue_7:9223372036854775806");
}

TEST(GtidTest, TagsAreLimitedTo32Characters) {
  const std::string longest(32, 'x');
  Result<Gtid> gtid = Gtid::Parse(kUuid + ":" + longest + ":1");
  ASSERT_TRUE(gtid.ok()) << gtid.error().message();
  EXPECT_EQ(gtid->tsid.tag, longest);
  EXPECT_FALSE(Gtid::Parse(kUuid + ":" + longest + "x:1").ok());
}

TEST(GtidTest, RefusesWhatIsNotOneGtid) {
  const std::vector<std::string> tails = {"",
                                          ":",
                                          ":0",
                                          ":-1",
                                          ":1-2",
                                          ":1:2",
                                          ":a",
                                          ":a:",
                                          ":a:b:1",
                                          ":1a",
                                          ":a b:1",
                                          ":\xC3\xA4:1",
                                          ":007",
                                          ":0x10",
                                          ":+1",
                                          ":1,",
                                          "::1",
                                          ":7a:1",
                                          ":a-b:1",
                                          ":9223372036854775807",
                                          ":18446744073709551617",
                                          ":99999999999999999999999999"};
  for (const std::string& tail : tails) {
    Result<Gtid> gtid = Gtid::Parse(kUuid + tail);
    ASSERT_FALSE(gtid.ok()) << tail;
    EXPECT_EQ(gtid.error().code(), Code::kUsage);
  }
}

TEST(GtidTest, ErrorsSayWhatWasExpectedWhereAndStayShortAndPrintable) {
  Result<Gtid> gtid = Gtid::Parse(kUuid + ":\x01" + std::string(100'000, 'z'));
  ASSERT_FALSE(gtid.ok());
  const std::string& message = gtid.error().message();
  EXPECT_NE(message.find("malformed GTID: expected a number"), std::string::npos) << message;
  EXPECT_NE(message.find("at character 38"), std::string::npos) << message;
  EXPECT_LT(message.size(), 200U);
  EXPECT_TRUE(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' '; }));
}

TEST(GtidTest, UntaggedSortsBeforeTaggedAndTagsSortBeforeNumbers) {
  std::vector<Gtid> gtids;
  for (const char* tail : {":b:1", ":a:9", ":5", ":a:10", ":4"}) {
    gtids.push_back(Gtid::Parse(kUuid + tail).value());
  }
  std::sort(gtids.begin(), gtids.end());
  std::string order;
  for (const Gtid& gtid : gtids) order += gtid.ToString().substr(kUuid.size()) + " ";
  EXPECT_EQ(order, ":4 :5 :a:9 :a:10 :b:1 ");
}

}  // namespace
}  // namespace tidemark
