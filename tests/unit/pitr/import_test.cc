// Archives of a model server with gaps, and its binlog files that turn up later: in any order, in
// pieces, of other histories, with the disk failing at any change.
#include "pitr/import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>

#include "pitr/import_holes.h"
#include "pitr/locator.h"
#include "pitr/verify.h"
#include "replication/archive/gap_room.h"
#include "replication/sink/source_archiver.h"
#include "tests/support/seed.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/pitr/indexing.h"
#include "tests/unit/sink/sink_fixture.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::Indexing;
using ::testing::IsEmpty;
using testing::kArchive;
using testing::kSource;
using testing::ModelServer;
using testing::ModelSource;
using ::testing::SizeIs;

const Uuid kReplica = *Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002");
constexpr uint8_t kReplicasId = 77;
const Uuid kStranger = *Uuid::Parse("cccccccc-0000-0000-0000-000000000003");

// The same file, but of a server with another id, as a replica's is: its transactions keep theirs.
std::string OfReplica(std::string file) {
  const std::string head = file.substr(kBinlogMagicSize);
  const uint32_t size = ReadEventHeader(AsBytes(head).data()).size;
  std::string description = head.substr(0, size);
  description[5] = kReplicasId;
  return file.replace(kBinlogMagicSize, size, testing::WithLogPos(description, 4 + size));
}

template <typename T>
T Must(Result<T> result) {
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message());
  TM_CHECK(result.ok());
  return std::move(*result);
}

class ImportWorld {
 public:
  ImportWorld() {
    spdlog::set_level(spdlog::level::off);
    index_ = Must(Index::OpenForWriting(directory_.Path("index")));
    EXPECT_TRUE(archive_.LockForWriting().ok());
  }

