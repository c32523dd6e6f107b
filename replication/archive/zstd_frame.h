// Reads the zstd frames of a segment block by block (RFC 8878 §3.1.1), so that every point where
// the writer flushed is seen. Internal to replication/archive. Does not own the file; one thread.
// Memory: one zstd window (at most kWindowLogMax, whatever the frame claims) and two buffers of
// fixed size.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "replication/archive/segment_format.h"
#include "replication/base/file_system.h"

struct ZSTD_DCtx_s;

namespace tidemark {

inline constexpr int kWindowLogMax = 27;  // of zstd's highest levels; more is no frame of ours
inline constexpr size_t kZstdBlockBytesMax = 128 * 1024;  // RFC 8878 §3.1.1.2.4
inline constexpr uint8_t kZstdMagic[4] = {0x28, 0xB5, 0x2F, 0xFD};

class FrameReader {
 public:
  struct Block {
    Bytes raw;          // valid until the next NextBlock
    bool last = false;  // of its frame: EndFrame comes next
  };

  FrameReader(File& file, std::string path);
  ~FrameReader();

  // The next frame begins at stored_offset; nothing at or behind stored_end is read (UINT64_MAX: up
  // to the file's end).
  void Seek(uint64_t stored_offset, uint64_t stored_end);
  // All: kTruncated if stored_end or the file's end comes first, kCorruption if it is not what a
  // writer of ours writes, each naming file and stored offset. After an error position() stands
  // where the bad piece begins.
  Status BeginFrame();  // kEndOfData if there is nothing more
  Status NextBlock(Block* block);
  Status EndFrame();  // checks the frame's checksum
  bool AtEmptyLastBlock();
  // Forgets what was read ahead of position(): the file may have changed there.
  void DropReadAhead() { filled_ = taken_; }
  uint64_t position() const { return position_; }

 private:
  Status Fill(size_t wanted);
  Status Decode(size_t stored_size, Bytes* raw, bool* frame_done);
  Status Bad(const std::string& what) const;

  File& file_;
  const std::string path_;
  std::unique_ptr<ZSTD_DCtx_s, size_t (*)(ZSTD_DCtx_s*)> context_;
  const std::unique_ptr<uint8_t[]> stored_;
  const std::unique_ptr<uint8_t[]> raw_;
  size_t taken_ = 0;  // stored_[taken_, filled_) are the file's bytes from position_ on
  size_t filled_ = 0;
  uint64_t position_ = 0;
  uint64_t stored_end_ = 0;
};

}  // namespace tidemark
