// One client from its first byte to its last: requests one after the other, each answered by a
// page, a unary call or a stream, or told why not. Everything that it uses is owned by the
// coroutine; it ends when its link is closed, and throws nothing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "proto/rpc/server_state.h"

namespace tidemark::rpc {

// A place among the server's connections, for as long as it exists.
class Admission {
 public:
  Admission(ServerState& server, HttpLink::Socket socket, bool tls);
  ~Admission();
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  ServerState& server() { return server_; }
  HttpLink& link() { return *link_; }
  bool tls() const { return tls_; }
  bool stranger() const { return stranger_; }
  void SetKnown();  // a request was let in

 private:
  ServerState& server_;
  const std::shared_ptr<HttpLink> link_;
  const bool tls_;
  bool stranger_ = true;
};

boost::asio::awaitable<void> ServeClient(std::unique_ptr<Admission> admission);

}  // namespace tidemark::rpc
