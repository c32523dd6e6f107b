// The pipeline alone: what it announces and when, with slow, full and broken disks and listeners
// that refuse.
#include "replication/sink/pipeline.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/sink/sink_fixture.h"

namespace tidemark {
namespace {

using testing::BuilderSet;
using testing::CheckingListener;
using testing::FaultyFiles;
using testing::ModelServer;
using testing::ReadArchive;

class PipelineTest : public ::testing::Test {
 protected:
  PipelineTest() {
    EXPECT_TRUE(archive_.CreateSource(testing::kSource).ok());
    session_.emplace(testing::kSource, ResumePoint{}, SessionLimits{});
    session_->OnConnected(server_.uuid, {});
  }
  void Open(PipelineOptions options = {}) {
    pipeline_ =
        std::make_unique<Pipeline>(archive_, testing::kSource, SystemClock(), listener_, options);
  }
  // Sends everything that the server has and that was not sent.
  Status Send(size_t packets_max = SIZE_MAX) {
    const std::vector<std::string> packets = server_.Dump({});
    for (; sent_ < packets.size() && packets_max > 0; ++sent_, --packets_max)
      TM_RETURN_IF_ERROR(SendOne(AsBytes(packets[sent_])));
    return OkStatus();
  }
  Status SendOne(Bytes packet) {
    ScannedEvent event;
    TM_RETURN_IF_ERROR(scanner_.FeedEvent(packet, &event));
    SessionAction action;
    TM_RETURN_IF_ERROR(session_->OnEvent(packet, event, &action));
    if (action.seal_before) TM_RETURN_IF_ERROR(pipeline_->Seal(*action.seal_before));
    if (action.begin)
      TM_RETURN_IF_ERROR(
          pipeline_->Begin(std::move(*action.begin), session_->resume().commit_high_us));
    if (action.archive) {
      scanner_.Rebase(action.raw_end);
      event.offset = action.raw_end - packet.size();
      TM_RETURN_IF_ERROR(pipeline_->Append(packet, event));
    }
    if (action.seal_after) TM_RETURN_IF_ERROR(pipeline_->Seal(*action.seal_after));
    return OkStatus();
  }

