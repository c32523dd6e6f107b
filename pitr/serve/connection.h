// One client from its first packet to its last: logs in, asks what replicas ask, and gets a dump or
// is told why not. Everything that it uses is owned by the coroutine; it ends when its link is
// closed, and throws nothing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "pitr/serve/server_state.h"

namespace tidemark {

// A place among the server's connections, for as long as it exists.
class Admission {
 public:
  Admission(ServerState& server, PacketLink::Socket socket);
  ~Admission();
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;

  ServerState& server() { return server_; }
  PacketLink& link() { return *link_; }
  void SetLoggedIn();

 private:
  ServerState& server_;
  const std::shared_ptr<PacketLink> link_;
  bool pending_ = true;
};

boost::asio::awaitable<void> ServeClient(std::unique_ptr<Admission> admission);

}  // namespace tidemark
