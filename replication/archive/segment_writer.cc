#include "replication/archive/segment_writer.h"

#include <zstd.h>

#include <algorithm>
#include <vector>

#include "replication/archive/zstd_frame.h"
#include "replication/base/failpoint.h"

namespace tidemark {
namespace {

// Events are gathered before they are hashed and compressed: both cost per call, and most events
// are small.
constexpr size_t kRawBufferBytes = 128 * 1024;
constexpr size_t kOutBufferBytes = 256 * 1024;

// Level 1 as it is, but for the window: its own is half a frame. Together the size that `zstd -1`
// gives for the whole file, although every frame starts anew (measured: README.md).
constexpr int kLevel1WindowLog = 20;

Status SetParameter(ZSTD_CCtx* context, ZSTD_cParameter parameter, int value, const char* name) {
  const ZSTD_bounds bounds = ZSTD_cParam_getBounds(parameter);
  if (value < bounds.lowerBound || value > bounds.upperBound ||
      (parameter == ZSTD_c_windowLog && value > kWindowLogMax))
    return Status(Code::kUsage,
                  std::string(name) + " " + std::to_string(value) + " is none that zstd has");
  TM_CHECK(!ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)));
  return OkStatus();
}

Status Configure(ZSTD_CCtx* context, const SegmentWriterOptions& options) {
  int window_log = options.zstd_window_log;
  if (options.zstd_level == 1 && window_log == 0) window_log = kLevel1WindowLog;
  TM_RETURN_IF_ERROR(
      SetParameter(context, ZSTD_c_compressionLevel, options.zstd_level, "zstd level"));
  TM_RETURN_IF_ERROR(SetParameter(context, ZSTD_c_checksumFlag, 1, "zstd checksum flag"));
  TM_RETURN_IF_ERROR(SetParameter(context, ZSTD_c_contentSizeFlag, 0, "zstd content size flag"));
  // 0 leaves a parameter to the level.
  if (window_log != 0)
    TM_RETURN_IF_ERROR(SetParameter(context, ZSTD_c_windowLog, window_log, "zstd window log"));
  if (options.zstd_hash_log != 0)
    TM_RETURN_IF_ERROR(
        SetParameter(context, ZSTD_c_hashLog, options.zstd_hash_log, "zstd hash log"));
  if (options.zstd_min_match != 0)
    TM_RETURN_IF_ERROR(
        SetParameter(context, ZSTD_c_minMatch, options.zstd_min_match, "zstd minimal match"));
  return OkStatus();
}

// Under its own name a segment never lacks its header, whatever moment the power fails at: the file
// is made durable under another name first.
Result<std::unique_ptr<File>> CreateWithHeader(FileSystem& files, const std::string& path,
                                               const std::string& header) {
  if (files.Exists(path))
    return Status(Code::kIo, "cannot create " + path + ": a file of that name exists already");
  TM_RETURN_IF_ERROR(WriteSmallFileDurably(files, path, header));
  return files.Open(path, OpenMode::kReadWrite);
}

}  // namespace

struct SegmentWriter::State {
  State(std::string the_path, std::unique_ptr<File> the_file)
      : path(std::move(the_path)), file(std::move(the_file)), out(kOutBufferBytes) {
    raw.reserve(kRawBufferBytes);
    TM_CHECK(context != nullptr);
  }
  ~State() { ZSTD_freeCCtx(context); }

  Status WriteOut() {
    if (out_size == 0) return OkStatus();
    TM_RETURN_IF_ERROR(Write({out.data(), out_size}));
    out_size = 0;
    return OkStatus();
  }

  Status Write(Bytes stored) {
    TM_RETURN_IF_ERROR(file->Append(stored));
    Count(stored);
    return OkStatus();
  }

  void Count(Bytes stored) {
    stored_xxh64.Update(stored);
    stored_bytes += stored.size();
  }

  // ZSTD_e_continue: until all input is taken; else until zstd has nothing left to give.
  Status Compress(Bytes input, ZSTD_EndDirective directive) {
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    for (;;) {
      if (out_size == out.size()) TM_RETURN_IF_ERROR(WriteOut());
      ZSTD_outBuffer target{out.data(), out.size(), out_size};
      const size_t left = ZSTD_compressStream2(context, &target, &in, directive);
      TM_CHECK(
          !ZSTD_isError(left));  // parameters were checked, memory was there: nothing else can fail
      out_size = target.pos;
      if (directive == ZSTD_e_continue ? in.pos == in.size : left == 0) return OkStatus();
    }
  }

  Status CompressGathered(ZSTD_EndDirective directive) {
    if (hash_raw) sha256.Update(raw);
    Status status = Compress(raw, directive);
    raw.clear();
    return status;
  }

  Status Append(Bytes bytes) {
    if (bytes.empty()) return OkStatus();
    if (!in_frame) {
      TM_CHECK(raw.empty());
      frames.push_back({.raw_offset = raw_bytes, .stored_offset = stored_bytes + out_size});
      in_frame = true;
    }
    raw_bytes += bytes.size();
    while (!bytes.empty()) {
      const size_t piece = std::min(bytes.size(), kRawBufferBytes - raw.size());
      raw.insert(raw.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(piece));
      bytes = bytes.subspan(piece);
      if (raw.size() == kRawBufferBytes) TM_RETURN_IF_ERROR(CompressGathered(ZSTD_e_continue));
    }
    return OkStatus();
  }

