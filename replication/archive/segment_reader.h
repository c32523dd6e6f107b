// Reads a segment, sealed or still being written, beside the daemon: pulled piece by piece, pushed
// into a sink, or walked whole. Never writes. Memory: one zstd window and one buffer, whatever the
// file claims (the window is limited; header and footer sizes too). One thread per reader.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "replication/archive/segment_format.h"
#include "replication/base/file_system.h"

namespace tidemark {

class ArchiveDirectory;

class SegmentReader {
 public:
  using Sink = std::function<Status(Bytes)>;

  // kUnsupportedFormat for a foreign or newer file, kTruncated if even the header is cut,
  // kCorruption if it is damaged.
  static Result<std::unique_ptr<SegmentReader>> Open(FileSystem& files, const std::string& path);
  ~SegmentReader();

  const std::string& path() const;
  const SegmentHeader& header() const;
  bool sealed() const;  // a valid footer stands at the file's end
  bool footer_damaged()
      const;  // the file ends as a footer ends, but that is no valid one; not sealed()
  const SegmentFooter& footer() const;  // only if sealed
  uint64_t frames_begin() const;        // stored offset of the first frame
  uint64_t frames_end()
      const;  // stored offset behind the last frame: the footer, or the file's end

  // The next raw byte to pull is raw_from; decoding begins at `frame`, which must begin at or
  // before it, as soon as a piece is asked for.
  void SeekRaw(FramePlace frame, uint64_t raw_from);
  // The next piece, at most 128 KiB, over as many frames as needed; empty once raw_to is reached.
  // What lies behind raw_to is not believed: an unsealed segment may grow there, but also be cut
  // back and written anew, or sealed. So up to raw_to the segment must be published
  // (SegmentRecord::raw_bytes, which ends a zstd block), and raw_to may be raised as more is: the
  // reader then goes on from the block where it stands, with the file read again from there.
  // (Inside a block it decodes the frame again.) kCorruption naming file and stored offset if a
  // frame does not decode or its checksum fails; kTruncated if the file ends before raw_to. A
  // frame's checksum is known to hold only when the piece behind its last one, or the empty one,
  // was given. Valid until the next call; after an error, seek.
  Result<Bytes> NextRaw(uint64_t raw_to);

  // The same in one go: raw bytes [raw_from, raw_to) to `sink`. Moves the place to pull from.
  Status ReadRaw(FramePlace frame, uint64_t raw_from, uint64_t raw_to, const Sink& sink);

  // Walks every frame from the first, block by block: for recovery and rebuild. `on_block` gets the
  // raw bytes of each zstd block and the stored offset behind it; `on_frame_end` the place of the
  // frame that ended and the raw and stored offset of its end. Returns OK if it came to
  // frames_end() at a frame's end, kTruncated if the last frame is unfinished or cut (everything
  // decodable has been given), kCorruption otherwise; an error of a callback as it is. What is the
  // last frame of an unsealed segment: the one behind which no further frame begins to decode
  // (FORMAT.md).
  struct Walker {
    std::function<Status(Bytes raw, uint64_t stored_end)> on_block;
    std::function<Status(FramePlace frame, uint64_t raw_end, uint64_t stored_end)> on_frame_end;
  };
  Status Walk(const Walker& walker);

 private:
  struct State;
  explicit SegmentReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

Result<std::unique_ptr<SegmentReader>> OpenSegmentFile(const ArchiveDirectory& archive,
                                                       const std::string& source, uint64_t number);

}  // namespace tidemark
