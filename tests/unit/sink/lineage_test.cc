// A source that continues another one: where the two part, what the new directory gets, and that no
// half-made one is ever taken for a whole one.
#include "replication/sink/lineage.h"

#include <gmock/gmock.h>

#include "replication/archive/segment_recovery.h"
#include "tests/unit/sink/archiver_life.h"

namespace tidemark {
namespace {

using testing::BuilderGtid;
using testing::BuilderSet;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kArchive;
using testing::kSource;
using testing::Life;
using testing::ModelServer;
using testing::ModelSource;

constexpr char kChild[] = "main-b";

GtidSet SetOf(std::initializer_list<int64_t> numbers) {
  GtidSet set;
  for (const int64_t number : numbers) set.Add(BuilderGtid(number));
  return set;
}

// Any number of sources.
class Remembering : public DurableListener {
 public:
  Status OnDurable(const DurableBatch& batch) override {
    std::lock_guard lock(mutex_);
    announced_[batch.source].Add(batch.segment.gtids);
    return OkStatus();
  }
  GtidSet announced(const std::string& source) {
    std::lock_guard lock(mutex_);
    return announced_[source];
  }

 private:
  std::mutex mutex_;
  std::map<std::string, GtidSet> announced_;
};

class LineageTest : public testing::ArchiverTest {
 protected:
  // The parent's archive, of server_: sealed.
  void ArchiveParent(ArchiverOptions options = {}) {
    options.source = kSource;
    const Status archived = Archive(server_, std::move(options));
    ASSERT_TRUE(archived.ok()) << archived.message();
  }
  Status Archive(ModelServer& server, ArchiverOptions options) {
    options.server_id = 9;
    SourceArchiver archiver(archive_, std::make_unique<ModelSource>(server), SystemClock(),
                            remembering_, std::move(options));
    TM_RETURN_IF_ERROR(archiver.Prepare());
    return archiver.RunOnce();
  }
  // So many files of so many transactions each.
  void CommitFiles(int files, int each) {
    for (int i = 0; i < files; ++i) {
      if (i > 0) server_.Rotate();
      server_.Commit(each);
    }
  }
  LineageBeginning Beginning(const GtidSet& executed) {
    LineageBeginning beginning;
    beginning.source = kChild;
    beginning.parent = kSource;
    beginning.executed = executed;
    return beginning;
  }
  Result<SourceFork> Begin(const GtidSet& executed) {
    return BeginLineage(archive_, SystemClock(), Beginning(executed));
  }

  // Reads every segment of the child whole: sealed, continuous, of the parent's bytes.
  void ExpectWhole(const SourceFork& fork) {
    auto numbers = archive_.Segments(kChild);
    ASSERT_TRUE(numbers.ok()) << numbers.error().message();
    ASSERT_FALSE(numbers->empty());
    EXPECT_EQ(numbers->back(), fork.segment);
    GtidSet set;
    int64_t commit_high_us = 0;
    for (const uint64_t number : *numbers) {
      const std::string path = archive_.SegmentPath(kChild, number);
      const auto contents = ScanSegment(files_, path, kChild, commit_high_us);
      ASSERT_TRUE(contents.ok()) << contents.error().message();
      const SegmentRecord& segment = contents->segment;
      EXPECT_TRUE(segment.sealed) << number;
      EXPECT_EQ(segment.header.source_name, kSource);
      set.Add(segment.header.gap.missing);
      if (number == numbers->front()) set.Add(segment.header.previous);
      EXPECT_EQ(segment.header.previous, set) << number;
      set.Add(segment.gtids);
      commit_high_us = segment.commit_high_us;
      const std::string ours = RawOf(kChild, number), theirs = RawOf(kSource, number);
      EXPECT_EQ(ours, theirs.substr(0, ours.size())) << number;
      EXPECT_EQ(files_.OnDisk(path), files_.memory().Contents(path)) << number;
    }
    EXPECT_EQ(set, fork.set);
    const auto identity = archive_.ReadIdentity(kChild);
    ASSERT_TRUE(identity.ok()) << identity.error().message();
    EXPECT_THAT(identity->forks, ElementsAre(fork));
    EXPECT_FALSE(files_.Exists(archive_.LineageMarkPath(kChild)));
  }
  std::string RawOf(const std::string& source, uint64_t number) {
    std::string raw;
    auto reader = SegmentReader::Open(files_, archive_.SegmentPath(source, number));
    EXPECT_TRUE(reader.ok());
    (void)(*reader)->Walk(
        {.on_block =
             [&](Bytes bytes, uint64_t) {
               raw.append(AsText(bytes));
               return OkStatus();
             },
         .on_frame_end = [](FramePlace, uint64_t, uint64_t) { return OkStatus(); }});
    return raw;
  }
  std::vector<Uuid> ServersOf(const std::string& source) {
    return archive_.ReadIdentity(source)->server_uuids;
  }

