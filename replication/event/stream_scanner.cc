#include "replication/event/stream_scanner.h"

#include <algorithm>
#include <string>
#include <utility>

#include "replication/event/event_framer.h"
#include "replication/event/event_integrity.h"
#include "replication/event/gtid_event.h"
#include "replication/event/transaction_boundary.h"
#include "replication/event/transaction_content.h"
#include "replication/event/transaction_payload.h"

namespace tidemark {
namespace {

constexpr int64_t kMicrosecondsPerSecond = 1000000;

}  // namespace

struct StreamScanner::State {
  explicit State(const ScannerOptions& scanner_options)
      : options(scanner_options),
        integrity(scanner_options.verify_checksums, scanner_options.checksum,
                  scanner_options.checksum_known, scanner_options.checksum_from_start),
        magic_left(scanner_options.expect_magic ? kBinlogMagicSize : 0),
        offset(scanner_options.start_offset),
        content(scanner_options.count_rows) {}

  // The event under way begins at `offset`; it moves past the event when that is done.
  Status TakeWhole(Bytes event, ScannedEvent* out);
  Status BeginLong();
  Status TakePart(Bytes part);
  Status FinishLong(ScannedEvent* out);
  Status TakeMagic(Bytes* piece);

  Status Begin(const EventHeader& header, Bytes head);
  Status BeginTransactionEvent(const EventHeader& header, Bytes body);
  Status BeginGtid(const EventHeader& header, Bytes body);
  Status NotInTransaction(const EventHeader& header);
  Status End(Bytes head, ScannedEvent* out);
  Status EndOfTransaction();
  bool LengthAgrees(BoundaryVerdict verdict) const;
  Status LengthError(BoundaryVerdict verdict) const;
  void FillTransaction(const EventHeader& header);

  Status Corrupt(const std::string& what) const {
    return {Code::kCorruption, "at stream offset " + std::to_string(offset) + ": " + what};
  }
  Status Located(Status error) const {
    return std::move(error).WithContext("at stream offset " + std::to_string(offset));
  }
  std::string OpenName() const { return "transaction " + transaction.gtid.ToString(); }

  const ScannerOptions options;
  EventIntegrity integrity;
  size_t magic_left;
  uint64_t offset;  // of the event under way, or of the next one

  EventFramer framer;
  TransactionContent content;
  PayloadScanner payload;
  TransactionBoundary boundary;
  Transaction transaction;  // the one under way, or the last finished one
  GtidEvent gtid_event;
  uint64_t transaction_bytes = 0;

