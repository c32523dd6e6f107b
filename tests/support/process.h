// Programs that tests start. Each is killed by the kernel when the thread that started it ends
// (PR_SET_PDEATHSIG), so nothing outlives a crashed test: start long-lived programs from a thread
// that lives as long as they should.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "replication/base/status.h"

namespace tidemark::testing {

struct ProgramOptions {
  std::string stdin_text;   // used if stdin_file is empty; both empty: an empty input
  std::string stdin_file;   // path
  std::string stdout_file;  // path, truncated; empty: captured in ProgramResult::out
  std::string directory;    // working directory; empty: ours
  std::vector<std::pair<std::string, std::string>> env;  // added to ours, or replacing
  int timeout_ms = 300'000;                              // then SIGKILL and an error
};

struct ProgramResult {
  int exit_code = 0;  // 128 + signal if a signal ended it, as in a shell
  std::string out;
  std::string err;
};

// argv[0] is looked up in PATH. An error only if the program could not be run to its end in time; a
// program that cannot be executed exits with 127.
Result<ProgramResult> RunProgram(const std::vector<std::string>& argv,
                                 const ProgramOptions& options = {});

// A program that runs beside the test. One thread at a time. The destructor kills (SIGKILL) and
// waits.
class BackgroundProgram {
 public:
  // Standard output and error both go to `output_file` (appended). stdin_text, stdout_file,
  // timeout_ms are not used.
  static Result<std::unique_ptr<BackgroundProgram>> Start(const std::vector<std::string>& argv,
                                                          const std::string& output_file,
                                                          const ProgramOptions& options = {});
  ~BackgroundProgram();
  BackgroundProgram(const BackgroundProgram&) = delete;
  BackgroundProgram& operator=(const BackgroundProgram&) = delete;

  pid_t pid() const { return pid_; }
  bool Running();                // false once it has ended
  void Kill(int signal_number);  // nothing if it has ended
  Result<int> Wait(
      int timeout_ms = 60'000);  // the exit code as in ProgramResult; error if it still runs
  // Returns true once `condition` holds, false if the program has ended before or the time is up.
  bool WaitUntil(const std::function<bool()>& condition, int timeout_ms = 60'000);
  bool WaitForOutput(const std::string& text, int timeout_ms = 60'000);
  const std::string& output_file() const { return output_file_; }
  std::string Output() const;  // the whole output file

 private:
  BackgroundProgram(pid_t pid, int descriptor, std::string output_file)
      : pid_(pid), descriptor_(descriptor), output_file_(std::move(output_file)) {}

  pid_t pid_;
  int descriptor_;  // pidfd: readable when the program has ended
  std::string output_file_;
  std::optional<int> exit_code_;
};

std::string ReadWholeFile(const std::string& path);  // empty if it cannot be read
// At how many places `part` begins in `text`.
size_t Occurrences(const std::string& text, const std::string& part);
// Polls `condition` every few milliseconds; true once it holds, false when the time is up.
bool WaitUntil(const std::function<bool()>& condition, int timeout_ms = 60'000);

}  // namespace tidemark::testing
