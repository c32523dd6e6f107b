#include "replication/archive/segment_recovery.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "replication/archive/frame_walk.h"
#include "replication/archive/segment_reader.h"
#include "replication/archive/segment_scan.h"
#include "replication/base/failpoint.h"

namespace tidemark {
namespace {

// A zstd block that is raw, empty and the last of its frame.
constexpr uint8_t kEmptyLastBlock[3] = {0x01, 0x00, 0x00};

// A place at which the segment may end: a block's end outside any event and transaction.
struct Cut {
  uint64_t raw_end = 0;
  uint64_t stored_end = 0;
  bool frame_ended = true;  // stored_end is behind a frame's checksum (or no frame has begun)
  bool block_was_last = false;
  uint32_t frame_checksum = 0;  // of the frame's content up to here, as zstd stores it
};

// Reads an unsealed segment once, from the first frame to where it stops making sense.
class TailSearch {
 public:
  TailSearch(File& file, const SegmentReader& reader, int64_t commit_high_us)
      : file_(file),
        path_(reader.path()),
        begin_(reader.frames_begin()),
        scan_(reader.header(), path_, begin_, commit_high_us) {
    cut_.stored_end = begin_;
  }

  Result<Cut> Run(uint64_t file_size) {
    const Status walked = Walk(begin_, file_size, /*may_be_torn=*/true);
    if (!walked.ok() && walked.code() != Code::kTruncated) return walked;
    // The frame came to its last block, but its checksum is missing or does not hold. With event
    // checksums every byte up to the cut is known to be good; without them nothing vouches for this
    // frame.
    if (cut_.block_was_last && !cut_.frame_ended && scan_.checksum() == ChecksumAlgorithm::kOff)
      return Status(Code::kCorruption,
                    walked.message() + ", and its events carry no checksums to tell good from bad",
                    "set binlog_checksum=CRC32 on the source");
    return cut_;
  }

  // What the file holds now that it has been cut and its last frame ended: that one is read again.
  Result<ScannedFrames> Rescan(const std::string& source_name) {
    TM_ASSIGN_OR_RETURN(const uint64_t file_size, file_.Size());
    const FramePlace place = scan_.GoBack();
    TM_RETURN_IF_ERROR(Walk(place.stored_offset, file_size, /*may_be_torn=*/false));
    ScannedFrames scanned = scan_.Finish(source_name, true);
    if (scanned.whole && scanned.frames_end == file_size) return scanned;
    return Status(Code::kCorruption,
                  path_ + " is not whole after it was cut back: it changes under our hands",
                  "make sure that nothing else writes to the archive");
  }

 private:
  Status Walk(uint64_t begin, uint64_t end, bool may_be_torn) {
    return WalkFrames(
        file_, path_, begin, end, may_be_torn,
        {.on_block =
             [this](const FrameReader::Block& block, uint64_t stored_end) {
               OnBlock(block, stored_end);
               return OkStatus();
             },
         .on_frame_end = [this](FramePlace, uint64_t,
                                uint64_t stored_end) { return OnFrameEnd(stored_end); }});
  }

  void OnBlock(const FrameReader::Block& block, uint64_t stored_end) {
    frame_content_.Update(block.raw);
    scan_.OnBlock(block.raw, stored_end);
    if (!scan_.between_transactions()) return;
    cut_ = {.raw_end = scan_.raw_bytes(),
            .stored_end = stored_end,
            .frame_ended = false,
            .block_was_last = block.last,
            .frame_checksum = static_cast<uint32_t>(frame_content_.Digest())};
  }

  Status OnFrameEnd(uint64_t stored_end) {
    TM_RETURN_IF_ERROR(scan_.OnFrameEnd(stored_end));
    if (cut_.raw_end == scan_.raw_bytes() && cut_.block_was_last) {
      cut_.stored_end = stored_end;
      cut_.frame_ended = true;
    }
    frame_content_.Reset();
    return OkStatus();
  }

