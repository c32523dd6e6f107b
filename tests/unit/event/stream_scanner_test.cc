#include "replication/event/stream_scanner.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

#include "tests/unit/event/scan_report.h"
#include "tests/unit/event/stream_builder.h"

namespace tidemark::testing {
namespace {

using B = StreamBuilder;

B Started() {
  B builder;
  builder.Magic().FormatDescription();
  return builder;
}
B& AddInsert(B& builder, uint64_t table = 5, std::string_view name = "sbtest1") {
  return builder.Add(EventType::kTableMap, B::SbtestMap(table, name))
      .Add(EventType::kWriteRows, B::Rows(table, {B::SbtestRow(1), B::SbtestRow(2)}));
}
B& AddBegin(B& builder) { return builder.Add(EventType::kQuery, B::Query("BEGIN")); }
B& AddCommit(B& builder) { return builder.Add(EventType::kXid, B::Xid()); }
B& AddInsertTransaction(B& builder, int64_t gno) {
  return AddCommit(AddInsert(AddBegin(builder))).Transaction(gno);
}

void ExpectCorrupt(const ScanReport& report, std::string_view message) {
  EXPECT_EQ(report.feed.code(), Code::kCorruption) << report.feed.message();
  EXPECT_NE(report.feed.message().find(message), std::string::npos) << report.feed.message();
}

TEST(StreamScanner, BothWaysOfBoundingMustAgree) {
  for (int64_t error : {-1, 1, 1000, -100}) {
    B builder = Started();
    AddCommit(AddInsert(AddBegin(builder))).Transaction(7, error);
    const ScanReport report = Scan(builder.bytes());
    ExpectCorrupt(report, "transaction 30313233-3435-3637-3839-616263646566:7 declares ");
    EXPECT_NE(report.feed.message().find("at stream offset "), std::string::npos);
    EXPECT_TRUE(report.transactions.empty());
  }
}

TEST(StreamScanner, ATransactionInsideAnotherIsCorruption) {
  B builder = Started();
  AddInsert(AddBegin(builder)).Transaction(1, 10000);
  AddInsertTransaction(builder, 2);
  ExpectCorrupt(Scan(builder.bytes()), "a transaction begins inside transaction");
}

TEST(StreamScanner, AnonymousTransactionsAreRefusedWithAHint) {
  B builder = Started();
  builder.Event(EventType::kAnonymousGtid, B::GtidBody(0, 0));
  const ScanReport report = Scan(builder.bytes());
  ExpectCorrupt(report, "anonymous");
  EXPECT_NE(report.feed.hint().find("gtid_mode"), std::string::npos);
}

TEST(StreamScanner, ChangesOutsideATransactionAreCorruption) {
  B builder = Started();
  builder.Event(EventType::kQuery, B::Query("BEGIN"));
  ExpectCorrupt(Scan(builder.bytes()), "outside of any transaction");
}

TEST(StreamScanner, ControlEventsAreNeverPartOfATransaction) {
  B builder = Started();
  constexpr int64_t kHeartbeatSize = 19 + 5 + 4;
  AddCommit(AddBegin(builder).Add(EventType::kHeartbeat, "bin.1")).Transaction(1, -kHeartbeatSize);
  const ScanReport report = Scan(builder.bytes());
  ASSERT_TRUE(report.feed.ok()) << report.feed.message();
  EXPECT_NE(report.events[3].find("role 4"), std::string::npos) << report.events[3];
  EXPECT_EQ(report.transactions.size(), 1U);
  B rotated = Started();
  AddBegin(rotated).Add(EventType::kRotate, "12345678bin.2").Transaction(1, 100);
  ExpectCorrupt(Scan(rotated.bytes()), "stands inside transaction");
}

TEST(StreamScanner, FirstArtificialRotateSaysItselfWhetherItHasAChecksum) {
  for (ChecksumAlgorithm first : {ChecksumAlgorithm::kOff, ChecksumAlgorithm::kCrc32}) {
    B builder(ChecksumAlgorithm::kCrc32);
    EventStamp stamp;
    stamp.flags = kEventFlagArtificial;
    StreamScanner scanner({});
    ScannedEvent event;
    const std::string rotate = EncodeRotate({4, "bin.1"}, stamp, first);
    ASSERT_TRUE(scanner.FeedEvent(AsBytes(rotate), &event).ok());
    EXPECT_EQ(event.role, EventRole::kRotate);
    EXPECT_TRUE(event.header.artificial());
    EXPECT_EQ(scanner.checksum(), first);
    ASSERT_TRUE(scanner.FeedEvent(AsBytes(builder.FormatDescription().bytes()), &event).ok());
    EXPECT_EQ(scanner.checksum(), ChecksumAlgorithm::kCrc32);
  }
}

TEST(StreamScanner, EventsBeforeTheFormatDescriptionAreRefusedUnlessTheChecksumIsKnown) {
  B builder;
  AddInsertTransaction(builder, 1);
  ExpectCorrupt(Scan(builder.bytes(), 0, {}), "precedes the format description");
  EXPECT_TRUE(Scan(builder.bytes(), 0, {.checksum_known = true}).feed.ok());
}

TEST(StreamScanner, OffsetsCountFromStartOffset) {
  B builder;
  AddInsertTransaction(builder, 1);
  AddInsertTransaction(builder, 2);
  StreamScanner scanner({.start_offset = 1000, .checksum_known = true});
  std::vector<uint64_t> begins;
  ASSERT_TRUE(scanner
                  .FeedBytes(AsBytes(builder.bytes()),
                             [&](const ScannedEvent& event) {
                               if (event.finished != nullptr)
                                 begins.push_back(event.finished->begin_offset);
                               return OkStatus();
                             })
                  .ok());
  ASSERT_EQ(begins.size(), 2U);
  EXPECT_EQ(begins[0], 1000U);
  EXPECT_EQ(begins[1], 1000 + builder.bytes().size() / 2);
  EXPECT_EQ(scanner.offset(), 1000 + builder.bytes().size());
}

TEST(StreamScanner, ImpossibleSizesAreCorruptionWithoutWaitingForTheBytes) {
  for (uint32_t size : {0U, 18U, 22U, uint32_t{1} << 31, UINT32_MAX}) {
    std::string bytes = Started().bytes();
    std::string header;
    ByteWriter(&header).U32(1).U8(2).U32(1).U32(size).U32(0).U16(0);
    bytes += header + "1234";
    ExpectCorrupt(Scan(bytes), "announces " + std::to_string(size) + " bytes");
  }
}

TEST(StreamScanner, FeedEventWantsExactlyOneEvent) {
  const std::string event = B().FormatDescription().bytes();
  StreamScanner scanner({});
  ScannedEvent out;
  EXPECT_EQ(scanner.FeedEvent(AsBytes(event).first(event.size() - 1), &out).code(),
            Code::kCorruption);
  EXPECT_EQ(StreamScanner({}).FeedEvent(AsBytes(event + "x"), &out).code(), Code::kCorruption);
  EXPECT_EQ(StreamScanner({}).FeedEvent({}, &out).code(), Code::kCorruption);
}

TEST(StreamScanner, MagicIsCheckedWhereItIsExpected) {
  const std::string good = Started().bytes();
  EXPECT_TRUE(Scan(good, 1).feed.ok());
  std::string bad = good;
  bad[2] = 'x';
  ExpectCorrupt(Scan(bad), "magic");
  EXPECT_EQ(Scan(std::string_view(good).substr(0, 3)).finish.code(), Code::kTruncated);
}

TEST(StreamScanner, UnknownEventsPassInsideAndOutside) {
  B builder = Started();
  builder.Event(static_cast<EventType>(200), "from the future");
  AddInsert(AddBegin(builder)).Add(static_cast<EventType>(201), "inside");
  AddCommit(builder).Transaction(1);
  const ScanReport report = Scan(builder.bytes());
  ASSERT_TRUE(report.feed.ok()) << report.feed.message();
  EXPECT_NE(report.events[1].find("role 6"), std::string::npos) << report.events[1];
  ASSERT_EQ(report.transactions.size(), 1U);
}

TEST(StreamScanner, ErrorsOfTheCallbackComeBackAsTheyAre) {
  StreamScanner scanner({.expect_magic = true});
  const Status status = scanner.FeedBytes(AsBytes(Started().bytes()), [](const ScannedEvent&) {
    return Status(Code::kInterrupted, "stop");
  });
  EXPECT_EQ(status.code(), Code::kInterrupted);
  EXPECT_EQ(status.message(), "stop");
}

TEST(StreamScanner, ATransactionUnderWayIsKnownByItsGtid) {
  B builder = Started();
  AddInsertTransaction(builder, 1);
  const Bytes all = AsBytes(builder.bytes());
  StreamScanner scanner({.expect_magic = true});
  ScanReport report;
  const auto on_event = [&](const ScannedEvent& event) {
    return Record(event, scanner.in_transaction(), &report);
  };
  ASSERT_TRUE(scanner.FeedBytes(all.first(all.size() - 7), on_event).ok());
  ASSERT_NE(scanner.open_gtid(), nullptr);
  EXPECT_EQ(scanner.open_gtid()->gno, 1);
  EXPECT_TRUE(scanner.in_event());
  EXPECT_EQ(scanner.offset(), all.size() - 7);
  ASSERT_TRUE(scanner.FeedBytes(all.last(7), on_event).ok());
  EXPECT_EQ(scanner.open_gtid(), nullptr);
  EXPECT_TRUE(scanner.Finish().ok());
}

TEST(StreamScanner, OneTableWithTwoIdsIsOneTouch) {
  B builder = Started();
  AddCommit(AddInsert(AddInsert(AddInsert(AddBegin(builder), 5), 6), 7, "other")).Transaction(1);
  const ScanReport report = Scan(builder.bytes());
  ASSERT_EQ(report.transactions.size(), 1U);
  EXPECT_TRUE(report.transactions[0].ends_with(" sbtest.sbtest1+4~0-0,sbtest.other+2~0-0"));
}

TEST(StreamScanner, TableIdsMayBeGivenToOtherTables) {
  B builder = Started();
  AddInsertTransaction(builder, 1);
  AddCommit(AddInsert(AddBegin(builder), 5, "renamed")).Transaction(2);
  const ScanReport report = Scan(builder.bytes());
  ASSERT_EQ(report.transactions.size(), 2U);
  EXPECT_TRUE(report.transactions[1].ends_with(" sbtest.renamed+2~0-0")) << report.transactions[1];
}

TEST(StreamScanner, TablesBeyondTheLimitAreCounted) {
  B builder = Started();
  AddBegin(builder);
  for (uint64_t table = 0; table < kTablesPerTransactionMax + 3; ++table) {
    AddInsert(AddInsert(builder, table, "t" + std::to_string(table)), table,
              "t" + std::to_string(table));
  }
  AddCommit(builder).Transaction(1);
  StreamScanner scanner({.expect_magic = true});
  uint64_t omitted = 0;
  size_t tables = 0;
  ASSERT_TRUE(scanner
                  .FeedBytes(AsBytes(builder.bytes()),
                             [&](const ScannedEvent& event) {
                               if (event.finished == nullptr) return OkStatus();
                               omitted = event.finished->tables_omitted;
                               tables = event.finished->tables.size();
                               return OkStatus();
                             })
                  .ok());
  EXPECT_EQ(tables, kTablesPerTransactionMax);
  EXPECT_EQ(omitted, 3U);
}

TEST(StreamScanner, RowsOfAnUnseenTableAreNotCountedButPass) {
  B builder = Started();
  AddBegin(builder).Add(EventType::kWriteRows, B::Rows(99, {B::SbtestRow(1)}));
  AddCommit(builder).Transaction(1);
  const ScanReport report = Scan(builder.bytes());
  ASSERT_EQ(report.transactions.size(), 1U) << report.feed.message();
  EXPECT_TRUE(report.transactions[0].ends_with(" -"));
}

TEST(StreamScanner, LongStatementsAreKeptInPart) {
  B builder = Started();
  builder
      .Add(EventType::kQuery,
           B::Query("CREATE TABLE t /* " + std::string(200000, 'x') + " */ (id INT)"))
      .Transaction(1);
  for (size_t piece : {0, 1000, 65536}) {
    const ScanReport report = Scan(builder.bytes(), piece);
    ASSERT_EQ(report.ddl.size(), 1U) << report.feed.message();
    EXPECT_EQ(report.ddl[0].size(), std::string("test: ").size() + kDdlStatementBytesMax);
  }
}

// Events longer than the head, so that rows and payload stream.
class LongEventTest : public ::testing::Test {
 protected:
  static std::string ManyRows(size_t rows) {
    std::vector<std::string> images;
    for (size_t i = 0; i < rows; ++i) images.push_back(B::SbtestRow(static_cast<uint32_t>(i)));
    return B::Rows(5, images);
  }
  static std::string Compress(const std::string& plain) {
    std::string packed(ZSTD_compressBound(plain.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 1));
    return packed;
  }
  static std::string PayloadBody(const std::string& packed, uint64_t declared,
                                 uint8_t compression = 0) {
    std::string body;
    ByteWriter writer(&body);
    if (compression > 250) {
      writer.U8(2).U8(3).U8(0xFC).U16(compression);
    } else {
      writer.U8(2).U8(1).U8(compression);
    }
    writer.U8(3)
        .U8(9)
        .U8(0xFE)
        .U64(declared)
        .U8(1)
        .U8(9)
        .U8(0xFE)
        .U64(packed.size())
        .U8(0)
        .Text(packed);
    return body;
  }
  // BEGIN, table map, rows that do not compress, Xid.
  static std::string InnerEvents(size_t rows) {
    std::mt19937 random(1);
    std::vector<std::string> images(rows, B::SbtestRow(1));
    for (std::string& image : images) {
      for (size_t i = image.size() - 59; i < image.size(); ++i)
        image[i] = static_cast<char>(random());
    }
    const std::string body = B::Rows(5, images);
    const ChecksumAlgorithm off = ChecksumAlgorithm::kOff;
    return EncodeEvent(EventType::kQuery, {}, B::Query("BEGIN"), off) +
           EncodeEvent(EventType::kTableMap, {}, B::SbtestMap(5), off) +
           EncodeEvent(EventType::kWriteRows, {}, body, off) +
           EncodeEvent(EventType::kXid, {}, B::Xid(), off);
  }
  static ScanReport ScanPayload(const std::string& body, size_t piece = 0) {
    B builder = Started();
    builder.Add(EventType::kTransactionPayload, body).Transaction(1);
    return Scan(builder.bytes(), piece);
  }
};

TEST_F(LongEventTest, RowsAreCountedInPiecesOfAnySize) {
  for (size_t rows : {338, 339, 340, 341, 342, 3000}) {  // heads end at different places of a row
    B builder = Started();
    AddBegin(builder)
        .Add(EventType::kTableMap, B::SbtestMap(5))
        .Add(EventType::kWriteRows, ManyRows(rows));
    AddCommit(builder).Transaction(1);
    const std::string expected = " sbtest.sbtest1+" + std::to_string(rows) + "~0-0";
    const ScanReport whole = Scan(builder.bytes());
    for (size_t piece : {0, 7, 1021, 65536, 65537, 100003}) {
      const ScanReport report = Scan(builder.bytes(), piece);
      ASSERT_TRUE(report.feed.ok() && report.finish.ok())
          << report.feed.message() << report.finish.message();
      ASSERT_EQ(report.transactions.size(), 1U);
      EXPECT_TRUE(report.transactions[0].ends_with(expected))
          << piece << " " << report.transactions[0];
      EXPECT_EQ(report.events, whole.events);
    }
  }
}

TEST_F(LongEventTest, ChecksumMayBeSplitBetweenHeadAndRest) {
  for (size_t over = 0; over <= 8; ++over) {
    B builder = Started();
    const size_t body = kEventHeadBytesMax + over - kEventHeaderSize - kChecksumSize;
    AddBegin(builder).Add(EventType::kRowsQuery, std::string(body, 'q'));
    AddCommit(builder).Transaction(1);
    for (size_t piece : {0, 1, 13, 65536}) {
      const ScanReport report = Scan(builder.bytes(), piece);
      ASSERT_TRUE(report.feed.ok() && report.finish.ok())
          << over << " " << piece << " " << report.feed.message();
    }
    std::string damaged = builder.bytes();
    damaged[builder.event_offsets()[3] - 2] ^= 1;
    ExpectCorrupt(Scan(damaged, 13), "wrong checksum");
  }
}

TEST_F(LongEventTest, PayloadsAreUnpackedInPiecesOfAnySize) {
  const std::string inner = InnerEvents(3000);
  const std::string packed = Compress(inner);
  ASSERT_GT(packed.size(), 2 * kEventHeadBytesMax) << "does not stream";
  for (size_t piece : {0, 101, 65536, 99991}) {
    for (uint8_t compression : {0, 255}) {
      const ScanReport report = ScanPayload(
          PayloadBody(compression == 0 ? packed : inner, inner.size(), compression), piece);
      ASSERT_TRUE(report.feed.ok() && report.finish.ok()) << report.feed.message();
      ASSERT_EQ(report.transactions.size(), 1U);
      EXPECT_TRUE(report.transactions[0].ends_with(" 1 sbtest.sbtest1+3000~0-0"))
          << report.transactions[0];
    }
  }
}

TEST_F(LongEventTest, PayloadsMayConsistOfManyFrames) {
  const std::string inner = InnerEvents(10);
  std::string packed;
  for (int i = 0; i < 20000; ++i) packed += Compress("");
  packed += Compress(inner.substr(0, 100)) + Compress(inner.substr(100));
  const ScanReport report = ScanPayload(PayloadBody(packed, inner.size()));
  ASSERT_TRUE(report.feed.ok()) << report.feed.message();
  EXPECT_TRUE(report.transactions.at(0).ends_with("+10~0-0"));
}

TEST_F(LongEventTest, PayloadsThatLieAreCorruption) {
  const std::string inner = InnerEvents(10);
  const std::string packed = Compress(inner);
  ExpectCorrupt(ScanPayload(PayloadBody(packed, inner.size() - 1)), "more bytes than it declares");
  ExpectCorrupt(ScanPayload(PayloadBody(packed, inner.size() + 1)), "declares");
  ExpectCorrupt(ScanPayload(PayloadBody(packed, inner.size()) + "x"), "");
  ExpectCorrupt(ScanPayload(PayloadBody(packed.substr(0, packed.size() - 1), inner.size())),
                "cut short");
  ExpectCorrupt(ScanPayload(PayloadBody("not zstd at all", 15)), "zstd");
  ExpectCorrupt(ScanPayload("\x01"), "header");
  const std::string no_end = inner.substr(0, inner.size() - 27);
  ExpectCorrupt(ScanPayload(PayloadBody(Compress(no_end), no_end.size())), "has no end");
  const std::string cut = inner.substr(0, inner.size() - 1);
  ExpectCorrupt(ScanPayload(PayloadBody(Compress(cut), cut.size())), "cut short");
  const std::string more = inner + inner.substr(inner.size() - 27);
  ExpectCorrupt(ScanPayload(PayloadBody(Compress(more), more.size())), "follow the end");
  const std::string nested =
      EncodeEvent(EventType::kTransactionPayload, {}, PayloadBody(packed, inner.size()),
                  ChecksumAlgorithm::kOff);
  ExpectCorrupt(ScanPayload(PayloadBody(Compress(nested), nested.size())), "is inside");
}

TEST_F(LongEventTest, PayloadsOfUnknownCompressionStayClosed) {
  const ScanReport report = ScanPayload(PayloadBody("whatever", 100, 9));
  ASSERT_TRUE(report.feed.ok()) << report.feed.message();
  ASSERT_EQ(report.transactions.size(), 1U);
  EXPECT_TRUE(report.transactions[0].ends_with(" 1 -"));
}

}  // namespace
}  // namespace tidemark::testing
