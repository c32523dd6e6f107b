#include "tests/support/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>

namespace tidemark::testing {
namespace {

constexpr int kPollMilliseconds = 5;

using SteadyClock = std::chrono::steady_clock;

class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

Status ErrnoStatus(const std::string& what) {
  return Status(Code::kIo, what + ": " + std::strerror(errno));
}

int MemoryFile(const std::string& contents) {
  const int descriptor = ::memfd_create("tidemark-test", MFD_CLOEXEC);
  size_t written = 0;
  while (descriptor >= 0 && written < contents.size()) {
    const ssize_t step = ::write(descriptor, contents.data() + written, contents.size() - written);
    if (step <= 0) break;
    written += static_cast<size_t>(step);
  }
  TM_CHECK(descriptor >= 0 && written == contents.size());
  ::lseek(descriptor, 0, SEEK_SET);
  return descriptor;
}

std::string Contents(int descriptor) {
  std::string contents;
  char buffer[65536];
  ::lseek(descriptor, 0, SEEK_SET);
  ssize_t step = 0;
  while ((step = ::read(descriptor, buffer, sizeof buffer)) > 0) {
    contents.append(buffer, static_cast<size_t>(step));
  }
  return contents;
}

std::vector<std::string> Environment(
    const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> environment;
  environment.reserve(added.size());
  for (const auto& [name, value] : added) environment.emplace_back(name).append("=").append(value);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('='));
    bool replaced = false;
    for (const auto& pair : added) replaced = replaced || pair.first == name;
    if (!replaced) environment.push_back(text);
  }
  return environment;
}

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// Between fork and exec only async-signal-safe calls are allowed: other threads may hold any lock.
[[noreturn]] void Become(char* const* argv, char* const* environment, const char* directory,
                         pid_t parent, const int (&standard)[3]) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  for (int i = 0; i < 3; ++i) {
    if (::dup2(standard[i], i) < 0) ::_exit(127);
  }
  if (directory[0] != '\0' && ::chdir(directory) != 0) ::_exit(127);
  ::execvpe(argv[0], argv, environment);
  static constexpr char kMessage[] = "cannot execute the program\n";
  (void)!::write(2, kMessage, sizeof kMessage - 1);
  ::_exit(127);
}

Result<pid_t> Spawn(std::vector<std::string> argv, const ProgramOptions& options,
                    const int (&standard)[3]) {
  TM_CHECK(!argv.empty() && standard[0] > 2 && standard[1] > 2 && standard[2] > 2);
  std::vector<std::string> environment = Environment(options.env);
  const std::vector<char*> arguments = Pointers(argv);
  const std::vector<char*> variables = Pointers(environment);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus("cannot fork for " + argv[0]);
  if (pid == 0) {
    Become(arguments.data(), variables.data(), options.directory.c_str(), parent, standard);
  }
  return pid;
}

// glibc 2.36 declares pidfd_open without C linkage.
int PidDescriptor(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

bool Ended(int pid_descriptor, int timeout_ms) {
  pollfd wanted{pid_descriptor, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&wanted, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

int Reap(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

int OpenInput(const ProgramOptions& options) {
  if (options.stdin_file.empty()) return MemoryFile(options.stdin_text);
  return ::open(options.stdin_file.c_str(), O_RDONLY | O_CLOEXEC);
}

}  // namespace

Result<ProgramResult> RunProgram(const std::vector<std::string>& argv,
                                 const ProgramOptions& options) {
  const Descriptor in(OpenInput(options));
  if (in.get() < 0) return ErrnoStatus("cannot open " + options.stdin_file);
  const Descriptor out(
      options.stdout_file.empty()
          ? MemoryFile({})
          : ::open(options.stdout_file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (out.get() < 0) return ErrnoStatus("cannot open " + options.stdout_file);
  const Descriptor err(MemoryFile({}));
  TM_ASSIGN_OR_RETURN(const pid_t pid, Spawn(argv, options, {in.get(), out.get(), err.get()}));
  const Descriptor process(PidDescriptor(pid));
  TM_CHECK(process.get() >= 0);
  const bool in_time = Ended(process.get(), options.timeout_ms);
  if (!in_time) ::kill(pid, SIGKILL);
  ProgramResult result;
  result.exit_code = Reap(pid);
  result.err = Contents(err.get());
  if (!in_time) {
    return Status(Code::kInterrupted, argv[0] + " did not end within " +
                                          std::to_string(options.timeout_ms) +
                                          " ms, and said: " + result.err);
  }
  if (options.stdout_file.empty()) result.out = Contents(out.get());
  return result;
}

Result<std::unique_ptr<BackgroundProgram>> BackgroundProgram::Start(
    const std::vector<std::string>& argv, const std::string& output_file,
    const ProgramOptions& options) {
  const Descriptor in(OpenInput(options));
  if (in.get() < 0) return ErrnoStatus("cannot open " + options.stdin_file);
  const Descriptor out(
      ::open(output_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (out.get() < 0) return ErrnoStatus("cannot open " + output_file);
  TM_ASSIGN_OR_RETURN(const pid_t pid, Spawn(argv, options, {in.get(), out.get(), out.get()}));
  const int descriptor = PidDescriptor(pid);
  TM_CHECK(descriptor >= 0);
  return std::unique_ptr<BackgroundProgram>(new BackgroundProgram(pid, descriptor, output_file));
}

BackgroundProgram::~BackgroundProgram() {
  Kill(SIGKILL);
  if (!exit_code_) Reap(pid_);
  ::close(descriptor_);
}

bool BackgroundProgram::Running() { return !Wait(0).ok(); }

void BackgroundProgram::Kill(int signal_number) {
  if (!exit_code_) ::kill(pid_, signal_number);
}

Result<int> BackgroundProgram::Wait(int timeout_ms) {
  if (!exit_code_) {
    if (!Ended(descriptor_, timeout_ms)) {
      return Status(Code::kInterrupted, "process " + std::to_string(pid_) + " still runs after " +
                                            std::to_string(timeout_ms) + " ms");
    }
    exit_code_ = Reap(pid_);
  }
  return *exit_code_;
}

bool BackgroundProgram::WaitUntil(const std::function<bool()>& condition, int timeout_ms) {
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(timeout_ms);
  while (SteadyClock::now() < deadline) {
    if (condition()) return true;
    if (Wait(kPollMilliseconds).ok()) return condition();
  }
  return condition();
}

bool BackgroundProgram::WaitForOutput(const std::string& text, int timeout_ms) {
  return WaitUntil([&] { return Output().find(text) != std::string::npos; }, timeout_ms);
}

std::string BackgroundProgram::Output() const { return ReadWholeFile(output_file_); }

std::string ReadWholeFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream contents;
  contents << file.rdbuf();
  return contents.str();
}

size_t Occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++count;
  return count;
}

bool WaitUntil(const std::function<bool()>& condition, int timeout_ms) {
  const auto deadline = SteadyClock::now() + std::chrono::milliseconds(timeout_ms);
  while (!condition()) {
    if (SteadyClock::now() >= deadline) return false;
    ::poll(nullptr, 0, kPollMilliseconds);
  }
  return true;
}

}  // namespace tidemark::testing