  ArchiveDirectory archive_{files_, kArchive};
  Remembering remembering_;
};

TEST_F(LineageTest, ForksInMidSegment) {
  CommitFiles(3, 10);
  ArchiveParent();
  const auto fork = Begin(BuilderSet(1, 14));
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  EXPECT_EQ(fork->parent, kSource);
  EXPECT_EQ(fork->segment, 2u);
  EXPECT_EQ(fork->set, BuilderSet(1, 14));
  EXPECT_EQ(fork->lost, BuilderSet(15, 30));
  ExpectWhole(*fork);
  EXPECT_EQ(ServersOf(kChild), ServersOf(kSource));
  EXPECT_NE(archive_.ReadIdentity(kChild)->replica_uuid,
            archive_.ReadIdentity(kSource)->replica_uuid);
}

TEST_F(LineageTest, ForksAtTheEdgeOfASegment) {
  CommitFiles(3, 10);
  ArchiveParent();
  const auto fork = Begin(BuilderSet(1, 20));
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  EXPECT_EQ(fork->segment, 2u);
  EXPECT_EQ(fork->set, BuilderSet(1, 20));
  ExpectWhole(*fork);
  EXPECT_EQ(RawOf(kChild, 2), RawOf(kSource, 2)) << "with its Rotate";
}

TEST_F(LineageTest, NothingLostSharesTheWholeArchive) {
  CommitFiles(2, 10);
  ArchiveParent();
  const auto fork = Begin(BuilderSet(1, 25));
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  EXPECT_EQ(fork->segment, 2u);
  EXPECT_EQ(fork->set, BuilderSet(1, 20));
  EXPECT_TRUE(fork->lost.empty());
  ExpectWhole(*fork);
}

// What the new source has, but behind something that it lacks, comes from it.
TEST_F(LineageTest, PrefixIsOfTheArchivesOrderAndNotOfNumbers) {
  for (const int64_t number : {5, 1, 7, 2, 3}) {
    server_.last_number = number - 1;
    (void)server_.Commit();
  }
  ArchiveParent();
  const auto fork = Begin(SetOf({1, 2, 3, 5}));
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  EXPECT_EQ(fork->set, SetOf({1, 5}));
  EXPECT_EQ(fork->lost, SetOf({7}));
  ExpectWhole(*fork);
}

TEST_F(LineageTest, WhatIsSharedBehindTheForkIsNot) {
  CommitFiles(3, 10);
  ArchiveParent();
  GtidSet executed = BuilderSet(1, 30);
  executed.Subtract(SetOf({12}));
  const auto fork = Begin(executed);
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  EXPECT_EQ(fork->set, BuilderSet(1, 11));
  EXPECT_EQ(fork->segment, 2u);
  EXPECT_EQ(fork->lost, SetOf({12}));
  ExpectWhole(*fork);
}

TEST_F(LineageTest, LongSegmentIsCutIntoFramesAnew) {
  testing::ModelServer& server = server_;
  for (int i = 0; i < 60; ++i)
    (void)server.Commit({.rows = 20, .row_bytes = 5000});  // 100 kB each: several frames
  ArchiveParent();
  const auto fork = Begin(BuilderSet(1, 50));
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  ExpectWhole(*fork);
  auto ours = SegmentReader::Open(files_, archive_.SegmentPath(kChild, 1));
  ASSERT_TRUE(ours.ok());
  EXPECT_GT((*ours)->footer().frames.size(), 3u);
  const auto contents = ScanSegment(files_, archive_.SegmentPath(kSource, 1), kSource, 0);
  for (size_t i = 0; i + 1 < (*ours)->footer().frames.size(); ++i)
    EXPECT_EQ((*ours)->footer().frames[i].raw_offset, contents->frames[i].place.raw_offset);
}

TEST_F(LineageTest, GapThatTheNewSourceLacksIsWhereTheyPart) {
  server_.Commit(10);
  server_.NextFile();
  ArchiverOptions options;
  options.adopt_purged = true;
  ArchiveParent(options);
  server_.Commit(5);  // 11 to 15: purged before they were archived
  server_.NextFile();
  server_.PurgeFirstFile();
  server_.PurgeFirstFile();
  server_.Commit(5);
  ArchiveParent(options);
  GtidSet executed = BuilderSet(1, 20);
  {
    const auto whole = Begin(executed);
    ASSERT_TRUE(whole.ok()) << whole.error().message();
    EXPECT_EQ(whole->set, BuilderSet(1, 20));
    ExpectWhole(*whole);
  }
  executed.Subtract(SetOf({13}));
  LineageBeginning beginning = Beginning(executed);
  beginning.source = "other";
  const auto fork = BeginLineage(archive_, SystemClock(), beginning);
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  EXPECT_EQ(fork->set, BuilderSet(1, 10)) << "the new source may still have some of the gap";
  EXPECT_TRUE(fork->lost.empty()) << "the archive never had it";
}

TEST_F(LineageTest, NothingInCommonIsRefused) {
  CommitFiles(2, 3);
  ArchiveParent();
  for (const GtidSet& executed : {GtidSet(), BuilderSet(2, 100)}) {
    const auto fork = Begin(executed);
    ASSERT_FALSE(fork.ok());
    EXPECT_EQ(fork.error().code(), Code::kDivergence);
    EXPECT_THAT(fork.error().hint(), HasSubstr("leave `continues` out"));
  }
  EXPECT_THAT(*archive_.Sources(), ElementsAre(kSource));
  EXPECT_FALSE(files_.IsDirectory(archive_.SegmentsPath(kChild)));
}

// What the archive builds on counts, too: a base of the parent's must do for the child.
TEST_F(LineageTest, OneThatLacksWhatTheArchiveBuildsOnIsRefused) {
  server_.Commit(5);
  server_.NextFile();
  server_.PurgeFirstFile();
  server_.Commit(5);
  ArchiverOptions options;
  options.adopt_purged = true;
  ArchiveParent(options);
  GtidSet executed = BuilderSet(1, 10);
  executed.Subtract(SetOf({2}));
  EXPECT_EQ(Begin(executed).error().code(), Code::kDivergence);
  const auto fork = Begin(BuilderSet(1, 8));
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  EXPECT_EQ(fork->set, BuilderSet(1, 8));
  ExpectWhole(*fork);
}

// The parent's oldest segments are gone: what they held only a base has.
TEST_F(LineageTest, ParentThatBeginsInTheMiddleIsContinuedFromThere) {
  CommitFiles(3, 5);
  ArchiveParent();
  ASSERT_TRUE(files_.Remove(archive_.SegmentPath(kSource, 1)).ok());
  GtidSet executed = BuilderSet(1, 12);
  executed.Subtract(SetOf({3}));
  EXPECT_EQ(Begin(executed).error().code(), Code::kDivergence);
  const auto fork = Begin(BuilderSet(1, 12));
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  EXPECT_EQ(fork->set, BuilderSet(1, 12));
  EXPECT_FALSE(files_.Exists(archive_.SegmentPath(kChild, 1)));
  ExpectWhole(*fork);
}

// What a killed process has written and never synced reads well, until power fails. That of its
// last segment is made durable anew, under the new name.
TEST_F(LineageTest, ParentsLastSegmentIsNotBelievedToBeDurable) {
  CommitFiles(2, 5);
  ArchiveParent();
  MemoryFileSystem& memory = files_.memory();
  const std::string path = archive_.SegmentPath(kSource, 2), whole = memory.Contents(path);
  {
    auto file = memory.Open(path, OpenMode::kReadWrite);
    ASSERT_TRUE((*file)->Truncate(whole.size() - 100).ok());
    ASSERT_TRUE((*file)->DataSync().ok());
    ASSERT_TRUE((*file)->Append(AsBytes(whole).last(100)).ok());
  }
  const auto fork = Begin(BuilderSet(1, 10));
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  memory.Crash();
  ASSERT_NE(memory.Contents(path), whole);
  const auto contents = ScanSegment(memory, archive_.SegmentPath(kChild, 2), kChild, 0);
  ASSERT_TRUE(contents.ok()) << contents.error().message();
  EXPECT_TRUE(contents->segment.sealed);
  EXPECT_EQ(contents->segment.gtids, BuilderSet(6, 10));
}

TEST_F(LineageTest, EmptyOrMissingParentIsRefused) {
  EXPECT_EQ(Begin(BuilderSet(1, 3)).error().code(), Code::kNotFound);
  ASSERT_TRUE(archive_.CreateSource(kSource).ok());
  const auto fork = Begin(BuilderSet(1, 3));
  EXPECT_EQ(fork.error().code(), Code::kDivergence);
  EXPECT_THAT(fork.error().message(), HasSubstr("no transaction yet"));
}

TEST_F(LineageTest, CopiesWhereThereAreNoLinks) {
  CommitFiles(4, 5);
  ArchiveParent();
  files_.memory().RefuseLinks();
  const auto fork = Begin(BuilderSet(1, 17));
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  ExpectWhole(*fork);
}

// The parent is archived meanwhile: of its open segment what is published counts, and no more.
TEST_F(LineageTest, OpenSegmentOfAParentAtWorkIsReadAsFarAsItIsPublished) {
  CommitFiles(2, 5);
  Life life(files_, listener_, server_);
  ASSERT_TRUE(life.Start().ok());
  ASSERT_TRUE(listener_.WaitFor(server_.executed));
  const SegmentRecord last = listener_.last();
  ASSERT_FALSE(last.sealed);
  LineageBeginning beginning = Beginning(BuilderSet(1, 8));
  uint64_t published = last.raw_bytes;
  beginning.hooks.published = [&](const std::string& parent, uint64_t segment) -> Result<uint64_t> {
    EXPECT_EQ(parent, kSource);
    EXPECT_EQ(segment, last.header.number);
    return published;
  };
  const auto inside = BeginLineage(archive_, SystemClock(), beginning);
  ASSERT_TRUE(inside.ok()) << inside.error().message();
  EXPECT_EQ(inside->set, BuilderSet(1, 8));
  EXPECT_EQ(inside->lost, BuilderSet(9, 10));
  ExpectWhole(*inside);

  beginning.source = "all-of-it";
  beginning.executed = BuilderSet(1, 99);
  const auto all = BeginLineage(archive_, SystemClock(), beginning);
  ASSERT_TRUE(all.ok()) << all.error().message();
  EXPECT_EQ(all->set, BuilderSet(1, 10));
  EXPECT_EQ(all->segment, last.header.number);
  auto sealed = SegmentReader::Open(files_, archive_.SegmentPath(beginning.source, all->segment));
  ASSERT_TRUE(sealed.ok());
  EXPECT_TRUE((*sealed)->sealed());

  beginning.source = "nothing-published";
  published = 0;
  const auto none = BeginLineage(archive_, SystemClock(), beginning);
  ASSERT_TRUE(none.ok()) << none.error().message();
  EXPECT_EQ(none->set, BuilderSet(1, 5));
  EXPECT_EQ(none->segment, last.header.number - 1);
  EXPECT_TRUE(life.Stop().ok());
}

TEST_F(LineageTest, WhoReadsItMayKnowWhatIsSharedBeforeItIsASource) {
  CommitFiles(4, 5);
  ArchiveParent();
  LineageBeginning beginning = Beginning(BuilderSet(1, 17));
  std::vector<uint64_t> shared;
  beginning.hooks.shared = [&](const std::string& parent, const std::vector<uint64_t>& segments) {
    EXPECT_EQ(parent, kSource);
    EXPECT_FALSE(archive_.HasIdentity(kChild));
    EXPECT_TRUE(files_.Exists(archive_.SegmentPath(kChild, 4)));
    shared = segments;
    return OkStatus();
  };
  ASSERT_TRUE(BeginLineage(archive_, SystemClock(), beginning).ok());
  EXPECT_THAT(shared, ElementsAre(1, 2, 3));
}

// Each change of a file fails once, with and without what a power failure takes; then it is tried
// again. At no moment is there a source that is not whole.
struct Ending {
  const char* name;
  int64_t common;  // of 12 in three segments
  bool links;
  bool power_cut;
};

// An archive of its own for each moment.
class Moment {
 public:
  explicit Moment(const Ending& ending) : ending_(ending) {}
  void Build() {
    for (int i = 0; i < 3; ++i) {
      if (i > 0) server_.Rotate();
      server_.Commit(4);
    }
    ArchiverOptions options;
    options.source = kSource;
    options.server_id = 9;
    SourceArchiver archiver(archive_, std::make_unique<ModelSource>(server_), SystemClock(),
                            remembering_, options);
    ASSERT_TRUE(archiver.Prepare().ok());
    ASSERT_TRUE(archiver.RunOnce().ok());
    beginning_.source = kChild;
    beginning_.parent = kSource;
    beginning_.executed = BuilderSet(1, ending_.common);
    if (!ending_.links) files_.RefuseLinks();
  }
  bool IsThere() {
    const auto begun = LineageIsBegun(archive_, kChild, kSource);
    EXPECT_TRUE(begun.ok()) << begun.error().message();
    return begun.ok() && *begun;
  }
  // As the next start finds it.
  void ExpectWhole() {
    ASSERT_TRUE(archive_.CreateSource(kChild).ok());
    EXPECT_FALSE(files_.Exists(archive_.LineageMarkPath(kChild)));
    if (ending_.power_cut) files_.Crash();
    const auto numbers = archive_.Segments(kChild);
    ASSERT_TRUE(numbers.ok());
    GtidSet set;
    for (const uint64_t number : *numbers) {
      const auto contents = ScanSegment(files_, archive_.SegmentPath(kChild, number), kChild, 0);
      ASSERT_TRUE(contents.ok()) << contents.error().message();
      EXPECT_TRUE(contents->segment.sealed);
      set.Add(contents->segment.gtids);
    }
    EXPECT_EQ(set, beginning_.executed);
    const auto forks = archive_.ForksOf(kChild);
    ASSERT_EQ(forks.size(), 1u);
    EXPECT_EQ(forks.back().set, set);
  }
  // False: it went well, for it has fewer changes than that.
  bool FailAt(uint64_t change) {
    files_.FailAfter(change, change % 2 == 0 ? Code::kIo : Code::kDiskFull);
    const auto first = BeginLineage(archive_, SystemClock(), beginning_);
    files_.StopFailing();
    if (ending_.power_cut) files_.Crash();
    if (!IsThere()) {
      EXPECT_FALSE(first.ok()) << "it was said to be there";
      // Without the setting nobody makes a source out of it.
      if (files_.Exists(archive_.LineageMarkPath(kChild))) {
        EXPECT_EQ(archive_.CreateSource(kChild).code(), Code::kUsage);
      }
      const auto again = BeginLineage(archive_, SystemClock(), beginning_);
      EXPECT_TRUE(again.ok()) << again.error().message();
    }
    EXPECT_TRUE(IsThere());
    return !first.ok();
  }

