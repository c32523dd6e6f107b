// pitr: what a DBA types during an incident. Parse, wire, run; each subcommand is a file in tools/cli.
#include <atomic>
#include <csignal>
#include <cstdio>

#include "tools/cli/command.h"
#include "tools/exit_code.h"

namespace {

std::atomic<bool> interrupted = false;

void OnSignal(int) { interrupted = true; }

int Report(const tidemark::Status& status, bool json) {
  const int exit_code = tidemark::ExitCodeOf(status.code());
  if (status.ok()) return exit_code;
  if (json) {
    tidemark::Json error = tidemark::ToJson(status);
    error["exit_code"] = exit_code;
    tidemark::cli::PrintJson({{"error", std::move(error)}});
  }
  std::fprintf(stderr, "pitr: %s\n", status.message().c_str());
  if (!status.hint().empty()) std::fprintf(stderr, "hint: %s\n", status.hint().c_str());
  return exit_code;
}

}  // namespace

namespace tidemark::cli {
bool Interrupted() { return interrupted; }
}  // namespace tidemark::cli

int main(int argc, char** argv) {
  using namespace tidemark::cli;
  CLI::App app{"pitr finds any transaction of a Tidemark archive and restores a MySQL server to just before or after it."};
  Context context;
  Action action;
  app.add_option("--archive", context.archive, "the archive's directory")->envname("TIDEMARK_ARCHIVE")->type_name("DIR");
  app.add_option("--source", context.source, "which source, if the archive has several")->type_name("NAME");
  app.add_flag("--json", context.json, "print one JSON document instead of text");
  app.set_version_flag("--version", TIDEMARK_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  for (auto add : {AddStatus, AddTimeline, AddSegments, AddLocate, AddPlan, AddRestore, AddExport, AddVerify, AddIndex, AddCheck})
    add(app, context, &action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? tidemark::kExitDone : tidemark::kExitUsage;
  }
  struct sigaction handler {};
  handler.sa_handler = OnSignal;
  sigaction(SIGTERM, &handler, nullptr);
  sigaction(SIGINT, &handler, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return Report(action(), context.json);
}
