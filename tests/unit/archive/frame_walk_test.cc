#include "replication/archive/frame_walk.h"

#include <gtest/gtest.h>
#include <zstd.h>

#include <random>

#include "tests/support/memory_file_system.h"
#include "tests/support/seed.h"

namespace tidemark {
namespace {

constexpr char kPath[] = "/frames";

// A call, as text.
std::string Block(const FrameReader::Block& block, uint64_t stored_end) {
  Sha256 hash;
  hash.Update(block.raw);
  const Sha256Digest digest = hash.Finish();
  return std::to_string(block.raw.size()) + (block.last ? " last " : " ") + Hex(digest) +
         " up to " + std::to_string(stored_end);
}
std::string FrameEnd(FramePlace frame, uint64_t raw_end, uint64_t stored_end) {
  return "frame at " + std::to_string(frame.raw_offset) + "/" +
         std::to_string(frame.stored_offset) + " ends at " + std::to_string(raw_end) + "/" +
         std::to_string(stored_end);
}

class FrameWalkTest : public ::testing::Test {
 protected:
  // Frames of up to 400 KB, blocks between nothing and all that a block may hold.
  std::string Frames(size_t stored_bytes_min) {
    std::unique_ptr<ZSTD_CCtx, size_t (*)(ZSTD_CCtx*)> context(ZSTD_createCCtx(), ZSTD_freeCCtx);
    ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
    std::string stored;
    const auto compress = [&](const std::string& raw, ZSTD_EndDirective directive) {
      std::string out(ZSTD_compressBound(raw.size()) + 100, '\0');
      ZSTD_inBuffer from{raw.data(), raw.size(), 0};
      ZSTD_outBuffer to{out.data(), out.size(), 0};
      EXPECT_EQ(ZSTD_compressStream2(context.get(), &to, &from, directive), 0u);
      stored.append(out, 0, to.pos);
    };
    while (stored.size() < stored_bytes_min) {
      for (auto flushes = random_() % 4; flushes > 0; --flushes)
        compress(RandomText(random_() % 3 == 0 ? 300'000 : 2'000), ZSTD_e_flush);
      compress(RandomText(random_() % 400), ZSTD_e_end);
    }
    return stored;
  }
  std::string RandomText(size_t size_max) {
    std::string text(random_() % (size_max + 1), '\0');
    for (char& byte : text) byte = static_cast<char>(random_());
    return text;
  }

  Status Walk(const std::string& stored, std::vector<std::string>* calls, size_t calls_max) {
    files_.Put(kPath, stored);
    auto opened = files_.Open(kPath, OpenMode::kRead);
    File& file = **opened;
    const auto note = [&](std::string call) {
      if (calls->size() == calls_max) return Status(Code::kUsage, "enough");
      calls->push_back(std::move(call));
      return OkStatus();
    };
    return WalkFrames(
        file, kPath, 0, stored.size(), /*may_be_torn=*/true,
        {.on_block = [&](const FrameReader::Block& block,
                         uint64_t end) { return note(Block(block, end)); },
         .on_frame_end = [&](FramePlace frame, uint64_t raw_end,
                             uint64_t end) { return note(FrameEnd(frame, raw_end, end)); }});
  }

  // What is there, by hand.
  std::vector<std::string> CallsFor(const std::string& stored) {
    files_.Put(kPath, stored);
    auto opened = files_.Open(kPath, OpenMode::kRead);
    File& file = **opened;
    FrameReader reader(file, kPath);
    reader.Seek(0, stored.size());
    std::vector<std::string> calls;
    uint64_t raw_end = 0;
    for (;;) {
      const FramePlace frame{.raw_offset = raw_end, .stored_offset = reader.position()};
      if (!reader.BeginFrame().ok()) return calls;
      FrameReader::Block block;
      while (!block.last) {
        if (!reader.NextBlock(&block).ok()) return calls;
        raw_end += block.raw.size();
        calls.push_back(Block(block, reader.position()));
      }
      if (!reader.EndFrame().ok()) return calls;
      calls.push_back(FrameEnd(frame, raw_end, reader.position()));
    }
  }

  std::mt19937_64 random_{testing::TestSeed()};
  MemoryFileSystem files_;
};

TEST_F(FrameWalkTest, GivesEverythingInOrderAlsoWhatIsDecodedAhead) {
  for (const size_t size : {size_t{1}, kDecodeAheadBytesMin - 1, 5 * kDecodeAheadBytesMin}) {
    const std::string stored = Frames(size);
    std::vector<std::string> calls;
    EXPECT_TRUE(Walk(stored, &calls, SIZE_MAX).ok());
    EXPECT_EQ(calls, CallsFor(stored));
  }
}

TEST_F(FrameWalkTest, WhateverIsCutOffOrDamagedAllInFrontOfItIsGiven) {
  const std::string stored = Frames(3 * kDecodeAheadBytesMin);
  for (int round = 0; round < 30; ++round) {
    std::string harmed = stored;
    if (round % 2 == 0)
      harmed.resize(random_() % stored.size());
    else
      harmed[random_() % stored.size()] ^= static_cast<char>(1 << random_() % 8);
    std::vector<std::string> calls;
    const Status status = Walk(harmed, &calls, SIZE_MAX);
    const std::vector<std::string> expected = CallsFor(harmed);
    EXPECT_EQ(calls, expected) << round;
    if (status.ok()) {
      EXPECT_TRUE(round % 2 == 0) << "only a cut between two frames leaves nothing to see";
    } else {
      EXPECT_TRUE(status.code() == Code::kTruncated || status.code() == Code::kCorruption)
          << status.message();
    }
  }
}

TEST_F(FrameWalkTest, EndsWithTheErrorOfWhoeverItCalls) {
  const std::string stored = Frames(4 * kDecodeAheadBytesMin);
  const std::vector<std::string> all = CallsFor(stored);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::string> calls;
    const size_t enough = random_() % all.size();
    EXPECT_EQ(Walk(stored, &calls, enough).message(), "enough");
    EXPECT_EQ(calls,
              std::vector<std::string>(all.begin(), all.begin() + static_cast<long>(enough)));
  }
}

}  // namespace
}  // namespace tidemark