  // What the source has now; a daemon's life from its start to its end.
  void ArchiveNow() {
    Indexing listener(*index_);
    SourceArchiver archiver(archive_, std::make_unique<ModelSource>(server_), SystemClock(),
                            listener, Options());
    ASSERT_TRUE(archiver.Prepare().ok());
    Must(HealIndex(*index_, archive_, kSource, nullptr));
    const Status archived = archiver.RunOnce();
    ASSERT_TRUE(archived.ok()) << archived.message();
  }
  static ArchiverOptions Options() {
    ArchiverOptions options;
    options.source = kSource;
    options.server_id = 9;
    options.adopt_purged = true;
    return options;
  }
  // The first files of the server are found on another disk, and are not on the server any more.
  void LoseFirstFiles(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      files_.Put(Found(server_.files.front().name), server_.files.front().bytes);
      lost_.push_back(server_.files.front());
      server_.PurgeFirstFile();
    }
  }
  // Files 1 and half of 2 are archived, 2 to 4 purged meanwhile, 5 archived.
  void MakeGap() {
    server_.Commit(3);
    server_.Rotate();
    server_.Commit(2);
    ArchiveNow();
    server_.Commit(4);  // 6-9
    server_.Rotate();
    server_.Commit(5);  // 10-14
    server_.Rotate();
    server_.Commit({.ddl = "DROP TABLE t"});
    server_.Commit(5);  // 15-20
    server_.Rotate();
    server_.Commit(4);  // 21-24
    LoseFirstFiles(4);
    ArchiveNow();
    ASSERT_EQ(Missing(), BuilderSet(6, 20));
  }

  static std::string Found(const std::string& name) { return "/found/" + name; }
  static std::string Name(int number) { return "binlog.00000" + std::to_string(number); }

  Result<ImportReport> Import(const std::vector<int>& numbers, SurveyOptions survey = {},
                              bool dry_run = false) {
    ImportRequest request;
    for (const int number : numbers) request.paths.push_back(Found(Name(number)));
    request.survey = survey;
    request.limits = limits_;
    auto view = Must(ArchiveView::Over(files_, kArchive, kSource, *index_));
    return ImportInto(*view, dry_run ? nullptr : index_.get(), SystemClock(), request);
  }
  void MustImport(const std::vector<int>& numbers, SurveyOptions survey = {}) {
    const auto report = Import(numbers, survey);
    ASSERT_TRUE(report.ok()) << report.error().message();
    ExpectSound();
    GtidSet remaining;
    for (const GapRecord& gap : report->remaining) remaining.Add(gap.missing);
    EXPECT_EQ(remaining, Missing());
  }

  std::unique_ptr<ArchiveView> View() {
    return Must(ArchiveView::Over(files_, kArchive, kSource, *index_));
  }
  GtidSet Missing() {
    GtidSet missing;
    uint64_t count = 0;
    for (const GapRecord& gap : View()->ComputeCoverage().gaps) {
      EXPECT_FALSE(gap.reason.empty());
      missing.Add(gap.missing);
      count += gap.missing.Count();
    }
    EXPECT_EQ(count, missing.Count()) << "something is in two gaps";
    return missing;
  }
  static std::string Dump(Index& index) {
    std::string text;
    EXPECT_TRUE(DumpIndex(index, &text).ok());
    return text;
  }
  // It verifies, its index is what a rebuild makes, it could be archived into, and what it gives is
  // what the server committed, in the server's order.
  void ExpectSound() {
    const auto view = View();
    const VerifyReport verified = Must(VerifyArchive(*view, nullptr));
    for (const VerifyFinding& finding : verified.findings) ADD_FAILURE() << finding.message;
    GtidSet missing;
    for (const GapRecord& gap : verified.gaps) missing.Add(gap.missing);
    EXPECT_EQ(missing, Missing());
    testing::TempDir other;
    const auto rebuilt = Must(Index::OpenForWriting(other.Path("index")));
    Must(HealIndex(*rebuilt, archive_, kSource, nullptr));
    EXPECT_EQ(Dump(*index_), Dump(*rebuilt));
    EXPECT_EQ(Must(HealIndex(*index_, archive_, kSource, nullptr)).segments_scanned, 0u);
    EXPECT_TRUE(RecoverSource(archive_, SystemClock(), kSource, {}).ok());
    ExpectTheServersOrder();
  }
  void ExpectTheServersOrder() {
    int64_t last = 0;
    for (const testing::ReadSegment& segment : testing::ReadArchive(files_)) {
      EXPECT_TRUE(segment.sealed);
      for (const auto& [tsid, intervals] : segment.footer.gtids.map()) {
        EXPECT_GT(intervals.front().first, last) << "segment " << segment.header.number;
        last = intervals.back().last;
      }
    }
  }
  // Every byte of every file that the server ever had.
  void ExpectComplete() {
    ModelServer whole = server_;
    whole.files.insert(whole.files.begin(), lost_.begin(), lost_.end());
    std::map<std::string, std::string> archived;
    for (const testing::ReadSegment& segment : testing::ReadArchive(files_)) {
      std::string& bytes = archived[segment.header.source_file];
      EXPECT_EQ(bytes.size(), segment.header.source_start) << segment.header.number;
      bytes += segment.own();
    }
    for (const ModelServer::File& file : whole.files)
      EXPECT_TRUE(archived[file.name] == file.bytes) << file.name;
  }

  MemoryFileSystem files_;
  ArchiveDirectory archive_{files_, kArchive};
  testing::TempDir directory_;
  std::unique_ptr<Index> index_;
  ModelServer server_;
  std::vector<ModelServer::File> lost_;
  SessionLimits limits_;
};

class ImportTest : public ::testing::Test, protected ImportWorld {};

TEST_F(ImportTest, AGapBetweenSegmentsIsFilledByteForByte) {
  MakeGap();
  const ImportReport report = Must(Import({4, 2, 3}));
  EXPECT_EQ(report.taken, BuilderSet(6, 20));
  EXPECT_EQ(report.segments, 3u);
  EXPECT_THAT(report.remaining, IsEmpty());
  EXPECT_THAT(report.warnings, IsEmpty());
  ASSERT_THAT(report.files, SizeIs(3));
  EXPECT_EQ(report.files[0].survey.name, Name(2)) << "in the order of their history";
  EXPECT_EQ(report.files[0].survey.already, BuilderSet(4, 5));
  EXPECT_EQ(report.files[0].taken, BuilderSet(6, 9));
  ExpectSound();
  ExpectComplete();
  EXPECT_TRUE(Missing().empty());

  const auto segments = testing::ReadArchive(files_);
  ASSERT_THAT(segments, SizeIs(6));
  EXPECT_TRUE(segments[2].header.imported);
  EXPECT_GT(segments[2].header.prefix_bytes, 0u) << "it goes on in a file that is there in part";
  EXPECT_EQ(segments[3].header.prefix_bytes, 0u);
  EXPECT_TRUE(segments[2].header.gap.missing.empty());
  EXPECT_EQ(segments[3].header.previous, BuilderSet(1, 9));
  EXPECT_FALSE(segments[5].header.imported);
  EXPECT_EQ(segments[5].header.gap.missing, BuilderSet(6, 20)) << "headers stay as they were";
}