 private:
  const Ending ending_;
  MemoryFileSystem files_;
  ArchiveDirectory archive_{files_, kArchive};
  ModelServer server_;
  Remembering remembering_;
  LineageBeginning beginning_;
};

class LineageEndingTest : public ::testing::TestWithParam<Ending> {};

TEST_P(LineageEndingTest, TheNextBeginningMakesItWhole) {
  spdlog::set_level(spdlog::level::off);
  bool failed = true;
  for (uint64_t change = 0; failed && !HasFailure(); ++change) {
    SCOPED_TRACE("change " + std::to_string(change));
    Moment moment(GetParam());
    moment.Build();
    failed = moment.FailAt(change);
    moment.ExpectWhole();
    ASSERT_LT(change, 1000u);
  }
}

INSTANTIATE_TEST_SUITE_P(Moments, LineageEndingTest,
                         ::testing::Values(Ending{"InMidSegment", 10, true, false},
                                           Ending{"InMidSegmentPower", 10, true, true},
                                           Ending{"AtAnEdge", 8, true, false},
                                           Ending{"AtAnEdgePower", 8, true, true},
                                           Ending{"CopiedPower", 8, false, true},
                                           Ending{"WholePower", 12, false, true}),
                         [](const auto& one) { return one.param.name; });

// Segments beside which no mark stands are somebody's, even if the identity is lost.
TEST_F(LineageTest, SegmentsWithoutAMarkAreNeverThrownAway) {
  CommitFiles(2, 5);
  ArchiveParent();
  ASSERT_TRUE(archive_.CreateDirectories(kChild).ok());
  const std::string path = archive_.SegmentPath(kChild, 1);
  files_.memory().Put(path, "somebody's");
  const auto fork = Begin(BuilderSet(1, 7));
  ASSERT_FALSE(fork.ok());
  EXPECT_EQ(fork.error().code(), Code::kCorruption);
  EXPECT_EQ(files_.memory().Contents(path), "somebody's");
}

TEST_F(LineageTest, InterruptedWhileItIsMade) {
  CommitFiles(3, 5);
  ArchiveParent();
  LineageBeginning beginning = Beginning(BuilderSet(1, 12));
  int asked = 0;
  beginning.give_up = [&] { return ++asked > 5; };
  EXPECT_EQ(BeginLineage(archive_, SystemClock(), beginning).error().code(), Code::kInterrupted);
  EXPECT_FALSE(archive_.HasIdentity(kChild));
}

TEST_F(LineageTest, OneThatIsThereContinuesWhatItAlwaysDid) {
  CommitFiles(2, 5);
  ArchiveParent();
  EXPECT_FALSE(*LineageIsBegun(archive_, kChild, kSource));
  ASSERT_TRUE(Begin(BuilderSet(1, 7)).ok());
  EXPECT_TRUE(*LineageIsBegun(archive_, kChild, kSource));
  EXPECT_EQ(LineageIsBegun(archive_, kChild, "another").error().code(), Code::kUsage);
  EXPECT_EQ(LineageIsBegun(archive_, kSource, "another").error().code(), Code::kUsage);
}

// Of a grandchild that leaves before its parent left the grandparent, as of one that leaves later.
TEST_F(LineageTest, GrandchildKnowsWhoseItsSegmentsAre) {
  CommitFiles(4, 10);
  ArchiveParent();
  ASSERT_TRUE(Begin(BuilderSet(1, 35)).ok());
  LineageBeginning beginning = Beginning(BuilderSet(1, 15));
  beginning.parent = kChild;
  beginning.source = "main-c";
  const auto fork = BeginLineage(archive_, SystemClock(), beginning);
  ASSERT_TRUE(fork.ok()) << fork.error().message();
  EXPECT_EQ(fork->parent, kChild);
  EXPECT_EQ(fork->set, BuilderSet(1, 15));
  EXPECT_EQ(fork->lost, BuilderSet(16, 35));
  const std::vector<SourceFork> forks = archive_.ForksOf("main-c");
  ASSERT_EQ(forks.size(), 2u);
  EXPECT_EQ(forks[0].parent, kSource);
  EXPECT_EQ(forks[0].segment, 2u);
  EXPECT_EQ(forks[0].set, BuilderSet(1, 15));
  const auto is_of = [&](uint64_t number) {
    const std::string path = archive_.SegmentPath("main-c", number);
    auto reader = SegmentReader::Open(files_, path);
    EXPECT_TRUE(reader.ok());
    return CheckSegmentIsOf("main-c", forks, number, path, (*reader)->header());
  };
  EXPECT_TRUE(is_of(1).ok());
  EXPECT_TRUE(is_of(2).ok());
}

// The archiver of the child, on a promoted server.
class LineageArchiverTest : public LineageTest {
 protected:
  // What the first `count` transactions of server_ made of a replica that is a primary now.
  void Promote(int count, Uuid uuid) {
    next_.emplace(uuid);
    next_->Commit(count);
    next_->last_number = 100;
  }
  Status Once(const std::string& continues = kSource) {
    ArchiverOptions options;
    options.source = kChild;
    options.continues = continues;
    return Archive(*next_, std::move(options));
  }
  GtidSet Archived() {
    GtidSet set;
    const auto numbers = archive_.Segments(kChild);
    EXPECT_TRUE(numbers.ok());
    for (const uint64_t number : *numbers) {
      auto reader = SegmentReader::Open(files_, archive_.SegmentPath(kChild, number));
      if (!reader.ok()) continue;
      EXPECT_FALSE((*reader)->footer().gtids.Intersects(set)) << number;
      EXPECT_EQ((*reader)->header().previous, set) << number;
      set.Add((*reader)->footer().gtids);
    }
    return set;
  }
  // Restarted without its last ones, it is written to.
  void MakeAnew(int count) {
    next_->NextFile();
    next_->clock_us += 5'000'000;
    next_->Commit(count);
  }
  int64_t CommitTimeOf(int64_t number) {
    int64_t commit_us = 0;
    EXPECT_TRUE(FindOrigins(archive_, kChild, SetOf({number}), {}, [&](const ArchivedOrigin& one) {
                  commit_us = one.origin.original_commit_us;
                  return OkStatus();
                }).ok());
    return commit_us;
  }
  static Uuid Other() { return *Uuid::Parse("bbbbbbbb-0000-0000-0000-000000000002"); }

