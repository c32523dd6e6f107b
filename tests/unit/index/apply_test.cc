// Writing: the open frame's record is replaced again and again, segments are dropped and scanned
// anew; whatever the way, the index must end as if it had been told the final records once.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "index/index.h"
#include "tests/support/seed.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/index/index_records.h"

namespace tidemark {
namespace {

using namespace tidemark::testing;  // NOLINT(google-build-using-namespace)

std::unique_ptr<Index> OpenOrDie(const std::string& path) {
  auto opened = Index::OpenForWriting(path);
  EXPECT_TRUE(opened.has_value()) << opened.error().message();
  return std::move(*opened);
}
std::string Dump(Index& index) {
  std::string text;
  const Status status = DumpIndex(index, &text);
  EXPECT_TRUE(status.ok()) << status.message();
  return text;
}
// What an index looks like that was told `batches` and nothing before.
std::string DumpOf(const std::vector<DurableBatch>& batches) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  for (const DurableBatch& batch : batches) EXPECT_TRUE(index->Apply(batch).ok());
  return Dump(*index);
}

TEST(IndexApply, AGrowingFrameLeavesNoTraceOfItsEarlierVersions) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  // Intervals [1-2] and [4-5] merge when 3 arrives: the entry that began at 4 must go. The high
  // moves twice.
  for (const char* gtids : {"1-2", "1-2:4-5", "1-5", "1-6"}) {
    const int64_t now = static_cast<int64_t>(Set(A(gtids)).Count()) * 100;
    ASSERT_TRUE(index->Apply(MakeBatch("db1", 1, {MakeFrame(0, A(gtids), 100, now, now)})).ok());
  }
  const DurableBatch last = MakeBatch("db1", 1, {MakeFrame(0, A("1-6"), 100, 600, 600)});
  EXPECT_EQ(Dump(*index), DumpOf({last}));
}

TEST(IndexApply, AFrameThatShrankLosesWhatLayBehind) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  ASSERT_TRUE(
      index->Apply(MakeBatch("db1", 1, {MakeFrame(0, A("1-2:6:audit:1"), 100, 600, 600)})).ok());
  const DurableBatch last = MakeBatch("db1", 1, {MakeFrame(0, A("1-2"), 100, 200, 200)});
  ASSERT_TRUE(index->Apply(last).ok());
  EXPECT_EQ(Dump(*index), DumpOf({last}));
}

TEST(IndexApply, ReopenedInMidFrameItStillRemovesWhatTheFrameHadBefore) {
  const TempDir directory;
  const DurableBatch before =
      MakeBatch("db1", 1, {MakeFrame(0, A("1"), 1, 1, 1), MakeFrame(1, A("2:4"), 2, 4, 4)});
  const DurableBatch after =
      MakeBatch("db1", 1, {MakeFrame(0, A("1"), 1, 1, 1), MakeFrame(1, A("2-4"), 2, 5, 5)});
  ASSERT_TRUE(OpenOrDie(directory.Path("index"))->Apply(before).ok());
  const auto index = OpenOrDie(directory.Path("index"));
  ASSERT_TRUE(index->Apply(after).ok());
  EXPECT_EQ(Dump(*index), DumpOf({after}));
}

TEST(IndexApply, AnEarlierFrameOfTheSegmentCanBeReplacedToo) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  ASSERT_TRUE(index
                  ->Apply(MakeBatch(
                      "db1", 1, {MakeFrame(0, A("1:3"), 1, 1, 1), MakeFrame(1, A("4"), 4, 4, 4)}))
                  .ok());
  const DurableBatch again =
      MakeBatch("db1", 1, {MakeFrame(0, A("1-3"), 1, 3, 3), MakeFrame(1, A("4"), 4, 4, 4)});
  ASSERT_TRUE(index->Apply(again).ok());
  EXPECT_EQ(Dump(*index), DumpOf({again}));
}

TEST(IndexApply, ABatchWithoutFramesUpdatesTheSegmentAlone) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  DurableBatch batch = MakeBatch("db1", 1, {MakeFrame(0, A("1-3"), 1, 1, 1)});
  ASSERT_TRUE(index->Apply(batch).ok());
  DurableBatch sealed = batch;
  sealed.frames.clear();
  sealed.segment.sealed = true;
  sealed.segment.reason = SealReason::kAge;
  ASSERT_TRUE(index->Apply(sealed).ok());
  batch.segment = sealed.segment;
  EXPECT_EQ(Dump(*index), DumpOf({batch}));
}

