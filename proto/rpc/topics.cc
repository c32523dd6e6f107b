#include "proto/rpc/topics.h"

#include <boost/asio/post.hpp>
#include <utility>

namespace tidemark::rpc {

Topics::Waiter::Waiter(Topics& topics, const std::string& topic, HttpLink& link)
    : topics_(topics), at_(topics.waiting_.emplace(topic, &link)) {}
Topics::Waiter::~Waiter() { topics_.waiting_.erase(at_); }

// Often called, a thousand times a second: one wake-up on its way serves all that come before it
// runs.
void Topics::Notify(const std::string& topic) {
  std::lock_guard lock(mutex_);
  ++growth_[topic];
  const bool on_its_way = !changed_.empty();
  changed_.insert(topic);
  if (!on_its_way) boost::asio::post(io_, [this] { WakeChanged(); });
}

uint64_t Topics::Growth(const std::string& topic) const {
  std::lock_guard lock(mutex_);
  const auto found = growth_.find(topic);
  return found == growth_.end() ? 0 : found->second;
}

void Topics::WakeChanged() {
  std::set<std::string> changed;
  {
    std::lock_guard lock(mutex_);
    changed.swap(changed_);
  }
  for (const std::string& topic : changed) {
    const auto [first, last] = waiting_.equal_range(topic);
    for (auto at = first; at != last; ++at) at->second->Wake();
  }
}

}  // namespace tidemark::rpc
