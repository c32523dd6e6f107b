#include "replication/event/control_events.h"

#include <gtest/gtest.h>

#include "tests/unit/event/stream_builder.h"

namespace tidemark {
namespace {

constexpr EventStamp kStamp{1700000000, 7, 4321, 0};

TEST(EncodeEvent, HasRightSizeAndChecksum) {
  const std::string event =
      EncodeEvent(EventType::kRowsQuery, kStamp, "body", ChecksumAlgorithm::kCrc32);
  EXPECT_EQ(event.size(), kEventHeaderSize + 4 + kChecksumSize);
  const EventHeader header = ReadEventHeader(AsBytes(event).data());
  EXPECT_EQ(header.size, event.size());
  EXPECT_EQ(header.timestamp, 1700000000U);
  EXPECT_EQ(header.server_id, 7U);
  EXPECT_EQ(header.log_pos, 4321U);
  EXPECT_TRUE(EventChecksumMatches(AsBytes(event)));
  EXPECT_EQ(AsText(EventBody(AsBytes(event), ChecksumAlgorithm::kCrc32)), "body");
}

TEST(EncodeEvent, WithoutChecksumEndsBehindTheBody) {
  const std::string event =
      EncodeEvent(EventType::kRowsQuery, kStamp, "body", ChecksumAlgorithm::kOff);
  EXPECT_EQ(event.size(), kEventHeaderSize + 4);
  EXPECT_EQ(AsText(EventBody(AsBytes(event), ChecksumAlgorithm::kOff)), "body");
}

TEST(EventChecksum, InUseFlagCountsOnlyOutsideFormatDescriptions) {
  for (EventType type : {EventType::kFormatDescription, EventType::kStop}) {
    std::string event = EncodeEvent(type, kStamp, "x", ChecksumAlgorithm::kCrc32);
    event[17] = static_cast<char>(event[17] | kEventFlagBinlogInUse);
    EXPECT_EQ(EventChecksumMatches(AsBytes(event)), type == EventType::kFormatDescription);
  }
}

TEST(EventBody, OfTooShortAnEventIsEmpty) {
  const std::string event(kEventHeaderSize + 3, 'x');
  EXPECT_TRUE(EventBody(AsBytes(event), ChecksumAlgorithm::kCrc32).empty());
  EXPECT_FALSE(EventChecksumMatches(AsBytes(event)));
}

TEST(FormatDescription, SaysVersionAndChecksum) {
  testing::StreamBuilder builder(ChecksumAlgorithm::kOff);
  const auto description =
      ParseFormatDescription(AsBytes(builder.FormatDescription("8.0.36-28").bytes()));
  ASSERT_TRUE(description.ok());
  EXPECT_EQ(description->server_version, "8.0.36-28");
  EXPECT_EQ(description->checksum, ChecksumAlgorithm::kOff);
}

TEST(FormatDescription, OfOldOrNamelessServersIsRefused) {
  for (const char* version : {"5.6.0", "5.5.62-log", "", "x"}) {
    const auto description = ParseFormatDescription(
        AsBytes(testing::StreamBuilder().FormatDescription(version).bytes()));
    ASSERT_FALSE(description.ok()) << version;
    EXPECT_EQ(description.error().code(), Code::kUnsupportedFormat) << version;
  }
  EXPECT_TRUE(
      ParseFormatDescription(AsBytes(testing::StreamBuilder().FormatDescription("5.6.1").bytes()))
          .ok());
}

TEST(FormatDescription, CutShortIsAnError) {
  const std::string event = testing::StreamBuilder().FormatDescription().bytes();
  for (size_t size = 0; size < kEventHeaderSize + 57 + 5; ++size) {
    EXPECT_FALSE(ParseFormatDescription(AsBytes(event).first(size)).ok()) << size;
  }
}

TEST(PreviousGtids, RoundTrips) {
  const auto set = GtidSet::Parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5:7:tag:1-3");
  ASSERT_TRUE(set.ok());
  for (ChecksumAlgorithm checksum : {ChecksumAlgorithm::kOff, ChecksumAlgorithm::kCrc32}) {
    const std::string event = EncodePreviousGtids(*set, kStamp, checksum);
    const auto parsed = ParsePreviousGtids(EventBody(AsBytes(event), checksum));
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    EXPECT_EQ(*parsed, *set);
  }
}

TEST(Rotate, RoundTripsAndRefusesNamelessOnes) {
  const std::string event = EncodeRotate({4, "bin.000002"}, kStamp, ChecksumAlgorithm::kCrc32);
  const auto rotate = ParseRotate(EventBody(AsBytes(event), ChecksumAlgorithm::kCrc32));
  ASSERT_TRUE(rotate.ok());
  EXPECT_EQ(rotate->position, 4U);
  EXPECT_EQ(rotate->next_file, "bin.000002");
  EXPECT_FALSE(ParseRotate(AsBytes(std::string_view("12345678"))).ok());
  EXPECT_FALSE(ParseRotate(AsBytes(std::string_view("1234"))).ok());
  EXPECT_FALSE(ParseRotate(AsBytes(std::string(8 + 513, 'x'))).ok());
}

TEST(Heartbeat, Version1TakesItsPositionFromTheHeader) {
  const std::string event = EncodeHeartbeat({"bin.000007", 1234}, 9, ChecksumAlgorithm::kCrc32);
  const EventHeader header = ReadEventHeader(AsBytes(event).data());
  const auto heartbeat =
      ParseHeartbeat(header, EventBody(AsBytes(event), ChecksumAlgorithm::kCrc32));
  ASSERT_TRUE(heartbeat.ok());
  EXPECT_EQ(heartbeat->file, "bin.000007");
  EXPECT_EQ(heartbeat->position, 1234U);
}

TEST(Heartbeat, Version2KnowsPositionsBeyond4GiBAndSkipsUnknownFields) {
  EventHeader header;
  header.type = EventType::kHeartbeatV2;
  const std::string body = std::string("\x01\x05", 2) + "bin.7" + std::string("\x07\x02zz", 4) +
                           std::string("\x02\x09\xFE\0\0\0\0\x01\0\0\0", 11) + std::string("\0", 1);
  const auto heartbeat = ParseHeartbeat(header, AsBytes(body));
  ASSERT_TRUE(heartbeat.ok());
  EXPECT_EQ(heartbeat->file, "bin.7");
  EXPECT_EQ(heartbeat->position, uint64_t{1} << 32);
  for (size_t size = 0; size < 7; ++size)
    EXPECT_FALSE(ParseHeartbeat(header, AsBytes(body).first(size)).ok()) << size;
}

}  // namespace
}  // namespace tidemark
