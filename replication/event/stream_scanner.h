// Reads a raw binlog stream for where things begin and end: the one place where Tidemark looks
// inside events.
//
// Ingest feeds it each event whole (FeedEvent); recovery, verify, rebuild and look-up feed it a
// segment's decompressed bytes in arbitrary pieces (FeedBytes). Both give the same answers: events,
// and at each transaction's last event the finished Transaction. Checked on the way: sizes, CRC32
// (as the latest format description says), that a transaction which begins at its Gtid event ends
// where both its events and its transaction_length say, that nothing begins inside another. Unknown
// event types are passed through.
//
// Pure: no I/O, clock or log. One thread. Memory is bounded whatever the event's size: of an event
// longer than kEventHeadBytesMax only the head is kept, row counting and payload decompression
// stream through the rest. After an error the scanner must not be fed again.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "replication/base/bytes.h"
#include "replication/base/status.h"
#include "replication/event/binlog_format.h"
#include "replication/event/gtid_set.h"
#include "replication/event/transaction.h"

namespace tidemark {

inline constexpr size_t kEventHeadBytesMax = 64 * 1024;

enum class EventRole : uint8_t {
  kFormatDescription,
  kPreviousGtids,
  kRotate,  // also artificial ones: see header.artificial()
  kStop,
  kHeartbeat,    // never in a file
  kTransaction,  // belongs to a transaction; if `finished` is set, its last event
  kBetween,      // outside any transaction and none of the above: Incident, unknown types, …
};

struct ScannedEvent {
  EventHeader header;
  EventRole role = EventRole::kBetween;
  uint64_t offset = 0;  // of the event's first byte in the stream, counted from `start_offset`
  Bytes head;           // the event's first min(size, kEventHeadBytesMax) bytes; whole in FeedEvent
  ChecksumAlgorithm checksum = ChecksumAlgorithm::kCrc32;  // in force for this event
  bool begins_transaction = false;
  const Transaction* finished = nullptr;  // valid until the next Feed call or callback
};

struct ScannerOptions {
  bool verify_checksums = true;
  bool count_rows = true;     // false: skip tables and rows (export, look-up by GTID only)
  uint64_t start_offset = 0;  // offset of the first byte that will be fed
  bool expect_magic = false;  // FeedBytes: the stream starts with the four magic bytes
  ChecksumAlgorithm checksum =
      ChecksumAlgorithm::kCrc32;  // until a format description says otherwise
  bool checksum_known =
      false;  // true: start without a format description (a frame in mid-segment), using `checksum`
  // What comes before any format description has a checksum, whatever the files have: a source does
  // so for a replica that asked for 'CRC32' (sql/rpl_binlog_sender.cc, init_checksum_alg). Without
  // it such an event is looked at, and one that was damaged taken for one without a checksum.
  bool checksum_from_start = false;
};

class StreamScanner {
 public:
  using OnEvent = std::function<Status(const ScannedEvent&)>;

  explicit StreamScanner(ScannerOptions options);
  ~StreamScanner();
  StreamScanner(StreamScanner&&) noexcept;
  StreamScanner& operator=(StreamScanner&&) noexcept;

  // One whole event (header to checksum). `out` is valid until the next call. kCorruption names the
  // stream offset.
  Status FeedEvent(Bytes event, ScannedEvent* out);
  // Any piece of the stream; calls `on_event` at each event's end. An error of on_event is returned
  // as is.
  Status FeedBytes(Bytes piece, const OnEvent& on_event);
  // The stream ends here: OK at a transaction boundary, kTruncated inside an event or a
  // transaction.
  Status Finish() const;

  uint64_t offset() const;  // bytes taken so far, plus start_offset
  bool in_event() const;
  bool in_transaction() const;
  const Gtid* open_gtid() const;  // of the transaction under way, else nullptr
  ChecksumAlgorithm checksum() const;
  // The event just fed ends at stream offset `offset_now`, whatever was counted so far: the sink
  // feeds events that it does not archive and begins segments between events. The begin of an open
  // transaction moves along.
  void Rebase(uint64_t offset_now);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tidemark
