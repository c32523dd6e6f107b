#include "replication/archive/zstd_frame.h"

#include <zstd.h>

#include <algorithm>

namespace tidemark {
namespace {

constexpr size_t kStoredBufferBytes = 256 * 1024;
constexpr size_t kRawBufferBytes = kZstdBlockBytesMax + 1;  // so that a whole block never fills it
constexpr size_t kBlockHeaderBytes = 3;
constexpr size_t kFrameChecksumBytes = 4;
constexpr size_t kFrameHeaderBytesMin =
    6;  // magic, descriptor, and a window descriptor or one byte of size
static_assert(kStoredBufferBytes >= kBlockHeaderBytes + kZstdBlockBytesMax);

struct BlockHeader {
  enum Type : uint32_t { kRaw = 0, kRle = 1, kCompressed = 2, kReserved = 3 };
  bool last;
  Type type;
  uint32_t size;

  explicit BlockHeader(const uint8_t* bytes) {
    const uint32_t value = static_cast<uint32_t>(LoadLittleEndian(bytes, kBlockHeaderBytes));
    last = (value & 1) != 0;
    type = static_cast<Type>(value >> 1 & 3);
    size = value >> 3;
  }
  size_t stored_size() const { return kBlockHeaderBytes + (type == kRle ? 1 : size); }
  bool valid() const { return type != kReserved && size <= kZstdBlockBytesMax; }
};

// Size of the frame header that this descriptor announces (RFC 8878 §3.1.1.1), 0 if it is none that
// we write: without a checksum or with a dictionary.
size_t FrameHeaderBytes(uint8_t descriptor) {
  const bool checksum = (descriptor & 4) != 0;
  const bool reserved = (descriptor & 8) != 0;
  const bool single_segment = (descriptor & 32) != 0;
  if (!checksum || reserved || (descriptor & 3) != 0) return 0;
  static constexpr size_t kContentSizeBytes[4] = {0, 2, 4, 8};
  size_t content_size = kContentSizeBytes[descriptor >> 6];
  if (single_segment && content_size == 0) content_size = 1;
  return 5 + (single_segment ? 0 : 1) + content_size;
}

}  // namespace

FrameReader::FrameReader(File& file, std::string path)
    : file_(file),
      path_(std::move(path)),
      context_(ZSTD_createDCtx(), ZSTD_freeDCtx),
      stored_(std::make_unique_for_overwrite<uint8_t[]>(kStoredBufferBytes)),
      raw_(std::make_unique_for_overwrite<uint8_t[]>(kRawBufferBytes)) {
  TM_CHECK(context_ != nullptr);
  TM_CHECK(
      !ZSTD_isError(ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kWindowLogMax)));
}

FrameReader::~FrameReader() = default;

void FrameReader::Seek(uint64_t stored_offset, uint64_t stored_end) {
  taken_ = filled_ = 0;
  position_ = stored_offset;
  stored_end_ = stored_end;
}

Status FrameReader::BeginFrame() {
  Status filled = Fill(1);
  if (filled.code() == Code::kTruncated)
    return Status(Code::kEndOfData, path_ + " has no further frame");
  TM_RETURN_IF_ERROR(filled);
  TM_RETURN_IF_ERROR(Fill(kFrameHeaderBytesMin));
  const uint8_t* stored = stored_.get() + taken_;
  if (!std::equal(std::begin(kZstdMagic), std::end(kZstdMagic), stored))
    return Bad("no zstd frame begins here");
  const size_t size = FrameHeaderBytes(stored[4]);
  if (size == 0) return Bad("a zstd frame without a checksum, or with a dictionary");
  TM_RETURN_IF_ERROR(Fill(size));
  ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only);
  Bytes nothing;
  bool done = false;
  return Decode(size, &nothing, &done);
}

Status FrameReader::NextBlock(Block* block) {
  TM_RETURN_IF_ERROR(Fill(kBlockHeaderBytes));
  const BlockHeader header(stored_.get() + taken_);
  if (!header.valid()) return Bad("no zstd block begins here");
  TM_RETURN_IF_ERROR(Fill(header.stored_size()));
  bool done = false;
  block->last = header.last;
  return Decode(header.stored_size(), &block->raw, &done);
}

Status FrameReader::EndFrame() {
  TM_RETURN_IF_ERROR(Fill(kFrameChecksumBytes));
  Bytes nothing;
  bool done = false;
  TM_RETURN_IF_ERROR(Decode(kFrameChecksumBytes, &nothing, &done));
  return done ? OkStatus() : Bad("the frame does not end here");
}

bool FrameReader::AtEmptyLastBlock() {
  if (!Fill(kBlockHeaderBytes).ok()) return false;
  const BlockHeader header(stored_.get() + taken_);
  return header.last && header.type == BlockHeader::kRaw && header.size == 0;
}

Status FrameReader::Fill(size_t wanted) {
  if (filled_ - taken_ >= wanted) return OkStatus();
  std::copy(stored_.get() + taken_, stored_.get() + filled_, stored_.get());
  filled_ -= taken_;
  taken_ = 0;
  const uint64_t read_from = position_ + filled_;
  const uint64_t limit = stored_end_ > read_from ? stored_end_ - read_from : 0;
  const size_t room = static_cast<size_t>(std::min<uint64_t>(kStoredBufferBytes - filled_, limit));
  TM_ASSIGN_OR_RETURN(size_t got, file_.ReadAt(read_from, {stored_.get() + filled_, room}));
  filled_ += got;
  if (filled_ >= wanted) return OkStatus();
  return Status(Code::kTruncated, path_ + ": the zstd frame is cut short at stored offset " +
                                      std::to_string(position_ + filled_));
}

// Decodes exactly the next stored_size bytes, which are in the buffer. zstd gives a block's bytes
// as soon as it has it.
Status FrameReader::Decode(size_t stored_size, Bytes* raw, bool* frame_done) {
  ZSTD_inBuffer in{stored_.get() + taken_, stored_size, 0};
  ZSTD_outBuffer out{raw_.get(), kRawBufferBytes, 0};
  while (in.pos < in.size) {
    const size_t before = in.pos + out.pos;
    const size_t result = ZSTD_decompressStream(context_.get(), &out, &in);
    if (ZSTD_isError(result)) return Bad(ZSTD_getErrorName(result));
    *frame_done = result == 0;
    if (in.pos + out.pos == before || (*frame_done && in.pos < in.size))
      return Bad("the frame contradicts itself");
  }
  if (out.pos == out.size) return Bad("a block is longer than it may be");
  taken_ += stored_size;
  position_ += stored_size;
  *raw = {raw_.get(), out.pos};
  return OkStatus();
}

Status FrameReader::Bad(const std::string& what) const {
  return Status(Code::kCorruption,
                path_ + " is damaged at stored offset " + std::to_string(position_) + ": " + what);
}

}  // namespace tidemark