  FaultyFiles files_;
  ArchiveDirectory archive_{files_, testing::kArchive};
  CheckingListener listener_{files_};
  ModelServer server_;
  std::optional<Session> session_;
  StreamScanner scanner_{ScannerOptions{}};
  std::unique_ptr<Pipeline> pipeline_;
  size_t sent_ = 0;
};

TEST_F(PipelineTest, IdleSourcesTransactionIsAnnouncedWithoutBeingAskedFor) {
  Open();
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  EXPECT_TRUE(listener_.WaitFor(BuilderSet(1, 1)));
}

TEST_F(PipelineTest, DrainAnnouncesEveryWholeTransactionAndNothingOfAnUnfinishedOne) {
  Open();
  server_.Commit(2);
  server_.Commit({.events = 5});
  ASSERT_TRUE(Send(4 + 2 * 5 + 4).ok());
  ASSERT_TRUE(session_->in_transaction());
  ASSERT_TRUE(pipeline_->Drain().ok());
  EXPECT_EQ(listener_.announced(), BuilderSet(1, 2));
  EXPECT_EQ(listener_.last().raw_bytes, server_.files[0].transactions[1].end);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  EXPECT_EQ(listener_.announced(), BuilderSet(1, 3));
}

TEST_F(PipelineTest, SealedFilesAreByteExact) {
  Open();
  for (int i = 0; i < 5; ++i) {
    server_.Commit(20);
    server_.Rotate();
  }
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Seal(SealReason::kStop).ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  testing::ExpectComplete(files_, server_);
  EXPECT_TRUE(listener_.last().sealed);
  EXPECT_EQ(listener_.last().reason, SealReason::kStop);
}

TEST_F(PipelineTest, EventLargerThanTheRingPasses) {
  Open({.ring_bytes = 1000, .batch_raw_bytes = 200});
  server_.Commit(1);
  server_.Commit({.row_bytes = 3 << 20});
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Seal(SealReason::kStop).ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  testing::ExpectComplete(files_, server_);
}

TEST_F(PipelineTest, TransactionLargerThanTheRingPasses) {
  Open({.ring_bytes = 1000, .batch_raw_bytes = 200});
  server_.Commit({.row_bytes = 5000, .events = 1000});
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Seal(SealReason::kStop).ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  testing::ExpectComplete(files_, server_);
  EXPECT_GT(ReadArchive(files_)[0].footer.frames.size(), 1u);
}

TEST_F(PipelineTest, HeadLargerThanTheRingPasses) {
  Open({.ring_bytes = 64, .batch_raw_bytes = 16});
  server_.Commit(3);
  server_.Rotate();
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Seal(SealReason::kStop).ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  testing::ExpectComplete(files_, server_);
}

TEST_F(PipelineTest, SlowDiskAnnouncesNothingAndLosesNothing) {
  Open({.ring_bytes = 4096, .batch_raw_bytes = 512, .batches_max = 2});
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  files_.HoldSyncs();
  for (int i = 0; i < 3; ++i) {
    server_.Commit(200);
    server_.Rotate();
  }
  server_.Commit(1);
  std::atomic<bool> done = false;
  std::thread caller([&] {
    EXPECT_TRUE(Send().ok());
    done = true;
  });
  files_.WaitForBlockedSync();
  EXPECT_EQ(listener_.announced(), BuilderSet(1, 1));
  EXPECT_FALSE(
      done);  // the next segment cannot begin before this one is sealed, which takes a sync
  files_.ReleaseSyncs();
  caller.join();
  ASSERT_TRUE(pipeline_->Seal(SealReason::kStop).ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  testing::ExpectComplete(files_, server_);
}

TEST_F(PipelineTest, DestroyedWhileTheDiskIsBusyAndTheRingFull) {
  Open({.ring_bytes = 512, .batch_raw_bytes = 128, .batches_max = 1});
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  files_.HoldSyncs();
  server_.Commit(2);
  ASSERT_TRUE(Send().ok());
  files_.WaitForBlockedSync();
  std::thread releaser([&] { files_.ReleaseSyncs(); });
  pipeline_.reset();
  releaser.join();
}

TEST_F(PipelineTest, FailureWakesACallerThatWaitsForSpace) {
  Open({.ring_bytes = 256, .batch_raw_bytes = 64, .batches_max = 1});
  server_.Commit(500);
  files_.Break({.at = 20, .count = UINT64_MAX, .code = Code::kDiskFull});
  Status status = Send();
  if (status.ok()) status = pipeline_->Drain();
  EXPECT_EQ(status.code(), Code::kDiskFull);
  EXPECT_EQ(pipeline_->Health().code(), Code::kDiskFull);
  EXPECT_EQ(pipeline_->Drain().code(), Code::kDiskFull);
  EXPECT_EQ(pipeline_->Seal(SealReason::kStop).code(), Code::kDiskFull);
}

TEST_F(PipelineTest, RefusedBatchIsAnErrorAndNothingFollowsIt) {
  Open();
  server_.Commit(3);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  listener_.Refuse(true);
  server_.Commit(1);
  (void)Send();
  EXPECT_EQ(pipeline_->Drain().code(), Code::kIo);
  EXPECT_FALSE(pipeline_->SyncFailed());
  listener_.Refuse(false);
  server_.Commit(1);
  (void)Send();
  EXPECT_EQ(pipeline_->Drain().code(), Code::kIo);
  EXPECT_EQ(listener_.announced(), BuilderSet(1, 3));
}

TEST_F(PipelineTest, FailedSyncAnnouncesNothing) {
  Open();
  server_.Commit(3);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  files_.HoldSyncs();
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  files_.WaitForBlockedSync();
  files_.Break({.at = 0, .count = 1, .code = Code::kIo});
  files_.ReleaseSyncs();
  EXPECT_EQ(pipeline_->Drain().code(), Code::kIo);
  EXPECT_TRUE(pipeline_->SyncFailed());
  EXPECT_EQ(listener_.announced(), BuilderSet(1, 3));
}

// What stopped the pipeline was a write; the fdatasync under way fails only afterwards.
TEST_F(PipelineTest, SyncThatFailsAfterSomethingElseHasIsHeardOfOnceStopped) {
  Open({.ring_bytes = 256, .batch_raw_bytes = 64, .batches_max = 1});
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  files_.HoldSyncs();
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  files_.WaitForBlockedSync();
  files_.Break({.at = 0, .count = 2, .code = Code::kIo});
  server_.Commit(50);
  EXPECT_EQ(Send().code(), Code::kIo);
  EXPECT_FALSE(pipeline_->SyncFailed());
  files_.ReleaseSyncs();
  pipeline_->Stop();
  EXPECT_EQ(files_.failures(), 2u);
  EXPECT_TRUE(pipeline_->SyncFailed());
}

// While the disk is busy the writer compresses on into the next transaction.
TEST_F(PipelineTest, BatchEndsInTheFileWhereItsLastTransactionEnds) {
  Open({.ring_bytes = 1024, .batches_max = 1});
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  ASSERT_TRUE(pipeline_->Drain().ok());
  files_.HoldSyncs();
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  files_.WaitForBlockedSync();
  server_.Commit(1);
  ASSERT_TRUE(Send().ok());
  server_.Commit({.row_bytes = 3000, .events = 4});
  ASSERT_TRUE(Send(5).ok());  // longer than the ring: written in part, or it would not return
  ASSERT_TRUE(session_->in_transaction());
  files_.ReleaseSyncs();
  ASSERT_TRUE(pipeline_->Drain().ok());
  ASSERT_EQ(listener_.announced(), BuilderSet(1, 3));
  const std::string path = archive_.SegmentPath(testing::kSource, 1);
  MemoryFileSystem copy;
  copy.Put(path, files_.memory().Contents(path).substr(0, listener_.last().stored_bytes));
  auto recovered = RecoverSegment(copy, SystemClock(), path, testing::kSource, 1, 0);
  ASSERT_TRUE(recovered.ok());
  EXPECT_EQ(recovered->cut_bytes, 0u);
  EXPECT_EQ(recovered->contents.segment.gtids, BuilderSet(1, 3));
}

}  // namespace
}  // namespace tidemark
