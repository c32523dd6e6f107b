#include "replication/archive/segment_reader.h"

#include <algorithm>
#include <vector>

#include "replication/archive/archive_directory.h"
#include "replication/archive/frame_walk.h"

namespace tidemark {
namespace {

constexpr size_t kHeaderReadBytes = 4096;  // enough for most headers

Result<std::vector<uint8_t>> ReadBytes(File& file, uint64_t offset, uint64_t size) {
  std::vector<uint8_t> bytes(size);
  TM_ASSIGN_OR_RETURN(size_t got, file.ReadAt(offset, bytes));
  bytes.resize(got);
  return bytes;
}

}  // namespace

struct SegmentReader::State {
  State(std::string the_path, std::unique_ptr<File> the_file)
      : path(std::move(the_path)), file(std::move(the_file)), frames(*file, path) {}

  Status ReadHeader(uint64_t size) {
    // The second try has all that a header may have: what is short then is short in the file.
    for (uint64_t wanted : {uint64_t{kHeaderReadBytes}, kSegmentHeaderBytesMax}) {
      TM_ASSIGN_OR_RETURN(auto bytes, ReadBytes(*file, 0, std::min(wanted, size)));
      size_t header_bytes = 0;
      Result<SegmentHeader> decoded = DecodeSegmentHeader(bytes, &header_bytes);
      if (decoded.ok()) {
        header = std::move(*decoded);
        frames_begin = header_bytes;
        return OkStatus();
      }
      if (decoded.error().code() != Code::kTruncated || wanted >= size)
        return Status(decoded.error()).WithContext(path);
    }
    return Status(Code::kTruncated, path + ": the segment's header is cut short");
  }

  // Finds the footer from the file's end. Only an I/O error is an error: a segment without a footer
  // is an unsealed one.
  Status ReadFooter(uint64_t size) {
    frames_end = size;
    if (size < frames_begin + kFooterTrailerBytes) return OkStatus();
    TM_ASSIGN_OR_RETURN(auto trailer,
                        ReadBytes(*file, size - kFooterTrailerBytes, kFooterTrailerBytes));
    const uint64_t footer_bytes = FooterFrameBytes(trailer);
    if (footer_bytes == 0) return OkStatus();
    footer_damaged = true;
    if (footer_bytes > size - frames_begin) return OkStatus();
    TM_ASSIGN_OR_RETURN(auto bytes, ReadBytes(*file, size - footer_bytes, footer_bytes));
    Result<SegmentFooter> decoded = DecodeSegmentFooter(bytes);
    // A newer version's footer is not damage, and must not be taken for a missing one: recovery
    // would rewrite it.
    if (!decoded.ok() && decoded.error().code() == Code::kUnsupportedFormat)
      return Status(decoded.error()).WithContext(path);
    if (!decoded.ok() || decoded->stored_bytes != size - footer_bytes) return OkStatus();
    const bool frames_fit =
        decoded->frames.empty() || decoded->frames.front().stored_offset == frames_begin;
    if (!frames_fit) return OkStatus();
    footer_damaged = false;
    sealed = true;
    footer = std::move(*decoded);
    frames_end = footer.stored_bytes;
    return OkStatus();
  }

  // --- Pulling

  void BeginAt(FramePlace place) {
    // An unsealed segment may have grown since it was opened.
    frames.Seek(place.stored_offset, sealed ? frames_end : UINT64_MAX);
    frame = place;
    decoded_to = place.raw_offset;
    block = {};
    in_frame = false;
  }

  // What was read of an unsealed file before it was known to be published up to `raw_to` may have
  // become something else since: the bytes ahead, and the rest of a block that was stopped in.
  void BelieveTo(uint64_t raw_to) {
    if (!sealed) {
      if (decoded_to > believed_to) {
        BeginAt(frame);
      } else {
        frames.DropReadAhead();
      }
    }
    believed_to = raw_to;
  }

  Status DecodeBlock(uint64_t raw_to) {
    if (block.last) TM_RETURN_IF_ERROR(EndFrame());
    if (!in_frame) {
      frame = {.raw_offset = decoded_to, .stored_offset = frames.position()};
      Status begun = frames.BeginFrame();
      if (begun.code() == Code::kEndOfData)
        return Status(Code::kTruncated, path + " ends at raw offset " + std::to_string(decoded_to) +
                                            ", before " + std::to_string(raw_to));
      TM_RETURN_IF_ERROR(begun);
      in_frame = true;
    }
    TM_RETURN_IF_ERROR(frames.NextBlock(&block));
    decoded_to += block.raw.size();
    return OkStatus();
  }

  Status EndFrame() {
    TM_RETURN_IF_ERROR(frames.EndFrame());
    block.last = false;
    in_frame = false;
    return OkStatus();
  }

