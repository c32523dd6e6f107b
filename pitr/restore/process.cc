#include "pitr/restore/process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>

namespace tidemark {
namespace {

constexpr int kAskMilliseconds = 100;

Status ErrnoStatus(const std::string& what, int error) {
  return Status(Code::kIo, what + ": " + std::strerror(error));
}

// True once `descriptor` has one of `events`, or is broken.
bool Ready(int descriptor, short events, int timeout_ms) {
  pollfd wanted{descriptor, events, 0};
  int ready = 0;
  do {
    ready = ::poll(&wanted, 1, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  return ready > 0;
}

// Descriptors 0 to 2 may be free in a daemon; a child's dup2 must not meet them.
Descriptor Above2(int descriptor) {
  if (descriptor < 0 || descriptor > 2) return Descriptor(descriptor);
  const Descriptor low(descriptor);
  return Descriptor(::fcntl(descriptor, F_DUPFD_CLOEXEC, 3));
}

void IgnoreBrokenPipes() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction old {};
    if (::sigaction(SIGPIPE, nullptr, &old) == 0 && old.sa_handler == SIG_DFL)
      ::signal(SIGPIPE, SIG_IGN);
  });
}

std::vector<std::string> Environment(
    const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view variable(*entry);
    bool replaced = false;
    for (const auto& [name, value] : added)
      replaced =
          replaced || (variable.starts_with(name) && variable.substr(name.size()).starts_with('='));
    if (!replaced) all.emplace_back(variable);
  }
  for (const auto& [name, value] : added) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& string : strings) pointers.push_back(string.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct ChildPlan {
  std::vector<char*> argv;
  std::vector<char*> environment;
  int standard[3];
  int failure;  // where errno goes if exec fails
  pid_t parent;
  bool dies_with_us;
};

// In the child, after fork: only async-signal-safe calls.
[[noreturn]] void Become(const ChildPlan& plan) {
  for (int signal_number = 1; signal_number < 32; ++signal_number) ::signal(signal_number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (plan.dies_with_us) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != plan.parent) ::_exit(127);
    ::setpgid(0, 0);
  } else {
    ::setsid();
  }
  bool ok = true;
  for (int i = 0; i < 3; ++i) ok = ok && ::dup2(plan.standard[i], i) == i;
  if (ok) ::execve(plan.argv[0], plan.argv.data(), plan.environment.data());
  const int error = errno;
  (void)!::write(plan.failure, &error, sizeof error);
  ::_exit(127);
}

// glibc 2.36 declares pidfd_open without C linkage.
int OpenPid(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }

Status ProgramFailed(const std::string& path, int error) {
  return Status(Code::kUsage, "cannot run " + path + ": " + std::strerror(error),
                "name the program with its path, or put its directory into PATH");
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    Close();
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

void Descriptor::Close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("cannot make a pipe", errno);
  Pipe pipe{Above2(ends[0]), Above2(ends[1])};
  if (pipe.read.get() < 0 || pipe.write.get() < 0) return ErrnoStatus("cannot make a pipe", errno);
  return pipe;
}

Result<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    if (::access(name.c_str(), X_OK) == 0) return name;
    return ProgramFailed(name, errno);
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin:/usr/sbin";
  while (!name.empty()) {
    const std::string_view directory = rest.substr(0, rest.find(':'));
    const std::string candidate = (directory.empty() ? "." : std::string(directory)) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    if (directory.size() == rest.size()) break;
    rest.remove_prefix(directory.size() + 1);
  }
  return Status(Code::kUsage, "there is no program named \"" + name + "\" in PATH",
                "install MySQL's server and client programs, or name it with its path");
}

// Reads the child's standard error on a thread of its own, so that the child never blocks on it.
class ChildProcess::Capture {
 public:
  explicit Capture(Descriptor from) : from_(std::move(from)), thread_([this] { Run(); }) {}
  ~Capture() { Stop(); }

  std::string Stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    std::string text = last_.empty() ? first_ : first_ + (skipped_ ? "\n[…]\n" : "") + last_;
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return text;
  }

 private:
  // Something else may hold the pipe's other end when the child is gone: then quiet means the end.
  void Run() {
    char buffer[4096];
    while (true) {
      if (!Ready(from_.get(), POLLIN, kAskMilliseconds)) {
        if (stop_) return;
        continue;
      }
      const ssize_t got = ::read(from_.get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return;
      Keep({buffer, static_cast<size_t>(got)});
    }
  }
  void Keep(std::string_view text) {
    constexpr size_t kHalf = kCapturedErrorBytesMax / 2;
    const std::string_view head = text.substr(0, kHalf - std::min(kHalf, first_.size()));
    first_ += head;
    last_ += text.substr(head.size());
    if (last_.size() <= kHalf) return;
    last_.erase(0, last_.size() - kHalf);
    skipped_ = true;
  }

  const Descriptor from_;
  std::atomic<bool> stop_{false};
  std::string first_, last_;  // the thread's, until it is joined
  bool skipped_ = false;
  std::thread thread_;  // last: it uses the others
};

ChildProcess::ChildProcess(pid_t pid, Descriptor pid_descriptor, Descriptor input,
                           std::unique_ptr<Capture> errors)
    : pid_(pid),
      pid_descriptor_(std::move(pid_descriptor)),
      input_(std::move(input)),
      errors_(std::move(errors)) {}