  Status Flush() {
    if (flushed_raw_bytes == raw_bytes) return OkStatus();
    TM_RETURN_IF_ERROR(CompressGathered(ZSTD_e_flush));
    TM_RETURN_IF_ERROR(WriteOut());
    flushed_raw_bytes = raw_bytes;
    return OkStatus();
  }

  Status EndFrame() {
    if (!in_frame) return OkStatus();
    TM_RETURN_IF_ERROR(CompressGathered(ZSTD_e_end));
    TM_RETURN_IF_ERROR(WriteOut());
    ZSTD_CCtx_reset(context, ZSTD_reset_session_only);
    in_frame = false;
    flushed_raw_bytes = raw_bytes;
    return OkStatus();
  }

  // After an error what the file holds is unknown: nothing may be added to it.
  Status Keep(Status status) {
    if (!status.ok()) failure = status;
    return status;
  }

  const std::string path;
  std::unique_ptr<File> file;
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  bool hash_raw = true;
  Sha256 sha256;
  Xxh64 stored_xxh64;
  std::vector<uint8_t> raw;  // appended, not yet compressed
  std::vector<uint8_t> out;  // compressed, not yet written: the first out_size bytes
  size_t out_size = 0;
  bool in_frame = false;
  uint64_t raw_bytes = 0;
  uint64_t stored_bytes = 0;
  uint64_t flushed_raw_bytes = 0;
  std::vector<FramePlace> frames;
  Status failure;
};

Result<std::unique_ptr<SegmentWriter>> SegmentWriter::Create(FileSystem& files,
                                                             const std::string& path,
                                                             const SegmentHeader& header,
                                                             Bytes prefix,
                                                             SegmentWriterOptions options) {
  TM_CHECK(prefix.size() == header.prefix_bytes);
  const std::string encoded = EncodeSegmentHeader(header);
  if (encoded.size() > kSegmentHeaderBytesMax)
    return Status(Code::kUsage, "the header of " + path + " would have " +
                                    std::to_string(encoded.size()) + " bytes, more than the " +
                                    std::to_string(kSegmentHeaderBytesMax) + " allowed");
  TM_ASSIGN_OR_RETURN(auto file, CreateWithHeader(files, path, encoded));
  TM_FAILPOINT("segment.created");
  auto state = std::make_unique<State>(path, std::move(file));
  state->hash_raw = options.hash_raw;
  state->Count(AsBytes(encoded));
  const Status status = [&] {
    TM_RETURN_IF_ERROR(Configure(state->context, options));
    return state->Append(prefix);
  }();
  if (!status.ok()) {
    state.reset();
    (void)files.Remove(path);  // it holds nothing; if it stays, recovery removes it
    return status;
  }
  return std::unique_ptr<SegmentWriter>(new SegmentWriter(std::move(state)));
}

SegmentWriter::SegmentWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
SegmentWriter::~SegmentWriter() = default;

Status SegmentWriter::Append(Bytes raw) {
  TM_RETURN_IF_ERROR(state_->failure);
  return state_->Keep(state_->Append(raw));
}

Status SegmentWriter::Flush() {
  TM_RETURN_IF_ERROR(state_->failure);
  return state_->Keep(state_->Flush());
}

Status SegmentWriter::EndFrame() {
  TM_RETURN_IF_ERROR(state_->failure);
  return state_->Keep(state_->EndFrame());
}

Result<uint64_t> SegmentWriter::Seal(SegmentFooter footer) {
  TM_RETURN_IF_ERROR(EndFrame());
  TM_CHECK(footer.raw_bytes ==
           state_->raw_bytes);  // a segment is sealed at a transaction's end (invariant 3)
  footer.stored_bytes = state_->stored_bytes;
  if (state_->hash_raw) footer.raw_sha256 = state_->sha256.Finish();
  footer.stored_xxh64 = state_->stored_xxh64.Digest();
  footer.frames = state_->frames;
  const std::string encoded = EncodeSegmentFooter(footer);
  if (encoded.size() > kSegmentHeaderBytesMax)
    return state_->Keep(Status(Code::kUsage, "the footer of " + state_->path + " would be too long",
                               "let segments be smaller (segment_bytes_max)"));
  TM_FAILPOINT("segment.unfinished");
  TM_RETURN_IF_ERROR(state_->Keep(state_->Write(AsBytes(encoded))));
  TM_FAILPOINT("segment.footed");
  TM_RETURN_IF_ERROR(state_->Keep(state_->file->DataSync()));
  TM_FAILPOINT("segment.sealed");
  state_->failure = Status(Code::kUsage, state_->path + " is sealed");
  return state_->stored_bytes;
}

File& SegmentWriter::file() { return *state_->file; }
const std::string& SegmentWriter::path() const { return state_->path; }
uint64_t SegmentWriter::raw_bytes() const { return state_->raw_bytes; }
uint64_t SegmentWriter::stored_bytes() const { return state_->stored_bytes; }
uint64_t SegmentWriter::flushed_raw_bytes() const { return state_->flushed_raw_bytes; }
const std::vector<FramePlace>& SegmentWriter::frames() const { return state_->frames; }

}  // namespace tidemark
