// The archiver against servers whose GTIDs are the archive's, and whose transactions are not: they
// were set back and written to since. Sets of GTIDs do not show it, files not always.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/process.h"
#include "tests/unit/sink/archiver_life.h"

namespace tidemark {
namespace {

using testing::ArchiverTest;
using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::HasSubstr;
using testing::Life;
using testing::ModelServer;
using testing::ReadArchive;

class ArchiverHistoryTest : public ArchiverTest {
 protected:
  // Five transactions, and three that the server loses.
  void ArchiveAndSetBack(const testing::TransactionSpec& lost = {}) {
    server_.Commit(5);
    ModelServer before = server_;
    for (int i = 0; i < 3; ++i) (void)server_.Commit(lost);
    ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
    server_ = std::move(before);
    server_.clock_us += 1'000'000;
  }
  GtidSet Archived() {
    GtidSet set;
    for (const auto& segment : ReadArchive(files_)) set.Add(segment.footer.gtids);
    return set;
  }
  void ExpectRefused(const std::string& why) {
    const GtidSet before = Archived();
    const Status refused = Life(files_, listener_, server_).Once();
    EXPECT_EQ(refused.code(), Code::kDivergence) << refused.message();
    EXPECT_THAT(refused.message(), HasSubstr(why));
    EXPECT_THAT(refused.hint(), HasSubstr("continues"));
    EXPECT_EQ(Archived(), before) << "what it has made anew";
  }
};

// A virtual machine, for example, set back to a snapshot: one file goes on, and every place in it
// is the end of a transaction in both.
TEST_F(ArchiverHistoryTest, ServerSetBackInsideItsFileIsADivergence) {
  ArchiveAndSetBack();
  server_.Commit(8);
  ExpectRefused("another transaction " + BuilderGtid(8).ToString());
}

// Where ours began, theirs has another one: 9, behind three that are as long as our two were.
TEST_F(ArchiverHistoryTest, AnotherTransactionAtTheLastOnesPlaceIsADivergence) {
  ModelServer scratch;
  (void)scratch.Commit({.row_bytes = 0});
  const auto& one = scratch.files[0].transactions[0];
  const uint32_t bare = static_cast<uint32_t>(one.end - one.begin);
  ArchiveAndSetBack({.row_bytes = bare});
  const uint64_t place = server_.files[0].bytes.size() + 4 * uint64_t{bare};
  (void)server_.Commit({.row_bytes = bare});
  (void)server_.Commit({.row_bytes = 0});
  (void)server_.Commit({.row_bytes = 0});
  ASSERT_EQ(server_.files[0].bytes.size(), place);
  server_.Commit(2);
  ExpectRefused("has something else where the archive has transaction " +
                BuilderGtid(8).ToString());
}

TEST_F(ArchiverHistoryTest, ReplicaOfAServerThatWasSetBackIsADivergence) {
  ArchiveAndSetBack();
  ModelServer replica(*Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002"));
  replica.Commit(5);
  replica.clock_us += 1'000'000;
  replica.Commit(8);
  server_ = std::move(replica);
  ExpectRefused("another transaction " + BuilderGtid(8).ToString());
}

TEST_F(ArchiverHistoryTest, ReplicaThatHasTheSameTransactionsIsNone) {
  server_.Commit(8);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  ModelServer replica(*Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002"));
  replica.Commit(12);
  server_ = std::move(replica);
  const Status archived = Life(files_, listener_, server_).Once();
  ASSERT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(Archived(), BuilderSet(1, 12));
  EXPECT_EQ(ReadArchive(files_).back().footer.gtids, BuilderSet(9, 12)) << "none of it twice";
}

// The one archived last is the same on both, and comes from another server.
TEST_F(ArchiverHistoryTest, WhatWasMadeAnewInFrontOfTheLastOneIsADivergence) {
  const Gtid others{{*Uuid::Parse("cccccccc-0000-0000-0000-000000000003"), ""}, 1};
  ModelServer replica(*Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002"));
  replica.Commit(5);
  replica.clock_us += 1'000'000;
  replica.Commit(3);
  replica.clock_us -= 1'000'000;
  server_.Commit(8);
  for (ModelServer* server : {&server_, &replica}) (void)server->Commit({.gtid = others});
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  server_ = std::move(replica);
  ExpectRefused("another transaction " + BuilderGtid(8).ToString());
}

// `pitr verify` tells of it; a source is judged by what does read.
TEST_F(ArchiverHistoryTest, SegmentThatDoesNotReadOnTheWayIsPassedOver) {
  const Uuid other = *Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002");
  const std::vector<Gtid> behind = {
      {{other, ""}, 1}, {{*Uuid::Parse("cccccccc-0000-0000-0000-000000000003"), ""}, 1}};
  server_.Commit(8);
  ModelServer same(other), anew(other);
  same.Commit(8);
  anew.Commit(5);
  anew.clock_us += 1'000'000;
  anew.Commit(3);
  anew.clock_us -= 1'000'000;
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  for (const Gtid& gtid : behind) {
    for (ModelServer* server : {&server_, &same, &anew}) (void)server->Commit({.gtid = gtid});
    ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  }
  // What the second one has of `other` is looked for, before the first.
  const auto segments = ReadArchive(files_);
  ASSERT_EQ(segments.size(), 3u);
  ASSERT_EQ(segments[1].footer.gtids.Count(), 1u);
  ArchiveDirectory archive(files_, testing::kArchive);
  const std::string path = archive.SegmentPath(testing::kSource, segments[1].header.number);
  std::string damaged = files_.memory().Contents(path);
  damaged[segments[1].footer.frames[0].stored_offset + 20] ^= 1;
  files_.memory().Put(path, damaged);

  server_ = anew;
  const Status refused = Life(files_, listener_, server_).Once();
  EXPECT_EQ(refused.code(), Code::kDivergence) << refused.message();
  EXPECT_THAT(refused.message(), HasSubstr("another transaction " + BuilderGtid(8).ToString()));
  server_ = same;
  const Status archived = Life(files_, listener_, server_).Once();
  EXPECT_TRUE(archived.ok()) << archived.message();
}

// By such a one an operator has a server pass over a transaction, or takes an errant one for had.
TEST_F(ArchiverHistoryTest, EmptyTransactionOnEitherSideIsNone) {
  for (const bool ours : {true, false}) {
    SCOPED_TRACE(ours);
    server_ = ModelServer();
    server_.Commit(7);
    (void)server_.Commit({.empty = ours});
    ModelServer replica(*Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002"));
    replica.Commit(7);
    replica.clock_us += 1'000'000;
    (void)replica.Commit({.empty = !ours});
    replica.Commit(2);
    testing::FaultyFiles files;
    testing::CheckingListener listener(files);
    ASSERT_TRUE(Life(files, listener, server_).Once().ok());
    server_ = std::move(replica);
    const Status archived = Life(files, listener, server_).Once();
    EXPECT_TRUE(archived.ok()) << archived.message();
  }
}

// Its last file, which has no transactions, is as long as ours.
TEST_F(ArchiverHistoryTest, ServerSetBackTwoFilesAgoIsADivergence) {
  server_.Commit(5);
  ModelServer before = server_;
  for (ModelServer* server : {&server_, &before}) {
    server->Commit(3);
    server->Rotate();
    server->Rotate();
    before.clock_us += 1'000'000;
  }
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  server_ = std::move(before);
  server_.Commit(4);
  ExpectRefused("another transaction " + BuilderGtid(8).ToString());
}

// A source is not asked for its list of binary logs while commits wait: what the first connection
// has found out must hold for the dump, too.
TEST_F(ArchiverHistoryTest, PlaceThatIsGoneIsGoneForTheSecondConnectionToo) {
  server_.Commit(8);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  server_.Rotate();
  server_.Commit(1);
  server_.PurgeFirstFile();
  Life life(files_, listener_, server_);
  int connections = 0;
  life.source().on_facts = [&connections](SourceFacts* facts) {
    if (connections++ == 0) return;
    facts->commits_wait = true;
    facts->binlogs_visible = false;
    facts->binlogs.clear();
  };
  ASSERT_TRUE(life.Once().ok());
  EXPECT_GT(connections, 1);
  EXPECT_EQ(life.source().requests().back().file, "");
  EXPECT_EQ(Archived(), BuilderSet(1, 9));
}

// A link that breaks behind it each time has not got anywhere: tries are further and further apart.
TEST_F(ArchiverHistoryTest, ComparedTransactionDoesNotMakeTriesMoreFrequent) {
  constexpr uint64_t kDumps = 20;
  (void)server_.Commit();
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  Life life(files_, listener_, server_, {}, 10'000'000);
  DumpRequest with_last;
  with_last.file = server_.files[0].name;
  with_last.position = server_.files[0].transactions[0].begin;
  const uint64_t events = server_.Dump(with_last).size();
  for (uint64_t dump = 1; dump <= kDumps; ++dump) life.source().CutAt(dump * events);
  const auto begun = std::chrono::steady_clock::now();
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(
      testing::WaitUntil([&] { return life.source().requests().size() >= kDumps; }, 20'000));
  // 1, 2, 4 … 2^18 microseconds, or half of that.
  EXPECT_GE(std::chrono::steady_clock::now() - begun, std::chrono::microseconds(1 << 18));
  for (const DumpRequest& request : life.source().requests())
    EXPECT_EQ(request.position, with_last.position);
}

// Nothing tells then (GUARANTEES.md says so), and a long absence must not end in a refusal.
TEST_F(ArchiverHistoryTest, WhatIsPurgedIsNotCompared) {
  server_.Commit(8);
  server_.Rotate();
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  server_.PurgeFirstFile();
  server_.Commit(2);
  const Status archived = Life(files_, listener_, server_).Once();
  ASSERT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(Archived(), BuilderSet(1, 10));
}

// Right behind a rotation the last transaction is in the file before.
TEST_F(ArchiverHistoryTest, LastTransactionIsComparedBehindARotationToo) {
  server_.Commit(5);
  server_.Rotate();
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Once().ok());
  EXPECT_EQ(life.source().requests().back().file, server_.files[0].name);
  EXPECT_EQ(life.source().requests().back().position, server_.files[0].transactions[4].begin);
  server_.Commit(1);
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  testing::ExpectComplete(files_, server_);
}

TEST_F(ArchiverHistoryTest, LongLastTransactionIsNotSentAgain) {
  server_.Commit(1);
  (void)server_.Commit({.row_bytes = 1 << 20, .events = 20});
  ASSERT_TRUE(Life(files_, listener_, server_).Once().ok());
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Once().ok());
  EXPECT_EQ(life.source().requests().back().position, server_.files[0].bytes.size());
}

}  // namespace
}  // namespace tidemark
