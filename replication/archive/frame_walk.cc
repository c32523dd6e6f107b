#include "replication/archive/frame_walk.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include "replication/event/binlog_format.h"

namespace tidemark {
namespace {

constexpr size_t kSearchBufferBytes = 256 * 1024;
// What one thread hands to the other, at most about: a hostile file has blocks of no bytes.
constexpr size_t kBatchBytes = 1 << 20;
constexpr size_t kBatchSteps = 4096;
constexpr int kFrameCandidatesMax =
    4096;  // in a tail: whoever puts in more gets "damaged" for an answer

// Every frame of ours begins with an event. Tells it from a zstd frame that somebody keeps in a
// table (or that is a compressed transaction: MySQL gives those no checksum, and the events inside
// no positions that follow one another).
bool LooksLikeEvents(Bytes raw) {
  uint32_t position = 0;
  size_t events = 0;
  while (raw.size() >= kEventHeaderSize) {
    const EventHeader header = ReadEventHeader(raw.data());
    if (header.size < kEventHeaderSize || header.size > kEventBytesMax) return false;
    if (events > 0 && position != 0 && header.log_pos != 0 &&
        header.log_pos != position + header.size)
      return false;
    ++events;
    position = header.log_pos;
    if (header.size > raw.size()) break;
    raw = raw.subspan(header.size);
  }
  return events > 0;
}

bool IsFrameOfOurs(FrameReader& reader, uint64_t offset, uint64_t end) {
  reader.Seek(offset, end);
  if (!reader.BeginFrame().ok()) return false;
  FrameReader::Block block;
  do {
    if (!reader.NextBlock(&block).ok()) return false;
  } while (block.raw.empty() && !block.last);
  return LooksLikeEvents(block.raw);
}

// Is there, at or behind `from`, a frame whose beginning decodes to events? Then what is in front
// of it was not the tail.
Result<bool> FrameStandsBehind(File& file, const std::string& path, uint64_t from, uint64_t end) {
  FrameReader reader(file, path);
  const auto buffer = std::make_unique_for_overwrite<uint8_t[]>(kSearchBufferBytes);
  int candidates = 0;
  for (uint64_t offset = from; offset + sizeof(kZstdMagic) <= end;) {
    const size_t wanted = static_cast<size_t>(std::min<uint64_t>(kSearchBufferBytes, end - offset));
    TM_ASSIGN_OR_RETURN(size_t got, file.ReadAt(offset, {buffer.get(), wanted}));
    if (got < sizeof(kZstdMagic)) break;
    const uint8_t* const stop = buffer.get() + got;
    for (const uint8_t* at = buffer.get();; ++at) {
      at = std::search(at, stop, std::begin(kZstdMagic), std::end(kZstdMagic));
      if (at == stop) break;
      if (++candidates > kFrameCandidatesMax) return true;
      if (IsFrameOfOurs(reader, offset + static_cast<uint64_t>(at - buffer.get()), end))
        return true;
    }
    offset += got - (sizeof(kZstdMagic) - 1);  // a magic may stand across two buffers
  }
  return false;
}

Status JudgeBadFrame(File& file, const std::string& path, uint64_t behind, uint64_t end,
                     bool may_be_torn, Status status) {
  if (status.code() != Code::kTruncated && status.code() != Code::kCorruption) return status;
  if (!may_be_torn) return Status(Code::kCorruption, status.message(), status.hint());
  TM_ASSIGN_OR_RETURN(bool frame_behind, FrameStandsBehind(file, path, behind, end));
  if (!frame_behind) return Status(Code::kTruncated, status.message());
  return Status(Code::kCorruption,
                status.message() + ", but frames stand behind it: this is no torn tail",
                "restore this file from a copy; if this follows a power failure, what stands "
                "behind that offset was "
                "perhaps never durable");
}

// How far the frames decode.
struct Decoded {
  Status ended;                       // OK: all of them. Else a callback's error, or
  std::optional<uint64_t> bad_frame;  // of the frame that begins there
};

Decoded DecodeFrames(File& file, const std::string& path, uint64_t begin, uint64_t end,
                     const FrameWalk& walk) {
  FrameReader reader(file, path);
  reader.Seek(begin, end);
  uint64_t raw_end = 0;
  for (;;) {
    const FramePlace place{.raw_offset = raw_end, .stored_offset = reader.position()};
    Status status = reader.BeginFrame();
    if (status.code() == Code::kEndOfData) return {};
    FrameReader::Block block;
    while (status.ok() && !block.last) {
      status = reader.NextBlock(&block);
      if (!status.ok()) break;
      raw_end += block.raw.size();
      Status taken = walk.on_block(block, reader.position());
      if (!taken.ok()) return {std::move(taken), {}};
    }
    if (status.ok()) status = reader.EndFrame();
    if (!status.ok()) return {std::move(status), place.stored_offset};
    Status taken = walk.on_frame_end(place, raw_end, reader.position());
    if (!taken.ok()) return {std::move(taken), {}};
  }
}

// Decodes on a thread of its own, ahead of the one that replays it, by two batches at most.
class DecodeAhead {
 public:
  DecodeAhead(File& file, const std::string& path, uint64_t begin, uint64_t end)
      : thread_([this, &file, path, begin, end](const std::stop_token& stop) {
          Run(stop, file, path, begin, end);
        }) {}