// Segment 2: two frames, a DDL and an oversize record.
DurableBatch SegmentWithAllKinds() {
  DurableBatch batch = MakeBatch(
      "db1", 2, {MakeFrame(0, A("10-12:15"), 10, 15, 15), MakeFrame(1, A("13-14"), 16, 17, 17)});
  batch.ddl = {{G(A("11")), 11, 0, 30, "s", "DROP TABLE t"}};
  batch.oversize = {{G(A("13")), 16, 1, kFrameRawBytes, 9 * kFrameRawBytes}};
  return batch;
}

TEST(IndexApply, DroppingASegmentLeavesItsNeighboursWhole) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  const DurableBatch first = MakeBatch("db1", 1, {MakeFrame(0, A("1-9"), 1, 9, 9)});
  const DurableBatch middle = SegmentWithAllKinds();
  const DurableBatch last = MakeBatch("db1", 3, {MakeFrame(0, A("16-20"), 18, 20, 20)});
  const DurableBatch other = MakeBatch("db10", 2, {MakeFrame(0, A("10-12"), 18, 20, 20)});
  for (const auto& batch : {first, middle, last, other}) ASSERT_TRUE(index->Apply(batch).ok());
  EXPECT_EQ((*index->ListOversize("db1")).size(), 1u);
  ASSERT_TRUE(index->DropSegment("db1", 2).ok());
  EXPECT_EQ(Dump(*index), DumpOf({first, last, other}));
  ASSERT_TRUE(index->DropSegment("db1", 2).ok()) << "of a segment that is not there";
  ASSERT_TRUE(index->Apply(middle).ok());
  EXPECT_EQ(Dump(*index), DumpOf({first, middle, last, other}));
}

TEST(IndexApply, DroppingASegmentSparesAGtidThatALaterOneHoldsToo) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  ASSERT_TRUE(index->Apply(MakeBatch("db1", 1, {MakeFrame(0, A("5"), 1, 1, 1)})).ok());
  const DurableBatch later = MakeBatch("db1", 2, {MakeFrame(0, A("5-6"), 2, 2, 2)});
  ASSERT_TRUE(index->Apply(later).ok());
  ASSERT_TRUE(index->DropSegment("db1", 1).ok());
  EXPECT_EQ(Dump(*index), DumpOf({later}));
}

TEST(IndexApply, ReplacingASegmentLeavesNothingOfWhatItHad) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  const DurableBatch first = MakeBatch("db1", 1, {MakeFrame(0, A("1-9"), 1, 9, 9)});
  const DurableBatch before = SegmentWithAllKinds();
  DurableBatch after = MakeBatch("db1", 2, {MakeFrame(0, A("10-12"), 10, 15, 15)});
  after.ddl = {{G(A("12")), 12, 0, 40, "s", "DROP TABLE u"}};
  for (const auto& batch : {first, before}) ASSERT_TRUE(index->Apply(batch).ok());
  ASSERT_TRUE(index->ReplaceSegment(after).ok());
  EXPECT_EQ(Dump(*index), DumpOf({first, after}));
  ASSERT_TRUE(index->Apply(before).ok()) << "it goes on from there";
  ASSERT_TRUE(index->ReplaceSegment(before).ok());
  EXPECT_EQ(Dump(*index), DumpOf({first, before}));
  ASSERT_TRUE(index->ReplaceSegment(MakeBatch("db1", 3, {})).ok()) << "of a new one";
  EXPECT_EQ((*index->Segments("db1")).size(), 3u);
}

TEST(IndexApply, ANameNoSourceCanHaveIsRefused) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  EXPECT_EQ(index->Apply(MakeBatch("", 1, {})).code(), Code::kUsage);
  EXPECT_EQ(index->Apply(MakeBatch(std::string(65, 'x'), 1, {})).code(), Code::kUsage);
}

// A random archive told in random steps (frames growing, GTIDs out of order, the clock stepping,
// segments dropped and told anew, the index closed and opened) ends as one told at once, and finds
// what a plain search of the records finds.
class RandomArchive {
 public:
  explicit RandomArchive(uint64_t seed) : random_(seed) {}

