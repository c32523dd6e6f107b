#include "proto/rpc/client_resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace tidemark::rpc {
namespace {

using std::chrono::steady_clock;
constexpr std::chrono::milliseconds kAskEvery{100};

struct LookUp {
  std::string host, port;
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  int error = 0;
  std::vector<SocketAddress> addresses;

  void Run() {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int failed = getaddrinfo(host.c_str(), port.c_str(), &wanted, &found);
    const std::lock_guard lock(mutex);
    error = failed;
    for (const addrinfo* one = found; failed == 0 && one != nullptr; one = one->ai_next)
      addresses.emplace_back(one->ai_addr, one->ai_addrlen, IPPROTO_TCP);
    if (failed == 0) freeaddrinfo(found);
    done = true;
    changed.notify_all();
  }
};

Status NotFound(const LookUp& look_up) {
  return Status(Code::kSourceUnavailable,
                "host " + look_up.host + " cannot be looked up: " + gai_strerror(look_up.error));
}

Result<std::vector<SocketAddress>> Await(LookUp& look_up, const Patience& patience) {
  std::unique_lock lock(look_up.mutex);
  while (!look_up.done) {
    if (patience.interrupted && patience.interrupted())
      return Status(Code::kInterrupted, "interrupted while looking up host " + look_up.host);
    const auto now = steady_clock::now();
    if (now >= patience.until)
      return Status(Code::kSourceUnavailable,
                    "host " + look_up.host + " cannot be looked up: no answer in time");
    look_up.changed.wait_until(lock, std::min(patience.until, now + kAskEvery));
  }
  if (look_up.error != 0 || look_up.addresses.empty()) return NotFound(look_up);
  return std::move(look_up.addresses);
}

}  // namespace

Result<std::vector<SocketAddress>> Resolve(const Endpoint& endpoint, const Patience& patience) {
  if (endpoint.is_unix())
    return std::vector<SocketAddress>{boost::asio::local::stream_protocol::endpoint(endpoint.path)};
  // Shared with a thread that outlives us if we give up; it ends when the system's resolver does.
  const auto look_up = std::make_shared<LookUp>();
  look_up->host = endpoint.host;
  look_up->port = std::to_string(endpoint.port);
  try {
    std::thread([look_up] { look_up->Run(); }).detach();
  } catch (const std::system_error&) {
    look_up->Run();  // no thread to be had: wait then
  }
  return Await(*look_up, patience);
}

}  // namespace tidemark::rpc
