// How long replicas that are ahead of their archive have been waited for, over all their tries: a
// replica whose replica_net_timeout is shorter than our patience would otherwise leave and come
// back for ever, and never be told. A value; one thread; at most kAheadReplicasMax are remembered.
#pragma once

#include <algorithm>
#include <chrono>
#include <map>
#include <string>

namespace tidemark {

inline constexpr size_t kAheadReplicasMax = 1024;
inline constexpr std::chrono::minutes kAheadRemembered{10};  // since the last try

class AheadReplicas {
 public:
  using Duration = std::chrono::steady_clock::duration;
  using Time = std::chrono::steady_clock::time_point;

  // `who` names a replica of a source.
  Duration WaitedFor(const std::string& who, Time now) const {
    const auto found = tries_.find(who);
    const bool known = found != tries_.end() && now < found->second.last + kAheadRemembered;
    return known ? found->second.waited : Duration(0);
  }
  void Remember(const std::string& who, Duration waited, Time now) {
    const Duration before = WaitedFor(who, now);
    if (tries_.size() >= kAheadReplicasMax) {
      tries_.erase(std::min_element(tries_.begin(), tries_.end(), [](const auto& a, const auto& b) {
        return a.second.last < b.second.last;
      }));
    }
    tries_[who] = {before + waited, now};
  }
  void Forget(const std::string& who) { tries_.erase(who); }

 private:
  struct Tries {
    Duration waited{0};
    Time last;
  };
  std::map<std::string, Tries> tries_;
};

}  // namespace tidemark