TEST_F(ImportTest, ASecondTimeThereIsNothingToDo) {
  MakeGap();
  MustImport({2, 3, 4});
  const auto before = *archive_.Segments(kSource);
  const ImportReport again = Must(Import({2, 3, 4}));
  EXPECT_TRUE(again.taken.empty());
  EXPECT_EQ(again.files[1].survey.already, BuilderSet(10, 14));
  EXPECT_EQ(*archive_.Segments(kSource), before);
}

TEST_F(ImportTest, ADryRunSaysTheSameAndWritesNothing) {
  MakeGap();
  const uint64_t changes = files_.changes();
  const ImportReport report = Must(Import({2, 3}, {}, true));
  EXPECT_EQ(report.taken, BuilderSet(6, 14));
  EXPECT_EQ(report.segments, 2u);
  ASSERT_THAT(report.remaining, SizeIs(1));
  EXPECT_EQ(report.remaining[0].missing, BuilderSet(15, 20));
  EXPECT_EQ(files_.changes(), changes);
  EXPECT_EQ(Missing(), BuilderSet(6, 20));
}

TEST_F(ImportTest, WhatWasPurgedBeforeTheFirstContactBecomesTheArchivesBeginning) {
  for (int file = 0; file < 4; ++file) {
    server_.Commit(5);
    server_.Rotate();
  }
  server_.Commit(5);
  LoseFirstFiles(4);
  ArchiveNow();
  ASSERT_EQ(Missing(), BuilderSet(1, 20));
  MustImport({3});
  EXPECT_EQ(View()->ComputeCoverage().before, BuilderSet(1, 10));
  EXPECT_EQ(Missing(), BuilderSet(1, 10).Union(BuilderSet(16, 20)));
  EXPECT_THAT(View()->ComputeCoverage().gaps, SizeIs(2));
  MustImport({1, 2, 4});
  EXPECT_TRUE(View()->ComputeCoverage().before.empty());
  EXPECT_TRUE(Missing().empty());
  ExpectComplete();
}

TEST_F(ImportTest, InAnyOrderOneAfterAnotherTheArchiveEndsTheSame) {
  const uint64_t seed = testing::TestSeed();
  std::mt19937_64 random(seed);
  server_.Commit(2);
  ArchiveNow();
  std::vector<int> numbers;
  for (int file = 1; file <= 8; ++file) {
    server_.Commit(3);
    server_.Rotate();
    numbers.push_back(file);
  }
  server_.Commit(1);
  LoseFirstFiles(8);
  ArchiveNow();
  ASSERT_EQ(Missing(), BuilderSet(3, 26));
  std::shuffle(numbers.begin(), numbers.end(), random);
  limits_.segment_raw_bytes_max = 1 + random() % 2000;
  for (const int number : numbers) {
    SCOPED_TRACE("file " + std::to_string(number));
    MustImport({number});
    if (HasFatalFailure()) return;
  }
  EXPECT_TRUE(Missing().empty());
  ExpectComplete();
  server_.Commit(3);
  ArchiveNow();
  ExpectSound();
}

TEST_F(ImportTest, OfACutOffFileWholeTransactionsAreTakenIfToldToAndTheRestLater) {
  MakeGap();
  const ModelServer::File& third = lost_[2];
  const uint64_t inside = third.transactions[2].begin + 30;
  files_.Put(Found(Name(3)), third.bytes.substr(0, inside));
  const auto refused = Import({2, 3});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kTruncated);
  EXPECT_THAT(refused.error().message(), HasSubstr(std::to_string(inside)));
  EXPECT_EQ(Missing(), BuilderSet(6, 20)) << "nothing of the others either";

  SurveyOptions survey;
  survey.allow_truncated = true;
  MustImport({2, 3}, survey);
  EXPECT_EQ(Missing(), BuilderSet(12, 20));
  files_.Put(Found(Name(3)), third.bytes);
  MustImport({3, 4});
  EXPECT_TRUE(Missing().empty());
  ExpectComplete();
}

