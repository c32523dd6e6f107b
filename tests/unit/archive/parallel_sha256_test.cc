#include "replication/archive/parallel_sha256.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/support/seed.h"

namespace tidemark {
namespace {

Sha256Digest Plain(const std::string& bytes) {
  Sha256 hash;
  hash.Update(AsBytes(bytes));
  return hash.Finish();
}

// What stands before the last mark, and what comes behind it, in pieces around the buffer's size.
TEST(ParallelSha256Test, SaysOfAnyPiecesMarksAndReturnsWhatOneHashSaysOfWhatIsLeft) {
  std::mt19937_64 random(testing::TestSeed());
  const std::string bytes(kParallelShaBufferBytes * 2, 'x');
  for (int round = 0; round < 60; ++round) {
    ParallelSha256 hash;
    std::string kept, marked;
    for (int step = 0; step < 12; ++step) {
      switch (random() % 4) {
        case 0:
          hash.Mark();
          marked = kept;
          break;
        case 1:
          hash.GoBack();
          kept = marked;
          break;
        default: {
          const size_t limit = round % 2 == 0 ? 1000 : bytes.size();
          std::string piece = bytes.substr(0, random() % limit);
          piece += static_cast<char>(step);
          hash.Update(AsBytes(piece));
          kept += piece;
        }
      }
    }
    ASSERT_EQ(Hex(hash.Finish()), Hex(Plain(kept))) << "round " << round;
  }
}

TEST(ParallelSha256Test, MayBeThrownAwayAtAnyTime) {
  const std::string bytes(kParallelShaBufferBytes + 1, 'x');
  for (size_t size : {size_t{0}, size_t{1}, bytes.size()}) {
    ParallelSha256 hash;
    hash.Update(AsBytes(bytes).first(size));
  }
}

}  // namespace
}  // namespace tidemark
