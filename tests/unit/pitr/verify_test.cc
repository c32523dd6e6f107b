#include "pitr/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "replication/archive/gap_room.h"
#include "tests/unit/pitr/history.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::HasSubstr;
using testing::History;

// Behind the gap.
constexpr uint64_t kThird = 3 + kSegmentNumbersPerGap;
constexpr uint64_t kFourth = 4 + kSegmentNumbersPerGap;

void BuildFour(History* history) {
  history->BeginFile("binlog.000001");
  history->AddMany(150, {.row_bytes = 20'000});
  history->builder.Continue();
  history->Add({.row_bytes = 100'000, .events = 50});
  history->Add({.ddl = "DROP TABLE t"});
  history->Gap(3);
  history->BeginFile("binlog.000002");
  history->AddMany(50, {.row_bytes = 20'000});
  history->BeginFile("binlog.000003");
  history->AddMany(20);
}

VerifyReport Verified(History& history) {
  auto view = history.Open(OpenCheck::kEvenIfBehind);
  auto report = VerifyArchive(*view, nullptr);
  EXPECT_TRUE(report.ok()) << report.error().message();
  return report.ok() ? *report : VerifyReport{};
}

// The findings as text, one per line.
std::string Findings(const VerifyReport& report) {
  std::string text;
  for (const VerifyFinding& finding : report.findings) {
    text += std::to_string(finding.segment) + " " + CodeName(finding.code) + ": " +
            finding.message + "\n";
  }
  return text;
}

void Overwrite(const std::string& path, uint64_t offset, std::string_view bytes) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(Verify, SoundArchiveHasNoFindings) {
  History history;
  BuildFour(&history);
  history.builder.Finish();
  VerifyReport report = Verified(history);
  EXPECT_EQ(Findings(report), "");
  EXPECT_EQ(report.segments, 4u);
  EXPECT_EQ(report.transactions, history.all.size());
  EXPECT_EQ(report.gtids, history.builder.set().Minus(BuilderSet(153, 155)));
  ASSERT_EQ(report.gaps.size(), 1u);
  EXPECT_EQ(report.gaps[0].missing, BuilderSet(153, 155));
  uint64_t stored = 0;
  for (uint64_t number : {uint64_t{1}, uint64_t{2}, kThird, kFourth}) {
    stored += std::filesystem::file_size(history.builder.SegmentPath(number));
  }
  EXPECT_EQ(report.stored_bytes, stored);
}

TEST(Verify, BesideARunningDaemon) {
  History history;
  BuildFour(&history);
  history.builder.Publish();
  EXPECT_EQ(Findings(Verified(history)), "");
  auto view = history.Open();
  history.builder.WriteUnpublished(
      {.gtid = BuilderGtid(history.next), .commit_us = history.now_us});
  auto report = VerifyArchive(*view, nullptr);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(Findings(*report), "") << "the last segment grew since the view was opened";
  history.builder.Publish();
  history.builder.BeginFile("binlog.000004");
  report = VerifyArchive(*view, nullptr);
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(Findings(*report), "") << "the last segment was sealed since, and a new one begun";
}

TEST(Verify, OneRunNamesAllDamage) {
  History history;
  BuildFour(&history);
  history.builder.Finish();
  std::string second = history.builder.SegmentPath(2);
  std::string fourth = history.builder.SegmentPath(kFourth);
  Overwrite(second, std::filesystem::file_size(second) / 3, "damaged!");
  std::filesystem::resize_file(fourth, std::filesystem::file_size(fourth) / 2);
  Overwrite(history.builder.SegmentPath(1) + ".old", 0, "");
  std::ofstream(history.dir.Path("main/segments/notes.txt")) << "what is this";
  VerifyReport report = Verified(history);
  std::string text = Findings(report);
  EXPECT_THAT(text, HasSubstr("0 unsupported-format: "));
  EXPECT_THAT(text, HasSubstr("notes.txt"));
  EXPECT_THAT(text, HasSubstr("2 corruption: "));
  EXPECT_THAT(text, HasSubstr(second));
  EXPECT_THAT(text, HasSubstr("\n" + std::to_string(kFourth) + " "));
  EXPECT_EQ(std::count_if(report.findings.begin(), report.findings.end(),
                          [](const VerifyFinding& finding) { return finding.segment == kThird; }),
            0)
      << "a damaged neighbour is no damage of its own: " << text;
}

TEST(Verify, EveryByteOfASealedSegmentIsCovered) {
  History history;
  history.BeginFile("binlog.000001");
  history.AddMany(5);
  history.builder.Finish();
  std::string path = history.builder.SegmentPath(1);
  auto view = history.Open();
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  ASSERT_GT(bytes.size(), 200u);
  for (size_t at = 0; at < bytes.size(); ++at) {
    Overwrite(path, at, std::string(1, static_cast<char>(bytes[at] ^ 0x10)));
    auto report = VerifyArchive(*view, nullptr);
    ASSERT_TRUE(report.ok());
    EXPECT_FALSE(report->findings.empty()) << "byte " << at << " of " << bytes.size();
    Overwrite(path, at, std::string(1, bytes[at]));
  }
}

TEST(Verify, ACopyUnderTheNextNumberIsNoUnpublishedSegment) {
  History history;
  BuildFour(&history);
  history.builder.Finish();
  const uint64_t next = history.builder.segment_number() + 1;
  std::filesystem::copy_file(history.builder.SegmentPath(1), history.builder.SegmentPath(next));
  EXPECT_THAT(Findings(Verified(history)), HasSubstr("says it is segment 1 of source 'main'"));
  std::ofstream(history.builder.SegmentPath(next), std::ios::trunc) << "no segment at all, this";
  EXPECT_THAT(Findings(Verified(history)), HasSubstr(history.builder.SegmentPath(next)));
  // What a daemon that has just created the file leaves for a moment.
  std::filesystem::resize_file(history.builder.SegmentPath(next), 0);
  EXPECT_EQ(Findings(Verified(history)), "");
}

TEST(Verify, LostSegmentFile) {
  History history;
  BuildFour(&history);
  history.builder.Finish();
  std::filesystem::remove(history.builder.SegmentPath(2));
  std::string text = Findings(Verified(history));
  EXPECT_THAT(text, HasSubstr("2 io: segment file is lost"));
  EXPECT_THAT(text, HasSubstr(BuilderSet(151, 152).ToString()));
  EXPECT_THAT(text, HasSubstr(std::to_string(kThird) +
                              " gap: transactions are missing before it, unrecorded"));
}

TEST(Verify, IndexThatKnowsLessOrMore) {
  History history;
  BuildFour(&history);
  history.builder.Finish();
  {
    auto index = Index::OpenForWriting(history.dir.Path("index"));
    ASSERT_TRUE(index.ok());
    ASSERT_TRUE((*index)->DropSegment("main", 2).ok());
    auto last = (*index)->LastSegment("main");
    DurableBatch wrong;
    wrong.source = "main";
    wrong.segment = **last;
    FrameRecord frame = (*index)->Frame("main", kFourth, 0)->value().record;
    frame.frame = 7;
    frame.gtids = BuilderSet(1000, 1000);
    wrong.frames.push_back(frame);
    ASSERT_TRUE((*index)->Apply(wrong).ok());
  }
  std::string text = Findings(Verified(history));
  EXPECT_THAT(text, HasSubstr("2 corruption: the index does not know"));
  EXPECT_THAT(text, HasSubstr(std::to_string(kFourth) +
                              " corruption: the index has more than the segment"));
}

TEST(Verify, SegmentsOfAnotherHistory) {
  History history, other;
  BuildFour(&history);
  history.builder.Finish();
  other.BeginFile("binlog.000001");
  other.AddMany(10);
  other.BeginFile("binlog.000002");
  other.AddMany(10);
  other.now_us +=
      1'000'000;  // past this archive's highest commit time, or the footer alone would tell
  other.BeginFile("binlog.000003");
  other.AddMany(10);
  other.builder.Finish();
  std::filesystem::copy_file(other.builder.SegmentPath(3), history.builder.SegmentPath(3),
                             std::filesystem::copy_options::overwrite_existing);
  std::string text = Findings(Verified(history));
  EXPECT_THAT(text, HasSubstr("3 corruption: it does not build on transactions"));
  EXPECT_THAT(text, HasSubstr("3 corruption: transactions are there for the second time: " +
                              BuilderSet(21, 30).ToString()));
}

TEST(Verify, ProgressMayInterrupt) {
  History history;
  BuildFour(&history);
  history.builder.Finish();
  auto view = history.Open();
  std::vector<uint64_t> seen;
  auto report = VerifyArchive(*view, [&seen](const VerifyReport& so_far) {
    seen.push_back(so_far.segments);
    return so_far.segments < 2;
  });
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code(), Code::kInterrupted);
  EXPECT_EQ(seen, (std::vector<uint64_t>{1, 2}));
}

}  // namespace
}  // namespace tidemark
