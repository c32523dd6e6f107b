// tidemarkd --config FILE: parse, wire, run. What it does is in daemon.cc.
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>

#include "tools/daemon.h"
#include "tools/exit_code.h"

namespace {

std::atomic<int> stop_signal = 0;

void OnSignal(int signal) { stop_signal = signal; }

int Report(const tidemark::Status& status) {
  if (status.ok()) return tidemark::kExitDone;
  std::fprintf(stderr, "tidemarkd: %s\n", status.message().c_str());
  if (!status.hint().empty()) std::fprintf(stderr, "hint: %s\n", status.hint().c_str());
  return tidemark::ExitCodeOf(status.code());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"tidemarkd archives every transaction of MySQL sources, durably, as they commit."};
  std::string config_path = tidemark::kDefaultConfigPath;
  tidemark::DaemonOptions options;
  bool check_only = false;
  app.add_option("--config", config_path, "configuration file (TOML)")->capture_default_str();
  app.add_flag("--check-config", check_only,
               "read the configuration, say whether it is good, and exit");
  app.add_flag("--once", options.once, "archive what the sources have now, seal, and exit");
  app.set_version_flag("--version", TIDEMARK_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? tidemark::kExitDone : tidemark::kExitUsage;
  }

  tidemark::Result<tidemark::DaemonConfig> config = tidemark::LoadDaemonConfig(config_path);
  if (!config.ok()) return Report(config.error());
  if (check_only) {
    std::printf("%s is good: %zu source(s), archive %s\n", config_path.c_str(),
                config->sources.size(), config->archive.c_str());
    return tidemark::kExitDone;
  }
  spdlog::set_default_logger(spdlog::stderr_logger_mt("tidemarkd"));
  spdlog::set_level(spdlog::level::from_str(config->log_level));
  spdlog::set_pattern("%Y-%m-%dT%H:%M:%S.%fZ %l %v", spdlog::pattern_time_type::utc);
  spdlog::flush_on(spdlog::level::info);

  struct sigaction action {};
  action.sa_handler = OnSignal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return Report(tidemark::RunDaemon(*config, options, stop_signal));
}