// A file that was not closed says so in its format description, and a source does not send that.
TEST_F(ImportTest, TheMarkOfAFileThatIsInUseIsNotImported) {
  MakeGap();
  std::string in_use = lost_[2].bytes;
  in_use[kBinlogMagicSize + kEventHeaderSize - 2] |= kEventFlagBinlogInUse;
  files_.Put(Found(Name(3)), in_use);
  MustImport({2, 3, 4});
  ExpectComplete();
}

TEST_F(ImportTest, AnotherHistoryIsRefusedAndChangesNothing) {
  MakeGap();
  ModelServer other;
  other.Commit(3);
  other.Rotate();
  other.Commit(1);
  other.Commit({.row_bytes = 17});  // 5, which the archive has
  other.Commit(4);
  files_.Put(Found(Name(2)), other.files[1].bytes);
  const uint64_t changes = files_.changes();
  const auto refused = Import({2, 3, 4});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kDivergence);
  EXPECT_THAT(refused.error().message(), HasSubstr(":5 "));
  EXPECT_EQ(files_.changes(), changes);
}

TEST_F(ImportTest, TransactionsOfAnotherServersFileMustHaveBeenCommittedFirstAtTheSameTime) {
  MakeGap();
  // The bytes differ, as those of a replica do.
  ModelServer replica;
  replica.Commit(3);
  replica.Rotate();
  replica.Commit({.row_bytes = 18});
  replica.Commit({.row_bytes = 19});
  replica.Commit(4);
  files_.Put(Found(Name(2)), OfReplica(replica.files[1].bytes));
  MustImport({2}, {.server_uuid = kReplica});
  EXPECT_EQ(Missing(), BuilderSet(10, 20));
  EXPECT_EQ(testing::ReadArchive(files_)[2].header.server_uuid, kReplica);

  testing::BinlogBuilder builder;
  builder.BeginFile(BuilderSet(1, 14));
  builder.Add({.gtid = BuilderGtid(15), .commit_us = 1'700'000'000'000'015});
  builder.Add({.gtid = BuilderGtid(21), .commit_us = 1'700'000'000'000'022});
  builder.Rotate(Name(5));
  files_.Put(Found(Name(4)), OfReplica(builder.Take()));
  const auto refused = Import({4});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kDivergence);
  EXPECT_THAT(refused.error().message(), HasSubstr(":21 "));
}

TEST_F(ImportTest, WhatTheArchiveNeitherHasNorMissesIsNamed) {
  MakeGap();
  testing::BinlogBuilder strange;
  strange.BeginFile(BuilderSet(1, 14));
  strange.Add({.gtid = {{kStranger, ""}, 1}});
  strange.Add({.gtid = BuilderGtid(15), .commit_us = 1'700'000'000'000'015});
  strange.Rotate(Name(5));
  files_.Put(Found(Name(4)), OfReplica(strange.Take()));
  const auto refused = Import({4}, {.server_uuid = kReplica});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kDivergence);
  EXPECT_THAT(refused.error().message(), HasSubstr("cccccccc-0000-0000-0000-000000000003:1"));
}

// The last file of a server that went on, or was lost with its last transactions.
TEST_F(ImportTest, AFileThatGoesOnPastTheArchiveFillsTheGapAllTheSame) {
  server_.Commit(3);
  server_.Rotate();
  ArchiveNow();
  server_.Commit(3);  // 4-6
  ModelServer promoted = server_;
  promoted.Rotate();
  promoted.Commit(2);  // 7, 8
  server_.Commit({.gtid = {{kStranger, ""}, 1}});
  server_.Commit({.gtid = BuilderGtid(9)});
  const ModelServer::File last = server_.files.back();
  server_ = promoted;
  server_.PurgeFirstFile();
  LoseFirstFiles(1);
  files_.Put(Found(Name(2)), last.bytes);
  ArchiveNow();
  ASSERT_EQ(Missing(), BuilderSet(4, 6));
  const auto refused = Import({2});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kDivergence) << refused.error().message();
  EXPECT_THAT(refused.error().message(), HasSubstr(kStranger.ToString()));
  EXPECT_THAT(refused.error().message(), ::testing::Not(HasSubstr(":9")));

  // It was given up where this source was begun.
  SourceIdentity identity = *archive_.ReadIdentity(kSource);
  GtidSet lost;
  lost.Add({{kStranger, ""}, 1});
  identity.forks.push_back({"before", 1, BuilderSet(1, 3), lost, 1});
  ASSERT_TRUE(archive_.WriteIdentity(kSource, identity).ok());
  const ImportReport report = Must(Import({2}));
  EXPECT_EQ(report.taken, BuilderSet(4, 6));
  lost.Add(BuilderGtid(9));
  EXPECT_EQ(report.files[0].survey.passed, lost);
  ASSERT_THAT(report.warnings, SizeIs(1));
  EXPECT_THAT(report.warnings[0], HasSubstr("goes on past what the archive has"));
  EXPECT_THAT(report.warnings[0], HasSubstr(":9"));
  EXPECT_TRUE(Missing().empty());
}

TEST_F(ImportTest, AFileThatBuildsOnWhatComesBehindTheGapIsOfAnotherOrder) {
  MakeGap();
  testing::BinlogBuilder builder;
  builder.BeginFile(BuilderSet(1, 9).Union(BuilderSet(22, 22)));
  builder.Add({.gtid = BuilderGtid(10), .commit_us = 1'700'000'000'000'010});
  builder.Rotate(Name(4));
  files_.Put(Found(Name(3)), builder.Take());
  auto refused = Import({3});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kDivergence);
  EXPECT_THAT(refused.error().message(), HasSubstr(":22"));

  builder.BeginFile(BuilderSet(1, 9));
  for (const int64_t number : {22, 10})
    builder.Add({.gtid = BuilderGtid(number), .commit_us = 1'700'000'000'000'000 + number});
  builder.Rotate(Name(4));
  files_.Put(Found(Name(3)), OfReplica(builder.Take()));
  refused = Import({3}, {.server_uuid = kReplica});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kDivergence);
  EXPECT_THAT(refused.error().message(), HasSubstr(":22"));
  EXPECT_EQ(Missing(), BuilderSet(6, 20));
}

// A replica may commit what the archive has in front of the gap between what is in it.
TEST_F(ImportTest, WhatTheArchiveHasInFrontMayStandInBetween) {
  MakeGap();
  testing::BinlogBuilder builder;
  builder.BeginFile(BuilderSet(1, 2));
  for (const int64_t number : {6, 3, 7, 8, 5, 4, 9})
    builder.Add({.gtid = BuilderGtid(number), .commit_us = 1'700'000'000'000'000 + number});
  builder.Rotate(Name(3));
  files_.Put(Found(Name(2)), OfReplica(builder.Take()));
  const ImportReport report = Must(Import({2}, {.server_uuid = kReplica}));
  EXPECT_EQ(report.taken, BuilderSet(6, 9));
  EXPECT_EQ(report.segments, 3u);
  EXPECT_EQ(Missing(), BuilderSet(10, 20));
  ExpectSound();
  MustImport({3, 4});
  EXPECT_TRUE(Missing().empty());
}

TEST_F(ImportTest, TwoFilesThatHoldTheSameAreRefused) {
  MakeGap();
  files_.Put("/found/again/" + Name(3), lost_[2].bytes);
  auto view = View();
  ImportRequest request;
  request.paths = {Found(Name(3)), "/found/again/" + Name(3)};
  const auto refused = ImportInto(*view, index_.get(), SystemClock(), request);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUsage);
  EXPECT_THAT(refused.error().message(), HasSubstr("/found/again/"));
}

TEST_F(ImportTest, ARenamedFileIsRefused) {
  MakeGap();
  files_.Put("/found/binlog.000003.copy", lost_[2].bytes);
  files_.Put(Found(Name(9)), lost_[2].bytes);
  auto view = View();
  ImportRequest request;
  request.paths = {"/found/binlog.000003.copy"};
  auto refused = ImportInto(*view, index_.get(), SystemClock(), request);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUsage);
  request.paths = {Found(Name(2)), Found(Name(9))};
  refused = ImportInto(*view, index_.get(), SystemClock(), request);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("the next file is binlog.000003"));
  // Alone, by what it says of itself.
  request.paths = {Found(Name(9))};
  refused = ImportInto(*view, index_.get(), SystemClock(), request);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUsage);
  EXPECT_THAT(refused.error().message(), HasSubstr("the next file is binlog.000004"));
}

// One that does not end with its successor's name: alone, it could be any.
TEST_F(ImportTest, OfARenamedFileWithoutAnEndIsSaidThatItsPlaceIsAnother) {
  MakeGap();
  const uint64_t end = lost_[2].transactions.back().end;
  files_.Put(Found(Name(9)), lost_[2].bytes.substr(0, end));
  ImportReport report = Must(Import({9}, {}, true));
  ASSERT_THAT(report.warnings, SizeIs(1));
  EXPECT_THAT(report.warnings[0], HasSubstr("binlog.000009 comes before what is in binlog.000005"));
  files_.Put(Found(Name(1)), lost_[2].bytes.substr(0, end));
  report = Must(Import({1}, {}, true));
  ASSERT_THAT(report.warnings, SizeIs(1));
  EXPECT_THAT(report.warnings[0], HasSubstr("binlog.000002 comes before what is in binlog.000001"));
  files_.Put(Found(Name(3)), lost_[2].bytes.substr(0, end));
  EXPECT_THAT(Must(Import({3}, {}, true)).warnings, IsEmpty());
}

TEST_F(ImportTest, AServerThatWasPromotedBehindTheGapMayLackWhatWasInIt) {
  MakeGap();
  EXPECT_THAT(Must(Import({2}, {}, true)).warnings, IsEmpty());
  server_.Rotate();
  server_.uuid = kReplica;
  server_.Commit(1);
  ArchiveNow();
  ASSERT_EQ(View()->segments().back().header.server_uuid, kReplica);
  const ImportReport report = Must(Import({2}, {}, true));
  ASSERT_THAT(report.warnings, SizeIs(1));
  EXPECT_THAT(report.warnings[0], HasSubstr("pitr rescue"));
}

// What a server committed first has its UUID.
TEST_F(ImportTest, AFileIsNotTakenForAnotherServers) {
  MakeGap();
  auto refused = Import({3}, {.server_uuid = kReplica});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUsage);
  EXPECT_THAT(refused.error().message(), HasSubstr("is " + server_.uuid.ToString() + "'s"));
  // Now the replica is known, too, by its own id. Of a file without transactions of its own server
  // the id alone tells.
  files_.Put(Found(Name(2)), OfReplica(lost_[1].bytes));
  MustImport({2}, {.server_uuid = kReplica});
  refused = Import({3}, {.server_uuid = kReplica});
  ASSERT_FALSE(refused.ok());
  files_.Put(Found(Name(3)), OfReplica(lost_[2].bytes));
  refused = Import({3}, {.server_uuid = server_.uuid});
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("its server_id is 77"));
  MustImport({3});
  EXPECT_EQ(Missing(), BuilderSet(15, 20));
}

// A server that was made anew under an old one's id; but a group's members commit under its UUID.
class SameIdTest : public ImportTest, public ::testing::WithParamInterface<bool> {};

TEST_P(SameIdTest, AServerIdIsNotEnoughIfWhatItCommittedIsNotItsOwn) {
  const bool group = GetParam();
  if (group) server_.Commit({.gtid = {{kStranger, ""}, 1}});
  server_.Commit(3);
  server_.Rotate();
  ArchiveNow();
  server_.Commit({.gtid = {{kStranger, ""}, 2}});
  server_.Commit(2);
  server_.Rotate();
  server_.Commit(1);
  server_.PurgeFirstFile();
  LoseFirstFiles(1);
  ArchiveNow();
  const auto imported = Import({2});
  EXPECT_EQ(imported.ok(), group);
  if (!group) {
    EXPECT_EQ(imported.error().code(), Code::kUsage);
    EXPECT_THAT(imported.error().hint(), HasSubstr("is " + kStranger.ToString()));
    EXPECT_TRUE(Import({2}, {.server_uuid = kStranger}).ok());
  }
  EXPECT_TRUE(Missing().empty());
  EXPECT_EQ(testing::ReadArchive(files_)[1].header.server_uuid, group ? server_.uuid : kStranger);
}
INSTANTIATE_TEST_SUITE_P(Import, SameIdTest, ::testing::Bool());

TEST_F(ImportTest, AServerThatTheArchiveDoesNotKnowMustBeNamed) {
  MakeGap();
  files_.Put(Found(Name(3)), OfReplica(lost_[2].bytes));
  const auto refused = Import({3});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), Code::kUsage);
  EXPECT_THAT(refused.error().hint(), HasSubstr("--server-uuid"));
  MustImport({3}, {.server_uuid = server_.uuid});
}

