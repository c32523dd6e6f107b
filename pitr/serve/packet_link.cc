#include "pitr/serve/packet_link.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

namespace tidemark {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr std::chrono::milliseconds kFinishMax{1000};
// A login packet comes in one step: no copy of a password is left behind by a buffer that grew.
constexpr size_t kReadStepBytes = kLoginPacketBytesMax;
constexpr size_t kFinishBytesMax = 8 << 20;  // thrown away, of a peer that goes on talking

std::string NameOf(const PacketLink::Socket& socket) {
  error_code error;
  const auto endpoint = socket.remote_endpoint(error);
  if (error) return "unknown peer";
  const std::string host = endpoint.address().to_string();
  const bool v6 = endpoint.address().is_v6();
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(endpoint.port());
}

bool PeerLeft(const error_code& error) {
  return error == asio::error::eof || error == asio::error::connection_reset ||
         error == asio::error::broken_pipe || error == asio::error::connection_aborted ||
         error == asio::ssl::error::stream_truncated;
}

}  // namespace

PacketLink::Deadline::Deadline(PacketLink& link, std::chrono::milliseconds after, Status reason)
    : wanted_(std::make_shared<bool>(true)), timer_(link.socket_.get_executor(), after) {
  timer_.async_wait([&link, reason = std::move(reason),
                     wanted = std::weak_ptr<bool>(wanted_)](const error_code& error) {
    if (!error && !wanted.expired()) link.Close(reason);
  });
}

PacketLink::PacketLink(Socket socket, std::chrono::milliseconds stalled_max)
    : socket_(std::move(socket)),
      alarm_(socket_.get_executor()),
      stalled_max_(stalled_max),
      peer_(NameOf(socket_)) {
  error_code ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  socket_.set_option(asio::socket_base::keep_alive(true), ignored);
}

void PacketLink::Close(Status reason) {
  TM_CHECK(!reason.ok());
  if (!closed_.ok()) return;
  closed_ = std::move(reason);
  error_code ignored;
  socket_.close(ignored);
  alarm_.cancel();
}

// What an operation that ended with `error` means. A stream that failed once is of no more use.
Status PacketLink::Settle(const error_code& error) {
  if (error && open()) {
    Close(PeerLeft(error) ? Status(Code::kEndOfData, "the client closed the connection")
                          : Status(Code::kIo, "the connection broke: " + error.message()));
  }
  return closed_;
}

// The one place that knows which of the two streams it is. `operation` begins it on a stream.
template <typename Operation>
asio::awaitable<Status> PacketLink::OnStream(Operation operation) {
  error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  if (!closed_.ok()) co_return closed_;
  if (tls_) {
    co_await operation(*tls_, token);
  } else {
    co_await operation(socket_, token);
  }
  co_return Settle(error);
}

asio::awaitable<Status> PacketLink::ReadExactly(void* to, size_t size) {
  auto read = [to, size](auto& stream, auto token) {
    return asio::async_read(stream, asio::buffer(to, size), token);
  };
  co_return co_await OnStream(read);
}

asio::awaitable<Status> PacketLink::Write(std::string_view bytes) {
  if (bytes.empty()) co_return OkStatus();
  const Deadline stalled(*this, stalled_max_, Status(Code::kIo, "the client takes nothing"));
  auto write = [bytes](auto& stream, auto token) {
    // As much at a time as the socket takes; Asio's own choice is 64 KiB.
    auto all = [size = bytes.size()](const error_code& error, size_t) { return error ? 0 : size; };
    return asio::async_write(stream, asio::buffer(bytes), all, token);
  };
  co_return co_await OnStream(write);
}

asio::awaitable<Result<std::string>> PacketLink::ReadPacket(Begin begin, size_t bytes_max) {
  std::array<uint8_t, kPacketHeaderSize> bytes{};
  const Status header_read = co_await ReadExactly(bytes.data(), bytes.size());
  if (!header_read.ok()) co_return header_read;
  const PacketHeader header = ReadPacketHeader(bytes.data());
  const uint8_t expected = begin == Begin::kCommand ? 0 : sequence_;
  sequence_ = static_cast<uint8_t>(header.sequence + 1);
  if (header.sequence != expected) co_return Status(Code::kCorruption, "packets out of order");
  if (header.payload_bytes > bytes_max) {
    co_return Status(Code::kUsage, "a packet of " + std::to_string(header.payload_bytes) +
                                       " bytes is longer than " + std::to_string(bytes_max));
  }
  // A size that is only claimed costs nothing.
  std::string payload;
  while (payload.size() < header.payload_bytes) {
    const size_t had = payload.size();
    payload.resize(had + std::min<size_t>(header.payload_bytes - had, kReadStepBytes));
    const Status read = co_await ReadExactly(payload.data() + had, payload.size() - had);
    if (!read.ok()) co_return read;
  }
  co_return payload;
}

asio::awaitable<Status> PacketLink::Send(std::vector<std::string> payloads) {
  std::string packets;
  for (const std::string& payload : payloads) AppendPacket(payload, &sequence_, &packets);
  co_return co_await Write(packets);
}

asio::awaitable<Status> PacketLink::StartTls(asio::ssl::context& context) {
  error_code error;
  tls_.emplace(socket_, context);
  co_await tls_->async_handshake(asio::ssl::stream_base::server,
                                 asio::redirect_error(asio::use_awaitable, error));
  Status shaken = Settle(error);
  if (!shaken.ok()) co_return std::move(shaken).WithContext("TLS handshake");
  co_return shaken;
}

void PacketLink::CloseWhenPeerStirs() {
  watched_ = true;
  auto left = [self = shared_from_this()](const error_code& error, size_t) {
    const Status ignored = self->Settle(error);
    self->Close(Status(Code::kEndOfData, "the client ended the dump"));
  };
  if (tls_) {
    tls_->async_read_some(asio::buffer(&stirred_, 1), left);
  } else {
    socket_.async_read_some(asio::buffer(&stirred_, 1), left);
  }
}

asio::awaitable<void> PacketLink::WaitUntil(Time time) {
  if (!open()) co_return;
  error_code woken;
  alarm_.expires_at(time);
  co_await alarm_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

asio::awaitable<void> PacketLink::Finish() {
  if (!open()) co_return;
  const Status done(Code::kEndOfData, "all is said");
  const Deadline deadline(*this, kFinishMax, done);
  error_code error;
  socket_.shutdown(Socket::shutdown_send, error);
  if (watched_) {
    const Time end = std::chrono::steady_clock::now() + kFinishMax;
    while (open()) co_await WaitUntil(end);  // a Wake does not concern us any more
  } else {
    // Beneath TLS, too: what comes is not looked at.
    std::array<char, 4096> thrown_away{};
    for (size_t left = kFinishBytesMax; left > thrown_away.size() && open() && !error;) {
      left -= co_await socket_.async_read_some(asio::buffer(thrown_away),
                                               asio::redirect_error(asio::use_awaitable, error));
    }
  }
  Close(done);
}

}  // namespace tidemark
