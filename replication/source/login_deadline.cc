#include "replication/source/login_deadline.h"

#include <pthread.h>
#include <sys/socket.h>

#include "replication/base/stoppable_sleep.h"

namespace tidemark {
namespace {

// While the server's addresses are tried one after the other there is no socket to be seen.
constexpr std::chrono::milliseconds kLookInterval{100};

}  // namespace

LoginDeadline::LoginDeadline(MYSQL* handle, std::chrono::seconds limit)
    : handle_(handle), thread_([this, limit](const std::stop_token& stop) { Run(stop, limit); }) {}

void LoginDeadline::Run(const std::stop_token& stop, std::chrono::seconds limit) {
  pthread_setname_np(pthread_self(), "tm-login");
  for (std::chrono::milliseconds wait = limit; SleepUnlessStopped(stop, wait);
       wait = kLookInterval) {
    // The library's thread has set both long ago, or sets them now: then the next look sees them.
    const NET& net = handle_->net;
    if (__atomic_load_n(&net.vio, __ATOMIC_RELAXED) == nullptr) continue;
    passed_ = true;
    ::shutdown(__atomic_load_n(&net.fd, __ATOMIC_RELAXED), SHUT_RDWR);
  }
}

}  // namespace tidemark
