#include "replication/archive/segment_format.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <iterator>

#include "tests/support/seed.h"
#include "tests/unit/archive/segment_fixture.h"

namespace tidemark {
namespace {

using testing::FixedClock;
using testing::kSegmentPath;

GtidSet Parsed(std::string_view text) { return *GtidSet::Parse(text); }

SegmentHeader FullHeader() {
  SegmentHeader header;
  header.number = 7;
  header.source_name = "primary";
  header.server_uuid = *Uuid::Parse("3e11fa47-71ca-11e1-9e33-c80aa9429562");
  header.source_file = "binlog.000042";
  header.source_start = 1234567;
  header.prefix_bytes = 197;
  header.created_us = 1'700'000'000'000'001;
  header.imported = true;
  header.previous = Parsed("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-77:red:5");
  header.gap = {Parsed("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5"), "adopted gtid_purged",
                1'700'000'000'000'000};
  return header;
}

SegmentFooter FullFooter() {
  SegmentFooter footer;
  footer.raw_bytes = 3'000'000;
  footer.stored_bytes = 1'000'000;
  footer.transactions = 12;
  footer.gtids = Parsed("3e11fa47-71ca-11e1-9e33-c80aa9429562:78-89");
  footer.first_commit_us = -1;
  footer.last_commit_us = 1'700'000'000'000'005;
  footer.commit_high_us = 1'700'000'000'000'009;
  footer.sealed_us = 1'700'000'000'000'010;
  footer.reason = SealReason::kAge;
  footer.ends_source_file = true;
  footer.raw_sha256.fill(0xAB);
  footer.stored_xxh64 = 0x0123456789ABCDEF;
  footer.frames = {{0, 300}, {1'048'700, 400'000}, {2'097'300, 800'000}};
  return footer;
}

TEST(SegmentHeader, GivesBackEveryField) {
  const SegmentHeader header = FullHeader();
  const std::string encoded = EncodeSegmentHeader(header) + "and what follows";
  size_t frame_bytes = 0;
  auto decoded = DecodeSegmentHeader(AsBytes(encoded), &frame_bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.error().message();
  EXPECT_EQ(frame_bytes, EncodeSegmentHeader(header).size());
  EXPECT_EQ(decoded->number, header.number);
  EXPECT_EQ(decoded->source_name, header.source_name);
  EXPECT_EQ(decoded->server_uuid, header.server_uuid);
  EXPECT_EQ(decoded->source_file, header.source_file);
  EXPECT_EQ(decoded->source_start, header.source_start);
  EXPECT_EQ(decoded->prefix_bytes, header.prefix_bytes);
  EXPECT_EQ(decoded->created_us, header.created_us);
  EXPECT_EQ(decoded->previous, header.previous);
  EXPECT_EQ(decoded->imported, header.imported);
  EXPECT_EQ(decoded->gap.missing, header.gap.missing);
  EXPECT_EQ(decoded->gap.reason, header.gap.reason);
  EXPECT_EQ(decoded->gap.noticed_us, header.gap.noticed_us);
}

TEST(SegmentFooter, GivesBackEveryField) {
  const SegmentFooter footer = FullFooter();
  const std::string encoded = EncodeSegmentFooter(footer);
  auto decoded = DecodeSegmentFooter(AsBytes(encoded));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message();
  EXPECT_EQ(decoded->raw_bytes, footer.raw_bytes);
  EXPECT_EQ(decoded->stored_bytes, footer.stored_bytes);
  EXPECT_EQ(decoded->transactions, footer.transactions);
  EXPECT_EQ(decoded->gtids, footer.gtids);
  EXPECT_EQ(decoded->first_commit_us, footer.first_commit_us);
  EXPECT_EQ(decoded->last_commit_us, footer.last_commit_us);
  EXPECT_EQ(decoded->commit_high_us, footer.commit_high_us);
  EXPECT_EQ(decoded->sealed_us, footer.sealed_us);
  EXPECT_EQ(decoded->reason, footer.reason);
  EXPECT_EQ(decoded->ends_source_file, footer.ends_source_file);
  EXPECT_EQ(decoded->raw_sha256, footer.raw_sha256);
  EXPECT_EQ(decoded->stored_xxh64, footer.stored_xxh64);
  EXPECT_EQ(decoded->frames, footer.frames);
}

TEST(SegmentFooter, IsFoundFromItsEnd) {
  const std::string encoded = EncodeSegmentFooter(FullFooter());
  const Bytes bytes = AsBytes(encoded);
  EXPECT_EQ(FooterFrameBytes(bytes.last(kFooterTrailerBytes)), encoded.size());
  EXPECT_EQ(FooterFrameBytes(bytes.first(kFooterTrailerBytes)), 0u);
  EXPECT_EQ(FooterFrameBytes(bytes.last(kFooterTrailerBytes - 1)), 0u);
}

TEST(SegmentFormat, EveryCutIsTruncated) {
  const std::string header = EncodeSegmentHeader(FullHeader());
  for (size_t size = 0; size < header.size(); ++size) {
    auto decoded = DecodeSegmentHeader(AsBytes(header).first(size), nullptr);
    ASSERT_FALSE(decoded.ok()) << size;
    ASSERT_EQ(decoded.error().code(), Code::kTruncated)
        << size << ": " << decoded.error().message();
  }
  const std::string footer = EncodeSegmentFooter(FullFooter());
  for (size_t size = 0; size < footer.size(); ++size)
    ASSERT_EQ(DecodeSegmentFooter(AsBytes(footer).first(size)).error().code(), Code::kTruncated)
        << size;
}

TEST(SegmentFormat, EveryFlippedBitIsSeen) {
  for (const std::string& good :
       {EncodeSegmentHeader(FullHeader()), EncodeSegmentFooter(FullFooter())}) {
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
      EXPECT_FALSE(DecodeSegmentHeader(AsBytes(bad), nullptr).ok()) << "bit " << bit;
      EXPECT_FALSE(DecodeSegmentFooter(AsBytes(bad)).ok()) << "bit " << bit;
    }
  }
}

std::string WithVersion(std::string frame, uint8_t version, size_t checksum_at) {
  frame[16] = static_cast<char>(version);
  std::string checksum;
  ByteWriter(&checksum).U32(Crc32(0, AsBytes(frame).first(checksum_at)));
  return frame.replace(checksum_at, 4, checksum);
}

TEST(SegmentFormat, NewerVersionIsNamedAsSuch) {
  const std::string header = EncodeSegmentHeader(FullHeader());
  const std::string newer = WithVersion(header, 2, header.size() - 4);
  auto decoded = DecodeSegmentHeader(AsBytes(newer), nullptr);
  EXPECT_EQ(decoded.error().code(), Code::kUnsupportedFormat);
  EXPECT_NE(decoded.error().message().find("version 2"), std::string::npos);
  EXPECT_FALSE(decoded.error().hint().empty());
  const std::string footer = EncodeSegmentFooter(FullFooter());
  const std::string newer_footer = WithVersion(footer, 2, footer.size() - 12);
  EXPECT_EQ(DecodeSegmentFooter(AsBytes(newer_footer)).error().code(), Code::kUnsupportedFormat);
  EXPECT_EQ(DecodeSegmentHeader(AsBytes(WithVersion(header, 0, header.size() - 4)), nullptr)
                .error()
                .code(),
            Code::kCorruption);
}

TEST(SegmentFormat, ForeignFilesAreNotOurs) {
  for (std::string_view foreign :
       {std::string_view("\xFE"
                         "bin and a binlog"),
        std::string_view("x"), std::string_view("\x28\xB5\x2F\xFD zstd frame"),
        std::string_view("\x50\x2A\x4D\x18\x10\0\0\0somebody else's", 24)}) {
    EXPECT_EQ(DecodeSegmentHeader(AsBytes(foreign), nullptr).error().code(),
              Code::kUnsupportedFormat)
        << foreign;
    EXPECT_EQ(DecodeSegmentFooter(AsBytes(foreign)).error().code(), Code::kCorruption) << foreign;
  }
}

TEST(SegmentFooter, FrameTableMustRise) {
  for (auto frames : {std::vector<FramePlace>{{0, 300}, {0, 400}},
                      {{0, 300}, {10, 300}},
                      {{5, 300}},
                      {{0, 300}, {3'000'000, 400}},
                      {{0, 1'000'000}}}) {
    SegmentFooter footer = FullFooter();
    footer.frames = frames;
    const std::string encoded = EncodeSegmentFooter(footer);
    EXPECT_EQ(DecodeSegmentFooter(AsBytes(encoded)).error().code(), Code::kCorruption);
  }
}

// --- FORMAT.md's worked example -----------------------------------------------------------------

// A whole segment that holds a binlog without transactions: header, one frame with one raw block,
// footer.
std::string ExampleSegment() {
  SegmentHeader header;
  header.number = 1;
  header.source_name = "db1";
  header.server_uuid = *Uuid::Parse("3e11fa47-71ca-11e1-9e33-c80aa9429562");
  header.source_file = "binlog.000001";
  header.created_us = 1'700'000'000'000'000;
  header.previous = Parsed("3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5");
  std::string segment = EncodeSegmentHeader(header);

  testing::StreamBuilder binlog;
  binlog.Magic().FormatDescription().Event(EventType::kStop, "");
  const std::string& raw = binlog.bytes();
  SegmentFooter footer;
  footer.frames = {{.raw_offset = 0, .stored_offset = segment.size()}};
  ByteWriter writer(&segment);
  writer.U32(0xFD2FB528).U8(0x04).U8(0x50);  // zstd magic; checksum flag; window of 1 MiB
  const uint32_t block_header = static_cast<uint32_t>(raw.size()) << 3 | 1;
  writer.U16(static_cast<uint16_t>(block_header))
      .U8(static_cast<uint8_t>(block_header >> 16))
      .Text(raw);
  Xxh64 checksum;
  checksum.Update(AsBytes(raw));
  writer.U32(static_cast<uint32_t>(checksum.Digest()));

  footer.raw_bytes = raw.size();
  footer.stored_bytes = segment.size();
  footer.sealed_us = 1'700'000'060'000'000;
  footer.reason = SealReason::kRotation;
  footer.ends_source_file = true;
  Sha256 sha256;
  sha256.Update(AsBytes(raw));
  footer.raw_sha256 = sha256.Finish();
  checksum.Reset();
  checksum.Update(AsBytes(segment));
  footer.stored_xxh64 = checksum.Digest();
  return segment + EncodeSegmentFooter(footer);
}

std::string HexDump(const std::string& bytes) {
  std::string dump;
  for (size_t line = 0; line < bytes.size(); line += 16) {
    char offset[24];
    std::snprintf(offset, sizeof offset, "%04zx ", line);
    dump += offset;
    for (size_t i = line; i < std::min(line + 16, bytes.size()); ++i)
      dump += " " + Hex(AsBytes(bytes).subspan(i, 1));
    dump += "\n";
  }
  return dump;
}

TEST(SegmentFormat, DocumentShowsWhatTheCodeWrites) {
  std::ifstream file(std::string(TIDEMARK_GOLDEN_DIR) + "/../../replication/archive/FORMAT.md");
  const std::string document{std::istreambuf_iterator<char>(file), {}};
  const std::string dump = HexDump(ExampleSegment());
  EXPECT_NE(document.find("```\n" + dump + "```"), std::string::npos) << "FORMAT.md should show:\n"
                                                                      << dump;
}

TEST(SegmentFormat, DocumentsExampleIsASegment) {
  MemoryFileSystem files;
  files.Put(kSegmentPath, ExampleSegment());
  auto contents = ScanSegment(files, kSegmentPath, "db1", 0);
  ASSERT_TRUE(contents.ok()) << contents.error().message();
  EXPECT_TRUE(contents->segment.sealed);
  EXPECT_TRUE(contents->segment.ends_source_file);
  EXPECT_EQ(contents->segment.raw_bytes, 150u);
}

}  // namespace
}  // namespace tidemark
