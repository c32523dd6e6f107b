// Ends a login that takes too long, by shutdown(2) on its socket. libmysqlclient has timeouts for
// connecting and for each packet, but none for the TLS handshake, in which it reads a blocking
// socket (vio/viosslfactories.cc): a record whose length was damaged on its way would keep it
// waiting until the server loses patience, or for ever.
//
// Made before mysql_real_connect on that handle and destroyed when it has come back. The time
// counts from when a server has been reached: name resolution and addresses that do not answer take
// none of it. A thread of its own meanwhile, which looks at nothing but the handle's socket.
#pragma once

#include <mysql.h>

#include <atomic>
#include <chrono>
#include <stop_token>
#include <thread>

namespace tidemark {

class LoginDeadline {
 public:
  LoginDeadline(MYSQL* handle, std::chrono::seconds limit);
  LoginDeadline(const LoginDeadline&) = delete;
  LoginDeadline& operator=(const LoginDeadline&) = delete;

  bool passed() const { return passed_; }  // and so it was ended

 private:
  void Run(const std::stop_token& stop, std::chrono::seconds limit);

  MYSQL* const handle_;
  std::atomic<bool> passed_ = false;
  std::jthread thread_;
};

}  // namespace tidemark
