#include "pitr/event_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "replication/event/control_events.h"
#include "tests/support/seed.h"
#include "tests/unit/pitr/history.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::HasSubstr;
using testing::History;
using testing::KnownTransaction;

struct Collected {
  Status status;
  std::string bytes;
  StreamProgress progress;
};

Collected Collect(ArchiveView& view, const StreamRange& range) {
  Collected collected;
  auto sink = [&collected](Bytes piece) {
    collected.bytes.append(AsText(piece));
    return OkStatus();
  };
  collected.status = EventStream(view).WriteRange(range, sink, &collected.progress);
  return collected;
}

// The stream's own account: its transactions' bytes one after the other, and the number of format
// descriptions.
struct Content {
  std::string transactions;
  GtidSet gtids;
  int format_descriptions = 0;
  int others = 0;
};

Content Parse(const std::string& stream) {
  Content content;
  StreamScanner scanner(ScannerOptions{.expect_magic = true});
  Status fed = scanner.FeedBytes(AsBytes(stream), [&](const ScannedEvent& event) {
    if (event.role == EventRole::kFormatDescription) ++content.format_descriptions;
    if (event.role != EventRole::kTransaction && event.role != EventRole::kFormatDescription) {
      ++content.others;
    }
    if (event.finished != nullptr) {
      const Transaction& transaction = *event.finished;
      content.transactions += stream.substr(transaction.begin_offset, transaction.size());
      content.gtids.Add(transaction.gtid);
    }
    return OkStatus();
  });
  EXPECT_TRUE(fed.ok()) << fed.message();
  EXPECT_TRUE(scanner.Finish().ok());
  return content;
}

std::string WholeFile(ArchiveView& view, const std::string& file, bool* complete) {
  std::string bytes;
  Status status = EventStream(view).WriteSourceFile(
      file,
      [&bytes](Bytes piece) {
        bytes.append(AsText(piece));
        return OkStatus();
      },
      complete);
  EXPECT_TRUE(status.ok()) << status.message();
  return bytes;
}

