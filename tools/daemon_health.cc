#include "tools/daemon_health.h"

#include <fmt/format.h>

#include <utility>

namespace tidemark {
namespace {

rpc::PageAnswer Unavailable(std::string why) {
  rpc::PageAnswer answer;
  answer.status = 503;
  answer.body = std::move(why);
  return answer;
}

rpc::PageAnswer Fine(const char* text) {
  rpc::PageAnswer answer;
  answer.body = text;
  return answer;
}

}  // namespace

void DaemonHealth::Note(Turn turn) {
  std::lock_guard lock(mutex_);
  last_ = std::move(turn);
}

rpc::PageAnswer DaemonHealth::Health(Clock::time_point now) const {
  std::lock_guard lock(mutex_);
  std::string ills;
  if (now - last_.at > kTurnMax) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - last_.at).count();
    ills = fmt::format("the main loop has not turned for {} s\n", seconds);
  }
  for (const Source& source : last_.sources)
    if (source.dead) ills += fmt::format("{}: its thread has ended\n", source.name);
  return ills.empty() ? Fine("ok\n") : Unavailable(std::move(ills));
}

rpc::PageAnswer DaemonHealth::Ready() const {
  std::lock_guard lock(mutex_);
  if (last_.stopping) return Unavailable("stopping\n");
  std::string missing;
  for (const Source& source : last_.sources)
    if (!source.started) missing += fmt::format("{}: {}\n", source.name, source.state);
  if (!missing.empty()) return Unavailable(std::move(missing));
  return last_.settled ? Fine("ready\n") : Unavailable("starting\n");
}

}  // namespace tidemark