  bool Chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  int64_t UpTo(int64_t most) {
    return static_cast<int64_t>(random_() % static_cast<uint64_t>(most)) + 1;
  }

  // The next durable step: one to three transactions, perhaps a new frame, perhaps a new segment.
  DurableBatch Step() {
    if (segments_.empty() || Chance(3)) NewSegment();
    DurableBatch& whole = segments_.back();
    if (whole.frames.empty() || Chance(15)) NewFrame(whole);
    const size_t first_changed = whole.frames.size() - 1;
    for (int64_t count = UpTo(3); count > 0; --count) AddTransaction(whole);
    if (Chance(10)) NewFrame(whole);
    DurableBatch step;
    step.source = whole.source;
    step.segment = whole.segment;
    step.frames.assign(whole.frames.begin() + static_cast<ptrdiff_t>(first_changed),
                       whole.frames.end());
    if (Chance(20)) {
      const uint32_t frame = whole.frames.back().frame;
      step.ddl = {{G(A("1")), time_, frame, whole.segment.raw_bytes, "s", "CREATE INDEX"}};
      whole.ddl.push_back(step.ddl.front());
    }
    return step;
  }
  std::vector<DurableBatch>& segments() { return segments_; }
  struct Committed {
    Gtid gtid;
    int64_t time_us;
    std::string place;
  };
  const std::vector<Committed>& committed() const { return committed_; }

 private:
  void NewSegment() {
    DurableBatch batch = MakeBatch("db1", segments_.size() + 1, {});
    batch.segment.commit_high_us = high_;
    batch.segment.header.source_file = "binlog." + std::to_string(segments_.size() + 1);
    segments_.push_back(std::move(batch));
  }
  void NewFrame(DurableBatch& whole) {
    FrameRecord frame = MakeFrame(static_cast<uint32_t>(whole.frames.size()), "", 0, 0, high_);
    frame.clock_stepped_back = false;
    frame.place.raw_offset = frame.raw_end = whole.segment.raw_bytes;
    whole.frames.push_back(frame);
  }
  void AddTransaction(DurableBatch& whole) {
    FrameRecord& frame = whole.frames.back();
    // Commits out of the order of their numbers, as a replica without preserved commit order logs
    // them.
    while (waiting_.size() < 4) waiting_.push_back(next_gno_++);
    const size_t pick = Chance(70) ? 0 : random_() % waiting_.size();
    Gtid gtid = G(Chance(20) ? A("audit:1") : A("1"));
    if (gtid.tsid.tag.empty()) {
      gtid.gno = waiting_[pick];
      waiting_.erase(waiting_.begin() + static_cast<ptrdiff_t>(pick));
    } else {
      gtid.gno = next_tagged_++;
    }
    time_ += Chance(10) ? -UpTo(300) : UpTo(40);
    high_ = std::max(high_, time_);
    if (frame.transactions++ == 0) frame.first_commit_us = time_;
    frame.last_commit_us = time_;
    frame.commit_high_us = whole.segment.commit_high_us = high_;
    frame.gtids.Add(gtid);
    whole.segment.gtids.Add(gtid);
    whole.segment.transactions++;
    whole.segment.raw_bytes += static_cast<uint64_t>(UpTo(900));
    frame.raw_end = whole.segment.raw_bytes;
    frame.tables.front().inserted++;
    committed_.push_back(
        {gtid, time_,
         std::to_string(whole.segment.header.number) + "/" + std::to_string(frame.frame)});
  }

  std::mt19937_64 random_;
  std::vector<DurableBatch> segments_;
  std::vector<Committed> committed_;
  std::vector<int64_t> waiting_;
  int64_t next_gno_ = 1;
  int64_t next_tagged_ = 1;
  int64_t time_ = 1'000'000;
  int64_t high_ = 0;
};

std::string Where(const Result<std::optional<IndexedFrame>>& found) {
  if (!found.has_value()) return found.error().message();
  if (!found->has_value()) return "none";
  return std::to_string((*found)->segment) + "/" + std::to_string((*found)->record.frame);
}

std::string FirstPast(const RandomArchive& archive, int64_t time_us) {
  for (const auto& transaction : archive.committed()) {
    if (transaction.time_us > time_us) return transaction.place;
  }
  return "none";
}

