#include "pitr/event_cursor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "pitr/event_stream.h"
#include "tests/support/seed.h"
#include "tests/unit/pitr/history.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::HasSubstr;
using testing::History;
using testing::KnownTransaction;
using Kind = StreamPiece::Kind;

// What a follower has been given so far.
struct Follower {
  std::string bytes;
  int format_descriptions = 0;
  int idle_answers = 0;
  Status status;

  // One piece; false at the end of what the view knows, or at an error.
  bool Take(EventCursor& cursor) {
    Result<StreamPiece> piece = cursor.Next();
    if (!piece.ok()) {
      status = piece.error();
      return false;
    }
    if (piece->kind == Kind::kEnd) return false;
    if (piece->kind == Kind::kNothingYet) {
      ++idle_answers;
      return true;
    }
    EXPECT_FALSE(piece->bytes.empty());
    if (piece->kind == Kind::kFormatDescription) ++format_descriptions;
    bytes.append(AsText(piece->bytes));
    return true;
  }
  void TakeAll(EventCursor& cursor) {
    while (Take(cursor)) continue;
    EXPECT_TRUE(status.ok()) << status.message();
  }
};

// Behind the magic; nothing if the range is empty.
std::string WholeStream(ArchiveView& view, const StreamRange& range) {
  std::string bytes;
  StreamProgress progress;
  Status status = EventStream(view).WriteRange(
      range,
      [&bytes](Bytes piece) {
        bytes.append(AsText(piece));
        return OkStatus();
      },
      &progress);
  EXPECT_TRUE(status.ok()) << status.message();
  return progress.transactions_given == 0 ? "" : bytes.substr(kBinlogMagicSize);
}

std::unique_ptr<ArchiveView> LiveView(History* history) {
  auto view =
      ArchiveView::Over(PosixFileSystem(), history->dir.path(), "main", history->builder.index());
  EXPECT_TRUE(view.ok());
  return std::move(view.value());
}

TEST(EventCursor, FollowsOneCommitAfterTheOtherReadingOnlyThat) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(2000, {.row_bytes = 200});
  history.builder.Publish();
  auto view = LiveView(&history);
  EventCursor cursor(*view, {});
  Follower follower;
  follower.TakeAll(cursor);
  EXPECT_FALSE(cursor.at_stop());
  for (int i = 0; i < 100; ++i) {
    const KnownTransaction known = history.Add({.row_bytes = 500});
    history.builder.Publish();
    Follower next;
    next.TakeAll(cursor);
    EXPECT_EQ(next.bytes, "") << "the view was not refreshed";
    ASSERT_TRUE(view->Refresh().ok());
    const uint64_t read = cursor.progress().raw_bytes_read;
    next.TakeAll(cursor);
    ASSERT_TRUE(next.bytes == history.BytesOf(known));
    EXPECT_EQ(cursor.progress().raw_bytes_read - read, known.end - known.begin);
    EXPECT_EQ(cursor.source_position(), known.end);
    EXPECT_EQ(next.format_descriptions, 0);
  }
}

TEST(EventCursor, SeveralSegmentsAndFilesBetweenTwoLooks) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(10);
  history.builder.Publish();
  auto view = LiveView(&history);
  EventCursor cursor(*view, {});
  Follower follower;
  follower.TakeAll(cursor);
  history.AddMany(5);  // the segment that the cursor stands in grows, is sealed, and others follow
  history.builder.Continue();
  history.AddMany(5);
  history.BeginFile("binlog.000002");
  history.AddMany(5);
  history.BeginFile("binlog.000003");
  history.AddMany(5);
  history.builder.Publish();
  ASSERT_TRUE(view->Refresh().ok());
  follower.TakeAll(cursor);
  EXPECT_TRUE(follower.bytes == WholeStream(*view, {}));
  EXPECT_EQ(follower.format_descriptions, 3);
  EXPECT_EQ(cursor.source_file(), "binlog.000003");
  EXPECT_EQ(cursor.progress().transactions_given, history.all.size());
}