// As a replica's copies are, which commits later than the source. What is behind the gap begins
// earlier than what is imported ends, and goes past that in its first segment, or never.
class LateImportTest : public ImportTest, public ::testing::WithParamInterface<bool> {};

TEST_P(LateImportTest, CommitTimesPastWhatIsBehindRaiseTheIndexAsARebuildWould) {
  server_.Commit(2);
  ArchiveNow();
  server_.Rotate();
  server_.last_number = 502;  // commit times are made of numbers
  server_.Commit(3);
  server_.Rotate();
  server_.last_number = 7;
  server_.Commit(2);
  if (GetParam()) server_.last_number = 900;
  for (int file = 0; file < 3; ++file) {
    server_.Commit(2);
    server_.Rotate();
  }
  LoseFirstFiles(2);
  ArchiveNow();
  ASSERT_EQ(Missing(), BuilderSet(503, 505));
  testing::TempDir before_directory;
  const auto before = Must(Index::OpenForWriting(before_directory.Path("index")));
  Must(HealIndex(*before, archive_, kSource, nullptr));
  const ImportReport report = Must(Import({2}));
  EXPECT_THAT(report.warnings, SizeIs(1));
  // Whose index does not know of it yet sees no damage.
  const auto early = Must(ArchiveView::Over(files_, kArchive, kSource, *before));
  const VerifyReport seen = Must(VerifyArchive(*early, nullptr));
  EXPECT_EQ(seen.not_indexed_yet, 1u);
  for (const VerifyFinding& finding : seen.findings) ADD_FAILURE() << finding.message;
  const auto expect_sound = [this] {
    const auto view = View();
    for (const VerifyFinding& finding : Must(VerifyArchive(*view, nullptr)).findings)
      ADD_FAILURE() << finding.message;
    testing::TempDir other;
    const auto rebuilt = Must(Index::OpenForWriting(other.Path("index")));
    Must(HealIndex(*rebuilt, archive_, kSource, nullptr));
    EXPECT_EQ(Dump(*index_), Dump(*rebuilt));
    EXPECT_EQ(Must(HealIndex(*index_, archive_, kSource, nullptr)).segments_scanned, 0u);
  };
  expect_sound();
  // The first transaction past a time, in archive order.
  constexpr int64_t kEpoch = 1'700'000'000'000'000;
  const auto view = View();
  for (const auto& [past, number] :
       {std::pair{2, 503}, {7, 503}, {503, 504}, {504, 505}, {505, GetParam() ? 901 : 0}}) {
    const auto found = Must(Locator(*view).FindFirstPast(kEpoch + past));
    EXPECT_EQ(found ? found->transaction.gtid.gno : 0, number) << past;
  }
  // Archiving goes on behind the raised time.
  server_.Commit(2);
  ArchiveNow();
  expect_sound();
}
INSTANTIATE_TEST_SUITE_P(Import, LateImportTest, ::testing::Bool());

