#include "pitr/serve/packet.h"

#include <gtest/gtest.h>

#include "replication/event/gtid_set.h"

namespace tidemark {
namespace {

std::string Packets(std::string_view payload, uint8_t sequence) {
  std::string out;
  AppendPacket(payload, &sequence, &out);
  return out;
}

TEST(PacketTest, HeaderIsLittleEndianSizeAndSequence) {
  const uint8_t bytes[] = {0x01, 0x02, 0x03, 0xFE};
  const PacketHeader header = ReadPacketHeader(bytes);
  EXPECT_EQ(header.payload_bytes, 0x030201u);
  EXPECT_EQ(header.sequence, 0xFE);
}

TEST(PacketTest, SequenceIsMovedOnAndGoesOver255) {
  uint8_t sequence = 255;
  std::string out;
  AppendPacket("abc", &sequence, &out);
  AppendPacket("", &sequence, &out);
  EXPECT_EQ(out, std::string("\x03\0\0\xFF"
                             "abc"
                             "\0\0\0\0",
                             11));
  EXPECT_EQ(sequence, 1);
}

TEST(PacketTest, LongPayloadsGoOnInTheNextPacket) {
  const std::string one_short(kPacketPayloadMax - 1, 'x');
  EXPECT_EQ(Packets(one_short, 0).size(), one_short.size() + 4);
  const std::string exact(kPacketPayloadMax, 'x');
  const std::string exact_packets = Packets(exact, 0);
  ASSERT_EQ(exact_packets.size(), exact.size() + 8);
  EXPECT_EQ(exact_packets.substr(exact_packets.size() - 4), std::string("\0\0\0\x01", 4));
  const std::string over(kPacketPayloadMax + 2, 'x');
  const std::string over_packets = Packets(over, 0);
  ASSERT_EQ(over_packets.size(), over.size() + 8);
  EXPECT_EQ(over_packets.substr(over_packets.size() - 6), std::string("\x02\0\0\x01xx", 6));
}

TEST(PacketTest, AnswersAreWhatClientsParse) {
  EXPECT_EQ(OkPayload(), std::string("\0\0\0\x02\0\0\0", 7));
  EXPECT_EQ(EofPayload(), std::string("\xFE\0\0\x02\0", 5));
  EXPECT_EQ(ErrorPayload(1236, "HY000", "no"), "\xFF\xD4\x04#HY000no");
}

TEST(PacketTest, ErrorMessageIsCutBetweenCharacters) {
  constexpr size_t kBefore = 9;
  EXPECT_EQ(ErrorPayload(1, "HY000", std::string(2000, 'm')).size(),
            kBefore + kErrorMessageBytesMax);
  // The last character that would fit begins at byte 510 and has two bytes.
  const std::string message = std::string(510, 'm') + "é and more";
  EXPECT_EQ(ErrorPayload(1, "HY000", message).substr(kBefore), std::string(510, 'm'));
  const std::string fits = std::string(509, 'm') + "é and more";
  EXPECT_EQ(ErrorPayload(1, "HY000", fits).substr(kBefore), std::string(509, 'm') + "é");
}

TEST(PacketTest, ResultSetHasColumnsAndRowsBetweenEofs) {
  const auto payloads = ResultSetPayloads({"a", "b"}, {{"x", std::nullopt}});
  ASSERT_EQ(payloads.size(), 6u);
  EXPECT_EQ(payloads[0], "\x02");
  const std::string column(
      "\x03"
      "def\0\0\0\x01"
      "a\0\x0C\x2D\0\0\x04\0\0\xFD\0\0\x1F\0\0",
      23);
  EXPECT_EQ(payloads[1], column);
  EXPECT_EQ(payloads[3], EofPayload());
  EXPECT_EQ(payloads[4], "\x01x\xFB");
  EXPECT_EQ(payloads[5], EofPayload());
}

TEST(PacketTest, ResultSetWithoutRows) { EXPECT_EQ(ResultSetPayloads({"a"}, {}).size(), 4u); }

TEST(PacketTest, TextLengthsAtTheEdgesOfTheirEncodings) {
  struct Edge {
    size_t size;
    std::string prefix;
  };
  for (const Edge& edge : {Edge{250, "\xFA"}, Edge{251, std::string("\xFC\xFB\0", 3)},
                           Edge{65535, "\xFC\xFF\xFF"}, Edge{65536, std::string("\xFD\0\0\x01", 4)},
                           Edge{1 << 24, std::string("\xFE\0\0\0\x01\0\0\0\0", 9)}}) {
    const auto payloads = ResultSetPayloads({"a"}, {{std::string(edge.size, 't')}});
    EXPECT_EQ(payloads[3].substr(0, edge.prefix.size()), edge.prefix) << edge.size;
    EXPECT_EQ(payloads[3].size(), edge.prefix.size() + edge.size);
  }
}

std::string Registration(const std::string& host) {
  std::string payload;
  ByteWriter(&payload)
      .U32(4711)
      .U8(static_cast<uint8_t>(host.size()))
      .Text(host)
      .U8(4)
      .Text("user")
      .U8(6)
      .Text("secret")
      .U16(3307)
      .U32(0)
      .U32(1);
  return payload;
}

TEST(RegisterReplicaTest, ReadsWhatAReplicaSends) {
  const auto replica = ParseRegisterReplica(AsBytes(Registration("db7.example")));
  ASSERT_TRUE(replica.ok());
  EXPECT_EQ(replica->server_id, 4711u);
  EXPECT_EQ(replica->host, "db7.example");
  EXPECT_EQ(replica->user, "user");
  EXPECT_EQ(replica->port, 3307);
}

TEST(RegisterReplicaTest, EveryTruncationIsRefused) {
  const std::string whole = Registration("h");
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto replica = ParseRegisterReplica(AsBytes(whole).first(size));
    ASSERT_FALSE(replica.ok()) << size;
    EXPECT_EQ(replica.error().code(), Code::kCorruption);
  }
}

TEST(RegisterReplicaTest, ALengthBeyondThePacketIsRefused) {
  std::string payload;
  ByteWriter(&payload).U32(1).U8(0xFE).U64(UINT64_MAX).Text(std::string(100, 'x'));
  EXPECT_FALSE(ParseRegisterReplica(AsBytes(payload)).ok());
}

TEST(RegisterReplicaTest, ALongNameIsRefused) {
  std::string payload;
  ByteWriter(&payload)
      .U32(1)
      .U8(0xFC)
      .U16(256)
      .Text(std::string(256, 'h'))
      .U8(0)
      .U8(0)
      .U16(0)
      .U64(0);
  const auto replica = ParseRegisterReplica(AsBytes(payload));
  ASSERT_FALSE(replica.ok());
  EXPECT_NE(replica.error().message().find("too long"), std::string::npos);
}

std::string Dump(const std::string& file, const std::string& set) {
  std::string payload;
  ByteWriter(&payload).U16(1).U32(99).Text32(file).U64(4).Text32(set);
  return payload;
}

TEST(DumpGtidTest, ReadsWhatAReplicaSends) {
  const auto set = GtidSet::Parse("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-7");
  ASSERT_TRUE(set.ok());
  const auto dump = ParseDumpGtid(AsBytes(Dump("binlog.000007", set->Encode())));
  ASSERT_TRUE(dump.ok());
  EXPECT_EQ(dump->flags, kDumpNonBlocking);
  EXPECT_EQ(dump->server_id, 99u);
  EXPECT_EQ(dump->file, "binlog.000007");
  EXPECT_EQ(dump->position, 4u);
  const auto decoded = GtidSet::Decode(AsBytes(dump->gtid_set));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, *set);
}

TEST(DumpGtidTest, EveryTruncationIsRefused) {
  const std::string whole = Dump("f", "set");
  ASSERT_TRUE(ParseDumpGtid(AsBytes(whole)).ok());
  for (size_t size = 0; size < whole.size(); ++size) {
    const auto dump = ParseDumpGtid(AsBytes(whole).first(size));
    ASSERT_FALSE(dump.ok()) << size;
    EXPECT_EQ(dump.error().code(), Code::kCorruption);
  }
}

TEST(DumpGtidTest, ALongFileNameIsRefused) {
  EXPECT_TRUE(ParseDumpGtid(AsBytes(Dump(std::string(512, 'f'), ""))).ok());
  EXPECT_FALSE(ParseDumpGtid(AsBytes(Dump(std::string(513, 'f'), ""))).ok());
}

}  // namespace
}  // namespace tidemark