TEST(EventCursor, TransactionLongerThanFramesIsPublishedLater) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(3);
  history.builder.Publish();
  auto view = LiveView(&history);
  EventCursor first(*view, {}), third_and_on(*view, {.exclude = BuilderSet(1, 3)});
  Follower a, b;
  a.TakeAll(first);
  b.TakeAll(third_and_on);
  history.Add({.row_bytes = 900'000, .events = 8});
  history.AddMany(3);
  history.builder.Publish();
  ASSERT_TRUE(view->Refresh().ok());
  a.TakeAll(first);
  b.TakeAll(third_and_on);
  EXPECT_TRUE(a.bytes == WholeStream(*view, {}));
  EXPECT_TRUE(b.bytes == WholeStream(*view, {.exclude = BuilderSet(1, 3)}));
}

TEST(EventCursor, NothingBeyondStopBeforeEvenIfThatComesLater) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(20);
  history.builder.Publish();
  auto old_view = LiveView(&history);
  history.AddMany(10);
  history.builder.Continue();
  const KnownTransaction stop = history.Add();
  history.AddMany(10);
  history.builder.Publish();
  auto new_view = LiveView(&history);
  auto located = Locator(*new_view).FindGtid(stop.gtid);
  ASSERT_TRUE(located.ok());
  EventCursor cursor(*old_view, {.stop_before = *located});
  Follower follower;
  follower.TakeAll(cursor);
  EXPECT_FALSE(cursor.at_stop());
  EXPECT_EQ(cursor.progress().transactions_given, 20u);
  ASSERT_TRUE(old_view->Refresh().ok());
  follower.TakeAll(cursor);
  EXPECT_TRUE(cursor.at_stop());
  EXPECT_EQ(cursor.progress().transactions_given, 30u);
  history.AddMany(10);
  history.builder.Publish();
  ASSERT_TRUE(old_view->Refresh().ok());
  follower.TakeAll(cursor);
  EXPECT_TRUE(follower.bytes == WholeStream(*old_view, {.stop_before = *located}));
}

TEST(EventCursor, WorkWithoutAnythingToGiveIsBounded) {
  History history;
  history.BeginFile("binlog.000001");
  history.Add();
  history.Add({.row_bytes = 2'000'000, .events = 15});
  history.Add();
  history.builder.Finish();
  auto view = history.Open();
  EventCursor cursor(*view, {.exclude = BuilderSet(2, 2)});
  Follower follower;
  uint64_t most = 0, before = 0;
  while (follower.Take(cursor)) {
    most = std::max(most, cursor.progress().raw_bytes_read - before);
    before = cursor.progress().raw_bytes_read;
  }
  ASSERT_TRUE(follower.status.ok()) << follower.status.message();
  EXPECT_GT(follower.idle_answers, 5);
  EXPECT_LE(most, (4u << 20) + (128u << 10));
  EXPECT_TRUE(follower.bytes.ends_with(history.BytesOf(history.all.back())));
}

