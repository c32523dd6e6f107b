// Transaction_payload: a transaction's events, compressed into one. Header, streaming
// decompression, and what is inside.
//
// Memory is a fixed output buffer, zstd's window (at most 2^27 bytes, as the server's own decoder
// allows) and the head of one inner event. One thread. Inner events have no checksum. Source of
// facts: MySQL 9.7 libs/mysql/binlog/event/codecs/binary.cpp, compression/zstd_dec.cpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "replication/base/bytes.h"
#include "replication/base/status.h"
#include "replication/event/event_framer.h"
#include "replication/event/transaction_boundary.h"
#include "replication/event/transaction_content.h"

namespace tidemark {

enum class PayloadCompression : uint8_t { kZstd = 0, kNone = 255 };

struct PayloadHeader {
  PayloadCompression compression = PayloadCompression::kNone;
  uint64_t payload_size = 0;                  // stored bytes
  std::optional<uint64_t> uncompressed_size;  // informational: the server does not insist on it
  size_t size = 0;                            // bytes of the body in front of the payload
};
// `body` may be cut short behind the header. kUnsupportedFormat for a compression we do not know.
Result<PayloadHeader> ParsePayloadHeader(Bytes body);

// Turns stored bytes into the events' bytes, a buffer at a time.
class PayloadDecompressor {
 public:
  PayloadDecompressor();
  ~PayloadDecompressor();

  Status Begin(const PayloadHeader& header);
  void Feed(Bytes stored);  // must stay valid until Next() was empty
  Result<Bytes> Next();     // empty: what was fed is used up; valid until the next call
  Status Finish() const;    // all was fed: whole frames, and as many bytes as declared

 private:
  struct Zstd;
  std::unique_ptr<Zstd> zstd_;  // made on first use, reused
  PayloadHeader header_;
  Bytes input_;
  uint64_t stored_ = 0;
  uint64_t produced_ = 0;
  bool frame_open_ = false;
  bool may_hold_more_ = false;  // the output buffer was filled: zstd may have more without input
};

// Walks the events inside and gives them to a TransactionContent. A payload compressed in a way we
// do not know stays closed: it is archived like any other, and nothing is known of its tables.
class PayloadScanner {
 public:
  Status Begin(Bytes body, TransactionContent* content);  // the body's beginning, header included
  Status Feed(Bytes body_piece);
  Result<TransactionKind> Finish();

 private:
  Status TakeEvents(Bytes events);
  Status TakeEvent(EventFramer::Step step);
  Status BeginEvent();
  Bytes InnerBody(Bytes event) const { return event.subspan(kEventHeaderSize); }

  PayloadDecompressor decompressor_;
  EventFramer framer_;
  TransactionBoundary boundary_;
  TransactionContent* content_ = nullptr;
  bool opaque_ = false;
  BoundaryEvent event_ = BoundaryEvent::kUnknown;  // of the inner event under way
};

}  // namespace tidemark
