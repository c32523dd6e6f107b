// Look-ups at their edges, over records made by hand.
#include <gtest/gtest.h>

#include "index/index.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/index/index_records.h"

namespace tidemark {
namespace {

using namespace tidemark::testing;  // NOLINT(google-build-using-namespace)

class IndexLookup : public ::testing::Test {
 protected:
  void SetUp() override {
    auto opened = Index::OpenForWriting(directory_.Path("index"));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    index_ = std::move(*opened);
  }
  void Apply(const DurableBatch& batch) {
    const Status status = index_->Apply(batch);
    ASSERT_TRUE(status.ok()) << status.message();
  }
  // "segment/frame", "none", or the error.
  static std::string Where(const Result<std::optional<IndexedFrame>>& found) {
    if (!found.has_value()) return found.error().message();
    if (!found->has_value()) return "none";
    return std::to_string((*found)->segment) + "/" + std::to_string((*found)->record.frame);
  }
  std::string Gtid(const std::string& text, const std::string& source = "db1") {
    return Where(index_->FindGtid(source, G(text)));
  }
  std::string Past(int64_t time_us) { return Where(index_->FindFirstPast("db1", time_us)); }
  std::string Position(uint64_t position, const std::string& file = "binlog.000001") {
    return Where(index_->FindPosition("db1", file, position));
  }

