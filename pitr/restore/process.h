// Programs that a restore runs: mysqld, mysql, mysqlbinlog. No shell is ever involved.
//
// A ChildProcess owns the process: its destructor kills (SIGKILL) and reaps it, unless it was
// released. A child with dies_with_us is also killed by the kernel when the thread that started it
// ends (PR_SET_PDEATHSIG), so that nothing outlives a killed `pitr`: start it from a thread that
// lives as long as it should. Every child is in a process group of its own: a terminal's ^C reaches
// only us, and we decide what to stop. One thread at a time; the first Start makes the process
// ignore SIGPIPE, because writing to a child that died must be an error, not a death.
//
// Adopt makes a ChildProcess of a process that somebody else started (an earlier run of us): all
// but its exit code and its streams is as with a child.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "replication/base/bytes.h"
#include "replication/base/status.h"

namespace tidemark {

// Owns a file descriptor; -1 is none.
class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~Descriptor() { Close(); }
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return descriptor_; }
  void Close();

 private:
  int descriptor_;
};

struct Pipe {
  Descriptor read;
  Descriptor write;
};
Result<Pipe> MakePipe();  // both ends close-on-exec, and above 2

// `name` itself if it has a slash, else where PATH has it. kUsage naming `name` if there is no such
// program.
Result<std::string> FindProgram(const std::string& name);

struct ProcessOptions {
  std::vector<std::string> argv;                                 // argv[0] is a path
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours, or replacing
  Descriptor input;         // none: /dev/null, unless feed_input
  bool feed_input = false;  // a pipe that we write: WriteInput
  Descriptor output;        // none: /dev/null
  std::string error_file;   // appended to; empty: captured, see Errors()
  bool dies_with_us = true;
};

inline constexpr size_t kCapturedErrorBytesMax =
    8192;  // the first and the last half of it, when there is more

inline constexpr int kExitCodeUnknown = -1;  // of a process that was adopted

class ChildProcess {
 public:
  static Result<std::unique_ptr<ChildProcess>> Start(ProcessOptions options);
  // From now on `pid` cannot come to mean another process; whether it means the right one is to be
  // checked after this. kNotFound if it runs no more.
  static Result<std::unique_ptr<ChildProcess>> Adopt(pid_t pid);
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  pid_t pid() const { return pid_; }
  // Blocks until all is written, asking `go_on` ten times a second while it waits: kInterrupted if
  // that says no. kEndOfData if the child has closed its input: it ended, or is about to.
  Status WriteInput(Bytes bytes, const std::function<bool()>& go_on);
  void CloseInput() { input_.Close(); }

  // The exit code, 128 + signal if a signal ended it, kExitCodeUnknown; nullopt if it still runs
  // after `timeout_ms`.
  std::optional<int> Wait(int timeout_ms);
  void Signal(int signal_number);  // nothing if it has ended
  // What it wrote to standard error, trimmed; once it has ended.
  std::string Errors();
  void Release() { released_ = true; }  // it outlives us; only if !dies_with_us

 private:
  class Capture;
  ChildProcess(pid_t pid, Descriptor pid_descriptor, Descriptor input,
               std::unique_ptr<Capture> errors);

  const pid_t pid_;
  const Descriptor pid_descriptor_;  // readable when the process has ended
  Descriptor input_;
  std::unique_ptr<Capture> errors_;
  std::optional<int> exit_code_;
  bool released_ = false;
};

// As Wait, but `patience` counts from when it last wrote to a disk (/proc, proc(5)): nullopt only
// if it has written nothing for so long.
std::optional<int> WaitWhileItWrites(ChildProcess& child, std::chrono::milliseconds patience);

// Waits for the child's end, asking `go_on` ten times a second; kInterrupted if that says no (the
// child still runs).
Result<int> WaitForExit(ChildProcess& child, const std::function<bool()>& go_on);

}  // namespace tidemark
