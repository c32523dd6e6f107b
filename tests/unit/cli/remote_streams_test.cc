// Streams of a server that breaks them where it likes: no byte twice, none lost.
#include <gmock/gmock.h>

#include "tests/unit/cli/remote_fixture.h"
#include "tools/cli/remote_feed.h"

namespace tidemark::cli {
namespace {

using testing::BuilderSet;

class RemoteStreams : public testing::RemoteArchiveTest {
 protected:
  static EventStream::Sink Into(std::string* bytes) {
    return [bytes](Bytes piece) {
      bytes->append(AsText(piece));
      return OkStatus();
    };
  }
  struct Exported {
    std::string bytes;
    StreamProgress progress;
    Status status;
  };
  Exported Export(ArchiveAccess& archive, const Target& target, const GtidSet& exclude = {},
                  const GtidSet& only = {}) {
    Exported exported;
    auto source = archive.OpenSource();
    EXPECT_TRUE(source.ok());
    auto boundary = (*source)->Resolve(target);
    EXPECT_TRUE(boundary.ok());
    exported.status =
        (*source)->WriteEvents(*boundary, exclude, only, Into(&exported.bytes), &exported.progress);
    return exported;
  }
  void ExpectSame(const Exported& there, const Exported& here) {
    EXPECT_TRUE(there.status.ok()) << there.status.message();
    EXPECT_TRUE(there.bytes == here.bytes) << there.bytes.size() << " " << here.bytes.size();
    EXPECT_EQ(there.progress.raw_bytes_given, here.progress.raw_bytes_given);
    EXPECT_EQ(there.progress.transactions_given, here.progress.transactions_given);
  }
  Target Before(size_t at) const {
    return {.kind = TargetKind::kGtid, .edge = Edge::kBefore, .gtid = history_.all[at].gtid};
  }

