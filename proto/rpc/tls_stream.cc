#include "proto/rpc/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <limits>
#include <utility>

#include "replication/base/status.h"

namespace tidemark::rpc {
namespace {

namespace asio = boost::asio;
using Socket = TlsStream::Socket;

int Clamped(size_t size) {
  return static_cast<int>(std::min<size_t>(size, std::numeric_limits<int>::max()));
}

}  // namespace

// OpenSSL's own socket BIO would send without MSG_NOSIGNAL.
BIO_METHOD* TlsStream::SocketMethod() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tidemark socket");
    TM_CHECK(made != nullptr);
    BIO_meth_set_write(made, &TlsStream::Send);
    BIO_meth_set_read(made, &TlsStream::Receive);
    BIO_meth_set_ctrl(made, &TlsStream::Control);
    return made;
  }();
  return method;
}

int TlsStream::Send(BIO* bio, const char* bytes, int size) {
  auto* self = static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const int socket = self->socket_.native_handle();
  const ssize_t sent = ::send(socket, bytes, static_cast<size_t>(size), MSG_NOSIGNAL);
  if (sent >= 0) return static_cast<int>(sent);
  if (errno == EAGAIN || errno == EINTR) {
    BIO_set_retry_write(bio);
  } else {
    self->socket_error_ = Error(errno, boost::system::system_category());
  }
  return -1;
}

int TlsStream::Receive(BIO* bio, char* to, int bytes_max) {
  auto* self = static_cast<TlsStream*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  const int socket = self->socket_.native_handle();
  const ssize_t came = ::recv(socket, to, static_cast<size_t>(bytes_max), 0);
  if (came > 0) return static_cast<int>(came);
  if (came < 0 && (errno == EAGAIN || errno == EINTR)) {
    BIO_set_retry_read(bio);
  } else {
    self->socket_error_ = came == 0 ? make_error_code(asio::ssl::error::stream_truncated)
                                    : Error(errno, boost::system::system_category());
  }
  return -1;
}

long TlsStream::Control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;  // nothing is kept here
}

TlsStream::TlsStream(Socket& socket, SSL_CTX* context)
    : socket_(socket), ssl_(SSL_new(context), &SSL_free) {
  BIO* bio = BIO_new(SocketMethod());
  if (!ssl_ || !bio) throw std::bad_alloc();
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);  // takes it
  SSL_set_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  Error ignored;
  socket_.native_non_blocking(true, ignored);
}

template <typename Operation>
TlsStream::Outcome TlsStream::Try(Operation operation) {
  if (!socket_.is_open()) return {.error = asio::error::operation_aborted};
  ERR_clear_error();
  socket_error_ = {};
  return Judge(operation(ssl_.get()));
}

TlsStream::Outcome TlsStream::Judge(int result) {
  if (result > 0) return {.bytes = static_cast<size_t>(result)};
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ: return {.wants_read = true};
    case SSL_ERROR_WANT_WRITE: return {.wants_write = true};
    case SSL_ERROR_ZERO_RETURN: return {.error = asio::error::eof};
    default: break;
  }
  if (socket_error_) return {.error = socket_error_};
  const unsigned long code = ERR_get_error();
  if (code == 0) return {.error = make_error_code(asio::ssl::error::unexpected_result)};
  return {.error = Error(static_cast<int>(code), asio::error::get_ssl_category())};
}

asio::awaitable<TlsStream::Error> TlsStream::WaitFor(const Outcome& outcome) {
  Error error;
  co_await socket_.async_wait(outcome.wants_read ? Socket::wait_read : Socket::wait_write,
                              asio::redirect_error(asio::use_awaitable, error));
  co_return error;
}

asio::awaitable<TlsStream::Error> TlsStream::Handshake() {
  for (;;) {
    const Outcome outcome = Try([](SSL* ssl) { return SSL_accept(ssl); });
    if (outcome.bytes > 0 || outcome.error) co_return outcome.error;
    const Error error = co_await WaitFor(outcome);
    if (error) co_return error;
  }
}

asio::awaitable<TlsStream::Error> TlsStream::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const Outcome outcome =
        Try([&](SSL* ssl) { return SSL_write(ssl, bytes.data(), Clamped(bytes.size())); });
    bytes.remove_prefix(outcome.bytes);
    if (outcome.bytes > 0) continue;
    const Error error = outcome.error ? outcome.error : co_await WaitFor(outcome);
    if (error) co_return error;
  }
  co_return Error();
}

void TlsStream::ReadSome(char* to, size_t bytes_max, std::function<void(Error, size_t)> done) {
  const Outcome outcome = Try([&](SSL* ssl) { return SSL_read(ssl, to, Clamped(bytes_max)); });
  if (outcome.bytes > 0 || outcome.error) {
    asio::post(socket_.get_executor(),
               [outcome, done = std::move(done)] { done(outcome.error, outcome.bytes); });
    return;
  }
  const auto event = outcome.wants_read ? Socket::wait_read : Socket::wait_write;
  socket_.async_wait(event, [this, to, bytes_max, done = std::move(done)](Error error) mutable {
    if (error) return done(error, 0);
    ReadSome(to, bytes_max, std::move(done));
  });
}

}  // namespace tidemark::rpc