TEST(EventCursor, PositionIsTheEndOfWhatWasGivenOrPassedOver) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(3);
  const KnownTransaction before = history.all.back();
  const KnownTransaction giant = history.Add({.row_bytes = 400'000, .events = 3});
  history.AddMany(2);
  history.builder.Publish();
  auto view = LiveView(&history);
  EventCursor cursor(*view, {.exclude = BuilderSet(6, 6)});
  EXPECT_EQ(cursor.source_position(), 0u);
  Follower follower;
  int inside = 0;
  while (follower.Take(cursor)) {
    EXPECT_EQ(cursor.source_file(), "binlog.000001");
    if (cursor.progress().transactions_given != 3) continue;
    EXPECT_EQ(cursor.source_position(), before.end) << "in the middle of a transaction";
    ++inside;
  }
  EXPECT_GT(inside, 3);
  EXPECT_EQ(cursor.source_position(), history.all.back().end);
  EXPECT_GT(cursor.source_position(), giant.end);
}

TEST(EventCursor, PositionMovesOverSkippedSegmentsOfTheSameFileOnly) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(3);
  history.builder.Continue();
  history.AddMany(3);
  const uint64_t end = history.all.back().end;
  history.builder.Publish();
  auto view = LiveView(&history);
  EventCursor cursor(*view, {.include = BuilderSet(1, 2)});
  Follower follower;
  follower.TakeAll(cursor);
  EXPECT_EQ(cursor.source_position(), end);
  history.BeginFile("binlog.000002");
  history.AddMany(3);
  history.builder.Publish();
  ASSERT_TRUE(view->Refresh().ok());
  follower.TakeAll(cursor);
  EXPECT_EQ(cursor.source_file(), "binlog.000001");
  EXPECT_EQ(cursor.source_position(), end);
}

TEST(EventCursor, SegmentThatIsRemovedWhileItIsReadIsAnError) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(3);
  history.builder.Publish();
  auto view = LiveView(&history);
  EventCursor cursor(*view, {});
  Follower follower;
  follower.TakeAll(cursor);
  ASSERT_TRUE(history.builder.index().DropSegment("main", 1).ok());
  ASSERT_TRUE(view->Refresh().ok());
  EXPECT_FALSE(follower.Take(cursor));
  EXPECT_EQ(follower.status.code(), Code::kNotFound);
  EXPECT_THAT(follower.status.message(), HasSubstr("segment 1"));
}

// Four segments of ten transactions; the cursor has read the first when `removed` go.
Status ReadOnAfterRemoval(StreamRange range, const std::vector<uint64_t>& removed,
                          GtidSet* missing) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(10);
  history.builder.Continue();
  auto view = LiveView(&history);
  EventCursor cursor(*view, std::move(range));
  Follower follower;
  follower.TakeAll(cursor);
  for (int i = 0; i < 3; ++i) {
    history.AddMany(10);
    history.builder.Continue();
  }
  *missing = BuilderSet(11, 10 + 10 * static_cast<int64_t>(removed.size() - 1));
  for (uint64_t number : removed) {
    EXPECT_TRUE(history.builder.index().DropSegment("main", number).ok());
  }
  EXPECT_TRUE(view->Refresh().ok());
  while (follower.Take(cursor)) continue;
  return follower.status;
}

TEST(EventCursor, SegmentsThatAreRemovedBeforeTheyAreReadAreAnError) {
  GtidSet missing;
  for (const std::vector<uint64_t>& removed :
       {std::vector<uint64_t>{1, 2}, std::vector<uint64_t>{1, 2, 3}}) {
    const Status status = ReadOnAfterRemoval({}, removed, &missing);
    EXPECT_EQ(status.code(), Code::kNotFound) << removed.size();
    EXPECT_THAT(status.message(), HasSubstr(missing.ToString()));
  }
}

TEST(EventCursor, RemovedSegmentsOfWhichNothingIsWantedAreNone) {
  GtidSet missing;
  const Status status = ReadOnAfterRemoval({.exclude = BuilderSet(1, 20)}, {1, 2}, &missing);
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(EventCursor, WhatTheIndexPromisesMustBeThere) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(3);
  history.builder.Publish();
  Index& index = history.builder.index();
  auto view = LiveView(&history);
  DurableBatch batch;
  batch.source = "main";
  batch.segment = *view->segment(1);
  ASSERT_TRUE(index
                  .EachFrame("main", 1, 0,
                             [&batch](const IndexedFrame& frame) {
                               batch.frames.push_back(frame.record);
                               return true;
                             })
                  .ok());
  batch.frames.back().gtids.Add(BuilderGtid(99));
  ASSERT_TRUE(index.Apply(batch).ok());
  EventCursor cursor(*view, {});
  Follower follower;
  while (follower.Take(cursor)) continue;
  EXPECT_EQ(follower.status.code(), Code::kCorruption);
  EXPECT_THAT(follower.status.message(), HasSubstr(":99"));
  EventCursor indifferent(*view, {.exclude = BuilderSet(99, 99)});
  Follower content;
  content.TakeAll(indifferent);
  EXPECT_EQ(indifferent.progress().transactions_given, 3u);
}

