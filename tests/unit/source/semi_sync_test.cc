#include "replication/source/semi_sync.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <thread>

#include "replication/event/control_events.h"

namespace tidemark {
namespace {

std::string FirstEvent(uint32_t timestamp) {
  return EncodeRotate({4, "binlog.000001"}, EventStamp{timestamp, 7, 0, kEventFlagArtificial},
                      ChecksumAlgorithm::kCrc32);
}

TEST(SemiSync, AnswerIsMagicPositionAndFileName) {
  EXPECT_EQ(EncodeAcknowledgement("b.7", 0x0123456789ABCDEF),
            std::string("\xEF\xEF\xCD\xAB\x89\x67\x45\x23\x01"
                        "b.7"));
}

TEST(SemiSync, HeaderIsSeenWhereItIs) {
  const std::string event = FirstEvent(0);
  EXPECT_TRUE(HasSemiSyncHeader(AsBytes(std::string("\0\xEF\0", 3) + event)));
  EXPECT_TRUE(HasSemiSyncHeader(AsBytes(std::string("\0\xEF\x01", 3) + event)));
  EXPECT_FALSE(HasSemiSyncHeader(AsBytes(std::string("\0", 1) + event)));
}

TEST(SemiSync, TimestampThatLooksLikeAHeaderIsNone) {
  EXPECT_FALSE(HasSemiSyncHeader(AsBytes(std::string("\0", 1) + FirstEvent(0x000001EF))));
}

TEST(SemiSync, PacketTooShortForAHeaderHasNone) {
  for (size_t size = 0; size < 25; ++size)
    EXPECT_FALSE(HasSemiSyncHeader(AsBytes(std::string("\0\xEF\x01", 3) + std::string(size, 'x'))
                                       .first(std::min<size_t>(size, 22))))
        << size;
}

TEST(WakeUpFlag, WhatIsRaisedBeforehandIsNotLost) {
  WakeUpFlag flag;
  pollfd polled{flag.descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 0), 0);
  flag.Lower();  // of a flag that is down: does not block
  flag.Raise();
  flag.Raise();
  EXPECT_EQ(::poll(&polled, 1, 0), 1);
  flag.Lower();
  EXPECT_EQ(::poll(&polled, 1, 0), 0);
}

TEST(WakeUpFlag, EndsAWait) {
  WakeUpFlag flag;
  std::thread raiser([&] { flag.Raise(); });
  pollfd polled{flag.descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 20'000), 1);
  raiser.join();
}

}  // namespace
}  // namespace tidemark
