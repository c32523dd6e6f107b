#include "pitr/restore/running_mysqld.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace tidemark {
namespace {

namespace fs = std::filesystem;

std::string ProcPath(pid_t pid, const char* name) {
  return "/proc/" + std::to_string(pid) + "/" + name;
}

// Empty for a zombie, a kernel thread and a process that is not there.
std::vector<std::string> CommandLine(pid_t pid) {
  std::ifstream file(ProcPath(pid, "cmdline"), std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::vector<std::string> arguments;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\0', at), text.size());
    arguments.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return arguments;
}

bool WorksIn(pid_t pid, const std::string& directory) {
  std::error_code error;
  const fs::path works_in = fs::read_symlink(ProcPath(pid, "cwd"), error);
  return !error && works_in == fs::canonical(directory, error) && !error;
}

bool IsMysqld(pid_t pid, const std::vector<std::string>& arguments,
              const std::string& data_directory) {
  if (arguments.empty()) return false;
  // A shell that waits for its mysqld has the same arguments.
  const std::string program = fs::path(arguments[0]).filename();
  if (program == "sh" || program == "bash" || program == "dash") return false;
  const bool named = std::any_of(arguments.begin(), arguments.end(), [](const std::string& one) {
    return !one.starts_with('-') && fs::path(one).filename().string().starts_with("mysqld");
  });
  const bool told = std::find(arguments.begin(), arguments.end(), "--datadir=" + data_directory) !=
                    arguments.end();
  return named && (told || WorksIn(pid, data_directory));
}

std::optional<RunningMysqld> Take(pid_t pid, const std::string& data_directory) {
  Result<std::unique_ptr<ChildProcess>> process = ChildProcess::Adopt(pid);
  if (!process.ok()) return std::nullopt;
  RunningMysqld running{std::move(*process), CommandLine(pid)};
  // Behind Adopt, so that what /proc says is of the process that was adopted; unless it has ended.
  const bool ours = IsMysqld(pid, running.arguments, data_directory);
  if (ours && !running.process->Wait(0)) return running;
  running.process->Release();
  return std::nullopt;
}

pid_t Number(const std::string& text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  return error == std::errc() && end == text.data() + text.size() ? pid : 0;
}

}  // namespace

std::string RunningMysqld::Option(const std::string& name) const {
  const std::string prefix = "--" + name + "=";
  std::string value;
  for (const std::string& argument : arguments)
    if (argument.starts_with(prefix)) value = argument.substr(prefix.size());
  return value;
}

std::optional<RunningMysqld> FindMysqld(const std::string& data_directory,
                                        const std::string& pid_file) {
  std::ifstream file(pid_file);
  std::string line;
  if (std::getline(file, line))
    if (auto running = Take(Number(line), data_directory)) return running;
  std::error_code error;
  for (fs::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    const pid_t pid = Number(entry->path().filename());
    if (pid <= 0 || !IsMysqld(pid, CommandLine(pid), data_directory)) continue;
    if (auto running = Take(pid, data_directory)) return running;
  }
  return std::nullopt;
}

}  // namespace tidemark