  std::optional<ModelServer> next_;
};

TEST_F(LineageArchiverTest, GoesOnFromTheForkWithTheNewServer) {
  CommitFiles(3, 10);
  ArchiveParent();
  Promote(24, Other());
  next_->Commit(5);
  const Status archived = Once();
  ASSERT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(archive_.ForksOf(kChild).back().set, BuilderSet(1, 24));
  EXPECT_EQ(Archived(), next_->executed);
  EXPECT_THAT(ServersOf(kChild), ElementsAre(server_.uuid, Other()));
  next_->Rotate();
  next_->Commit(5);
  ASSERT_TRUE(Once().ok());
  ASSERT_TRUE(Once("").ok()) << "the setting may go once it has begun";
  EXPECT_EQ(Archived(), next_->executed);
  EXPECT_EQ(remembering_.announced(kChild), next_->executed.Minus(BuilderSet(1, 24)))
      << "what is shared was announced when it was archived";
}

// A server that was set back keeps its UUID and the names of its files.
TEST_F(LineageArchiverTest, SameServerSetBackIsAskedByGtidAlone) {
  CommitFiles(3, 10);
  ArchiveParent();
  Promote(15, server_.uuid);
  for (int i = 0; i < 3; ++i) {
    next_->Commit(1);
    next_->Rotate();
  }
  next_->Commit(1);
  const Status archived = Once();
  ASSERT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(archive_.ForksOf(kChild).back().set, BuilderSet(1, 15));
  EXPECT_EQ(Archived(), next_->executed);
  next_->Commit(1);
  ASSERT_TRUE(Once().ok());
  EXPECT_EQ(Archived(), next_->executed);
}

// Of several servers the one that was archived last is preferred while it has more: but not the
// parent's last one, whose more is what was given up.
class Noting : public ModelSource {
 public:
  Noting(ModelServer& server, std::vector<std::optional<Uuid>>* noted)
      : ModelSource(server), noted_(*noted) {}
  void NoteArchived(const ArchivedSoFar& archived) override {
    noted_.push_back(archived.server_uuid);
  }

