// Named places at which a test has the process killed or stopped, to see that nothing which was
// promised depends on getting past them. tests/e2e/*failpoint_test.cc go through all of them.
//
// TM_FAILPOINT("name") is nothing at all unless the file is compiled with TIDEMARK_FAILPOINTS
// (CMake's option of that name: on in the presets dev, asan-ubsan and tsan, off in what is
// shipped). With it, the environment variable TIDEMARK_FAILPOINT arms one place:
//   NAME[:N][=kill|stop]   at the N-th time (default 1) SIGKILL (default) or SIGSTOP to ourselves
// A name that is not in the list below does not compile; a variable that says something else aborts
// at the first place that is passed. Any thread; nothing is shared with the caller.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace tidemark {

inline constexpr std::array<std::string_view, 21> kFailpoints = {
    "sink.written",         // a batch is in the file, but not synced
    "sink.synced",          // it is; the index does not know of it
    "sink.indexed",         // it does; not published
    "sink.acknowledging",   // published; the source has not been told
    "segment.created",      // a segment's file is there, with its header
    "segment.unfinished",   // all is in but the footer
    "segment.footed",       // the footer is in, but not synced
    "segment.sealed",       // it is
    "recovery.cut",         // start-up has cut an unfinished segment, and not sealed it
    "recovery.sealed",      // it has, and told nobody
    "identity.written",     // a source's identity
    "index.aside",          // a rebuilt index is to come in; the old one is out of the way
    "index.swapped",        // the rebuilt one is in
    "restore.claimed",      // restore.json says so: a directory is ours
    "restore.loaded",       // … the base is in
    "restore.applying",     // … some may be applied
    "restore.mid-apply",    // some is
    "restore.applied",      // restore.json says that all is
    "restore.durable",      // proved after a clean restart; our account is still there
    "restore.handed-over",  // the directory may be used; restore.json does not say so yet
    "restore.done",         // it does; no receipt yet
};

// Where TM_FAILPOINT leads to.
class Failpoint {
 public:
  consteval explicit Failpoint(std::string_view name)
      : number_(static_cast<size_t>(std::find(kFailpoints.begin(), kFailpoints.end(), name) -
                                    kFailpoints.begin())) {
    if (number_ == kFailpoints.size()) throw "not in kFailpoints";  // does not compile
  }
  void Pass() const;

 private:
  size_t number_;
};

}  // namespace tidemark

#ifdef TIDEMARK_FAILPOINTS
#define TM_FAILPOINT(name)                                       \
  do {                                                           \
    static constexpr ::tidemark::Failpoint kFailpointHere(name); \
    kFailpointHere.Pass();                                       \
  } while (false)
#else
#define TM_FAILPOINT(name) static_cast<void>(0)
#endif