// An archive that grows in random steps.
class Growth {
 public:
  explicit Growth(std::mt19937_64* random) : random_(*random) { history.BeginFile("binlog.1"); }

  void Step() {
    if (UpTo(12) == 0) history.BeginFile("binlog." + std::to_string(++file_));
    if (UpTo(12) == 0) history.builder.Continue();
    if (UpTo(25) == 0) {
      history.Gap(3);
      history.BeginFile("binlog." + std::to_string(++file_));
    }
    for (uint64_t adds = UpTo(4); adds > 0; --adds) {
      if (UpTo(9) == 0) {
        history.Add({.row_bytes = 300'000, .events = static_cast<uint32_t>(1 + UpTo(15))});
      } else if (UpTo(3) == 0) {
        history.Add({.row_bytes = 150'000});
      } else {
        history.AddMany(static_cast<int>(UpTo(20)), {.row_bytes = 300});
      }
    }
    if (UpTo(4) != 0) history.builder.Publish();
  }
  StreamRange Range() {
    StreamRange range;
    for (uint64_t pieces = UpTo(4); pieces > 0; --pieces) range.exclude.Add(Piece());
    if (UpTo(3) == 0) range.include = Piece();
    return range;
  }
  uint64_t UpTo(uint64_t most) { return random_() % (most + 1); }

  History history;

 private:
  GtidSet Piece() {
    const auto first = static_cast<int64_t>(1 + UpTo(800));
    return BuilderSet(first, first + static_cast<int64_t>(UpTo(200)));
  }
  std::mt19937_64& random_;
  int file_ = 1;
};

// Whenever the followers look, and however often they ask: in the end each has what one read of the
// final archive gives. Every second view is over the index that is being written, which then knows
// more than the view.
TEST(EventCursorProperty, FollowersOfAGrowingArchiveGetTheWholeRange) {
  std::mt19937_64 random(testing::TestSeed());
  for (int round = 0; round < 6; ++round) {
    Growth growth(&random);
    growth.history.builder.Publish();
    struct One {
      std::unique_ptr<ArchiveView> view;
      StreamRange range;
      std::unique_ptr<EventCursor> cursor;
      Follower follower;
    };
    std::vector<One> all(8);
    for (size_t i = 0; i < all.size(); ++i) {
      One& one = all[i];
      one.view = i % 2 == 0 ? growth.history.Open() : LiveView(&growth.history);
      if (i > 1) one.range = growth.Range();
      one.cursor = std::make_unique<EventCursor>(*one.view, one.range);
    }
    for (int step = 0; step < 60; ++step) {
      growth.Step();
      for (One& one : all) {
        if (growth.UpTo(2) == 0) {
          ASSERT_TRUE(one.view->Refresh().ok());
        }
        for (uint64_t pieces = growth.UpTo(12); pieces > 0; --pieces)
          one.follower.Take(*one.cursor);
        ASSERT_TRUE(one.follower.status.ok()) << one.follower.status.message();
      }
    }
    growth.history.builder.Publish();
    auto final_view = growth.history.Open();
    for (One& one : all) {
      ASSERT_TRUE(one.view->Refresh().ok());
      one.follower.TakeAll(*one.cursor);
      ASSERT_TRUE(one.follower.bytes == WholeStream(*final_view, one.range));
      EXPECT_EQ(one.cursor->progress().raw_bytes_given, one.follower.bytes.size());
    }
  }
}

}  // namespace
}  // namespace tidemark