 private:
  std::vector<std::optional<Uuid>>& noted_;
};

TEST_F(LineageArchiverTest, ServerOfTheHistoryThatWasGivenUpIsNotPreferred) {
  CommitFiles(2, 10);
  ArchiveParent();
  Promote(15, Other());
  std::vector<std::optional<Uuid>> noted;
  const auto once = [&] {
    noted.clear();
    ArchiverOptions options;
    options.source = kChild;
    options.continues = kSource;
    options.server_id = 9;
    SourceArchiver archiver(archive_, std::make_unique<Noting>(*next_, &noted), SystemClock(),
                            remembering_, options);
    EXPECT_TRUE(archiver.Prepare().ok());
    EXPECT_TRUE(archiver.RunOnce().ok());
  };
  once();
  ASSERT_GE(noted.size(), 2u) << "where they part is asked, and then archived";
  EXPECT_EQ(noted[0], std::nullopt);
  EXPECT_EQ(noted[1], std::nullopt);
  next_->Commit(1);
  once();
  once();
  EXPECT_EQ(noted.at(0), Other()) << "as ever, once there is something of its own";
}

// It has the parent's GTIDs up to 28, but made those behind 25 anew.
TEST_F(LineageArchiverTest, ForkIsInFrontOfWhatTheServerMadeAnewUnderTheSameGtids) {
  CommitFiles(2, 10);
  server_.Rotate();
  server_.Commit(5);
  next_ = server_;
  server_.Commit(5);
  ArchiveParent();
  MakeAnew(3);
  const Status archived = Once();
  ASSERT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(archive_.ForksOf(kChild).back().set, BuilderSet(1, 25));
  EXPECT_EQ(archive_.ForksOf(kChild).back().lost, BuilderSet(26, 30));
  EXPECT_EQ(Archived(), BuilderSet(1, 28));
  EXPECT_EQ(CommitTimeOf(28), next_->clock_us + 28);
  EXPECT_EQ(CommitTimeOf(25), server_.clock_us + 25);
}

// Behind those stands one that an operator made.
TEST_F(LineageArchiverTest, EmptyTransactionDoesNotHideWhatWasMadeAnew) {
  server_.Commit(25);
  next_ = server_;
  server_.Commit(5);
  ArchiveParent();
  MakeAnew(2);
  (void)next_->Commit({.empty = true});
  const Status archived = Once();
  ASSERT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(archive_.ForksOf(kChild).back().set, BuilderSet(1, 25));
  EXPECT_EQ(Archived(), BuilderSet(1, 28));
}

// Of several segments, past the parent's end, and with nothing in common but the beginning.
TEST_F(LineageArchiverTest, ForkIsFoundHoweverMuchWasMadeAnew) {
  server_.Commit(7);
  next_ = server_;
  server_.Commit(3);
  server_.Rotate();
  CommitFiles(2, 10);
  ArchiveParent();
  MakeAnew(40);
  const Status archived = Once();
  ASSERT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(archive_.ForksOf(kChild).back().set, BuilderSet(1, 7));
  EXPECT_EQ(Archived(), BuilderSet(1, 47));
  EXPECT_EQ(CommitTimeOf(8), next_->clock_us + 8);
}

// Of two servers that replicate from each other: the other's last one is in both histories, behind
// what was made anew.
TEST_F(LineageArchiverTest, ForkIsFoundInFrontOfAnothersTransactionsToo) {
  const Gtid others{{Other(), ""}, 1};
  server_.Commit(7);
  next_ = server_;
  server_.Commit(3);
  MakeAnew(4);
  next_->clock_us -= 5'000'000;
  for (ModelServer* server : {&server_, &*next_}) (void)server->Commit({.gtid = others});
  ArchiveParent();
  next_->clock_us += 5'000'000;
  const Status archived = Once();
  ASSERT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(archive_.ForksOf(kChild).back().set, BuilderSet(1, 7));
  EXPECT_EQ(Archived(), next_->executed);
  EXPECT_EQ(CommitTimeOf(8), next_->clock_us + 8);
}

TEST_F(LineageArchiverTest, ServerThatMadeEverythingAnewHasNothingInCommon) {
  CommitFiles(2, 10);
  ArchiveParent();
  next_.emplace(server_.uuid);
  next_->clock_us += 5'000'000;
  next_->Commit(30);
  EXPECT_EQ(Once().code(), Code::kDivergence);
  EXPECT_FALSE(archive_.HasIdentity(kChild));
}

TEST_F(LineageArchiverTest, ForkThatCannotBeMadeIsTriedAgain) {
  CommitFiles(2, 10);
  ArchiveParent();
  Promote(15, Other());
  files_.Break({.at = 6, .code = Code::kDiskFull});
  EXPECT_EQ(Once().code(), Code::kDiskFull);
  files_.Heal();
  const Status archived = Once();
  ASSERT_TRUE(archived.ok()) << archived.message();
  EXPECT_EQ(Archived(), next_->executed);
}

TEST_F(LineageArchiverTest, WhatTheNewServerHasPurgedBehindTheForkIsAGap) {
  CommitFiles(2, 10);
  ArchiveParent();
  Promote(15, Other());
  next_->Commit(5);
  next_->NextFile();
  next_->PurgeFirstFile();
  next_->Commit(5);
  EXPECT_EQ(Once().code(), Code::kGap);
  EXPECT_EQ(archive_.ForksOf(kChild).back().set, BuilderSet(1, 15));
}

TEST_F(LineageArchiverTest, NameThatIsTakenIsRefused) {
  CommitFiles(2, 10);
  ArchiveParent();
  Promote(15, Other());
  ASSERT_TRUE(Once("").ok());
  const Status refused = Once();
  EXPECT_EQ(refused.code(), Code::kUsage);
  EXPECT_THAT(refused.message(), HasSubstr("continues no other one"));
}

}  // namespace
}  // namespace tidemark
