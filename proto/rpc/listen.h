// Opens what an RpcServer listens at.
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "proto/rpc/rpc_server.h"

namespace tidemark::rpc {

class Listener {
 public:
  using Acceptor = boost::asio::basic_socket_acceptor<boost::asio::generic::stream_protocol>;

  // kUsage: not an address, or one that others reach without TLS. Opens nothing.
  static Status Check(const RpcListener& wanted, bool plaintext_allowed);
  // The same; kLocked, kIo: cannot be had.
  static Result<std::unique_ptr<Listener>> Open(boost::asio::io_context& io,
                                                const RpcListener& wanted, bool plaintext_allowed);
  ~Listener();  // a unix socket's file goes, too, if it is still ours

  Acceptor& acceptor() { return acceptor_; }
  bool tls() const { return tls_; }
  const std::string& address() const { return address_; }  // with the port that it got

 private:
  explicit Listener(boost::asio::io_context& io) : acceptor_(io) {}
  Status OpenInternet(const RpcListener& wanted);
  Status OpenUnix(boost::asio::io_context& io, const std::string& path, uint32_t mode);

  Acceptor acceptor_;
  bool tls_ = false;
  std::string address_;
  std::string path_;  // of our unix socket
  uint64_t device_ = 0;
  uint64_t inode_ = 0;
};

}  // namespace tidemark::rpc
