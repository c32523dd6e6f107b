#include "replication/base/failpoint.h"

#ifdef TIDEMARK_FAILPOINTS

#include <atomic>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include "replication/base/status.h"

namespace tidemark {
namespace {

struct Armed {
  size_t number = kFailpoints.size();  // none
  std::atomic<int> passes_left = 1;
  int signal_number = SIGKILL;

  Armed() {
    const char* given = std::getenv("TIDEMARK_FAILPOINT");
    if (given == nullptr || *given == '\0') return;
    std::string_view text(given);
    if (const size_t equals = text.find('='); equals != text.npos) {
      const std::string_view action = text.substr(equals + 1);
      TM_CHECK(action == "kill" || action == "stop");
      if (action == "stop") signal_number = SIGSTOP;
      text = text.substr(0, equals);
    }
    if (const size_t colon = text.find(':'); colon != text.npos) {
      int passes = 0;
      const auto parsed =
          std::from_chars(text.data() + colon + 1, text.data() + text.size(), passes);
      TM_CHECK(parsed.ec == std::errc() && parsed.ptr == text.data() + text.size() && passes > 0);
      passes_left = passes;
      text = text.substr(0, colon);
    }
    number = static_cast<size_t>(std::find(kFailpoints.begin(), kFailpoints.end(), text) -
                                 kFailpoints.begin());
    TM_CHECK(number < kFailpoints.size());
  }
};

}  // namespace

void Failpoint::Pass() const {
  static Armed armed;
  if (number_ != armed.number || --armed.passes_left != 0) return;
  // The whole process, beginning with this thread: sent to the process, SIGSTOP might be taken by
  // another thread, and this one would run on until it is told.
  std::raise(armed.signal_number);
}

}  // namespace tidemark

#endif