  Decoded Replay(const FrameWalk& walk) {
    for (Batch batch;;) {
      Take(&batch);
      Bytes raw = batch.raw;
      for (const Step& step : batch.steps) {
        Status taken =
            step.block_bytes
                ? walk.on_block({raw.first(*step.block_bytes), step.last}, step.stored_end)
                : walk.on_frame_end(step.frame, step.raw_end, step.stored_end);
        if (!taken.ok()) return {std::move(taken), {}};
        raw = raw.subspan(step.block_bytes.value_or(0));
      }
      if (batch.end) return std::move(*batch.end);
    }
  }

 private:
  // A call of FrameWalk.
  struct Step {
    uint64_t stored_end = 0;
    std::optional<size_t> block_bytes;  // unset: a frame's end
    bool last = false;
    FramePlace frame;
    uint64_t raw_end = 0;
  };
  struct Batch {
    std::vector<uint8_t> raw;  // of all its blocks
    std::vector<Step> steps;
    std::optional<Decoded> end;  // of the last batch
  };

  void Run(const std::stop_token& stop, File& file, const std::string& path, uint64_t begin,
           uint64_t end) {
    Batch batch;
    const FrameWalk gather{
        .on_block =
            [&](const FrameReader::Block& block, uint64_t stored_end) {
              batch.raw.insert(batch.raw.end(), block.raw.begin(), block.raw.end());
              batch.steps.push_back({.stored_end = stored_end,
                                     .block_bytes = block.raw.size(),
                                     .last = block.last,
                                     .frame = {},
                                     .raw_end = 0});
              return HandOverIfFull(stop, &batch);
            },
        .on_frame_end =
            [&](FramePlace frame, uint64_t raw_end, uint64_t stored_end) {
              batch.steps.push_back({.stored_end = stored_end,
                                     .block_bytes = {},
                                     .last = false,
                                     .frame = frame,
                                     .raw_end = raw_end});
              return HandOverIfFull(stop, &batch);
            },
    };
    batch.end = DecodeFrames(file, path, begin, end, gather);
    HandOver(stop, &batch);
  }

  Status HandOverIfFull(const std::stop_token& stop, Batch* batch) {
    if (batch->raw.size() < kBatchBytes && batch->steps.size() < kBatchSteps) return OkStatus();
    return HandOver(stop, batch) ? OkStatus() : Status(Code::kInterrupted, "nobody reads any more");
  }
  // Gives an empty batch for it; false: nobody takes it any more.
  bool HandOver(const std::stop_token& stop, Batch* batch) {
    {
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return !ready_; })) return false;
      std::swap(*batch, batch_);
      ready_ = true;
    }
    changed_.notify_all();
    batch->raw.clear();
    batch->steps.clear();
    return true;
  }
  void Take(Batch* batch) {
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return ready_; });
      std::swap(*batch, batch_);
      ready_ = false;
    }
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  Batch batch_;  // decoded and not yet taken, if
  bool ready_ = false;
  std::jthread thread_;  // stopped and joined first
};

}  // namespace

Status WalkFrames(File& file, const std::string& path, uint64_t begin, uint64_t end,
                  bool may_be_torn, const FrameWalk& walk) {
  const bool ahead = end > begin && end - begin >= kDecodeAheadBytesMin;
  Decoded decoded = ahead ? DecodeAhead(file, path, begin, end).Replay(walk)
                          : DecodeFrames(file, path, begin, end, walk);
  if (!decoded.bad_frame) return std::move(decoded.ended);
  // Looked for from this frame's beginning on: a damaged block size may have swallowed the next
  // frame.
  return JudgeBadFrame(file, path, *decoded.bad_frame + 1, end, may_be_torn,
                       std::move(decoded.ended));
}

}  // namespace tidemark
