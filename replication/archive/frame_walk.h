// All frames of a segment in order, decoded on a thread of its own where there are many of them,
// and what one that does not decode means: a torn tail, or damage. Internal to replication/archive.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "replication/archive/zstd_frame.h"

namespace tidemark {

// From so many stored bytes on. Decoding is half of what reading a segment takes.
inline constexpr uint64_t kDecodeAheadBytesMin = 1 << 20;

// Called by the thread that walks. An error ends the walk and is what it gives.
struct FrameWalk {
  std::function<Status(const FrameReader::Block& block, uint64_t stored_end)> on_block;
  std::function<Status(FramePlace frame, uint64_t raw_end, uint64_t stored_end)> on_frame_end;
};

// The frames of [begin, end). OK if the last frame ends at `end`. With `may_be_torn`, what does not
// decode and has no frame of ours behind it is a torn tail: kTruncated. Everything else that does
// not decode is kCorruption. The file may be read by another thread until this returns.
Status WalkFrames(File& file, const std::string& path, uint64_t begin, uint64_t end,
                  bool may_be_torn, const FrameWalk& walk);

}  // namespace tidemark
