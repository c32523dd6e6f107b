#include "pitr/serve/dump.h"

#include <algorithm>

#include "pitr/serve/dump_checks.h"
#include "pitr/serve/whole_events.h"
#include "replication/base/checksum.h"
#include "replication/event/control_events.h"

namespace tidemark {
namespace {

constexpr uint16_t kErrorFatalReadingBinlog = 1236;  // ER_SOURCE_FATAL_ERROR_READING_BINLOG
constexpr uint16_t kErrorServerShutdown = 1053;      // ER_SERVER_SHUTDOWN
constexpr uint16_t kErrorUnknown = 1105;             // ER_UNKNOWN_ERROR

// Where a format description has what a source changes in it.
constexpr size_t kServerIdOffset = 5;
constexpr size_t kFlagsOffset = 17;
constexpr size_t kCreatedOffset = kEventHeaderSize + 2 + 50;

constexpr uint64_t kHeartbeatFileField = 1;
constexpr uint64_t kHeartbeatPositionField = 2;
constexpr uint64_t kHeartbeatEndField = 0;

void Patch(std::string* event, size_t offset, size_t width, uint64_t value) {
  for (size_t i = 0; i < width; ++i) (*event)[offset + i] = static_cast<char>(value >> (8 * i));
}

// A source's length-encoded integer.
void PutPacked(uint64_t value, std::string* out) {
  size_t width = value < 0xFB ? 0 : value <= 0xFFFF ? 2 : value <= 0xFFFFFF ? 3 : 8;
  if (width == 0) {
    out->push_back(static_cast<char>(value));
    return;
  }
  out->push_back(static_cast<char>(width == 2 ? 0xFC : width == 3 ? 0xFD : 0xFE));
  for (size_t i = 0; i < width; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

std::string EncodeHeartbeatV2(const Heartbeat& heartbeat, uint32_t server_id,
                              ChecksumAlgorithm checksum) {
  std::string position;
  PutPacked(heartbeat.position, &position);
  std::string body;
  PutPacked(kHeartbeatFileField, &body);
  PutPacked(heartbeat.file.size(), &body);
  body += heartbeat.file;
  PutPacked(kHeartbeatPositionField, &body);
  PutPacked(position.size(), &body);
  body += position;
  PutPacked(kHeartbeatEndField, &body);
  EventStamp stamp{0, server_id, static_cast<uint32_t>(heartbeat.position), 0};
  return EncodeEvent(EventType::kHeartbeatV2, stamp, body, checksum);
}

// The file's format description as a source sends it (see dump.h).
std::string AsSent(std::string_view event, bool keep_created, uint32_t server_id) {
  std::string sent(event);
  Patch(&sent, kServerIdOffset, 4, server_id);
  uint64_t flags = LoadLittleEndian(AsBytes(event).data() + kFlagsOffset, 2);
  Patch(&sent, kFlagsOffset, 2, flags & ~uint64_t{kEventFlagBinlogInUse});
  if (!keep_created) Patch(&sent, kCreatedOffset, 4, 0);
  // It has a checksum whatever its file's events have.
  size_t covered = sent.size() - kChecksumSize;
  Patch(&sent, covered, kChecksumSize, Crc32(0, AsBytes(sent).first(covered)));
  return sent;
}

StreamRange RangeOf(const ServedSource& source, const ReplicaRequest& request) {
  StreamRange range;
  range.exclude = request.executed.Union(source.leave_out);
  range.stop_before = source.stop_before;
  if (source.boundary_set && !source.stop_before) range.include = *source.boundary_set;
  return range;
}

}  // namespace

struct DumpStream::Impl {
  Impl(const ServedSource& served, const ReplicaRequest& wanted, std::unique_ptr<EventFeed> opened)
      : source(served),
        request(wanted),
        feed(std::move(opened)),
        whole_events(wanted.server_id),
        packetizer(wanted.sequence) {
    if (request.knows_checksums) checksum = request.first_checksum;
  }

  Status CheckSets() const {
    return CheckReplicaSet(feed->coverage(), feed->servers(), source, request);
  }

  Status Step(std::string* out, State* state);
  Status SendTransactions(Bytes piece, std::string* out);
  Status SendFile(const std::string& name, Bytes event, std::string* out);
  Status SendAnyFile(bool last, std::string* out);
  Status AtEnd(std::string* out, State* state);
  Status SendEvents(Bytes events, std::string* out);

  uint64_t KnownPosition() const;
  std::optional<uint64_t> BeatPosition() const;
  void Beat(std::string* out);

  const ServedSource source;
  const ReplicaRequest request;
  const std::unique_ptr<EventFeed> feed;
  WholeEvents whole_events;
  EventPacketizer packetizer;
  ChecksumAlgorithm checksum = ChecksumAlgorithm::kOff;  // of the events that we make

  std::string file;                // of the last Rotate; "": none yet
  std::string format_description;  // of it, as archived
  uint64_t replica_position = 0;   // in it, as the replica counts
  uint64_t passed_position = 0;    // in it: all before is known to be sent or not wanted
  bool all_sent = false;
  bool ended = false;
  uint64_t bytes_sent = 0;
};

Status DumpStream::Impl::SendEvents(Bytes events, std::string* out) {
  TM_RETURN_IF_ERROR(packetizer.Append(events, out));
  replica_position += events.size();
  return OkStatus();
}

Status DumpStream::Impl::SendTransactions(Bytes piece, std::string* out) {
  all_sent = false;
  Status sent = whole_events.Feed(piece, [&](Bytes events) { return SendEvents(events, out); });
  return sent.ok() ? sent : std::move(sent).WithContext("source file " + file);
}

Status DumpStream::Impl::SendFile(const std::string& name, Bytes event, std::string* out) {
  if (name == file && AsText(event) == format_description) return OkStatus();
  TM_ASSIGN_OR_RETURN(FormatDescription parsed, ParseFormatDescription(event));
  if (parsed.checksum == ChecksumAlgorithm::kCrc32 && !request.knows_checksums) {
    return Status(Code::kSourceRefused,
                  "Replica can not handle replication events with the checksum that source is "
                  "configured to log",
                  "the client must set @source_binlog_checksum before it asks for events");
  }
  EventStamp artificial{0, source.server_id, 0, kEventFlagArtificial};
  std::string rotate = EncodeRotate({kBinlogMagicSize, name}, artificial, checksum);
  TM_RETURN_IF_ERROR(packetizer.Append(AsBytes(rotate), out));
  replica_position = kBinlogMagicSize;
  file = name;
  passed_position = 0;
  checksum = parsed.checksum;
  format_description = AsText(event);
  const bool from_beginning = feed->GivesBeginningOf(name, request.executed);
  return SendEvents(AsBytes(AsSent(format_description, from_beginning, source.server_id)), out);
}

// Nothing has been sent. The replica must have a file, or it could not be given heartbeats: the one
// where the archive ends, or while there is still much to be read, where it begins.
Status DumpStream::Impl::SendAnyFile(bool last, std::string* out) {
  if (!file.empty()) return OkStatus();
  TM_ASSIGN_OR_RETURN(const std::optional<EventFeed::File> any, feed->AnyFile(last));
  if (!any) return OkStatus();
  TM_RETURN_IF_ERROR(SendFile(any->name, AsBytes(any->format_description), out));
  passed_position = any->position;
  return OkStatus();
}

Status DumpStream::Impl::AtEnd(std::string* out, State* state) {
  TM_CHECK(whole_events.at_event_end() && packetizer.at_event_end());
  TM_RETURN_IF_ERROR(SendAnyFile(true, out));
  all_sent = true;
  ended = feed->at_stop() || source.boundary_set.has_value() || request.non_blocking;
  *state = ended ? State::kEnded : State::kCaughtUp;
  if (request.non_blocking) {
    AppendPacket(EofPayload(), packetizer.sequence(), out);
  } else if (!file.empty() && KnownPosition() > replica_position) {
    Beat(out);  // so that the replica's coordinates pass what it was not sent
  }
  return OkStatus();
}

Status DumpStream::Impl::Step(std::string* out, State* state) {
  TM_ASSIGN_OR_RETURN(StreamPiece piece, feed->Next());
  *state = State::kMore;
  switch (piece.kind) {
    case StreamPiece::Kind::kFormatDescription:
      TM_CHECK(whole_events.at_event_end());
      return SendFile(feed->source_file(), piece.bytes, out);
    case StreamPiece::Kind::kTransactions: return SendTransactions(piece.bytes, out);
    case StreamPiece::Kind::kNothingYet: return SendAnyFile(false, out);
    case StreamPiece::Kind::kEnd: return AtEnd(out, state);
  }
  TM_CHECK(false);
}

// How far the archive is known to be sent in `file`; to be said at a transaction's end only.
uint64_t DumpStream::Impl::KnownPosition() const {
  uint64_t feed_position = feed->source_file() == file ? feed->source_position() : 0;
  return std::max({replica_position, passed_position, feed_position});
}

std::optional<uint64_t> DumpStream::Impl::BeatPosition() const {
  if (file.empty() || !packetizer.at_event_end()) return std::nullopt;
  uint64_t position = all_sent ? KnownPosition() : replica_position;
  if (request.heartbeat_v2) return position;
  if (replica_position > UINT32_MAX) return std::nullopt;
  return std::min<uint64_t>(position, UINT32_MAX);
}

void DumpStream::Impl::Beat(std::string* out) {
  std::optional<uint64_t> position = BeatPosition();
  if (!position) return;
  Heartbeat heartbeat{file, *position};
  std::string event = request.heartbeat_v2
                          ? EncodeHeartbeatV2(heartbeat, source.server_id, checksum)
                          : EncodeHeartbeat(heartbeat, source.server_id, checksum);
  TM_CHECK(packetizer.Append(AsBytes(event), out).ok());
  replica_position = *position;
}

DumpStream::DumpStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DumpStream::~DumpStream() = default;

Result<std::unique_ptr<DumpStream>> DumpStream::Open(const ServedSource& source,
                                                     const ReplicaRequest& request) {
  TM_ASSIGN_OR_RETURN(std::unique_ptr<EventFeed> feed, source.open_feed(RangeOf(source, request)));
  auto impl = std::make_unique<Impl>(source, request, std::move(feed));
  TM_RETURN_IF_ERROR(impl->CheckSets());
  return std::unique_ptr<DumpStream>(new DumpStream(std::move(impl)));
}

Result<DumpStream::State> DumpStream::Produce(size_t bytes_wanted, std::string* out) {
  if (impl_->ended) return State::kEnded;
  State state = State::kMore;
  while (state == State::kMore && out->size() < bytes_wanted) {
    size_t before = out->size();
    Status stepped = impl_->Step(out, &state);
    impl_->bytes_sent += out->size() - before;
    TM_RETURN_IF_ERROR(stepped);
    if (out->size() == before) break;  // a bounded amount of reading gave nothing
  }
  return state;
}

Status DumpStream::Refresh() {
  // What has been archived since the replica was checked may begin behind a gap.
  TM_ASSIGN_OR_RETURN(const bool gap, impl_->feed->Refresh(impl_->request.executed));
  return gap ? impl_->CheckSets() : OkStatus();
}

bool DumpStream::CanBeat() const {
  bool over = impl_->ended && impl_->request.non_blocking;  // its EOF is out
  return !over && impl_->BeatPosition().has_value();
}

void DumpStream::AppendHeartbeat(std::string* out) {
  if (!CanBeat()) return;
  size_t before = out->size();
  impl_->Beat(out);
  impl_->bytes_sent += out->size() - before;
}

bool DumpStream::AppendError(const Status& error, std::string* out) {
  if (!impl_->packetizer.at_event_end()) return false;
  size_t before = out->size();
  AppendPacket(DumpErrorPayload(error), impl_->packetizer.sequence(), out);
  impl_->bytes_sent += out->size() - before;
  return true;
}

uint64_t DumpStream::transactions_sent() const { return impl_->feed->transactions_given(); }
uint64_t DumpStream::bytes_sent() const { return impl_->bytes_sent; }

std::string DumpErrorPayload(const Status& error) {
  switch (error.code()) {
    case Code::kInterrupted: return ErrorPayload(kErrorServerShutdown, "08S01", error.message());
    case Code::kIo:
    case Code::kDiskFull:
    case Code::kLocked:
    case Code::kNotFound:
    case Code::kSourceUnavailable: return ErrorPayload(kErrorUnknown, "HY000", error.message());
    default: return ErrorPayload(kErrorFatalReadingBinlog, "HY000", error.message());
  }
}

}  // namespace tidemark
