#include "proto/rpc/http_link.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstring>
#include <utility>

#include "proto/rpc/http_answer.h"
#include "proto/rpc/tls_context.h"

namespace tidemark::rpc {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds kFinishMax{1000};
constexpr size_t kFinishBytesMax = 8 << 20;  // thrown away, of a peer that goes on talking

bool PeerLeft(const error_code& error) {
  return error == asio::error::eof || error == asio::error::connection_reset ||
         error == asio::error::broken_pipe || error == asio::error::connection_aborted ||
         error == asio::ssl::error::stream_truncated;
}

std::optional<tcp::endpoint> InternetPeer(const HttpLink::Socket& socket) {
  error_code error;
  const auto generic = socket.remote_endpoint(error);
  const int family = error ? AF_UNSPEC : generic.data()->sa_family;
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  tcp::endpoint endpoint(family == AF_INET ? tcp::v4() : tcp::v6(), 0);
  std::memcpy(endpoint.data(), generic.data(), generic.size());
  return endpoint;
}

bool IsLoopback(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).is_loopback();
  return address.is_loopback();
}

}  // namespace

HttpLink::Deadline::Deadline(HttpLink& link, std::chrono::milliseconds after, Status reason)
    : wanted_(std::make_shared<bool>(true)), timer_(link.socket_.get_executor(), after) {
  timer_.async_wait([&link, reason = std::move(reason),
                     wanted = std::weak_ptr<bool>(wanted_)](const error_code& error) {
    if (!error && !wanted.expired()) link.Close(reason);
  });
}

HttpLink::HttpLink(Socket socket, std::chrono::milliseconds stalled_max, LinkBytes& bytes)
    : socket_(std::move(socket)),
      alarm_(socket_.get_executor()),
      stalled_max_(stalled_max),
      bytes_(bytes) {
  error_code error;
  const auto local = socket_.local_endpoint(error);
  is_unix_ = !error && local.data()->sa_family == AF_UNIX;
  on_this_machine_ = is_unix_;
  peer_ = is_unix_ ? "unix" : "unknown peer";
  const std::optional<tcp::endpoint> internet = InternetPeer(socket_);
  if (!internet) return;
  const std::string host = internet->address().to_string();
  peer_ = (internet->address().is_v6() ? "[" + host + "]" : host) + ":" +
          std::to_string(internet->port());
  on_this_machine_ = IsLoopback(internet->address());
  socket_.set_option(tcp::no_delay(true), error);
  socket_.set_option(asio::socket_base::keep_alive(true), error);
}

void HttpLink::Close(Status reason) {
  TM_CHECK(!reason.ok());
  if (!closed_.ok()) return;
  closed_ = std::move(reason);
  error_code ignored;
  socket_.close(ignored);
  Cancel();
}

void HttpLink::Cancel() {
  if (gone_) *gone_ = true;
  Wake();
}

// What an operation that ended with `error` means. A stream that failed once is of no more use.
Status HttpLink::Settle(const error_code& error) {
  if (error && open()) {
    Close(PeerLeft(error) ? Status(Code::kEndOfData, "the client closed the connection")
                          : Status(Code::kIo, "the connection broke: " + error.message()));
  }
  return closed_;
}

asio::awaitable<Status> HttpLink::StartTls(std::shared_ptr<asio::ssl::context> context) {
  context_ = std::move(context);
  tls_.emplace(socket_, context_->native_handle());
  const error_code error = co_await tls_->Handshake();
  if (error.category() == asio::error::get_ssl_category() &&
      ERR_GET_REASON(static_cast<unsigned long>(error.value())) == SSL_R_HTTP_REQUEST) {
    co_await AnswerInPlainText();
  }
  Status shaken = Settle(error);
  if (!shaken.ok()) co_return std::move(shaken).WithContext("TLS handshake");
  common_name_ = PeerCommonName(tls_->native_handle());
  co_return shaken;
}

// To somebody who has typed http instead of https.
asio::awaitable<void> HttpLink::AnswerInPlainText() {
  tls_.reset();
  const std::string answer = AnswerBytes(
      ErrorAnswer({RpcCode::kInvalidArgument, "this port speaks TLS: use https", {}}), false);
  const Status ignored = co_await Write(answer);
  co_await Finish();
}

void HttpLink::Read(size_t bytes_max) {
  reading_ = true;
  arriving_.resize(bytes_max);
  auto arrived = [self = shared_from_this()](const error_code& error, size_t size) {
    self->OnRead(error, size);
  };
  if (tls_) {
    tls_->ReadSome(arriving_.data(), arriving_.size(), arrived);
  } else {
    socket_.async_read_some(asio::buffer(arriving_), arrived);
  }
}

void HttpLink::OnRead(const error_code& error, size_t size) {
  reading_ = false;
  bytes_.in += size;
  input_.append(arriving_, 0, size);
  if (arriving_.capacity() > 2 * kReadBytes) arriving_ = {};
  if (error == asio::error::eof || error == asio::ssl::error::stream_truncated) {
    input_ended_ = true;
    Cancel();
  } else if (error) {
    const Status ignored = Settle(error);
  } else if (gone_ && input_.size() < kReadAheadMax) {
    Read(kReadBytes);
  }
  Wake();
}

asio::awaitable<Status> HttpLink::Fill(size_t bytes_max) {
  const size_t before = input_.size();
  while (open() && !input_ended_ && input_.size() == before) {
    if (!reading_) Read(bytes_max);
    co_await WaitUntil(Time::max());
  }
  if (!open()) co_return closed_;
  if (input_.size() > before) co_return OkStatus();
  co_return Status(Code::kEndOfData, "the client closed the connection");
}

void HttpLink::Watch(std::shared_ptr<std::atomic<bool>> gone) {
  gone_ = std::move(gone);
  if (input_ended_ || !open()) *gone_ = true;
  if (open() && !input_ended_ && !reading_ && input_.size() < kReadAheadMax) Read(kReadBytes);
}

asio::awaitable<Status> HttpLink::Write(std::string_view bytes) {
  if (bytes.empty()) co_return OkStatus();
  const Deadline stalled(*this, stalled_max_, Status(Code::kIo, "the client takes nothing"));
  if (!closed_.ok()) co_return closed_;
  error_code error;
  if (tls_) {
    error = co_await tls_->Write(bytes);
  } else {
    // As much at a time as the socket takes; Asio's own choice is 64 KiB.
    auto all = [size = bytes.size()](const error_code& failed, size_t) {
      return failed ? 0 : size;
    };
    co_await asio::async_write(socket_, asio::buffer(bytes), all,
                               asio::redirect_error(asio::use_awaitable, error));
  }
  const Status written = Settle(error);
  if (written.ok()) bytes_.out += bytes.size();
  co_return written;
}

asio::awaitable<void> HttpLink::WaitUntil(Time time) {
  if (!open()) co_return;
  error_code woken;
  alarm_.expires_at(time);
  co_await alarm_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
}

asio::awaitable<void> HttpLink::Finish() {
  if (!open()) co_return;
  const Status done(Code::kEndOfData, "all is said");
  const Deadline deadline(*this, kFinishMax, done);
  error_code ignored;
  socket_.shutdown(asio::socket_base::shutdown_send, ignored);
  for (size_t left = kFinishBytesMax; left > kReadBodyBytes && open() && !input_ended_;) {
    input_.clear();
    const Status filled = co_await Fill(kReadBytes);
    left -= std::min(left, input_.size());
  }
  Close(done);
}

}  // namespace tidemark::rpc
