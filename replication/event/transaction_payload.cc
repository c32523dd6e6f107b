#include "replication/event/transaction_payload.h"

#include <zstd.h>

#include <string>
#include <utility>

namespace tidemark {
namespace {

constexpr uint64_t kFieldEnd = 0;
constexpr uint64_t kFieldPayloadSize = 1;
constexpr uint64_t kFieldCompression = 2;
constexpr uint64_t kFieldUncompressedSize = 3;

constexpr int kWindowLogMax = 27;
constexpr size_t kOutputBytes = 128 * 1024;
// What a payload may unfold to. The server's own limit is one event of at most 1 GiB of events
// each.
constexpr uint64_t kUncompressedBytesMax = uint64_t{1} << 40;

Status Malformed(const std::string& what) {
  return {Code::kCorruption, "malformed transaction payload: " + what};
}

uint64_t FieldNumber(Bytes value, bool* ok) {
  ByteReader reader(value);
  const uint64_t number = reader.PackedInteger();
  *ok = *ok && reader.ok();
  return number;
}

}  // namespace

Result<PayloadHeader> ParsePayloadHeader(Bytes body) {
  PayloadHeader header;
  ByteReader reader(body);
  uint64_t compression = 0;
  bool ok = true;
  bool have_size = false;
  bool have_compression = false;
  while (ok && reader.ok()) {
    const uint64_t field = reader.PackedInteger();
    if (field == kFieldEnd) break;
    const Bytes value = reader.Take(reader.PackedInteger());
    if (field == kFieldPayloadSize) header.payload_size = FieldNumber(value, &ok);
    if (field == kFieldCompression) compression = FieldNumber(value, &ok);
    if (field == kFieldUncompressedSize) header.uncompressed_size = FieldNumber(value, &ok);
    have_size = have_size || field == kFieldPayloadSize;
    have_compression = have_compression || field == kFieldCompression;
  }
  if (!ok || !reader.ok() || !have_size || !have_compression)
    return Malformed("its header does not parse");
  const bool known = compression == static_cast<uint64_t>(PayloadCompression::kZstd) ||
                     compression == static_cast<uint64_t>(PayloadCompression::kNone);
  if (!known) {
    return Status(
        Code::kUnsupportedFormat,
        "unknown compression type " + std::to_string(compression) + " of a transaction payload");
  }
  header.compression = static_cast<PayloadCompression>(compression);
  header.size = reader.position();
  return header;
}

struct PayloadDecompressor::Zstd {
  struct Free {
    void operator()(ZSTD_DCtx* freed) const { ZSTD_freeDCtx(freed); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context{ZSTD_createDCtx()};
  std::vector<uint8_t> output = std::vector<uint8_t>(kOutputBytes);
};

PayloadDecompressor::PayloadDecompressor() = default;
PayloadDecompressor::~PayloadDecompressor() = default;

Status PayloadDecompressor::Begin(const PayloadHeader& header) {
  header_ = header;
  input_ = {};
  stored_ = produced_ = 0;
  frame_open_ = may_hold_more_ = false;
  if (header.compression == PayloadCompression::kNone) return OkStatus();
  if (zstd_ == nullptr) {
    zstd_ = std::make_unique<Zstd>();
    TM_CHECK(zstd_->context != nullptr);
    ZSTD_DCtx_setParameter(zstd_->context.get(), ZSTD_d_windowLogMax, kWindowLogMax);
  }
  ZSTD_DCtx_reset(zstd_->context.get(), ZSTD_reset_session_only);
  return OkStatus();
}

void PayloadDecompressor::Feed(Bytes stored) {
  input_ = stored;
  stored_ += stored.size();
}

Result<Bytes> PayloadDecompressor::Next() {
  if (header_.compression == PayloadCompression::kNone) {
    produced_ += input_.size();
    return std::exchange(input_, Bytes{});
  }
  // Input can be taken in without output (a frame's header): go on until there is some, or nothing
  // left to take in.
  while (!input_.empty() || may_hold_more_) {
    ZSTD_inBuffer in{input_.data(), input_.size(), 0};
    ZSTD_outBuffer out{zstd_->output.data(), zstd_->output.size(), 0};
    const size_t result = ZSTD_decompressStream(zstd_->context.get(), &out, &in);
    if (ZSTD_isError(result) != 0)
      return Malformed(std::string("zstd says: ") + ZSTD_getErrorName(result));
    input_ = input_.subspan(in.pos);
    frame_open_ = result != 0;
    may_hold_more_ = frame_open_ && out.pos == out.size;
    produced_ += out.pos;
    if (produced_ > header_.uncompressed_size.value_or(kUncompressedBytesMax)) {
      return Malformed("it unfolds to more bytes than it declares");
    }
    if (out.pos > 0) return Bytes(zstd_->output).first(out.pos);
  }
  return Bytes{};
}

Status PayloadDecompressor::Finish() const {
  if (stored_ != header_.payload_size) {
    return Malformed("it holds " + std::to_string(stored_) + " bytes and declares " +
                     std::to_string(header_.payload_size));
  }
  if (frame_open_) return Malformed("its compressed data is cut short");
  if (header_.uncompressed_size && *header_.uncompressed_size != produced_) {
    return Malformed("it unfolds to " + std::to_string(produced_) + " bytes and declares " +
                     std::to_string(*header_.uncompressed_size));
  }
  return OkStatus();
}

Status PayloadScanner::Begin(Bytes body, TransactionContent* content) {
  content_ = content;
  framer_.Reset();
  boundary_ = TransactionBoundary(BoundaryState::kAfterGtid);
  const Result<PayloadHeader> header = ParsePayloadHeader(body);
  opaque_ = !header.ok() && header.error().code() == Code::kUnsupportedFormat;
  if (opaque_) return OkStatus();
  if (!header.ok()) return header.error();
  TM_RETURN_IF_ERROR(decompressor_.Begin(*header));
  return Feed(body.subspan(header->size));
}

Status PayloadScanner::Feed(Bytes body_piece) {
  if (opaque_) return OkStatus();
  decompressor_.Feed(body_piece);
  while (true) {
    TM_ASSIGN_OR_RETURN(const Bytes events, decompressor_.Next());
    if (events.empty()) return OkStatus();
    TM_RETURN_IF_ERROR(TakeEvents(events));
  }
}

Status PayloadScanner::TakeEvents(Bytes events) {
  while (true) {
    const EventFramer::Step step = framer_.Next(&events);
    if (step == EventFramer::Step::kNeedMore) return OkStatus();
    if (step == EventFramer::Step::kBadSize) {
      return Malformed("an event inside announces " + std::to_string(framer_.header().size) +
                       " bytes");
    }
    TM_RETURN_IF_ERROR(TakeEvent(step));
  }
}

Status PayloadScanner::BeginEvent() {
  const EventType type = framer_.header().type;
  if (boundary_.state() == BoundaryState::kNone)
    return Malformed("events follow the end of the transaction inside");
  switch (type) {
    case EventType::kGtid:
    case EventType::kGtidTagged:
    case EventType::kAnonymousGtid:
    case EventType::kTransactionPayload:
    case EventType::kFormatDescription:
    case EventType::kPreviousGtids:
    case EventType::kRotate:
    case EventType::kStop:
      return Malformed("an event of type " + std::to_string(static_cast<int>(type)) + " is inside");
    default: break;
  }
  const bool after_gtid = boundary_.state() == BoundaryState::kAfterGtid;
  event_ = content_->Begin(type, InnerBody(framer_.bytes()), after_gtid);
  return OkStatus();
}

Status PayloadScanner::TakeEvent(EventFramer::Step step) {
  switch (step) {
    case EventFramer::Step::kHead: return BeginEvent();
    case EventFramer::Step::kPart: content_->Feed(framer_.bytes()); return OkStatus();
    case EventFramer::Step::kWhole: TM_RETURN_IF_ERROR(BeginEvent()); break;
    default: content_->Feed(framer_.bytes()); break;
  }
  content_->End();
  if (boundary_.Take(event_) == BoundaryVerdict::kIllegal) {
    return Malformed("an event of type " + std::to_string(static_cast<int>(framer_.header().type)) +
                     " stands where none may");
  }
  return OkStatus();
}

Result<TransactionKind> PayloadScanner::Finish() {
  if (opaque_) return TransactionKind::kRows;
  TM_RETURN_IF_ERROR(decompressor_.Finish());
  if (framer_.in_event()) return Malformed("its last event is cut short");
  if (boundary_.open()) return Malformed("the transaction inside has no end");
  return boundary_.kind();
}

}  // namespace tidemark