  // All that is wanted of the frame has been given: is its end there to be checked, too?
  Status CheckFrameEnd() {
    if (!in_frame) return OkStatus();
    // A frame that was flushed before it ended has nothing but its checksum left.
    if (!block.last && sealed && next == decoded_to && frames.AtEmptyLastBlock())
      TM_RETURN_IF_ERROR(frames.NextBlock(&block));
    return block.last && (sealed || next == decoded_to) ? EndFrame() : OkStatus();
  }

  const std::string path;
  std::unique_ptr<File> file;
  FrameReader frames;  // for NextRaw
  FramePlace frame;    // under way, or the one that begins at frames.position()
  FrameReader::Block block;
  bool in_frame = false;
  uint64_t decoded_to = 0;   // raw offset behind `block`
  uint64_t next = 0;         // raw offset of the next byte to give
  uint64_t believed_to = 0;  // the highest raw_to asked for
  SegmentHeader header;
  SegmentFooter footer;
  bool sealed = false;
  bool footer_damaged = false;
  uint64_t frames_begin = 0;
  uint64_t frames_end = 0;
};

Result<std::unique_ptr<SegmentReader>> SegmentReader::Open(FileSystem& files,
                                                           const std::string& path) {
  TM_ASSIGN_OR_RETURN(auto file, files.Open(path, OpenMode::kRead));
  TM_ASSIGN_OR_RETURN(uint64_t size, file->Size());
  auto state = std::make_unique<State>(path, std::move(file));
  TM_RETURN_IF_ERROR(state->ReadHeader(size));
  TM_RETURN_IF_ERROR(state->ReadFooter(size));
  return std::unique_ptr<SegmentReader>(new SegmentReader(std::move(state)));
}

SegmentReader::SegmentReader(std::unique_ptr<State> state) : state_(std::move(state)) {}
SegmentReader::~SegmentReader() = default;

const std::string& SegmentReader::path() const { return state_->path; }
const SegmentHeader& SegmentReader::header() const { return state_->header; }
bool SegmentReader::sealed() const { return state_->sealed; }
bool SegmentReader::footer_damaged() const { return state_->footer_damaged; }
const SegmentFooter& SegmentReader::footer() const {
  TM_CHECK(state_->sealed);
  return state_->footer;
}
uint64_t SegmentReader::frames_begin() const { return state_->frames_begin; }
uint64_t SegmentReader::frames_end() const { return state_->frames_end; }

void SegmentReader::SeekRaw(FramePlace frame, uint64_t raw_from) {
  TM_CHECK(frame.raw_offset <= raw_from);
  state_->BeginAt(frame);
  state_->next = raw_from;
  state_->believed_to = 0;
}

Result<Bytes> SegmentReader::NextRaw(uint64_t raw_to) {
  State& state = *state_;
  if (raw_to > state.believed_to) state.BelieveTo(raw_to);
  while (state.next < raw_to) {
    if (state.next >= state.decoded_to) {
      TM_RETURN_IF_ERROR(state.DecodeBlock(raw_to));
      continue;
    }
    const size_t left = static_cast<size_t>(state.decoded_to - state.next);
    const size_t size = static_cast<size_t>(std::min<uint64_t>(left, raw_to - state.next));
    state.next += size;
    return state.block.raw.last(left).first(size);
  }
  TM_RETURN_IF_ERROR(state.CheckFrameEnd());
  return Bytes();
}

Status SegmentReader::ReadRaw(FramePlace frame, uint64_t raw_from, uint64_t raw_to,
                              const Sink& sink) {
  SeekRaw(frame, raw_from);
  if (raw_from >= raw_to) return OkStatus();
  for (;;) {
    TM_ASSIGN_OR_RETURN(Bytes piece, NextRaw(raw_to));
    if (piece.empty()) return OkStatus();
    TM_RETURN_IF_ERROR(sink(piece));
  }
}

Status SegmentReader::Walk(const Walker& walker) {
  uint64_t end = state_->frames_end;
  if (!state_->sealed) {
    TM_ASSIGN_OR_RETURN(end, state_->file->Size());
  }
  const FrameWalk walk{
      .on_block = [&](const FrameReader::Block& block,
                      uint64_t stored_end) { return walker.on_block(block.raw, stored_end); },
      .on_frame_end = walker.on_frame_end,
  };
  return WalkFrames(*state_->file, state_->path, state_->frames_begin, end, !state_->sealed, walk);
}

Result<std::unique_ptr<SegmentReader>> OpenSegmentFile(const ArchiveDirectory& archive,
                                                       const std::string& source, uint64_t number) {
  return SegmentReader::Open(archive.files(), archive.SegmentPath(source, number));
}

}  // namespace tidemark
