// Writes one segment: raw binlog bytes in, zstd frames out. One thread, except that `file()` may be
// fdatasynced by another while this one appends (that is how group commit overlaps compression with
// the disk).
//
// After a crash the file holds everything up to the last Flush that was followed by a DataSync,
// perhaps followed by more, perhaps torn: RecoverSegment cuts it. After an error the writer must be
// dropped and the file recovered.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "replication/archive/segment_format.h"
#include "replication/base/file_system.h"

namespace tidemark {

struct SegmentWriterOptions {
  int zstd_level = 1;
  // 0: what was measured best for level 1, zstd's own choice for the other levels.
  int zstd_window_log = 0;
  int zstd_hash_log = 0;
  int zstd_min_match = 0;
  // false: the caller hashes the raw bytes itself, on another core, and Seal finds the digest in
  // the footer.
  bool hash_raw = true;
};

class SegmentWriter {
 public:
  // Creates the file (it must not be there), writes the header, makes both file and directory entry
  // durable, and appends the prefix's raw bytes (magic, format description, Previous_gtids; empty
  // for a native segment).
  static Result<std::unique_ptr<SegmentWriter>> Create(FileSystem& files, const std::string& path,
                                                       const SegmentHeader& header, Bytes prefix,
                                                       SegmentWriterOptions options);
  ~SegmentWriter();

  Status Append(Bytes raw);
  // Everything appended so far becomes decodable from the file (a zstd block ends here) and is
  // handed to the kernel.
  Status Flush();
  // As Flush, and the zstd frame ends (with its checksum); the next Append begins a new one.
  Status EndFrame();
  // EndFrame, footer, DataSync. `footer` comes filled as SegmentCatalog::FooterSoFar says, with
  // reason and sealed_us set; the rest is added here. The writer may not be used afterwards.
  // Returns the file's final size.
  Result<uint64_t> Seal(SegmentFooter footer);

  File& file();
  const std::string& path() const;
  uint64_t raw_bytes() const;     // appended, prefix included
  uint64_t stored_bytes() const;  // in the file; meaningful after Flush or EndFrame
  uint64_t flushed_raw_bytes() const;
  const std::vector<FramePlace>& frames() const;  // the current one included, once it has bytes

 private:
  struct State;
  explicit SegmentWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace tidemark
