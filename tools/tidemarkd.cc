// tidemarkd --config FILE: parse, wire, run. What it does is in daemon.cc.
#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>

#include "tools/daemon.h"
#include "tools/daemon_log.h"
#include "tools/exit_code.h"
#include "tools/program_reference.h"

namespace {

tidemark::DaemonSignals signals;

void OnStop(int signal) { signals.stop = signal; }
void OnReload(int) { signals.reload = true; }

int Report(const tidemark::Status& status) {
  if (status.ok()) return tidemark::kExitDone;
  std::fprintf(stderr, "tidemarkd: %s\n", status.message().c_str());
  if (!status.hint().empty()) std::fprintf(stderr, "hint: %s\n", status.hint().c_str());
  return tidemark::ExitCodeOf(status.code());
}

void CatchSignals() {
  struct sigaction stop {};
  stop.sa_handler = OnStop;
  sigaction(SIGTERM, &stop, nullptr);
  sigaction(SIGINT, &stop, nullptr);
  struct sigaction reload {};
  reload.sa_handler = OnReload;
  reload.sa_flags = SA_RESTART;  // nothing that is under way is to be disturbed by it
  sigaction(SIGHUP, &reload, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"tidemarkd archives every transaction of MySQL sources, durably, as they commit."};
  app.name("tidemarkd");
  tidemark::DaemonOptions options;
  options.config_path = tidemark::kDefaultConfigPath;
  bool check_only = false;
  app.add_option("--config", options.config_path, "configuration file (TOML); SIGHUP: read again")
      ->type_name("FILE")
      ->capture_default_str();
  app.add_flag("--check-config", check_only,
               "read the configuration, say whether it is good, and exit");
  app.add_flag("--once", options.once, "archive what the sources have now, seal, and exit");
  app.set_version_flag("--version", TIDEMARK_VERSION);
  tidemark::AddReference(app, tidemark::TidemarkdText());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? tidemark::kExitDone : tidemark::kExitUsage;
  }

  CatchSignals();
  tidemark::Result<tidemark::LoadedConfig> loaded =
      tidemark::LoadConfigWithFiles(options.config_path);
  if (!loaded.ok()) return Report(loaded.error());
  if (check_only) {
    std::printf("%s is good: %zu source(s), archive %s\n", options.config_path.c_str(),
                loaded->config.sources.size(), loaded->config.archive.c_str());
    return tidemark::kExitDone;
  }
  if (tidemark::Status status = tidemark::ConfigureLog(loaded->config.log); !status.ok())
    return Report(status);
  return Report(tidemark::RunDaemon(std::move(*loaded), options, signals));
}