  File& file_;
  const std::string path_;
  const uint64_t begin_;
  FrameScan scan_;
  Xxh64 frame_content_;
  Cut cut_;
};

// Cuts the file and ends the frame that was cut. Durable before anything else is written.
Status CutAndClose(File& file, uint64_t file_size, const Cut& cut) {
  if (cut.frame_ended && cut.stored_end == file_size) return OkStatus();
  if (cut.stored_end != file_size) TM_RETURN_IF_ERROR(file.Truncate(cut.stored_end));
  std::string ending;
  ByteWriter writer(&ending);
  if (!cut.frame_ended && !cut.block_was_last) writer.Raw(kEmptyLastBlock);
  if (!cut.frame_ended) writer.U32(cut.frame_checksum);
  if (!ending.empty()) TM_RETURN_IF_ERROR(file.Append(AsBytes(ending)));
  return file.DataSync();
}

Result<SegmentContents> Seal(Clock& clock, File& file, const std::string& path,
                             ScannedFrames scanned) {
  SegmentFooter& footer = scanned.footer;
  TM_ASSIGN_OR_RETURN(footer.stored_xxh64, HashStored(file, path, footer.stored_bytes));
  footer.reason = SealReason::kRecovery;
  footer.sealed_us = clock.WallMicroseconds();
  const std::string encoded = EncodeSegmentFooter(footer);
  TM_RETURN_IF_ERROR(file.Append(AsBytes(encoded)));
  TM_RETURN_IF_ERROR(file.DataSync());
  scanned.contents.segment.sealed = true;
  scanned.contents.segment.reason = SealReason::kRecovery;
  scanned.contents.segment.stored_bytes = footer.stored_bytes + encoded.size();
  return std::move(scanned.contents);
}

Result<RecoveredSegment> RemoveEmpty(FileSystem& files, const std::string& path,
                                     uint64_t file_size) {
  TM_RETURN_IF_ERROR(files.Remove(path));
  TM_RETURN_IF_ERROR(files.SyncDirectory(ParentPath(path)));
  RecoveredSegment recovered;
  recovered.removed = true;
  recovered.cut_bytes = file_size;
  return recovered;
}

// SegmentWriter::Create makes the header durable before anything follows it. So a file with a torn
// header holds pieces of that header and zeros, and no frame. Anything else that has no header is
// damaged, or not ours.
Result<bool> IsTornHeader(File& file, uint64_t file_size) {
  if (file_size > kSegmentHeaderBytesMax) return false;
  std::vector<uint8_t> bytes(file_size);
  TM_ASSIGN_OR_RETURN(size_t got, file.ReadAt(0, bytes));
  bytes.resize(got);
  const std::string ours =
      EncodeSegmentHeader({});  // its magic, tag and version are those of every header of ours
  for (size_t i = 0; i < std::min<size_t>(bytes.size(), 18); ++i) {
    const bool size_field = i >= 4 && i < 8;
    if (!size_field && bytes[i] != 0 && bytes[i] != static_cast<uint8_t>(ours[i])) return false;
  }
  return std::search(bytes.begin(), bytes.end(), std::begin(kZstdMagic), std::end(kZstdMagic)) ==
         bytes.end();
}

}  // namespace

Result<RecoveredSegment> RecoverSegment(FileSystem& files, Clock& clock, const std::string& path,
                                        const std::string& source_name, uint64_t number,
                                        int64_t commit_high_us, uint64_t durable_raw_bytes) {
  TM_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kReadWrite));
  TM_ASSIGN_OR_RETURN(uint64_t file_size, file->Size());
  auto opened = SegmentReader::Open(files, path);
  if (!opened.ok()) {
    if (opened.error().code() == Code::kIo) return opened.error();
    TM_ASSIGN_OR_RETURN(bool torn, IsTornHeader(*file, file_size));
    if (torn) return RemoveEmpty(files, path, file_size);
    return opened.error();
  }
  const SegmentReader& reader = **opened;
  if (reader.header().number != number)
    return Status(Code::kCorruption,
                  path + " says that it is segment " + std::to_string(reader.header().number),
                  "give the file its own name back");

  RecoveredSegment recovered;
  if (reader.sealed()) {
    TM_ASSIGN_OR_RETURN(recovered.contents, ScanSegment(files, path, source_name, commit_high_us));
    return recovered;
  }
  TailSearch search(*file, reader, commit_high_us);
  TM_ASSIGN_OR_RETURN(Cut cut, search.Run(file_size));
  if (cut.raw_end < durable_raw_bytes)
    return Status(
        Code::kCorruption,
        path + " is whole up to raw offset " + std::to_string(cut.raw_end) +
            " only, but was durable up to " + std::to_string(durable_raw_bytes),
        "restore this file from a copy; the disk lost or changed what it had acknowledged");
  const uint64_t own_bytes = std::max<uint64_t>(reader.header().prefix_bytes, kBinlogMagicSize);
  if (cut.raw_end <= own_bytes) return RemoveEmpty(files, path, file_size);
  recovered.cut_bytes = file_size - cut.stored_end;
  TM_RETURN_IF_ERROR(CutAndClose(*file, file_size, cut));
  TM_FAILPOINT("recovery.cut");
  TM_ASSIGN_OR_RETURN(ScannedFrames scanned, search.Rescan(source_name));
  TM_ASSIGN_OR_RETURN(recovered.contents, Seal(clock, *file, path, std::move(scanned)));
  TM_FAILPOINT("recovery.sealed");
  return recovered;
}

}  // namespace tidemark
