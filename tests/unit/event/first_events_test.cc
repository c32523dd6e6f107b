// A dump's first events, which come before anything has said how events are checked: whatever bit
// of them is damaged on a link without TLS, it is noticed.
#include <gtest/gtest.h>

#include "replication/event/control_events.h"
#include "replication/event/stream_scanner.h"
#include "tests/support/binlog_builder.h"

namespace tidemark {
namespace {

constexpr size_t kFlagsOffset = 17;  // of an event's header

// The first Rotate and the format description, as a source sends them.
std::vector<std::string> FirstEvents(ChecksumAlgorithm file_checksum) {
  testing::BinlogBuilder builder(file_checksum);
  builder.BeginFile({});
  const std::string file = builder.Take();
  const uint32_t size = ReadEventHeader(AsBytes(file).data() + kBinlogMagicSize).size;
  return {EncodeRotate({4, "binlog.000007"}, EventStamp{0, 7, 0, kEventFlagArtificial},
                       ChecksumAlgorithm::kCrc32),
          file.substr(kBinlogMagicSize, size)};
}

Status Feed(const std::vector<std::string>& events) {
  StreamScanner scanner(ScannerOptions{.checksum_from_start = true});
  for (const std::string& bytes : events) {
    ScannedEvent event;
    TM_RETURN_IF_ERROR(scanner.FeedEvent(AsBytes(bytes), &event));
  }
  return OkStatus();
}

TEST(FirstEventsTest, EveryDamagedBitIsNoticed) {
  const std::vector<std::string> events = FirstEvents(ChecksumAlgorithm::kCrc32);
  ASSERT_TRUE(Feed(events).ok()) << Feed(events).message();
  for (size_t which = 0; which < events.size(); ++which)
    for (size_t bit = 0; bit < 8 * events[which].size(); ++bit) {
      // The server sets and clears "in use" of a format description without touching its checksum.
      const bool in_use = which == 1 && bit == 8 * kFlagsOffset;
      if (in_use) continue;
      std::vector<std::string> damaged = events;
      damaged[which][bit / 8] = static_cast<char>(damaged[which][bit / 8] ^ (1 << bit % 8));
      EXPECT_FALSE(Feed(damaged).ok()) << "event " << which << ", bit " << bit;
    }
}

// The Rotate has a checksum all the same: it is what we asked for.
TEST(FirstEventsTest, DamagedRotateOfASourceWithoutChecksumsIsNoticed) {
  const std::vector<std::string> events = FirstEvents(ChecksumAlgorithm::kOff);
  ASSERT_TRUE(Feed(events).ok()) << Feed(events).message();
  for (size_t bit = 0; bit < 8 * events[0].size(); ++bit) {
    std::vector<std::string> damaged = events;
    damaged[0][bit / 8] = static_cast<char>(damaged[0][bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(Feed(damaged).ok()) << "bit " << bit;
  }
}

}  // namespace
}  // namespace tidemark
