#include "pitr/serve/event_packetizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "pitr/serve/packet.h"
#include "replication/event/binlog_format.h"
#include "tests/support/seed.h"

namespace tidemark {
namespace {

std::string Event(size_t size, char fill = 'e') {
  std::string event(size, fill);
  for (size_t i = 0; i < 4; ++i) event[9 + i] = static_cast<char>(size >> (8 * i));
  return event;
}

// What the server does with a payload: an oracle that shares only AppendPacket, which has tests of
// its own, with the packetizer.
std::string Expected(const std::vector<std::string>& events, uint8_t sequence) {
  std::string out;
  for (const std::string& event : events) AppendPacket('\0' + event, &sequence, &out);
  return out;
}

std::string Joined(const std::vector<std::string>& events) {
  std::string all;
  for (const std::string& event : events) all += event;
  return all;
}

// EXPECT_EQ would print 16 MiB.
void ExpectSame(const std::string& given, const std::string& expected) {
  ASSERT_EQ(given.size(), expected.size());
  const auto [a, b] = std::mismatch(given.begin(), given.end(), expected.begin());
  EXPECT_TRUE(a == given.end()) << "first difference at " << a - given.begin();
}

std::string Packetized(const std::string& stream, size_t piece_bytes, uint8_t sequence) {
  EventPacketizer packetizer(sequence);
  std::string out;
  for (size_t at = 0; at < stream.size(); at += piece_bytes) {
    EXPECT_TRUE(
        packetizer.Append(AsBytes(std::string_view(stream).substr(at, piece_bytes)), &out).ok());
  }
  EXPECT_TRUE(packetizer.at_event_end());
  return out;
}

TEST(EventPacketizerTest, PutsAnOkByteBeforeEachEvent) {
  EventPacketizer packetizer(7);
  std::string out;
  ASSERT_TRUE(packetizer.Append(AsBytes(Event(19) + Event(300)), &out).ok());
  ASSERT_EQ(out.size(), 24u + 305u);
  EXPECT_EQ(out.substr(0, 5), std::string("\x14\0\0\x07\0", 5));
  EXPECT_EQ(out.substr(5, 19), Event(19));
  EXPECT_EQ(out.substr(24, 5), std::string("\x2D\x01\0\x08\0", 5));
  EXPECT_EQ(out.substr(29), Event(300));
  EXPECT_EQ(*packetizer.sequence(), 9);
}

TEST(EventPacketizerTest, SequenceGoesOnOver255) {
  const std::vector<std::string> events(600, Event(20));
  ExpectSame(Packetized(Joined(events), 1 << 20, 250), Expected(events, 250));
  ExpectSame(Packetized(Joined(events), 7, 250), Expected(events, 250));
}

TEST(EventPacketizerTest, AnyPlaceOfACutGivesTheSame) {
  const std::vector<std::string> events = {Event(19, 'a'), Event(20, 'b'), Event(64, 'c')};
  const std::string stream = Joined(events);
  const std::string expected = Expected(events, 1);
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    EventPacketizer packetizer(1);
    std::string out;
    ASSERT_TRUE(packetizer.Append(AsBytes(stream).first(cut), &out).ok());
    EXPECT_EQ(packetizer.at_event_end(), cut == 0 || cut == 19 || cut == 39 || cut == 103) << cut;
    ASSERT_TRUE(packetizer.Append(AsBytes(stream).subspan(cut), &out).ok());
    EXPECT_TRUE(packetizer.at_event_end());
    ASSERT_EQ(out, expected) << "cut at " << cut;
  }
  for (size_t piece = 1; piece < 30; ++piece) EXPECT_EQ(Packetized(stream, piece, 1), expected);
}

// The OK byte counts: an event one byte short of 0xFFFFFF fills its packet.
TEST(EventPacketizerTest, PayloadsAroundAFullPacket) {
  for (const int difference : {-2, -1, 0, 1}) {
    const std::vector<std::string> events = {
        Event(20), Event(kPacketPayloadMax + static_cast<size_t>(difference), 'x'), Event(21)};
    for (const size_t piece : {size_t{128} << 10, size_t{64} << 20}) {
      SCOPED_TRACE(std::to_string(difference) + " in pieces of " + std::to_string(piece));
      ExpectSame(Packetized(Joined(events), piece, 254), Expected(events, 254));
    }
  }
}

TEST(EventPacketizerTest, AnExactlyFullPacketIsFollowedByAnEmptyOne) {
  const std::string out = Packetized(Event(kPacketPayloadMax - 1), 1 << 17, 3);
  ASSERT_EQ(out.size(), 2 * kPacketHeaderSize + kPacketPayloadMax);
  EXPECT_EQ(out.substr(0, 5), std::string("\xFF\xFF\xFF\x03\0", 5));
  EXPECT_EQ(out.substr(out.size() - 4), std::string("\0\0\0\x04", 4));
}

TEST(EventPacketizerTest, TwoExactlyFullPacketsAreFollowedByAnEmptyOne) {
  const std::vector<std::string> events = {Event(2 * kPacketPayloadMax - 1), Event(19)};
  ExpectSame(Packetized(Joined(events), 100'000, 0), Expected(events, 0));
}

TEST(EventPacketizerTest, RefusesASizeThatNoEventHas) {
  for (const size_t size :
       {size_t{0}, size_t{18}, size_t{kEventBytesMax + 1}, size_t{UINT32_MAX}}) {
    std::string bad(40, 'b');
    for (size_t i = 0; i < 4; ++i) bad[9 + i] = static_cast<char>(size >> (8 * i));
    for (const size_t first_piece : {size_t{40}, size_t{5}}) {
      EventPacketizer packetizer(0);
      std::string out;
      Status status = packetizer.Append(AsBytes(bad).first(first_piece), &out);
      if (status.ok()) status = packetizer.Append(AsBytes(bad).subspan(first_piece), &out);
      EXPECT_EQ(status.code(), Code::kCorruption) << size;
      EXPECT_EQ(out, "");
    }
  }
}

TEST(EventPacketizerTest, OfALongEventNothingIsHeldBack) {
  const std::string event = Event(1000);
  EventPacketizer packetizer(0);
  std::string out;
  ASSERT_TRUE(packetizer.Append(AsBytes(event).first(12), &out).ok());
  EXPECT_EQ(out.size(), 0u);  // its size is not known yet
  ASSERT_TRUE(packetizer.Append(AsBytes(event).subspan(12, 1), &out).ok());
  EXPECT_EQ(out.size(), 5u + 13u);
  ASSERT_TRUE(packetizer.Append(AsBytes(event).subspan(13, 500), &out).ok());
  EXPECT_EQ(out.size(), 5u + 513u);
  EXPECT_FALSE(packetizer.at_event_end());
}

TEST(EventPacketizerProperty, CutsMakeNoDifference) {
  std::mt19937_64 random(testing::TestSeed());
  auto below = [&](size_t limit) { return static_cast<size_t>(random() % limit); };
  for (int round = 0; round < 300; ++round) {
    std::vector<std::string> events(1 + below(20));
    for (std::string& event : events) {
      event =
          Event(kEventHeaderSize + below(below(4) == 0 ? 5000 : 60), static_cast<char>(random()));
    }
    const std::string stream = Joined(events);
    const auto sequence = static_cast<uint8_t>(random());
    EventPacketizer packetizer(sequence);
    std::string out;
    for (size_t at = 0; at < stream.size();) {
      const size_t piece = std::min(1 + below(below(2) == 0 ? 20 : 2000), stream.size() - at);
      ASSERT_TRUE(packetizer.Append(AsBytes(stream).subspan(at, piece), &out).ok());
      at += piece;
    }
    ASSERT_EQ(out, Expected(events, sequence));
  }
}

}  // namespace
}  // namespace tidemark