void BuildTwoFiles(History* history) {
  history->BeginFile("binlog.000001");
  history->AddMany(200, {.row_bytes = 20'000});
  history->builder.Continue();
  history->Add({.row_bytes = 90'000, .events = 100});
  history->Add({.rows = 3, .row_bytes = 3'000'000});
  history->AddMany(20);
  history->BeginFile("binlog.000002");
  history->AddMany(100, {.row_bytes = 30'000});
  history->builder.Finish();
}

TEST(WriteRange, WholeArchiveIsEveryTransactionByteForByte) {
  History history;
  BuildTwoFiles(&history);
  auto view = history.Open();
  Collected all = Collect(*view, {});
  ASSERT_TRUE(all.status.ok()) << all.status.message();
  Content content = Parse(all.bytes);
  std::string expected;
  for (const KnownTransaction& known : history.all) expected += history.BytesOf(known);
  EXPECT_TRUE(content.transactions == expected) << "other bytes than the source's";
  EXPECT_EQ(content.format_descriptions, 2) << "one per source file";
  EXPECT_EQ(content.others, 0);
  EXPECT_EQ(all.progress.transactions_given, history.all.size());
  EXPECT_EQ(all.progress.raw_bytes_given, all.bytes.size());
}

TEST(WriteRange, ExcludedFramesAreNotRead) {
  History history;
  BuildTwoFiles(&history);
  auto view = history.Open();
  auto last = static_cast<int64_t>(history.all.size());
  Collected tail = Collect(*view, {.exclude = BuilderSet(1, last - 5)});
  ASSERT_TRUE(tail.status.ok()) << tail.status.message();
  EXPECT_EQ(Parse(tail.bytes).gtids, BuilderSet(last - 4, last));
  EXPECT_LT(tail.progress.raw_bytes_read, 2u << 20);
}

TEST(WriteRange, NothingToGiveIsStillABinlog) {
  History history;
  BuildTwoFiles(&history);
  auto view = history.Open();
  Collected none = Collect(*view, {.exclude = history.builder.set()});
  ASSERT_TRUE(none.status.ok());
  EXPECT_EQ(Parse(none.bytes).format_descriptions, 1);
  EXPECT_EQ(none.progress.transactions_given, 0u);
  EXPECT_EQ(none.progress.raw_bytes_read, 0u);
}

TEST(WriteRange, SinkErrorStopsTheStream) {
  History history;
  BuildTwoFiles(&history);
  auto view = history.Open();
  int calls = 0;
  Status status = EventStream(*view).WriteRange(
      {}, [&calls](Bytes) { return ++calls == 3 ? Status(Code::kIo, "pipe closed") : OkStatus(); },
      nullptr);
  EXPECT_EQ(status.code(), Code::kIo);
  EXPECT_THAT(status.message(), HasSubstr("pipe closed"));
  EXPECT_EQ(calls, 3);
}

// Memory: what reaches the sink are pieces, whatever the event's size.
TEST(WriteRange, GiantEventComesInPieces) {
  History history;
  history.BeginFile("binlog.000001");
  history.Add();
  history.Add({.rows = 1, .row_bytes = 60'000'000});
  history.Add();
  history.builder.Finish();
  auto view = history.Open();
  size_t largest = 0, total = 0;
  Status status = EventStream(*view).WriteRange(
      {.exclude = BuilderSet(1, 1)},
      [&](Bytes piece) {
        largest = std::max(largest, piece.size());
        total += piece.size();
        return OkStatus();
      },
      nullptr);
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_GT(total, 60'000'000u);
  EXPECT_LE(largest, 256u << 10);
}

TEST(WriteRange, DamageEndsItWithAnErrorThatNamesTheSegment) {
  History history;
  BuildTwoFiles(&history);
  auto view = history.Open();
  std::string path = history.builder.SegmentPath(1);
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(std::filesystem::file_size(path) / 2));
    file.write("damaged!", 8);
  }
  Collected all = Collect(*view, {});
  EXPECT_EQ(all.status.code(), Code::kCorruption);
  EXPECT_THAT(all.status.message(), HasSubstr(path));
}

TEST(WriteRange, BoundaryIsExact) {
  History history;
  BuildTwoFiles(&history);
  auto view = history.Open();
  Locator locator(*view);
  for (size_t i = 0; i < history.all.size(); i += 11) {
    auto stop = locator.FindGtid(history.all[i].gtid);
    ASSERT_TRUE(stop.ok());
    Collected part = Collect(*view, {.stop_before = *stop});
    ASSERT_TRUE(part.status.ok()) << part.status.message();
    EXPECT_EQ(Parse(part.bytes).gtids, history.all[i].before);
  }
}

TEST(WriteRange, WhatIsWrittenButNotPublishedIsNotGiven) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(10);
  history.builder.Publish();
  history.builder.WriteUnpublished({.gtid = BuilderGtid(11), .commit_us = History::kStartUs});
  auto view = history.Open();
  Collected all = Collect(*view, {});
  ASSERT_TRUE(all.status.ok()) << all.status.message();
  EXPECT_EQ(Parse(all.bytes).gtids, BuilderSet(1, 10));
  history.builder.Publish();
  ASSERT_TRUE(view->Refresh().ok());
  EXPECT_EQ(Parse(Collect(*view, {}).bytes).gtids, BuilderSet(1, 11));
}

// Any exclude, include and boundary over random archives: exactly the transactions asked for, in
// order, whole.
TEST(WriteRangeProperty, RandomRanges) {
  std::mt19937_64 random(testing::TestSeed());
  auto up_to = [&random](int64_t most) {
    return static_cast<int64_t>(random() % static_cast<uint64_t>(most + 1));
  };
  for (int round = 0; round < 4; ++round) {
    History history(
        {.checksum = round % 4 == 3 ? ChecksumAlgorithm::kOff : ChecksumAlgorithm::kCrc32});
    int file = 1;
    history.BeginFile("binlog.1");
    for (int i = 0; i < 100; ++i) {
      if (up_to(40) == 0) history.BeginFile("binlog." + std::to_string(++file));
      if (up_to(40) == 0) history.builder.Continue();
      if (up_to(10) == 0) {
        history.Add({.row_bytes = 400'000, .events = static_cast<uint32_t>(1 + up_to(20))});
      } else {
        history.Add({.row_bytes = static_cast<uint32_t>(up_to(40'000))});
      }
    }
    history.builder.Finish();
    auto view = history.Open();
    Locator locator(*view);
    auto last = static_cast<int64_t>(history.all.size());
    for (int i = 0; i < 40; ++i) {
      StreamRange range;
      for (int64_t pieces = up_to(3); pieces > 0; --pieces) {
        int64_t first = 1 + up_to(last - 1);
        range.exclude.Add(BuilderSet(first, first + up_to(last / 2)));
      }
      if (up_to(2) == 0) {
        int64_t first = 1 + up_to(last - 1);
        range.include = BuilderSet(first, first + up_to(last / 2));
      }
      size_t stop = history.all.size();
      if (up_to(1) == 0) {
        stop = static_cast<size_t>(up_to(last - 1));
        range.stop_before = *locator.FindGtid(history.all[stop].gtid);
      }
      std::string expected;
      for (size_t k = 0; k < stop; ++k) {
        const Gtid& gtid = history.all[k].gtid;
        if (range.exclude.Contains(gtid)) continue;
        if (!range.include.empty() && !range.include.Contains(gtid)) continue;
        expected += history.BytesOf(history.all[k]);
      }
      Collected part = Collect(*view, range);
      ASSERT_TRUE(part.status.ok()) << part.status.message();
      Content content = Parse(part.bytes);
      ASSERT_TRUE(content.transactions == expected);
      ASSERT_EQ(content.others, 0);
    }
  }
}

TEST(WriteSourceFile, IsTheSourcesFileByteForByte) {
  History history;
  BuildTwoFiles(&history);
  auto view = history.Open();
  bool complete = false;
  EXPECT_TRUE(WholeFile(*view, "binlog.000001", &complete) ==
              history.builder.FileBytes("binlog.000001"));
  EXPECT_TRUE(complete);
  EXPECT_TRUE(WholeFile(*view, "binlog.000002", &complete) ==
              history.builder.FileBytes("binlog.000002"));
  EXPECT_FALSE(complete) << "its Rotate is not archived yet";
}

Status SourceFileStatus(ArchiveView& view, const std::string& file) {
  return EventStream(view).WriteSourceFile(
      file, [](Bytes) { return OkStatus(); }, nullptr);
}

TEST(WriteSourceFile, UnknownFile) {
  History history;
  BuildTwoFiles(&history);
  auto view = history.Open();
  EXPECT_EQ(SourceFileStatus(*view, "binlog.000009").code(), Code::kNotFound);
}

TEST(WriteSourceFile, FileWhoseBeginningIsNotArchived) {
  History history;
  BuildTwoFiles(&history);
  {
    auto index = Index::OpenForWriting(history.dir.Path("index"));
    ASSERT_TRUE(index.ok());
    ASSERT_TRUE((*index)->DropSegment("main", 1).ok());
  }
  std::filesystem::remove(history.builder.SegmentPath(1));
  auto view = history.Open();
  Status status = SourceFileStatus(*view, "binlog.000001");
  EXPECT_EQ(status.code(), Code::kGap);
  EXPECT_THAT(status.message(), HasSubstr("bytes 0 to"));
}

TEST(WriteSourceFile, NameThatCameTwiceGivesTheLatestFile) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(30);
  history.builder.Continue();
  history.AddMany(30);
  size_t first_life = history.builder.FileBytes("binlog.000001").size();
  history.BeginFile("binlog.000001");
  std::string rotate_and_second = history.builder.FileBytes("binlog.000001").substr(first_life);
  size_t second_begin = first_life + rotate_and_second.find(AsText(Bytes(kBinlogMagic)));
  history.builder.Add({.gtid = BuilderGtid(61), .commit_us = History::kStartUs});
  history.builder.Finish();
  auto view = history.Open();
  bool complete = true;
  EXPECT_TRUE(WholeFile(*view, "binlog.000001", &complete) ==
              history.builder.FileBytes("binlog.000001").substr(second_begin));
}

}  // namespace
}  // namespace tidemark
