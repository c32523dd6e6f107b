#include "replication/source/login_deadline.h"

#include <pthread.h>
#include <sys/socket.h>

#include "replication/base/stoppable_sleep.h"

namespace tidemark {
namespace {

constexpr std::chrono::milliseconds kLookInterval{100};
constexpr int kNotConnected = -1;

}  // namespace

LoginDeadline::LoginDeadline(MYSQL* handle, std::chrono::seconds limit) : handle_(handle) {
  // The library sets it when one of the server's addresses has answered (sql-common/client.cc,
  // my_net_init), and until then leaves the 0 of mysql_init: a descriptor like any other.
  handle->net.fd = kNotConnected;
  thread_ = std::jthread([this, limit](const std::stop_token& stop) { Run(stop, limit); });
}

void LoginDeadline::Run(const std::stop_token& stop, std::chrono::seconds limit) {
  pthread_setname_np(pthread_self(), "tm-login");
  const NET& net = handle_->net;
  const auto socket = [&net] { return __atomic_load_n(&net.fd, __ATOMIC_RELAXED); };
  while (socket() == kNotConnected)
    if (!SleepUnlessStopped(stop, kLookInterval)) return;
  for (std::chrono::milliseconds wait = limit; SleepUnlessStopped(stop, wait);
       wait = kLookInterval) {
    if (__atomic_load_n(&net.vio, __ATOMIC_RELAXED) == nullptr) continue;  // it is closed already
    passed_ = true;
    ::shutdown(socket(), SHUT_RDWR);
  }
}

}  // namespace tidemark
