#include "tools/service_manager.h"

#include <systemd/sd-daemon.h>
#include <time.h>

#include <cstdint>

namespace tidemark {
namespace {

// A manager that does not listen costs us nothing: there is nobody to tell.
void Notify(const std::string& state) { (void)sd_notify(0, state.c_str()); }

}  // namespace

ServiceManager::ServiceManager() {
  uint64_t interval_us = 0;
  if (sd_watchdog_enabled(0, &interval_us) > 0)
    watchdog_interval_ = std::chrono::microseconds(interval_us);
}

void ServiceManager::Ready() { Notify("READY=1"); }

// The time is for systemd >= 253 (Type=notify-reload), which tells a reload of its own by it.
void ServiceManager::Reloading() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  Notify("RELOADING=1\nMONOTONIC_USEC=" +
         std::to_string(int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000));
}

void ServiceManager::Stopping() { Notify("STOPPING=1"); }

void ServiceManager::Status(const std::string& line) {
  if (line == last_status_) return;
  last_status_ = line;
  Notify("STATUS=" + line);
}

void ServiceManager::ExtendStart(std::chrono::seconds more) {
  Notify("EXTEND_TIMEOUT_USEC=" +
         std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(more).count()));
}

void ServiceManager::Alive() {
  if (watchdog_interval_.count() == 0) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_sign_of_life_ < watchdog_interval_ / 2) return;
  last_sign_of_life_ = now;
  Notify("WATCHDOG=1");
}

}  // namespace tidemark