  // The event under way.
  EventHeader header;
  EventRole role = EventRole::kBetween;
  BoundaryEvent boundary_event = BoundaryEvent::kUnknown;
};

Status StreamScanner::State::NotInTransaction(const EventHeader& event_header) {
  // What the sender makes up itself (log_pos 0 when it describes the format in mid-file) may come
  // at any time.
  if (boundary.open() && !event_header.artificial() && event_header.log_pos != 0) {
    return Corrupt(EventName(event_header.type) + " stands inside " + OpenName());
  }
  return OkStatus();
}

Status StreamScanner::State::Begin(const EventHeader& event_header, Bytes head) {
  header = event_header;
  const uint64_t body_size = header.size - kEventHeaderSize - integrity.ChecksumBytes(header.type);
  const Bytes rest = head.subspan(kEventHeaderSize);
  const Bytes body = rest.first(static_cast<size_t>(std::min<uint64_t>(rest.size(), body_size)));
  switch (header.type) {
    case EventType::kFormatDescription:
      role = EventRole::kFormatDescription;
      return NotInTransaction(header);
    case EventType::kPreviousGtids:
      role = EventRole::kPreviousGtids;
      return NotInTransaction(header);
    case EventType::kRotate: role = EventRole::kRotate; return NotInTransaction(header);
    case EventType::kStop: role = EventRole::kStop; return NotInTransaction(header);
    case EventType::kHeartbeat:
    case EventType::kHeartbeatV2: role = EventRole::kHeartbeat; return OkStatus();
    default: return BeginTransactionEvent(header, body);
  }
}

Status StreamScanner::State::BeginTransactionEvent(const EventHeader& event_header, Bytes body) {
  role = EventRole::kTransaction;
  switch (event_header.type) {
    case EventType::kGtid:
    case EventType::kGtidTagged: return BeginGtid(event_header, body);
    case EventType::kAnonymousGtid:
      return Corrupt("an anonymous transaction, without a GTID")
          .WithHint(
              "set gtid_mode = ON on the source; transactions without GTIDs cannot be archived");
    case EventType::kTransactionPayload:
      boundary_event = BoundaryEvent::kPayload;
      if (boundary.state() != BoundaryState::kAfterGtid || !options.count_rows) return OkStatus();
      if (Status status = payload.Begin(body, &content); !status.ok()) {
        return Located(std::move(status).WithContext(OpenName()));
      }
      return OkStatus();
    default: break;
  }
  boundary_event =
      content.Begin(event_header.type, body, boundary.state() == BoundaryState::kAfterGtid);
  return OkStatus();
}

Status StreamScanner::State::BeginGtid(const EventHeader& event_header, Bytes body) {
  boundary_event = BoundaryEvent::kGtid;
  if (boundary.open()) {
    return Corrupt("a transaction begins inside " + OpenName() + ", which began at " +
                   std::to_string(transaction.begin_offset));
  }
  if (!ParseGtidEvent(event_header.type, body, &gtid_event))
    return Corrupt("a Gtid event that does not parse");
  content.BeginTransaction(&transaction);
  FillTransaction(event_header);
  transaction_bytes = 0;
  return OkStatus();
}

void StreamScanner::State::FillTransaction(const EventHeader& event_header) {
  std::swap(transaction.gtid,
            gtid_event.gtid);  // gtid_event is filled anew next time, into these strings
  transaction.immediate_commit_us = gtid_event.immediate_commit_us;
  transaction.original_commit_us = gtid_event.original_commit_us;
  if (transaction.immediate_commit_us == 0) {  // 5.7: only whole seconds, in every event's header
    transaction.immediate_commit_us = transaction.original_commit_us =
        int64_t{event_header.timestamp} * kMicrosecondsPerSecond;
  }
  transaction.last_committed = gtid_event.last_committed;
  transaction.sequence_number = gtid_event.sequence_number;
  transaction.begin_offset = offset;
  transaction.end_offset = 0;
  transaction.source_end_pos = 0;
  transaction.kind = TransactionKind::kRows;
}

// The Gtid event says how long the transaction is; that and its events must agree on the end.
bool StreamScanner::State::LengthAgrees(BoundaryVerdict verdict) const {
  const uint64_t declared = gtid_event.transaction_length;
  if (declared == 0) return true;
  return verdict == BoundaryVerdict::kEnds ? transaction_bytes == declared
                                           : transaction_bytes < declared;
}

Status StreamScanner::State::LengthError(BoundaryVerdict verdict) const {
  return Corrupt(OpenName() + " declares " + std::to_string(gtid_event.transaction_length) +
                 " bytes, but its events " +
                 (verdict == BoundaryVerdict::kEnds ? "end at " : "go on past ") +
                 std::to_string(transaction_bytes));
}

Status StreamScanner::State::EndOfTransaction() {
  transaction.kind = boundary.kind();
  transaction.end_offset = offset + header.size;
  transaction.source_end_pos = header.log_pos;
  if (boundary_event != BoundaryEvent::kPayload) return OkStatus();
  transaction.compressed = true;
  if (!options.count_rows) return OkStatus();
  Result<TransactionKind> kind = payload.Finish();
  if (!kind.ok()) return Located(Status(kind.error()).WithContext(OpenName()));
  transaction.kind = *kind;
  return OkStatus();
}

Status StreamScanner::State::End(Bytes head, ScannedEvent* out) {
  out->header = header;
  out->offset = offset;
  out->head = head;
  out->checksum = integrity.checksum();
  out->begins_transaction = false;
  out->finished = nullptr;
  if (role == EventRole::kTransaction) {
    content.End();
    const BoundaryVerdict verdict = boundary.Take(boundary_event);
    if (verdict == BoundaryVerdict::kIllegal) {
      if (boundary.open())
        return Corrupt(EventName(header.type) + " stands where none may, in " + OpenName());
      return Corrupt(EventName(header.type) + " outside of any transaction")
          .WithHint(
              "set gtid_mode = ON on the source; transactions without GTIDs cannot be archived");
    }
    if (verdict == BoundaryVerdict::kOutside) {
      role = EventRole::kBetween;
    } else {
      transaction_bytes += header.size;
      if (!LengthAgrees(verdict)) [[unlikely]]
        return LengthError(verdict);
      out->begins_transaction = verdict == BoundaryVerdict::kBegins;
    }
    if (verdict == BoundaryVerdict::kEnds) {
      TM_RETURN_IF_ERROR(EndOfTransaction());
      out->finished = &transaction;
    }
  }
  out->role = role;
  offset += header.size;
  return OkStatus();
}

Status StreamScanner::State::TakeWhole(Bytes event, ScannedEvent* out) {
  const EventHeader event_header = ReadEventHeader(event.data());
  if (!integrity.IsSound(event_header, event)) [[unlikely]] {
    if (Status status = integrity.Check(event_header, event); !status.ok()) {
      return Located(std::move(status));
    }
  }
  TM_RETURN_IF_ERROR(Begin(event_header, event));
  return End(event, out);
}

// A long event's head is there. Its checksum is computed on the way; until it is seen to be right
// the event may be anything, which the parsers bear.
Status StreamScanner::State::BeginLong() {
  Status status = integrity.BeginLong(framer.header(), framer.bytes());
  if (!status.ok()) return Located(std::move(status));
  return Begin(framer.header(), framer.bytes());
}

// A stretch of a long event behind its head: body, then checksum.
Status StreamScanner::State::TakePart(Bytes part) {
  const Bytes body = part.first(integrity.TakePart(part));
  const bool in_payload = role == EventRole::kTransaction &&
                          boundary_event == BoundaryEvent::kPayload && options.count_rows &&
                          boundary.state() == BoundaryState::kAfterGtid;
  if (!in_payload) {
    content.Feed(body);
    return OkStatus();
  }
  Status status = payload.Feed(body);
  return status.ok() ? status : Located(std::move(status).WithContext(OpenName()));
}

Status StreamScanner::State::FinishLong(ScannedEvent* out) {
  Status status = integrity.FinishLong(header);
  if (!status.ok()) return Located(std::move(status));
  return End(framer.head(), out);
}

Status StreamScanner::State::TakeMagic(Bytes* piece) {
  while (magic_left > 0 && !piece->empty()) {
    if (piece->front() != kBinlogMagic[kBinlogMagicSize - magic_left]) {
      return Corrupt("the stream does not begin with a binary log's magic bytes");
    }
    *piece = piece->subspan(1);
    --magic_left;
    ++offset;
  }
  return OkStatus();
}

StreamScanner::StreamScanner(ScannerOptions options) : state_(std::make_unique<State>(options)) {}
StreamScanner::~StreamScanner() = default;
StreamScanner::StreamScanner(StreamScanner&&) noexcept = default;
StreamScanner& StreamScanner::operator=(StreamScanner&&) noexcept = default;

Status StreamScanner::FeedEvent(Bytes event, ScannedEvent* out) {
  if (event.size() < kEventHeaderSize || ReadEventHeader(event.data()).size != event.size())
      [[unlikely]] {
    return state_->Corrupt("an event of " + std::to_string(event.size()) +
                           " bytes announces another size");
  }
  return state_->TakeWhole(event, out);
}

Status StreamScanner::FeedBytes(Bytes piece, const OnEvent& on_event) {
  State& state = *state_;
  TM_RETURN_IF_ERROR(state.TakeMagic(&piece));
  ScannedEvent event;
  while (true) {
    switch (state.framer.Next(&piece)) {
      case EventFramer::Step::kNeedMore: return OkStatus();
      case EventFramer::Step::kBadSize:
        return state.Located(state.integrity.CheckSize(state.framer.header()));
      case EventFramer::Step::kWhole:
        TM_RETURN_IF_ERROR(state.TakeWhole(state.framer.bytes(), &event));
        if (event.role != EventRole::kPreviousGtids) {
          event.head = event.head.first(std::min(event.head.size(), kEventHeadBytesMax));
        }
        break;
      case EventFramer::Step::kHead: TM_RETURN_IF_ERROR(state.BeginLong()); continue;
      case EventFramer::Step::kPart:
        TM_RETURN_IF_ERROR(state.TakePart(state.framer.bytes()));
        continue;
      case EventFramer::Step::kLastPart:
        TM_RETURN_IF_ERROR(state.TakePart(state.framer.bytes()));
        TM_RETURN_IF_ERROR(state.FinishLong(&event));
        break;
    }
    TM_RETURN_IF_ERROR(on_event(event));
  }
}

Status StreamScanner::Finish() const {
  if (state_->magic_left > 0) return {Code::kTruncated, "the stream ends inside the magic bytes"};
  if (in_event()) {
    return {Code::kTruncated, "the stream ends at offset " + std::to_string(offset()) +
                                  ", inside an event that began at " +
                                  std::to_string(state_->offset)};
  }
  if (in_transaction()) {
    return {Code::kTruncated, "the stream ends at offset " + std::to_string(offset()) +
                                  ", inside " + state_->OpenName() + ", which began at " +
                                  std::to_string(state_->transaction.begin_offset)};
  }
  return OkStatus();
}

uint64_t StreamScanner::offset() const { return state_->offset + state_->framer.bytes_taken(); }
bool StreamScanner::in_event() const { return state_->framer.in_event(); }
bool StreamScanner::in_transaction() const { return state_->boundary.open(); }
const Gtid* StreamScanner::open_gtid() const {
  return in_transaction() ? &state_->transaction.gtid : nullptr;
}
ChecksumAlgorithm StreamScanner::checksum() const { return state_->integrity.checksum(); }

void StreamScanner::Rebase(uint64_t offset_now) {
  State& state = *state_;
  TM_CHECK(!state.framer.in_event());
  state.transaction.begin_offset += offset_now - state.offset;  // modulo 2^64: may move back
  state.offset = offset_now;
}

}  // namespace tidemark
