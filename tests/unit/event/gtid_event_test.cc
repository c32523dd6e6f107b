#include "replication/event/gtid_event.h"

#include <gtest/gtest.h>

#include "tests/unit/event/stream_builder.h"

namespace tidemark {
namespace {

// Written by MySQL 9.7.4 (tests/golden/binlog/tagged.binlog): the first with tag billing.
std::string TaggedBody() {
  std::string body;
  const std::string_view hex =
      "027a000000020502f63503d10395038c22c5039d02e90304f103000000020404060e62696c6c696e"
      "6708040a080c7f120215d8be60061085041283120b";
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    body.push_back(static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return body;
}

TEST(GtidEvent, UntaggedFieldsAreRead) {
  GtidEvent event;
  ASSERT_TRUE(ParseGtidEvent(EventType::kGtid, AsBytes(testing::StreamBuilder::GtidBody(42, 1000)),
                             &event));
  EXPECT_EQ(event.gtid.ToString(), "30313233-3435-3637-3839-616263646566:42");
  EXPECT_EQ(event.last_committed, 1);
  EXPECT_EQ(event.sequence_number, 2);
  EXPECT_EQ(event.immediate_commit_us, 10000000);
  EXPECT_EQ(event.original_commit_us, 10000000);
  EXPECT_EQ(event.transaction_length, 1000U);
  EXPECT_EQ(event.immediate_server_version, 90704U);
}

TEST(GtidEvent, SecondTimestampAndVersionFollowWhenTheTopBitSaysSo) {
  std::string body;
  ByteWriter writer(&body);
  writer.U8(1).Text("0123456789abcdef").U64(1).U8(2).U64(0).U64(1);
  writer.Text(std::string("\x02\0\0\0\0\0\x80", 7)).Text(std::string("\x01\0\0\0\0\0\0", 7));
  writer.U8(200).U32(90704U | 1U << 31).U32(80036).U64(77);
  GtidEvent event;
  ASSERT_TRUE(ParseGtidEvent(EventType::kGtid, AsBytes(body), &event));
  EXPECT_EQ(event.immediate_commit_us, 2);
  EXPECT_EQ(event.original_commit_us, 1);
  EXPECT_EQ(event.transaction_length, 200U);
  EXPECT_EQ(event.immediate_server_version, 90704U);
  EXPECT_EQ(event.original_server_version, 80036U);
  EXPECT_EQ(event.commit_group_ticket, 77U);
}

TEST(GtidEvent, OfServersBefore8HasNoTimesAndNoLength) {
  const std::string body = testing::StreamBuilder::GtidBody(42, 1000).substr(0, 42);
  GtidEvent event;
  ASSERT_TRUE(ParseGtidEvent(EventType::kGtid, AsBytes(body), &event));
  EXPECT_EQ(event.immediate_commit_us, 0);
  EXPECT_EQ(event.transaction_length, 0U);
}

TEST(GtidEvent, NumbersOutOfRangeAreRefused) {
  GtidEvent event;
  for (int64_t gno : {int64_t{0}, int64_t{-1}, INT64_MIN, INT64_MAX}) {
    EXPECT_FALSE(
        ParseGtidEvent(EventType::kGtid, AsBytes(testing::StreamBuilder::GtidBody(gno, 9)), &event))
        << gno;
  }
  EXPECT_TRUE(ParseGtidEvent(EventType::kGtid,
                             AsBytes(testing::StreamBuilder::GtidBody(kGnoMax, 9)), &event));
  EXPECT_FALSE(ParseGtidEvent(EventType::kGtid, AsBytes(std::string_view("short")), &event));
}

TEST(GtidTagged, ARealOneIsRead) {
  const std::string body = TaggedBody();
  GtidEvent event;
  ASSERT_EQ(body.size() * 2, static_cast<uint8_t>(body[1])) << "the fixture is damaged";
  ASSERT_TRUE(ParseGtidEvent(EventType::kGtidTagged, AsBytes(body), &event));
  EXPECT_EQ(event.gtid.tsid.tag, "billing");
  EXPECT_EQ(event.gtid.gno, 1);
  EXPECT_EQ(event.last_committed, 1);
  EXPECT_EQ(event.sequence_number, 2);
  EXPECT_EQ(event.original_commit_us, event.immediate_commit_us);
  EXPECT_EQ(event.immediate_server_version, 90704U);
}

TEST(GtidTagged, CutShortAnywhereIsRefused) {
  const std::string body = TaggedBody();
  GtidEvent event;
  for (size_t size = 0; size < body.size(); ++size) {
    const std::string cut =
        body.substr(0, size);  // of its own, so that a read past the end is noticed
    EXPECT_FALSE(ParseGtidEvent(EventType::kGtidTagged, AsBytes(cut), &event)) << size;
  }
}

TEST(GtidTagged, NewerFieldsAreIgnoredUnlessTheyMustBeUnderstood) {
  std::string body = TaggedBody() + std::string("\x18\x02", 2);  // field 12, value 1
  body[1] = static_cast<char>(body.size() * 2);
  GtidEvent event;
  EXPECT_TRUE(ParseGtidEvent(EventType::kGtidTagged, AsBytes(body), &event));
  body[2] = 13 * 2;  // "fields below 13 must be understood"
  EXPECT_FALSE(ParseGtidEvent(EventType::kGtidTagged, AsBytes(body), &event));
}

TEST(GtidTagged, FieldsMayNotComeTwice) {
  std::string body = TaggedBody() + std::string("\x04\x04", 2);
  body[1] = static_cast<char>(body.size() * 2);
  GtidEvent event;
  EXPECT_FALSE(ParseGtidEvent(EventType::kGtidTagged, AsBytes(body), &event));
}

TEST(GtidEvent, ReuseForgetsTheTag) {
  GtidEvent event;
  ASSERT_TRUE(ParseGtidEvent(EventType::kGtidTagged, AsBytes(TaggedBody()), &event));
  ASSERT_TRUE(
      ParseGtidEvent(EventType::kGtid, AsBytes(testing::StreamBuilder::GtidBody(1, 9)), &event));
  EXPECT_EQ(event.gtid.tsid.tag, "");
}

}  // namespace
}  // namespace tidemark
