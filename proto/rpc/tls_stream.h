// The server's end of TLS on a socket, for one connection. Instead of boost::asio::ssl::stream,
// which keeps four buffers of 17 KiB for each connection as long as it lives; this one keeps what
// OpenSSL does, which with SSL_MODE_RELEASE_BUFFERS is none between records.
//
// Not owned: the socket, which outlives it and is made non-blocking. On the io thread only. At most
// one read and one write at a time; whoever waits keeps the object alive. The socket's close() ends
// both with operation_aborted. Errors are OpenSSL's, the socket's, eof (the peer said so), or
// stream_truncated (it did not).
#pragma once

#include <openssl/ssl.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

namespace tidemark::rpc {

class TlsStream {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;
  using Error = boost::system::error_code;

  TlsStream(Socket& socket, SSL_CTX* context);
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  boost::asio::awaitable<Error> Handshake();
  // All of `bytes`, which must stay until then.
  boost::asio::awaitable<Error> Write(std::string_view bytes);
  // `done` is told, never within the call, how many bytes came: at least one, or an error.
  void ReadSome(char* to, size_t bytes_max, std::function<void(Error, size_t)> done);
  SSL* native_handle() const { return ssl_.get(); }

 private:
  // What an operation of OpenSSL's came to.
  struct Outcome {
    size_t bytes = 0;
    bool wants_read = false;  // waits for the socket, and is to be tried again then
    bool wants_write = false;
    Error error = {};
  };
  // `operation`: returns what OpenSSL's functions do, above 0 if it has done something.
  template <typename Operation>
  Outcome Try(Operation operation);
  Outcome Judge(int result);
  boost::asio::awaitable<Error> WaitFor(const Outcome& outcome);

  static BIO_METHOD* SocketMethod();
  static int Send(BIO* bio, const char* bytes, int size);
  static int Receive(BIO* bio, char* to, int bytes_max);
  static long Control(BIO* bio, int command, long number, void* pointer);

  Socket& socket_;
  const std::unique_ptr<SSL, void (*)(SSL*)> ssl_;
  Error socket_error_;  // of the last operation
};

}  // namespace tidemark::rpc
