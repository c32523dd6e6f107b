// Reads a segment, sealed or still being written, beside the daemon. Never writes. Memory: one zstd
// window and one buffer, whatever the file claims (the window is limited; header and footer sizes
// too). One thread per reader.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "replication/archive/segment_format.h"
#include "replication/base/file_system.h"

namespace tidemark {

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

  // Streams raw bytes [raw_from, raw_to) to `sink` in pieces of at most 128 KiB, decoding from
  // `frame` (which must begin at or before raw_from) over as many frames as needed. Stops without
  // touching what lies behind raw_to. kCorruption naming file and stored offset if a frame does not
  // decode or its checksum fails; kTruncated if the file ends before raw_to. A frame's checksum is
  // known to hold only after its last piece was given.
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

}  // namespace tidemark
