// Stock MySQL servers that replicate from tidemarkd.
#pragma once

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/e2e/daemon_fixture.h"

namespace tidemark::testing {

inline int FreePort() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  TM_CHECK(::bind(socket, reinterpret_cast<sockaddr*>(&address), size) == 0);
  TM_CHECK(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

// tidemarkd with a [serve] table and one account, replica/secret, for source "main".
class ServingDaemon : public Daemon {
 public:
  explicit ServingDaemon(const std::string& settings = {}) : port_(FreePort()) {
    Configure("[serve]\nport = " + std::to_string(port_) + "\n" + settings +
              "\n[[serve.account]]\nuser = \"replica\"\npassword_file = \"" +
              Secret("replica.password", "secret") + "\"\nsource = \"main\"\n");
  }
  int port() const { return port_; }
  // CHANGE REPLICATION SOURCE TO us, with `more` options (", NAME = VALUE…").
  std::string ChangeSource(const std::string& more = ", GET_SOURCE_PUBLIC_KEY = 1") const {
    return "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = " +
           std::to_string(port_) +
           ", SOURCE_USER = 'replica', SOURCE_PASSWORD = 'secret', SOURCE_AUTO_POSITION = 1, "
           "SOURCE_CONNECT_RETRY = 1, SOURCE_HEARTBEAT_PERIOD = 1" +
           more;
  }

 private:
  const int port_;
};

inline std::string IoError(MySqlServer& replica) {
  auto value = replica.QueryValue(
      "SELECT CONCAT(LAST_ERROR_NUMBER, ' ', LAST_ERROR_MESSAGE) FROM "
      "performance_schema.replication_connection_status");
  return value.ok() ? *value : value.error().message();
}

// A stock server, empty, that replicates from the daemon.
class Replica {
 public:
  explicit Replica(const std::string& change, std::vector<std::string> extra_args = {})
      : server(StartPrimary(std::move(extra_args))) {
    TM_CHECK(server != nullptr);
    TM_CHECK(server->Execute("RESET BINARY LOGS AND GTIDS").ok());
    const Status started = server->Execute(change + "; START REPLICA");
    EXPECT_TRUE(started.ok()) << started.message();
  }
  // Has executed at least `set`.
  bool WaitFor(const GtidSet& set) {
    return WaitUntil([&] { return set.Minus(ExecutedOn(*server)).empty(); }, kPatienceMs);
  }
  std::string Why() { return IoError(*server) + "\n" + server->ErrorLogTail(); }

  std::unique_ptr<MySqlServer> server;
};

inline std::string Checksums(MySqlServer& server) {
  auto tables = server.Query(
      "SELECT CONCAT('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables "
      "WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema') "
      "ORDER BY 1");
  if (!tables.ok()) return tables.error().message();
  std::string text;
  for (const auto& row : *tables) {
    auto sums = server.Query("CHECKSUM TABLE " + row[0]);
    text += row[0] + " " + (sums.ok() ? (*sums)[0][1] : sums.error().message()) + "\n";
  }
  return text;
}

}  // namespace tidemark::testing
