// tidemarkd --config FILE: parse, wire, run. What it does is in daemon.cc.
// tidemarkd --new-token NAME ROLE: a token for [rpc]'s access file.
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>
#include <utility>

#include "proto/rpc/auth.h"
#include "tools/daemon.h"
#include "tools/daemon_log.h"
#include "tools/daemon_rpc.h"
#include "tools/exit_code.h"
#include "tools/program_reference.h"
#include "tools/serve_check.h"

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

// What a large buffer took goes back to the system once it is freed, whichever thread had it. Left
// to itself glibc raises both thresholds to the largest that it has seen freed, and then every
// arena keeps some ten MiB of nothing (mallopt(3)).
void ReturnFreedMemory() {
#ifdef __GLIBC__
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
  mallopt(M_TRIM_THRESHOLD, 2 << 20);
#endif
}

// The token alone on standard output, once; its line of the access file beside it.
int PrintNewToken(const std::string& name, const std::string& role) {
  const std::string token = tidemark::rpc::NewToken();
  const std::string line = name + " " + role + " " + tidemark::rpc::TokenHash(token);
  if (name.empty() || name.front() == '#' || name.find_first_of(" \t\r\n") != std::string::npos)
    return Report(tidemark::Status(tidemark::Code::kUsage, "'" + name + "' is not a token's name",
                                   "one word, such as grafana or restore-2026"));
  if (tidemark::rpc::RoleByName(role).value_or(tidemark::rpc::Role::kNone) ==
      tidemark::rpc::Role::kNone)
    return Report(tidemark::Status(tidemark::Code::kUsage, "'" + role + "' is not a token's role",
                                   "reader, restorer or admin"));
  std::fprintf(stderr, "for the access_file (then reload tidemarkd):\n  %s\n", line.c_str());
  std::fprintf(stderr, "the token, shown only now, for whoever calls:\n");
  std::printf("%s\n", token.c_str());
  return std::fflush(stdout) == 0
             ? tidemark::kExitDone
             : Report(tidemark::Status(tidemark::Code::kIo, "cannot write to standard output"));
}

// What the files say that the configuration names, and the archive.
tidemark::Status CheckFiles(const tidemark::DaemonConfig& config) {
  TM_RETURN_IF_ERROR(tidemark::CheckServe(config.serve));
  tidemark::ArchiveDirectory archive(tidemark::PosixFileSystem(), config.archive);
  TM_RETURN_IF_ERROR(tidemark::CheckLineages(config, archive));
  return tidemark::DaemonRpc::Check(config.rpc);
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
  std::pair<std::string, std::string> token_for;
  const CLI::Option* new_token =
      app.add_option("--new-token", token_for,
                     "print a new token for remote callers, and its line of rpc.access_file; ROLE "
                     "is reader, restorer or admin")
          ->type_name("NAME ROLE");
  app.set_version_flag("--version", TIDEMARK_VERSION);
  tidemark::AddReference(app, tidemark::TidemarkdText());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? tidemark::kExitDone : tidemark::kExitUsage;
  }

  ReturnFreedMemory();
  if (new_token->count() > 0) return PrintNewToken(token_for.first, token_for.second);
  CatchSignals();
  tidemark::Result<tidemark::LoadedConfig> loaded =
      tidemark::LoadConfigWithFiles(options.config_path);
  if (!loaded.ok()) return Report(loaded.error());
  if (check_only) {
    if (tidemark::Status good = CheckFiles(loaded->config); !good.ok()) return Report(good);
    std::printf("%s is good: %zu source(s), archive %s\n", options.config_path.c_str(),
                loaded->config.sources.size(), loaded->config.archive.c_str());
    return tidemark::kExitDone;
  }
  if (tidemark::Status status = tidemark::ConfigureLog(loaded->config.log); !status.ok())
    return Report(status);
  return Report(tidemark::RunDaemon(std::move(*loaded), options, signals));
}