Result<std::unique_ptr<ChildProcess>> ChildProcess::Start(ProcessOptions options) {
  TM_CHECK(!options.argv.empty());
  IgnoreBrokenPipes();
  const std::string program = options.argv[0];
  Descriptor feed, null, error_file;
  Pipe errors;
  if (options.feed_input) {
    TM_ASSIGN_OR_RETURN(Pipe pipe, MakePipe());
    options.input = std::move(pipe.read);
    feed = std::move(pipe.write);
    ::fcntl(feed.get(), F_SETFL, O_NONBLOCK);
  }
  null = Above2(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (null.get() < 0) return ErrnoStatus("cannot open /dev/null", errno);
  if (options.error_file.empty()) {
    TM_ASSIGN_OR_RETURN(errors, MakePipe());
  } else {
    error_file =
        Above2(::open(options.error_file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
    if (error_file.get() < 0) return ErrnoStatus("cannot open " + options.error_file, errno);
  }
  TM_ASSIGN_OR_RETURN(Pipe failure, MakePipe());
  std::vector<std::string> environment = Environment(options.environment);
  const auto or_null = [&](const Descriptor& one) {
    return one.get() >= 0 ? one.get() : null.get();
  };
  const ChildPlan plan{Pointers(options.argv),
                       Pointers(environment),
                       {or_null(options.input), or_null(options.output),
                        options.error_file.empty() ? errors.write.get() : error_file.get()},
                       failure.write.get(),
                       ::getpid(),
                       options.dies_with_us};
  const pid_t pid = ::fork();
  if (pid < 0) return ErrnoStatus("cannot start " + program, errno);
  if (pid == 0) Become(plan);
  failure.write.Close();
  errors.write.Close();
  int error = 0;
  ssize_t got = 0;
  do {
    got = ::read(failure.read.get(), &error, sizeof error);
  } while (got < 0 && errno == EINTR);
  if (got > 0) {
    ::waitpid(pid, nullptr, 0);
    return ProgramFailed(program, error);
  }
  Descriptor pid_descriptor(OpenPid(pid));
  if (pid_descriptor.get() < 0) {
    const int why = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return ErrnoStatus("cannot watch " + program, why);
  }
  auto capture =
      errors.read.get() >= 0 ? std::make_unique<Capture>(std::move(errors.read)) : nullptr;
  return std::unique_ptr<ChildProcess>(
      new ChildProcess(pid, std::move(pid_descriptor), std::move(feed), std::move(capture)));
}

Result<std::unique_ptr<ChildProcess>> ChildProcess::Adopt(pid_t pid) {
  Descriptor pid_descriptor = Above2(pid > 0 ? OpenPid(pid) : -1);
  if (pid_descriptor.get() < 0 || Ready(pid_descriptor.get(), POLLIN, 0))
    return Status(Code::kNotFound, "there is no process " + std::to_string(pid));
  return std::unique_ptr<ChildProcess>(
      new ChildProcess(pid, std::move(pid_descriptor), Descriptor(), nullptr));
}

ChildProcess::~ChildProcess() {
  input_.Close();
  if (released_ || exit_code_) return;
  Signal(SIGKILL);
  Wait(-1);
}

Status ChildProcess::WriteInput(Bytes bytes, const std::function<bool()>& go_on) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(input_.get(), bytes.data(), bytes.size());
    if (put >= 0) {
      bytes = bytes.subspan(static_cast<size_t>(put));
    } else if (errno == EPIPE) {
      return Status(Code::kEndOfData, "the program closed its input");
    } else if (errno == EAGAIN) {
      if (!Ready(input_.get(), POLLOUT, kAskMilliseconds) && !go_on())
        return Status(Code::kInterrupted, "interrupted");
    } else if (errno != EINTR) {
      return ErrnoStatus("cannot write to a program", errno);
    }
  }
  return OkStatus();
}

std::optional<int> ChildProcess::Wait(int timeout_ms) {
  if (exit_code_ || !Ready(pid_descriptor_.get(), POLLIN, timeout_ms)) return exit_code_;
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(pid_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  if (reaped < 0)  // not our child
    exit_code_ = kExitCodeUnknown;
  else
    exit_code_ = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return exit_code_;
}

void ChildProcess::Signal(int signal_number) {
  if (!exit_code_)
    ::syscall(SYS_pidfd_send_signal, pid_descriptor_.get(), signal_number, nullptr, 0);
}

std::string ChildProcess::Errors() { return errors_ ? errors_->Stop() : std::string(); }

std::optional<int> WaitWhileItWrites(ChildProcess& child, std::chrono::milliseconds patience) {
  using SteadyClock = std::chrono::steady_clock;
  const auto written = [&child] {
    std::ifstream file("/proc/" + std::to_string(child.pid()) + "/io");
    std::string line;
    while (std::getline(file, line) && !line.starts_with("write_bytes:")) continue;
    return line;
  };
  std::string before = written();
  for (auto since = SteadyClock::now(); SteadyClock::now() - since < patience;) {
    if (const std::optional<int> code = child.Wait(kAskMilliseconds)) return code;
    std::string now = written();
    if (now == before) continue;
    before = std::move(now);
    since = SteadyClock::now();
  }
  return child.Wait(0);
}

Result<int> WaitForExit(ChildProcess& child, const std::function<bool()>& go_on) {
  while (true) {
    if (const std::optional<int> code = child.Wait(kAskMilliseconds)) return *code;
    if (!go_on()) return Status(Code::kInterrupted, "interrupted");
  }
}

}  // namespace tidemark