TEST_F(ImportTest, AnIndexThatMissedTheImportIsHealedToWhatARebuildMakes) {
  MakeGap();
  ASSERT_TRUE(Import({2, 3, 4}).ok());
  const auto numbers = *archive_.Segments(kSource);
  ASSERT_THAT(numbers, SizeIs(6));
  for (const uint64_t number : {numbers[2], numbers[3]})
    ASSERT_TRUE(index_->DropSegment(kSource, number).ok());
  const VerifyReport report = Must(VerifyArchive(*View(), nullptr));
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_EQ(report.not_indexed_yet, 2u);
  Must(HealIndex(*index_, archive_, kSource, nullptr));
  ExpectSound();
}

// The disk fails at each change in turn, and power with it. What is left opens, verifies, can be
// imported into again, and then is whole.
TEST(Import, WhateverMomentItEndsAtTheArchiveIsSoundAndTheNextImportFinishes) {
  uint64_t finished_at = 0;
  for (uint64_t at = 0; finished_at == 0; ++at) {
    SCOPED_TRACE("change " + std::to_string(at));
    ImportWorld world;
    world.MakeGap();
    world.files_.FailAfter(at, at % 2 == 0 ? Code::kDiskFull : Code::kIo);
    const bool imported = world.Import({2, 3, 4}).ok();
    if (imported) finished_at = at;
    world.files_.StopFailing();
    if (at % 3 != 0) world.files_.Crash();

    ASSERT_TRUE(RemoveUnfinishedImport(world.archive_, kSource).ok());
    ASSERT_TRUE(RecoverSource(world.archive_, SystemClock(), kSource, {}).ok());
    Must(HealIndex(*world.index_, world.archive_, kSource, nullptr));
    world.ExpectSound();
    const GtidSet missing = world.Missing();
    EXPECT_TRUE(missing.IsSubsetOf(BuilderSet(6, 20)));
    EXPECT_TRUE(!imported || missing.empty());
    world.MustImport({2, 3, 4});
    EXPECT_TRUE(world.Missing().empty());
    world.ExpectComplete();
    if (::testing::Test::HasFailure()) return;
  }
  EXPECT_GT(finished_at, 20u);
}

