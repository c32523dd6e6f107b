// Keys and values of the index: order, round trips, the worked examples of index/KEYS.md, hostile
// bytes.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "index/entries.h"
#include "index/key_codec.h"
#include "index/value_codec.h"
#include "replication/base/checksum.h"
#include "tests/support/seed.h"
#include "tests/unit/index/index_records.h"

namespace tidemark {
namespace {

using namespace tidemark::testing;  // NOLINT(google-build-using-namespace)

std::string HexOf(const std::string& bytes) { return Hex(AsBytes(bytes)); }
const Tsid kTsid = G(A("1")).tsid;

TEST(IndexKeys, WorkedExamplesOfKeysMd) {
  EXPECT_EQ(HexOf(SegmentKey("db1", 7, SegmentPart::kExtent)), "03646231000000000000000701");
  EXPECT_EQ(HexOf(FrameKey("db1", 7, 2)), "03646231000000000000000700000002");
  EXPECT_EQ(HexOf(GtidKey("db1", kTsid, 23)),
            "036462313e11fa4771ca11e19e33c80aa9429562000000000000000017");
  EXPECT_EQ(HexOf(GtidKey("db1", G(A("audit:1")).tsid, 1)),
            "036462313e11fa4771ca11e19e33c80aa9429562056175646974"
            "0000000000000001");
  EXPECT_EQ(HexOf(TimeKey("db1", 1'700'000'000'000'000, 7, 2)),
            "0364623180060a24181e4000000000000000000700000002");
  EXPECT_EQ(HexOf(PositionKey("db1", "binlog.000001", 7)),
            "03646231000d62696e6c6f672e3030303030310000000000000007");
  EXPECT_EQ(HexOf(DdlKey("db1", 7, 4096)), "0364623100000000000000070000000000001000");
}

TEST(IndexValues, WorkedExamplesOfKeysMd) {
  EXPECT_EQ(HexOf(EncodeMetaFormat(1)), "00000001");
  EXPECT_EQ(HexOf(EncodeGtidValue(23, {2022, 7, 2})), "01cf0f0702");
  EXPECT_EQ(HexOf(EncodePositionValue({kTsid.uuid, 4096})),
            "013e11fa4771ca11e19e33c80aa94295628020");

  SegmentRecord segment = MakeBatch("db1", 7, {}).segment;
  segment.header.source_start = 4096;
  segment.header.prefix_bytes = 199;
  segment.header.previous = Set(A("1-22"));
  EXPECT_EQ(HexOf(EncodeHeaderValue(segment.header)),
            "0101036462313e11fa4771ca11e19e33c80aa94295620d62696e6c6f672e30303030303180"
            "20c7018080f9c0c1c48203"
            "013e11fa4771ca11e19e33c80aa94295620001011500"
            "0000");
  segment.raw_bytes = 1'048'700;
  segment.stored_bytes = 360'000;
  segment.transactions = 2000;
  segment.gtids = Set(A("23-2022"));
  segment.first_commit_us = 1'700'000'000'000'000;
  segment.last_commit_us = segment.commit_high_us = segment.first_commit_us + 1'000'000;
  segment.sealed = true;
  segment.reason = SealReason::kSize;
  EXPECT_EQ(HexOf(EncodeExtentValue(segment)),
            "010102fc8040c0fc15d00f8080f9c0c1c4820380897a00"
            "013e11fa4771ca11e19e33c80aa9429562"
            "000117cf0f");

  FrameRecord frame = MakeFrame(2, A("23-2022"), 1'700'000'000'000'000, 1'700'000'001'000'000,
                                1'700'000'001'000'000);
  EXPECT_EQ(HexOf(EncodeFrameValue(frame)),
            "010080808001c4dd2a8080c001d00f8080f9c0c1c4820380897a00"
            "013e11fa4771ca11e19e33c80aa9429562000117cf0f"
            "00"
            "02"
            "0573686f70066f7264657273140500"
            "000b6f726465725f6c696e65731e0102");

  DdlRecord ddl{G(A("23")), 1'700'000'000'000'000, 2, 4096, "shop", "DROP TABLE t"};
  EXPECT_EQ(HexOf(EncodeDdlValue(ddl)),
            "013e11fa4771ca11e19e33c80aa942956200178080f9c0c1c48203020473686f700c"
            "44524f50205441424c452074");
  OversizeRecord oversize{G(A("23")), 1'700'000'000'000'000, 2, 4096, 8'000'000};
  EXPECT_EQ(HexOf(EncodeOversizeValue(oversize)),
            "013e11fa4771ca11e19e33c80aa942956200178080f9c0c1c482030280a4e803");
}

TEST(IndexKeys, SortAsTheirFieldsDo) {
  EXPECT_LT(GtidKey("s", kTsid, 255), GtidKey("s", kTsid, 256));
  EXPECT_LT(GtidKey("s", kTsid, 256), GtidKey("s", kTsid, kGnoMax));
  EXPECT_LT(TimeKey("s", -1, 9, 9), TimeKey("s", 0, 0, 0));
  EXPECT_LT(TimeKey("s", 5, UINT64_MAX, UINT32_MAX), TimeKey("s", 6, 0, 0));
  EXPECT_LT(FrameKey("s", 1, UINT32_MAX), FrameKey("s", 2, 0));
  EXPECT_LT(SegmentKey("s", 1, SegmentPart::kHeader), SegmentKey("s", 1, SegmentPart::kExtent));
}

TEST(IndexKeys, NoSourcesPrefixBeginsAnothers) {
  for (const char* other : {"db10", "d", "db", "db1.a", "DB1"}) {
    EXPECT_FALSE(SegmentPrefix(other, 1).starts_with(SourcePrefix("db1"))) << other;
  }
  EXPECT_FALSE(PositionKey("s", "binlog.1", 1).starts_with(PositionPrefix("s", "binlog.")));
  Tsid tagged = kTsid;
  tagged.tag = "a";
  EXPECT_FALSE(GtidKey("s", tagged, 1).starts_with(GtidPrefix("s", kTsid)));
}

TEST(IndexKeys, NamesNoSourceCanHaveShareAPrefixThatNoRecordHas) {
  EXPECT_EQ(SourcePrefix(""), std::string(1, '\0'));
  EXPECT_EQ(SourcePrefix(std::string(65, 'x')), std::string(1, '\0'));
  EXPECT_FALSE(DecodeFrameKey(FrameKey("", 1, 1)).has_value());
}

TEST(IndexKeys, DecodeGivesTheFieldsBackAndRefusesAnythingElse) {
  const std::string key = GtidKey("db1", G(A("audit:77")).tsid, 77);
  const auto fields = DecodeGtidKey(key);
  ASSERT_TRUE(fields.has_value());
  EXPECT_EQ(fields->source, "db1");
  EXPECT_EQ(fields->tsid, G(A("audit:77")).tsid);
  EXPECT_EQ(fields->first, 77);
  for (size_t size = 0; size < key.size(); ++size) {
    EXPECT_FALSE(DecodeGtidKey(key.substr(0, size)).has_value()) << size;
  }
  EXPECT_FALSE(DecodeGtidKey(key + "x").has_value());
  EXPECT_FALSE(DecodeGtidKey(GtidKey("db1", kTsid, 0)).has_value());
  EXPECT_FALSE(DecodeSegmentKey(SegmentPrefix("db1", 1) + '\2').has_value());
  const auto time = DecodeTimeKey(TimeKey("db1", -5, 6, 7));
  ASSERT_TRUE(time.has_value());
  EXPECT_EQ(time->commit_high_us, -5);
  EXPECT_EQ(time->segment, 6u);
  EXPECT_EQ(time->frame, 7u);
  const auto position = DecodePositionKey(PositionKey("db1", std::string(300, 'f'), 9));
  ASSERT_TRUE(position.has_value());
  EXPECT_EQ(position->file, std::string(300, 'f'));
}

FrameRecord RichFrame() {
  FrameRecord frame =
      MakeFrame(3, A("1-3:7:audit:9") + "," + B("1:9223372036854775806"), 50, 40, 60);
  frame.starts_in_transaction = true;
  frame.tables.push_back({"other", std::string(64, 't'), UINT64_MAX, 0, 1});
  frame.tables.push_back({"", "", 0, 0, 0});
  frame.tables.push_back({"", "again", 0, 0, 0});
  frame.tables_omitted = 12;
  return frame;
}

TEST(IndexValues, FrameComesBackAsItWas) {
  const FrameRecord frame = RichFrame();
  const auto back = DecodeFrameValue(3, EncodeFrameValue(frame));
  ASSERT_TRUE(back.has_value()) << back.error().message();
  EXPECT_EQ(back->frame, 3u);
  EXPECT_EQ(back->place, frame.place);
  EXPECT_EQ(back->raw_end, frame.raw_end);
  EXPECT_TRUE(back->starts_in_transaction);
  EXPECT_TRUE(back->clock_stepped_back);
  EXPECT_EQ(back->transactions, frame.transactions);
  EXPECT_EQ(back->gtids, frame.gtids);
  EXPECT_EQ(back->first_commit_us, 50);
  EXPECT_EQ(back->last_commit_us, 40);
  EXPECT_EQ(back->commit_high_us, 60);
  EXPECT_EQ(back->tables, frame.tables);
  EXPECT_EQ(back->tables_omitted, 12u);
}

SegmentRecord RichSegment() {
  SegmentRecord segment = MakeBatch("db1", 7, {RichFrame()}).segment;
  segment.header.gap = {Set(B("5-6")), "adopted", -3};
  segment.header.previous = Set(A("audit:1-4") + "," + B("1-9"));
  segment.first_commit_us = INT64_MIN;
  segment.last_commit_us = INT64_MAX;
  segment.ends_source_file = true;
  return segment;
}

TEST(IndexValues, SegmentComesBackAsItWas) {
  const SegmentRecord segment = RichSegment();
  const auto header = DecodeHeaderValue(7, EncodeHeaderValue(segment.header));
  ASSERT_TRUE(header.has_value());
  EXPECT_EQ(header->previous, segment.header.previous);
  EXPECT_EQ(header->gap.missing, segment.header.gap.missing);
  EXPECT_EQ(header->gap.reason, "adopted");
  EXPECT_EQ(header->gap.noticed_us, -3);
  EXPECT_EQ(header->number, 7u);
  EXPECT_EQ(header->source_file, segment.header.source_file);
  SegmentRecord back;
  ASSERT_TRUE(DecodeExtentValue(EncodeExtentValue(segment), &back).ok());
  EXPECT_EQ(back.first_commit_us, INT64_MIN);
  EXPECT_EQ(back.last_commit_us, INT64_MAX);
  EXPECT_EQ(back.commit_high_us, segment.commit_high_us);
  EXPECT_EQ(back.gtids, segment.gtids);
  EXPECT_FALSE(back.sealed);
  EXPECT_TRUE(back.ends_source_file);
}

std::vector<IndexEntry> RichEntries() {
  DurableBatch batch = MakeBatch("db1", 7, {MakeFrame(0, A("1-9"), 1, 2, 3), RichFrame()});
  batch.segment = RichSegment();
  batch.ddl = {{G(A("2")), 5, 0, 300, "shop", "ALTER TABLE `a\"b`\n ADD c INT"}};
  batch.oversize = {{G(A("audit:9")), 6, 3, 400, 5'000'000}};
  return BatchEntries(batch);
}

TEST(IndexValues, EveryKindIsRefusedWhenCutAnywhereOrContinued) {
  for (const IndexEntry& entry : RichEntries()) {
    EXPECT_EQ(DescribeEntry(entry).find("undecodable"), std::string::npos) << DescribeEntry(entry);
    for (size_t size = 0; size < entry.value.size(); ++size) {
      const IndexEntry cut{entry.family, entry.key, entry.value.substr(0, size)};
      EXPECT_NE(DescribeEntry(cut).find("undecodable"), std::string::npos)
          << FamilyName(entry.family) << " cut at " << size;
    }
    const IndexEntry longer{entry.family, entry.key, entry.value + '\0'};
    EXPECT_NE(DescribeEntry(longer).find("undecodable"), std::string::npos);
  }
}

TEST(IndexValues, ALineOfTextIsOneLineWhateverTheStatementHolds) {
  for (const IndexEntry& entry : RichEntries()) {
    EXPECT_EQ(DescribeEntry(entry).find('\n'), std::string::npos);
  }
  // Found by index_entry_fuzz: a damaged key may hold any source name.
  const IndexEntry time{Family::kTime, TimeKey("d\nb", 1, 2, 3), {}};
  EXPECT_EQ(DescribeEntry(time), "time d\\x0ab high=1 in d\\x0ab/2/3");
}

TEST(IndexValues, AVersionFromTheFutureIsNamedAsSuch) {
  std::string value = EncodeFrameValue(RichFrame());
  value[0] = 2;
  EXPECT_EQ(DecodeFrameValue(0, value).error().code(), Code::kUnsupportedFormat);
  value[0] = 0;
  EXPECT_EQ(DecodeFrameValue(0, value).error().code(), Code::kCorruption);
  EXPECT_EQ(DecodeFrameValue(0, "").error().code(), Code::kCorruption);
}

// Counts of 2^63 entries, intervals beyond kGnoMax, overlong varints, texts longer than the value.
TEST(IndexValues, ClaimsBeyondTheBytesAreCorruption) {
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\xff\x7f";
  const std::string zeros(8, '\0');
  const std::string frame_head = std::string("\x01\x00", 2) + zeros.substr(0, 7);
  EXPECT_EQ(DecodeFrameValue(0, frame_head + huge).error().code(), Code::kCorruption);
  EXPECT_EQ(DecodeFrameValue(0, frame_head + '\0' + '\0' + huge).error().code(), Code::kCorruption);
  EXPECT_TRUE(DecodeFrameValue(0, frame_head + '\0' + '\0' + '\0').has_value());
  const std::string one_tsid = '\1' + std::string(16, 'u') + '\0' + '\1';
  const std::string tail("\0\0", 2);
  EXPECT_TRUE(DecodeFrameValue(0, frame_head + one_tsid + "\x05\x01" + tail).has_value());
  EXPECT_FALSE(DecodeFrameValue(0, frame_head + one_tsid + huge + '\1' + tail).has_value());
  EXPECT_FALSE(DecodeFrameValue(0, frame_head + one_tsid + '\1' + huge + tail).has_value());
  EXPECT_FALSE(DecodeFrameValue(0, frame_head + one_tsid + '\0' + '\1' + tail).has_value());
  EXPECT_FALSE(DecodeFrameValue(0, frame_head + "\x80" + '\0' + tail).has_value())
      << "two spellings of 0";
  EXPECT_FALSE(DecodeGtidValue(kGnoMax, std::string("\x01\x01\x01\x01")).has_value());
  EXPECT_FALSE(DecodeGtidValue(1, '\1' + std::string(9, '\xff') + "\x02\x01\x01").has_value());
}

TEST(IndexValues, FlippedBytesNeverBreakTheDecoder) {
  std::mt19937_64 random(TestSeed());
  const std::vector<IndexEntry> entries = RichEntries();
  size_t refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    IndexEntry entry = entries[random() % entries.size()];
    std::string& victim = (random() & 1) != 0 || entry.value.empty() ? entry.key : entry.value;
    for (uint64_t flips = 1 + random() % 3; flips > 0; --flips) {
      victim[random() % victim.size()] = static_cast<char>(random());
    }
    refused += DescribeEntry(entry).find("undecodable") != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace tidemark