void CompareLookups(Index& index, const RandomArchive& archive) {
  for (const auto& transaction : archive.committed()) {
    ASSERT_EQ(Where(index.FindGtid("db1", transaction.gtid)), transaction.place)
        << transaction.gtid.ToString();
    for (const int64_t offset : {-1, 0}) {
      ASSERT_EQ(Where(index.FindFirstPast("db1", transaction.time_us + offset)),
                FirstPast(archive, transaction.time_us + offset));
    }
  }
}

void ComparePositions(Index& index, RandomArchive& archive) {
  for (const DurableBatch& segment : archive.segments()) {
    const std::string& file = segment.segment.header.source_file;
    for (uint64_t position = 0; position < segment.segment.raw_bytes; position += 97) {
      // The last frame that begins there or before: one without bytes yet shares its place with its
      // successor.
      const FrameRecord* holds = nullptr;
      for (const FrameRecord& frame : segment.frames) {
        if (frame.place.raw_offset <= position) holds = &frame;
      }
      ASSERT_EQ(Where(index.FindPosition("db1", file, position)),
                std::to_string(segment.segment.header.number) + "/" + std::to_string(holds->frame));
    }
    ASSERT_EQ(Where(index.FindPosition("db1", file, segment.segment.raw_bytes)), "none");
  }
}

TEST(IndexProperty, ToldInStepsItEndsAsToldAtOnceAndFindsWhatASearchFinds) {
  const uint64_t seed = TestSeed();
  for (uint64_t round = 0; round < 4; ++round) {
    RandomArchive archive(seed + round);
    const TempDir directory;
    auto index = OpenOrDie(directory.Path("index"));
    for (int step = 0; step < 300; ++step) {
      ASSERT_TRUE(index->Apply(archive.Step()).ok());
      if (archive.Chance(2)) {
        index.reset();
        index = OpenOrDie(directory.Path("index"));
      }
      if (archive.Chance(3)) {
        ASSERT_TRUE(index->Flush().ok());
      }
      if (archive.Chance(2)) {
        auto& segments = archive.segments();
        const DurableBatch& again =
            segments[static_cast<size_t>(archive.UpTo(static_cast<int64_t>(segments.size()))) - 1];
        ASSERT_TRUE(index->DropSegment("db1", again.segment.header.number).ok());
        ASSERT_TRUE(index->Apply(again).ok());
      }
    }
    ASSERT_EQ(Dump(*index), DumpOf(archive.segments()));
    CompareLookups(*index, archive);
    ComparePositions(*index, archive);
    for (const DurableBatch& segment : archive.segments()) {
      const auto differences = VerifyIndexAgainst(*index, segment, 10);
      ASSERT_TRUE(differences.has_value());
      EXPECT_TRUE(differences->empty()) << differences->front();
    }
  }
}

TEST(IndexVerify, NamesWhatIsMissingWhatIsTooMuchAndWhatDiffers) {
  const TempDir directory;
  const auto index = OpenOrDie(directory.Path("index"));
  const DurableBatch good =
      MakeBatch("db1", 1, {MakeFrame(0, A("1-9"), 1, 9, 9), MakeFrame(1, A("10-19"), 10, 19, 19)});
  DurableBatch bad = good;
  bad.frames[0].tables[0].inserted = 77;
  bad.frames.push_back(MakeFrame(2, A("20"), 20, 20, 20));
  ASSERT_TRUE(index->Apply(bad).ok());
  const auto differences = VerifyIndexAgainst(*index, good, 100);
  ASSERT_TRUE(differences.has_value());
  ASSERT_EQ(differences->size(),
            4u);  // frame 0 differs; frame 2 with its gtid and time entries is too much
  EXPECT_NE((*differences)[0].find("i=77"), std::string::npos) << (*differences)[0];
  EXPECT_NE((*differences)[1].find("more than the segment: frame db1/1/2"), std::string::npos)
      << (*differences)[1];
  const auto missing = VerifyIndexAgainst(*index, MakeBatch("db1", 2, {}), 2);
  ASSERT_TRUE(missing.has_value());
  ASSERT_EQ(missing->size(), 2u) << "no more than asked for";
  EXPECT_NE((*missing)[0].find("lacks: segment db1/2"), std::string::npos) << (*missing)[0];
}

}  // namespace
}  // namespace tidemark
