#include "replication/source/mysql_event_source.h"

#include <fcntl.h>
#include <mysql.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "replication/event/binlog_format.h"

namespace tidemark {
namespace {

constexpr unsigned kBinlogDumpNonBlock = 1;  // BINLOG_DUMP_NON_BLOCK, sql/rpl_constants.h
constexpr int64_t kHeartbeatUsMin = 1000;    // the server's own minimum
constexpr unsigned long kPacketError = ~0UL;
constexpr uint32_t kBesideTimeoutSeconds = 2;   // of a question while the dump's events wait
constexpr size_t kPacketBytesKept = 64 * 1024;  // what the packet buffer is cut back to

Status CheckRequest(const DumpRequest& request) {
  if (request.server_id == 0) return {Code::kUsage, "server_id 0 cannot be a replica's"};
  if (request.heartbeat_us < kHeartbeatUsMin) {
    return {Code::kUsage, "a heartbeat period under 1 ms is not possible"};
  }
  if (request.by_position && request.position > UINT32_MAX) {
    return {Code::kUsage,
            "position " + std::to_string(request.position) + " of " + request.file +
                " is beyond 4 GiB, which a dump by position cannot ask for",
            "dump by GTID, or from an earlier position"};
  }
  return OkStatus();
}

std::string IdentityOf(const DumpRequest& request) {
  return "server_id " + std::to_string(request.server_id) + ", server_uuid " +
         request.our_uuid.ToString();
}

// Payload of COM_REGISTER_SLAVE (sql/rpl_replica.cc, register_slave_on_master): id, host, user,
// password, port, rank, source id. Empty user and password: SHOW REPLICAS would show them.
std::string RegistrationPayload(uint32_t server_id) {
  std::string payload;
  std::string_view host = kReportedHost;
  ByteWriter(&payload)
      .U32(server_id)
      .U8(static_cast<uint8_t>(host.size()))
      .Text(host)
      .U8(0)
      .U8(0)
      .U16(0)
      .U32(0)
      .U32(0);
  return payload;
}

}  // namespace

struct MySqlEventSource::Dump {
  MYSQL* handle = nullptr;
  MYSQL_RPL stream{};
  std::string file;
  std::string encoded_set;
  std::string identity;
  uint32_t read_timeout_s = 0;
  bool first_event_seen = false;
  bool semi_sync = false;  // every packet has the header; known from the first one on
  bool tls = false;
};

MySqlEventSource::MySqlEventSource(ConnectionOptions options) : options_(std::move(options)) {}

MySqlEventSource::~MySqlEventSource() { Disconnect(); }

Status MySqlEventSource::Interrupted() const {
  return {Code::kInterrupted, "reading from source " + options_.Endpoint() + " was interrupted"};
}

Result<SourceFacts> MySqlEventSource::Connect() {
  Disconnect();
  if (interrupted_) return Interrupted();
  ConnectionOptions quick = options_;
  quick.read_timeout_s = AnswerTimeoutSeconds(options_);
  TM_ASSIGN_OR_RETURN(connection_, Connection::Open(quick));
  {
    std::lock_guard lock(socket_mutex_);
    socket_ = fcntl(connection_->handle()->net.fd, F_DUPFD_CLOEXEC, 0);
    if (socket_ < 0)
      return Status(Code::kIo, std::string("cannot duplicate a socket: ") + std::strerror(errno));
  }
  Result<SourceFacts> facts = GatherFacts(*connection_, std::exchange(list_always_, false));
  listed_ = facts.ok() && facts->binlogs_visible;
  if (facts.ok()) server_uuid_ = facts->server_uuid;
  if (interrupted_) return Interrupted();
  return facts;
}

void MySqlEventSource::Disconnect() {
  watch_.Stop();
  {
    // Shutting down first spares the goodbye that mysql_close would otherwise wait to write to a
    // stuck peer.
    std::lock_guard lock(socket_mutex_);
    if (socket_ >= 0) {
      if (dump_ != nullptr) shutdown(socket_, SHUT_RDWR);
      close(socket_);
      socket_ = -1;
    }
  }
  dump_.reset();
  connection_.reset();
  prepare_next_ = false;
  ack_wanted_ = false;
}

void MySqlEventSource::Interrupt() {
  interrupted_ = true;
  std::lock_guard lock(socket_mutex_);
  if (socket_ >= 0) shutdown(socket_, SHUT_RDWR);
}

Status MySqlEventSource::StartDump(const DumpRequest& request) {
  TM_RETURN_IF_ERROR(CheckRequest(request));
  if (interrupted_) return Interrupted();
  if (connection_ == nullptr || dump_ != nullptr) {
    return {Code::kUsage, "a dump starts on a fresh connection: call Connect first"};
  }
  Status status = SetSessionVariables(request);
  if (status.ok()) status = RegisterAsReplica(request);
  if (status.ok()) status = OpenDump(request);
  if (!status.ok() && interrupted_) return Interrupted();
  return status;
}

Status MySqlEventSource::SetSessionVariables(const DumpRequest& request) {
  std::string heartbeat_ns = std::to_string(request.heartbeat_us) + "000";
  std::string uuid = connection_->Quoted(request.our_uuid.ToString());
  // Both spellings, for servers before and after 8.0.26. 'CRC32' says that we understand checksums,
  // not that there must be some: a source with binlog_checksum=NONE says so in its format
  // description. It also gives the one event that comes before any format description, the first
  // artificial Rotate, a checksum always, whatever the source's files have.
  std::string sql = "SET @source_binlog_checksum='CRC32', @master_binlog_checksum='CRC32'";
  sql +=
      ", @source_heartbeat_period=" + heartbeat_ns + ", @master_heartbeat_period=" + heartbeat_ns;
  sql += ", @replica_uuid=" + uuid + ", @slave_uuid=" + uuid;
  ask_semi_sync_ = false;
  if (request.semi_sync && !request.non_blocking) {
    TM_ASSIGN_OR_RETURN(ask_semi_sync_, HasSemiSyncPlugin());
  }
  if (ask_semi_sync_) sql += ", @rpl_semi_sync_replica=1, @rpl_semi_sync_slave=1";
  Result<QueryResult> done = connection_->Query(sql);
  return done.ok() ? OkStatus() : done.error();
}

// Whether it is there, not whether it is switched on: while it is off it asks for nothing, and it
// may be switched on at any time.
Result<bool> MySqlEventSource::HasSemiSyncPlugin() {
  TM_ASSIGN_OR_RETURN(const QueryResult found,
                      connection_->Query("SHOW GLOBAL VARIABLES WHERE Variable_name IN "
                                         "('rpl_semi_sync_source_enabled', "
                                         "'rpl_semi_sync_master_enabled')"));
  return !found.rows.empty();
}

// libmysqlclient has no call for COM_REGISTER_SLAVE; its packet layer (mysql_com.h) is public in
// the static library.
Status MySqlEventSource::RegisterAsReplica(const DumpRequest& request) {
  NET* net = &connection_->handle()->net;
  std::string payload = RegistrationPayload(request.server_id);
  net_clear(net, true);
  if (net_write_command(net, COM_REGISTER_SLAVE, nullptr, 0, AsBytes(payload).data(),
                        payload.size())) {
    return {Code::kSourceUnavailable,
            "the link to source " + options_.Endpoint() + " broke while registering as a replica"};
  }
  unsigned long size = my_net_read(net);
  if (size == kPacketError || size == 0) {
    return {Code::kSourceUnavailable,
            "source " + options_.Endpoint() + " did not answer to our registering as a replica"};
  }
  ByteReader answer(Bytes(net->read_pos, size));
  if (answer.U8() != 0xFF) return OkStatus();
  unsigned number = answer.U16();
  answer.Skip(6);  // '#' and the SQL state
  std::string_view text = AsText(answer.Rest());
  return StatusFromMysqlError(
      number, text, {options_.Endpoint(), options_.user, SourcePhase::kDump, IdentityOf(request)});
}

Status MySqlEventSource::OpenDump(const DumpRequest& request) {
  auto dump = std::make_unique<Dump>();
  dump->handle = connection_->handle();
  dump->identity = IdentityOf(request);
  dump->read_timeout_s = ReadTimeoutSeconds(request.heartbeat_us);
  dump->stream.server_id = request.server_id;
  dump->stream.flags = request.non_blocking ? kBinlogDumpNonBlock : 0;
  dump->stream.start_position = request.file.empty() ? 4 : request.position;
  dump->file = request.file;
  dump->tls = !connection_->TlsCipher().empty();
  if (!request.by_position) {
    dump->encoded_set = request.exclude.Encode();
    dump->stream.flags |= MYSQL_RPL_GTID;
    dump->stream.gtid_set_encoded_size = dump->encoded_set.size();
    dump->stream.gtid_set_arg = dump->encoded_set.data();
  }
  dump->stream.file_name = dump->file.c_str();
  dump->stream.file_name_length = dump->file.size();
  // By GTID the source first looks for the file to begin in, perhaps in all that it has.
  if (request.file.empty()) my_net_set_read_timeout(&dump->handle->net, options_.read_timeout_s);
  if (mysql_binlog_open(dump->handle, &dump->stream) != 0) {
    return connection_->LastError(SourcePhase::kDump, dump->identity);
  }
  dump_ = std::move(dump);
  watch_.Start(socket_, int64_t{dump_->read_timeout_s} * 1000, request.heartbeat_us);
  return OkStatus();
}

Result<Bytes> MySqlEventSource::Next() {
  if (prepare_next_) [[unlikely]]
    PrepareNext();
  if (interrupted_.load(std::memory_order_relaxed)) [[unlikely]]
    return EndDump(Interrupted());
  if (dump_ == nullptr) [[unlikely]]
    return Status(Code::kUsage, "no dump is under way");
  MYSQL_RPL& stream = dump_->stream;
  watch_.BeginFetch();
  const int failed = mysql_binlog_fetch(dump_->handle, &stream);
  watch_.EndFetch();
  if (failed != 0) [[unlikely]]
    return EndDump(FetchFailed());
  if (stream.size == 0) [[unlikely]] {
    return EndDump({Code::kEndOfData, "source " + options_.Endpoint() + " has no further events"});
  }
  // The protocol's OK byte, then the event.
  const Bytes packet(stream.buffer, stream.size);
  if (packet.size() <= kEventHeaderSize || packet[0] != 0) [[unlikely]] {
    return EndDump({Code::kCorruption, "source " + options_.Endpoint() + " sent a packet of " +
                                           std::to_string(stream.size) +
                                           " bytes that is no event"});
  }
  if (packet.size() > kEventBytesKept || !dump_->first_event_seen) [[unlikely]]
    prepare_next_ = true;
  return ask_semi_sync_ ? Unwrap(packet) : packet.subspan(1);
}

// A packet of a dump that was asked to be semi-synchronous.
Result<Bytes> MySqlEventSource::Unwrap(Bytes packet) {
  ack_wanted_ = false;
  if (!dump_->first_event_seen) dump_->semi_sync = HasSemiSyncHeader(packet);
  if (!dump_->semi_sync) return packet.subspan(1);
  constexpr size_t kFront = 1 + kSemiSyncHeaderSize;
  if (packet.size() <= kFront + kEventHeaderSize || packet[1] != kSemiSyncMagic) {
    return EndDump({Code::kCorruption,
                    "source " + options_.Endpoint() +
                        " sent a packet without the header of semi-synchronous replication"});
  }
  ack_wanted_ = (packet[2] & kSemiSyncAckWanted) != 0;
  if (ack_wanted_) NoteAckWanted(&dump_->handle->net);
  return packet.subspan(kFront);
}

bool MySqlEventSource::semi_sync() const { return dump_ != nullptr && dump_->semi_sync; }

Status MySqlEventSource::Acknowledge(const std::string& file, uint64_t position) {
  if (!semi_sync()) return {Code::kUsage, "no semi-synchronous dump is under way"};
  const std::string payload = EncodeAcknowledgement(file, position);
  if (SendAcknowledgement(&dump_->handle->net, AsBytes(payload))) return OkStatus();
  if (interrupted_) return EndDump(Interrupted());
  return EndDump({Code::kSourceUnavailable, "the link to source " + options_.Endpoint() +
                                                " broke while acknowledging " + file + " up to " +
                                                std::to_string(position)});
}

bool MySqlEventSource::WaitForMore(int64_t timeout_us) {
  // Where there is nothing to wait for, Next says why.
  if (dump_ == nullptr || HasUnread(&dump_->handle->net, dump_->tls)) return true;
  pollfd polled[] = {{dump_->handle->net.fd, POLLIN, 0}, {wake_up_.descriptor(), POLLIN, 0}};
  const timespec timeout{timeout_us / 1'000'000, timeout_us % 1'000'000 * 1000};
  if (ppoll(polled, std::size(polled), &timeout, nullptr) <= 0) return false;
  if (polled[1].revents != 0) wake_up_.Lower();
  return polled[0].revents != 0;
}

Result<bool> MySqlEventSource::CommitsWait() {
  if (interrupted_) return Interrupted();
  ConnectionOptions quick = options_;
  quick.connect_timeout_s = std::min(quick.connect_timeout_s, kBesideTimeoutSeconds);
  quick.read_timeout_s = std::min(quick.read_timeout_s, kBesideTimeoutSeconds);
  TM_ASSIGN_OR_RETURN(const auto connection, Connection::Open(quick));
  TM_ASSIGN_OR_RETURN(const QueryResult who, connection->Query("SELECT @@GLOBAL.server_uuid AS u"));
  if (who.rows.size() != 1 || who.Text(who.rows[0], "u") != server_uuid_.ToString())
    return Status(Code::kSourceUnavailable,
                  "another server than the one that is archived answers at " + options_.Endpoint());
  return tidemark::CommitsWait(*connection);
}

// What is not done for each of five million events. Before the first one the source may search all
// its binary logs for the place to begin, and sends nothing meanwhile: until then the connection's
// own timeout holds.
void MySqlEventSource::PrepareNext() {
  prepare_next_ = false;
  NET* net = &dump_->handle->net;
  if (!dump_->first_event_seen) {
    dump_->first_event_seen = true;
    my_net_set_read_timeout(net, dump_->read_timeout_s);
  }
  // Between packets an uncompressed connection's buffer holds nothing that is still needed
  // (sql-common/net_serv.cc).
  if (net->max_packet > kEventBytesKept && !net->compress) net_realloc(net, kPacketBytesKept);
}

Status MySqlEventSource::FetchFailed() {
  if (interrupted_) return Interrupted();
  Status status = connection_->LastError(SourcePhase::kDump, dump_->identity);
  if (status.code() != Code::kSourceUnavailable) {
    list_always_ = !listed_;
    return status;
  }
  if (watch_.ended_it())
    return std::move(status).WithHint("bytes came, but no event was whole for " +
                                      std::to_string(dump_->read_timeout_s) + " s");
  return std::move(status).WithHint("the link broke, or nothing came for " +
                                    std::to_string(dump_->handle->net.read_timeout) + " s");
}

Status MySqlEventSource::EndDump(Status why) {
  watch_.Stop();
  dump_.reset();
  prepare_next_ = false;
  ack_wanted_ = false;
  return why;
}

}  // namespace tidemark