TEST(ImportHoles, AnArchiveWithoutRoomSaysSo) {
  SegmentRecord first, behind;
  first.header.number = 1;
  first.gtids = BuilderSet(1, 4);
  behind.header.number = 2;
  behind.gtids = BuilderSet(9, 9);
  behind.header.previous = BuilderSet(1, 8);
  behind.header.gap = {BuilderSet(5, 8), "purged", 1};
  const std::vector<Hole> holes = HolesOf({first, behind});
  ASSERT_THAT(holes, SizeIs(1));
  EXPECT_EQ(holes[0].reached, BuilderSet(1, 4));
  const auto numbers = NumbersFor(holes[0], {0}, 0);
  ASSERT_FALSE(numbers.ok());
  EXPECT_EQ(numbers.error().code(), Code::kUsage);
  EXPECT_THAT(numbers.error().hint(), HasSubstr("no room"));
}

TEST(ImportHoles, NumbersLeaveRoomWhereSomethingIsMissing) {
  Hole hole;
  hole.after = 10;
  hole.before = 10 + kSegmentNumbersPerGap + 1;
  EXPECT_THAT(*NumbersFor(hole, {0, 0, 0}, 0), ElementsAre(11, 12, 13));
  // All that is missing is in front: as far behind as possible.
  const auto last = *NumbersFor(hole, {5, 0}, 0);
  EXPECT_GE(last[0], hole.before - 4);
  EXPECT_EQ(last[1], last[0] + 1);
  EXPECT_LT(last[1], hole.before);
  const auto middle = *NumbersFor(hole, {1}, 1);
  EXPECT_GT(middle[0], hole.after + kSegmentNumbersPerGap / 3);
  EXPECT_LT(middle[0], hole.before - kSegmentNumbersPerGap / 3);
}

TEST(ImportHoles, NumbersRiseAndStayInsideWhateverIsMissing) {
  const uint64_t seed = testing::TestSeed();
  std::mt19937_64 random(seed);
  for (int round = 0; round < 2000; ++round) {
    Hole hole;
    hole.after = random() % 5;
    hole.before = hole.after + 1 + random() % (round % 2 == 0 ? 12 : 200'000);
    std::vector<uint64_t> missing(random() % 10);
    for (uint64_t& one : missing) one = random() % 3 == 0 ? 0 : random() >> random() % 64;
    const auto numbers =
        NumbersFor(hole, missing, random() % 2 == 0 ? 0 : random() >> random() % 64);
    ASSERT_EQ(numbers.ok(), missing.size() <= hole.before - hole.after - 1);
    if (!numbers.ok()) continue;
    uint64_t last = hole.after;
    for (size_t i = 0; i < missing.size(); ++i) {
      ASSERT_GT((*numbers)[i], last);
      ASSERT_TRUE(missing[i] != 0 || (*numbers)[i] == last + 1) << "nothing is missing there";
      last = (*numbers)[i];
    }
    ASSERT_LT(last, hole.before);
  }
}

}  // namespace
}  // namespace tidemark
