#include "pitr/serve/whole_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "replication/event/control_events.h"
#include "tests/support/seed.h"

namespace tidemark {
namespace {

using ::testing::HasSubstr;

std::string EventOf(size_t body_bytes, uint32_t server_id = 1) {
  return EncodeEvent(EventType::kQuery, {0, server_id, 0, 0}, std::string(body_bytes, 'x'),
                     ChecksumAlgorithm::kOff);
}

struct Passed {
  std::string bytes;
  std::vector<size_t> ends;  // where each stretch ended
  WholeEvents::Pass Pass() {
    return [this](Bytes stretch) {
      EXPECT_FALSE(stretch.empty());
      bytes += AsText(stretch);
      ends.push_back(bytes.size());
      return OkStatus();
    };
  }
};

TEST(WholeEvents, StretchesEndAtEventsEndsWhereverPiecesAreCut) {
  std::mt19937_64 random(testing::TestSeed());
  std::string stream;
  std::vector<size_t> event_ends;
  for (int i = 0; i < 300; ++i) {
    stream += EventOf(random() % 400);
    event_ends.push_back(stream.size());
  }
  for (int round = 0; round < 100; ++round) {
    WholeEvents whole(0);
    Passed passed;
    size_t at = 0;
    while (at < stream.size()) {
      size_t size =
          std::min<size_t>(1 + random() % (round % 2 == 0 ? 30 : 3000), stream.size() - at);
      ASSERT_TRUE(whole.Feed(AsBytes(stream).subspan(at, size), passed.Pass()).ok());
      at += size;
      ASSERT_EQ(whole.at_event_end(), passed.bytes.size() == at);
    }
    ASSERT_TRUE(passed.bytes == stream);
    for (size_t end : passed.ends) {
      ASSERT_TRUE(std::binary_search(event_ends.begin(), event_ends.end(), end));
    }
  }
}

TEST(WholeEvents, LongEventsArePassedAsTheyCome) {
  for (size_t first_piece : {5UL, 19UL, 20UL, 5000UL}) {
    std::string stream = EventOf(10) + EventOf(kHeldEventBytesMax) + EventOf(10);
    WholeEvents whole(0);
    Passed passed;
    size_t before = kEventHeaderSize + 10;
    size_t cut = before + first_piece;
    ASSERT_TRUE(whole.Feed(AsBytes(stream).first(cut), passed.Pass()).ok());
    EXPECT_EQ(passed.bytes.size(), first_piece < kEventHeaderSize ? before : cut);
    ASSERT_TRUE(whole.Feed(AsBytes(stream).subspan(cut, 100), passed.Pass()).ok());
    EXPECT_EQ(passed.bytes.size(), cut + 100);
    EXPECT_FALSE(whole.at_event_end());
    ASSERT_TRUE(whole.Feed(AsBytes(stream).subspan(cut + 100), passed.Pass()).ok());
    EXPECT_TRUE(passed.bytes == stream);
    EXPECT_TRUE(whole.at_event_end());
  }
}

TEST(WholeEvents, LongestEventThatIsHeld) {
  std::string event = EventOf(kHeldEventBytesMax - kEventHeaderSize);
  WholeEvents whole(0);
  Passed passed;
  ASSERT_TRUE(whole.Feed(AsBytes(event).first(event.size() - 1), passed.Pass()).ok());
  EXPECT_TRUE(passed.bytes.empty());
  ASSERT_TRUE(whole.Feed(AsBytes(event).last(1), passed.Pass()).ok());
  EXPECT_TRUE(passed.bytes == event);
}

TEST(WholeEvents, RefusedServerIdEndsAtTheEventBefore) {
  std::string before = EventOf(10, 1) + EventOf(20, 2);
  std::string stream = before + EventOf(30, 3);
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    WholeEvents whole(3);
    Passed passed;
    Status status = whole.Feed(AsBytes(stream).first(cut), passed.Pass());
    if (status.ok()) status = whole.Feed(AsBytes(stream).subspan(cut), passed.Pass());
    EXPECT_EQ(status.code(), Code::kSourceRefused) << cut;
    EXPECT_THAT(status.message(), HasSubstr("server id 3"));
    EXPECT_TRUE(passed.bytes == before) << cut;
  }
}

TEST(WholeEvents, ImpossibleSizeIsCorruption) {
  std::string stream = EventOf(10);
  stream[9] = 18;
  WholeEvents whole(0);
  Passed passed;
  EXPECT_EQ(whole.Feed(AsBytes(stream), passed.Pass()).code(), Code::kCorruption);
}

}  // namespace
}  // namespace tidemark
