// What the daemon tells the service manager that started it (sd_notify(3)): ready, reloading,
// stopping, a line of status, signs of life. Without a manager ($NOTIFY_SOCKET) all of it is
// nothing. One thread.
#pragma once

#include <chrono>
#include <string>

namespace tidemark {

class ServiceManager {
 public:
  ServiceManager();  // reads $NOTIFY_SOCKET, $WATCHDOG_USEC, $WATCHDOG_PID

  void Ready();
  void Reloading();
  void Stopping();
  void Status(const std::string& line);  // sent if it differs from the last
  // Starting takes longer than the manager expects: so much more from now on.
  void ExtendStart(std::chrono::seconds more);
  // To be called all the time while the daemon is alive; sends at most every half interval.
  void Alive();

 private:
  std::chrono::microseconds watchdog_interval_{0};  // zero: nobody watches
  std::chrono::steady_clock::time_point last_sign_of_life_{};
  std::string last_status_;
};

}  // namespace tidemark