  // Everything that a feed gives, with its files.
  struct Fed {
    std::string bytes;
    std::vector<std::string> files;
    uint64_t transactions = 0;
    bool at_stop = false;
    Status status;
  };
  static Fed Drain(const OpenFeed& feeds, const StreamRange& range, const GtidSet& executed = {}) {
    Fed fed;
    auto feed = feeds(range);
    EXPECT_TRUE(feed.ok()) << feed.error().message();
    if (!feed.ok()) return fed;
    for (;;) {
      auto piece = (*feed)->Next();
      if (!piece.ok()) fed.status = piece.error();
      if (!piece.ok() || piece->kind == StreamPiece::Kind::kEnd) break;
      if (piece->kind == StreamPiece::Kind::kNothingYet) continue;
      fed.bytes.append(AsText(piece->bytes));
      if (piece->kind == StreamPiece::Kind::kFormatDescription) {
        const std::string& file = (*feed)->source_file();
        fed.files.push_back(file +
                            ((*feed)->GivesBeginningOf(file, executed) ? " whole" : " rest"));
      }
    }
    fed.transactions = (*feed)->transactions_given();
    fed.at_stop = (*feed)->at_stop();
    return fed;
  }
  OpenFeed LocalFeeds() {
    return ArchiveFeeds([this] {
      return ArchiveView::Over(PosixFileSystem(), history_.dir.path(), "main",
                               history_.builder.index());
    });
  }
  void ExpectSameFeed(const StreamRange& range, const GtidSet& executed = {}) {
    const Fed here = Drain(LocalFeeds(), range, executed);
    const Fed there = Drain(RemoteFeeds(Options(), "main"), range, executed);
    EXPECT_TRUE(there.status.ok()) << there.status.message();
    EXPECT_TRUE(there.bytes == here.bytes) << there.bytes.size() << " " << here.bytes.size();
    EXPECT_EQ(there.files, here.files);
    EXPECT_EQ(there.transactions, here.transactions);
    EXPECT_TRUE(there.at_stop);
  }
  StreamRange UpTo(size_t at, GtidSet exclude = {}) {
    auto located = Locator(*history_.Open()).FindGtid(history_.all[at].gtid);
    EXPECT_TRUE(located.ok());
    return {.exclude = std::move(exclude), .stop_before = *located};
  }
};

TEST_F(RemoteStreams, ExportIsTheSameHoweverOftenItBreaks) {
  Start();
  const auto local = Local(), remote = Remote();
  const Exported whole = Export(*local, {});
  ASSERT_GT(whole.bytes.size(), 4u << 20) << "many messages";
  for (int after = 0; after < 12; ++after) {
    SCOPED_TRACE(after);
    BreakStreams(after, after == 0 ? 2 : 40);  // behind nothing it waits
    ExpectSame(Export(*remote, {}), whole);
  }
  const int streams = streams_;
  EXPECT_GT(streams, 30) << "they did break";
}

TEST_F(RemoteStreams, ExportOfPartsOfTheArchive) {
  Start();
  const auto local = Local(), remote = Remote();
  const GtidSet some = BuilderSet(20, 30), none = BuilderSet(9000, 9001);
  for (const Target& target : {Target{}, Before(0), Before(151), Before(152), Before(200)})
    for (const GtidSet& exclude : {GtidSet(), some, BuilderSet(1, 100)})
      for (const GtidSet& only : {GtidSet(), some, none}) {
        BreakStreams(1, 3);
        ExpectSame(Export(*remote, target, exclude, only), Export(*local, target, exclude, only));
      }
}

TEST_F(RemoteStreams, ExportEndsWhereTheArchiveEndedWhenItBegan) {
  Start();
  const auto remote = Remote();
  auto source = remote->OpenSource();
  ASSERT_TRUE(source.ok());
  const auto boundary = (*source)->Resolve({});
  ASSERT_TRUE(boundary.ok());
  const std::string before = Export(*Local(), {}).bytes;
  history_.AddMany(20);
  history_.builder.Publish();
  std::string bytes;
  StreamProgress progress;
  ASSERT_TRUE((*source)->WriteEvents(*boundary, {}, {}, Into(&bytes), &progress).ok());
  EXPECT_TRUE(bytes == before);
  EXPECT_NE(Export(*remote, {}).bytes.size(), before.size());
}

TEST_F(RemoteStreams, SourceFilesGoOnWhereTheyBroke) {
  Start();
  const auto local = Local(), remote = Remote();
  auto here = local->OpenSource(), there = remote->OpenSource();
  ASSERT_TRUE(here.ok() && there.ok());
  for (const std::string& file : {std::string("binlog.000001"), std::string("binlog.000002")}) {
    std::string expected, received;
    bool complete_here = false, complete_there = true;
    ASSERT_TRUE((*here)->WriteSourceFile(file, Into(&expected), &complete_here).ok());
    BreakStreams(2, 8);
    const Status status = (*there)->WriteSourceFile(file, Into(&received), &complete_there);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_TRUE(received == expected);
    EXPECT_EQ(complete_there, complete_here);
  }
  std::string none;
  bool complete = false;
  EXPECT_EQ((*there)->WriteSourceFile("binlog.000009", Into(&none), &complete).code(),
            Code::kNotFound);
}

TEST_F(RemoteStreams, ASinkThatFailsEndsIt) {
  Start();
  const auto remote = Remote();
  auto source = remote->OpenSource();
  ASSERT_TRUE(source.ok());
  StreamProgress progress;
  const Status status = (*source)->WriteEvents(
      *(*source)->Resolve({}), {}, {}, [](Bytes) { return Status(Code::kDiskFull, "full"); },
      &progress);
  EXPECT_EQ(status.code(), Code::kDiskFull);
}

TEST_F(RemoteStreams, AnInterruptionEndsTheWaitForAServerThatIsGone) {
  Start();
  const auto remote = Remote();
  auto source = remote->OpenSource();
  ASSERT_TRUE(source.ok());
  BreakStreams(1, 1'000'000);
  StreamProgress progress;
  bool first = true;
  const Status status = (*source)->WriteEvents(
      *(*source)->Resolve({}), {}, {},
      [&](Bytes) {
        if (first) BreakStreams(0, 1'000'000);  // from now on nothing comes
        first = false;
        interrupted_ = true;
        return OkStatus();
      },
      &progress);
  EXPECT_EQ(status.code(), Code::kInterrupted) << status.message();
}

TEST_F(RemoteStreams, FeedGivesWhatTheArchivesOwnDoes) {
  Start();
  ExpectSameFeed(UpTo(200));
  ExpectSameFeed(UpTo(200, BuilderSet(1, 100)), BuilderSet(1, 100));
  ExpectSameFeed(UpTo(230, BuilderSet(1, 180)), BuilderSet(1, 180));
  ExpectSameFeed(UpTo(151));
  ExpectSameFeed({.include = BuilderSet(100, 190)});
  ExpectSameFeed({.exclude = BuilderSet(100, 120), .include = BuilderSet(100, 190)},
                 BuilderSet(100, 120));
  ExpectSameFeed(UpTo(100, BuilderSet(1, 150)), BuilderSet(1, 150));  // nothing
}

TEST_F(RemoteStreams, FeedGoesOnInTheMiddleOfATransaction) {
  Start();
  for (int after = 0; after < 12; ++after) {
    SCOPED_TRACE(after);
    BreakStreams(after, after == 0 ? 2 : 40);  // behind nothing it waits
    ExpectSameFeed(UpTo(220));
  }
}

TEST_F(RemoteStreams, FeedTellsTheServersError) {
  Start();
  GtidSet gap = BuilderSet(500, 501);
  history_.next = 500;
  history_.Gap(2, "lost");
  history_.BeginFile("binlog.000003");
  history_.AddMany(3);
  history_.builder.Publish();
  const Fed fed = Drain(RemoteFeeds(Options(), "main"), UpTo(history_.all.size() - 1));
  EXPECT_EQ(fed.status.code(), Code::kGap) << fed.status.message();
  EXPECT_EQ(RemoteFeeds(Options(), "nobody")({}).error().code(), Code::kNotFound);
}

TEST_F(RemoteStreams, FeedThatNobodyReadsEnds) {
  Start();
  auto feed = RemoteFeeds(Options(), "main")(UpTo(200));
  ASSERT_TRUE(feed.ok());
  EXPECT_TRUE((*feed)->Next().ok());  // read ahead, and left there
}

}  // namespace
}  // namespace tidemark::cli