  TempDir directory_;
  std::unique_ptr<Index> index_;
};

TEST_F(IndexLookup, AnEmptyIndexFindsNothingAndFailsNowhere) {
  EXPECT_EQ(Gtid(A("1")), "none");
  EXPECT_EQ(Past(INT64_MIN), "none");
  EXPECT_EQ(Position(0), "none");
  EXPECT_TRUE(index_->Sources()->empty());
  EXPECT_TRUE(index_->Segments("db1")->empty());
  EXPECT_FALSE(index_->LastSegment("db1")->has_value());
  EXPECT_TRUE(index_->ListDdl("db1", INT64_MIN, INT64_MAX, 10)->empty());
  EXPECT_TRUE(index_->ListOversize("db1")->empty());
}

TEST_F(IndexLookup, GtidAtBothEndsOfAnIntervalAndInTheHoleBetweenTwo) {
  Apply(MakeBatch(
      "db1", 1,
      {MakeFrame(0, A("5-9:20-29:audit:1-3"), 1, 2, 2), MakeFrame(1, A("10-19"), 3, 4, 4)}));
  EXPECT_EQ(Gtid(A("4")), "none");
  EXPECT_EQ(Gtid(A("5")), "1/0");
  EXPECT_EQ(Gtid(A("9")), "1/0");
  EXPECT_EQ(Gtid(A("10")), "1/1");
  EXPECT_EQ(Gtid(A("19")), "1/1");
  EXPECT_EQ(Gtid(A("20")), "1/0");
  EXPECT_EQ(Gtid(A("29")), "1/0");
  EXPECT_EQ(Gtid(A("30")), "none");
  EXPECT_EQ(Gtid(A("audit:1")), "1/0");
  EXPECT_EQ(Gtid(A("audit:4")), "none");
  EXPECT_EQ(Gtid(A("audi:1")), "none");
  EXPECT_EQ(Gtid(B("5")), "none");
}

TEST_F(IndexLookup, GtidsOfTwoSourcesAreApartEvenIfOneNameBeginsTheOther) {
  Apply(MakeBatch("db1", 1, {MakeFrame(0, A("1-9"), 1, 2, 2)}));
  Apply(MakeBatch("db10", 4, {MakeFrame(0, A("5-20"), 1, 2, 2)}));
  EXPECT_EQ(Gtid(A("5"), "db1"), "1/0");
  EXPECT_EQ(Gtid(A("5"), "db10"), "4/0");
  EXPECT_EQ(Gtid(A("15"), "db1"), "none");
  EXPECT_EQ(Gtid(A("1"), "db10"), "none");
  EXPECT_EQ(Gtid(A("1"), "db"), "none");
  EXPECT_EQ(Gtid(A("1"), ""), "none");
  EXPECT_EQ(Gtid(A("1"), std::string(300, 'x')), "none");
  EXPECT_EQ(*index_->Sources(), (std::vector<std::string>{"db1", "db10"}));
}

TEST_F(IndexLookup, TimeEqualToACommitIsNotPastIt) {
  Apply(MakeBatch(
      "db1", 1, {MakeFrame(0, A("1-9"), 100, 200, 200), MakeFrame(1, A("10-19"), 201, 300, 300)}));
  EXPECT_EQ(Past(99), "1/0");
  EXPECT_EQ(Past(199), "1/0");
  EXPECT_EQ(Past(200), "1/1");
  EXPECT_EQ(Past(299), "1/1");
  EXPECT_EQ(Past(300), "none");
  EXPECT_EQ(Past(INT64_MAX), "none");
  EXPECT_EQ(Past(INT64_MIN), "1/0");
}

TEST_F(IndexLookup, TimeFindsTheFirstFramePastItThoughTheClockSteppedBackBehindIt) {
  Apply(MakeBatch("db1", 1,
                  {MakeFrame(0, A("1-9"), 100, 500, 500), MakeFrame(1, A("10-19"), 150, 300, 500),
                   MakeFrame(2, A("20-29"), 301, 600, 600)}));
  EXPECT_EQ(Past(250), "1/0");  // frame 1 holds such times too, but is later in archive order
  EXPECT_EQ(Past(499), "1/0");
  EXPECT_EQ(Past(500), "1/2");
}

TEST_F(IndexLookup, AFrameWithoutATransactionIsNeverFoundByTime) {
  FrameRecord continuation = MakeFrame(1, "", 0, 0, 200);
  continuation.starts_in_transaction = true;
  Apply(MakeBatch(
      "db1", 1,
      {MakeFrame(0, A("1"), 200, 200, 200), continuation, MakeFrame(2, A("2"), 300, 300, 300)}));
  EXPECT_EQ(Past(0), "1/0");
  EXPECT_EQ(Past(200), "1/2");
  EXPECT_EQ(Where(index_->Frame("db1", 1, 1)), "1/1");
}

TEST_F(IndexLookup, PositionInTheFirstByteTheLastByteAndBehindIt) {
  Apply(MakeBatch("db1", 1,
                  {MakeFrame(0, A("1"), 1, 1, 1), MakeFrame(1, A("2"), 2, 2, 2),
                   MakeFrame(2, A("3"), 3, 3, 3)}));
  EXPECT_EQ(Position(0), "1/0");
  EXPECT_EQ(Position(kFrameRawBytes - 1), "1/0");
  EXPECT_EQ(Position(kFrameRawBytes), "1/1");
  EXPECT_EQ(Position(3 * kFrameRawBytes - 1), "1/2");
  EXPECT_EQ(Position(3 * kFrameRawBytes), "none");
  EXPECT_EQ(Position(UINT64_MAX), "none");
  EXPECT_EQ(Position(0, "binlog.00000"), "none");
  EXPECT_EQ(Position(0, "binlog.0000011"), "none");
}

DurableBatch Continuation(uint64_t number, uint64_t source_start) {
  DurableBatch batch = MakeBatch("db1", number, {MakeFrame(0, A(std::to_string(number)), 1, 1, 1)});
  batch.segment.header.source_start = source_start;
  batch.segment.header.prefix_bytes = source_start == 0 ? 0 : 200;
  batch.segment.raw_bytes = batch.segment.header.prefix_bytes + 1000;
  return batch;
}

TEST_F(IndexLookup, PositionGoesToTheSegmentOfTheFileThatHoldsIt) {
  Apply(Continuation(1, 0));
  Apply(Continuation(2, 1000));
  Apply(Continuation(3, 5000));  // 2000..4999 are not archived
  EXPECT_EQ(Position(999), "1/0");
  EXPECT_EQ(Position(1000), "2/0");
  EXPECT_EQ(Position(1999), "2/0");
  EXPECT_EQ(Position(2000), "none");
  EXPECT_EQ(Position(5999), "3/0");
  EXPECT_EQ(Position(6000), "none");
}

TEST_F(IndexLookup, AFileNameThatCameTwiceMeansTheLaterFile) {
  Apply(Continuation(1, 0));
  Apply(Continuation(2, 1000));
  Apply(Continuation(3, 0));  // RESET BINARY LOGS AND GTIDS
  EXPECT_EQ(Position(10), "3/0");
  EXPECT_EQ(Position(1500), "none") << "what the earlier file had there is another byte";
}

TEST_F(IndexLookup, AFileOfTheSameNameOnAnotherServerIsAnotherFile) {
  Apply(Continuation(1, 0));
  DurableBatch other = Continuation(2, 5000);
  other.segment.header.server_uuid = Uuid::Parse(kUuidB).value();
  Apply(other);
  EXPECT_EQ(Position(5500), "2/0");
  EXPECT_EQ(Position(10), "none");
}

TEST_F(IndexLookup, EachFrameBeginsWhereAskedAndStopsWhenTold) {
  Apply(MakeBatch("db1", 1,
                  {MakeFrame(0, A("1"), 1, 1, 1), MakeFrame(1, A("2"), 2, 2, 2),
                   MakeFrame(2, A("3"), 3, 3, 3)}));
  Apply(MakeBatch("db1", 2, {MakeFrame(0, A("4"), 4, 4, 4)}));
  std::vector<uint32_t> seen;
  ASSERT_TRUE(index_
                  ->EachFrame("db1", 1, 1,
                              [&](const IndexedFrame& frame) {
                                seen.push_back(frame.record.frame);
                                return true;
                              })
                  .ok());
  EXPECT_EQ(seen, (std::vector<uint32_t>{1, 2}));
  seen.clear();
  ASSERT_TRUE(index_
                  ->EachFrame("db1", 1, 0,
                              [&](const IndexedFrame& frame) {
                                seen.push_back(frame.record.frame);
                                return false;
                              })
                  .ok());
  EXPECT_EQ(seen, (std::vector<uint32_t>{0}));
}

TEST_F(IndexLookup, DdlInArchiveOrderWithinTimesAndLimit) {
  DurableBatch first = MakeBatch("db1", 1, {MakeFrame(0, A("1-9"), 100, 500, 500)});
  first.ddl = {{G(A("2")), 200, 0, 10, "s", "CREATE TABLE a (i INT)"},
               {G(A("3")), 500, 0, 20, "s", "DROP TABLE a"}};
  DurableBatch second = MakeBatch("db1", 2, {MakeFrame(0, A("10-19"), 300, 600, 600)});
  second.ddl = {{G(A("11")), 300, 0, 10, "s", "TRUNCATE b"}};  // the clock has stepped back
  Apply(first);
  Apply(second);
  auto statements = [&](int64_t from, int64_t to, size_t limit) {
    std::string all;
    const auto found = index_->ListDdl("db1", from, to, limit);
    for (const IndexedDdl& ddl : *found) {
      all += std::to_string(ddl.segment) + ":" + std::to_string(ddl.record.raw_offset) + " ";
    }
    return all;
  };
  EXPECT_EQ(statements(INT64_MIN, INT64_MAX, 10), "1:10 1:20 2:10 ");
  EXPECT_EQ(statements(200, 300, 10), "1:10 2:10 ");
  EXPECT_EQ(statements(201, 500, 10), "1:20 2:10 ");
  EXPECT_EQ(statements(INT64_MIN, INT64_MAX, 2), "1:10 1:20 ");
  EXPECT_EQ(statements(301, 200, 10), "");
  EXPECT_EQ(statements(0, 1000, 0), "");
  EXPECT_EQ(statements(601, 1000, 9), "");
}

TEST_F(IndexLookup, SegmentsComeAscendingWithTheirHeaders) {
  for (const uint64_t number : {1, 2, 255, 256}) {
    Apply(MakeBatch("db1", number, {MakeFrame(0, A(std::to_string(number)), 1, 1, 1)}));
  }
  std::vector<uint64_t> numbers;
  const auto segments = index_->Segments("db1");
  for (const SegmentRecord& segment : *segments) {
    numbers.push_back(segment.header.number);
    EXPECT_EQ(segment.header.source_name, "db1");
    EXPECT_EQ(segment.gtids, Set(A(std::to_string(segment.header.number))));
  }
  EXPECT_EQ(numbers, (std::vector<uint64_t>{1, 2, 255, 256}));
  EXPECT_EQ((*index_->LastSegment("db1"))->header.number, 256u);
  EXPECT_EQ((*index_->Segment("db1", 255))->header.number, 255u);
  EXPECT_FALSE(index_->Segment("db1", 3)->has_value());
}

}  // namespace
}  // namespace tidemark
