// pitr: what a DBA types during an incident. Parse, wire, run; each subcommand is a file in
// tools/cli.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <csignal>
#include <cstdio>

#include "tools/cli/command.h"
#include "tools/exit_code.h"
#include "tools/program_reference.h"

namespace {

std::atomic<bool> interrupted = false;

// The second one ends us at once: what we wait for may hang, and a restore goes on from anywhere.
void OnSignal(int signal_number) {
  if (!interrupted.exchange(true)) return;
  std::signal(signal_number, SIG_DFL);
  std::raise(signal_number);
}

int Report(const tidemark::Status& status, bool json) {
  const int exit_code = tidemark::ExitCodeOf(status.code());
  if (status.ok()) return exit_code;
  if (json && !tidemark::cli::JsonIsPrinted())
    tidemark::cli::PrintJson({{"error", tidemark::cli::ErrorJson(status)}});
  tidemark::cli::SayError("pitr: {}\n", status.message());
  if (!status.hint().empty()) tidemark::cli::SayError("hint: {}\n", status.hint());
  return exit_code;
}

// What CLI11 found wrong with the command line, in the form of all our errors.
tidemark::Status UsageError(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<CLI::App*> parsed = app.get_subcommands();
  const std::vector<std::string> unknown = app.remaining();
  std::string message = error.what();
  if (parsed.empty() && !unknown.empty() && !unknown.front().starts_with('-'))
    message = "'" + unknown.front() + "' is no command";
  else if (parsed.empty())
    message = "which command? " + message;
  for (char& c : message)
    if (c == '\n') c = ' ';
  if (message.size() > 1 && std::islower(static_cast<unsigned char>(message[1])) != 0)
    message[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(message[0])));
  return tidemark::Status(
      tidemark::Code::kUsage, message,
      "pitr " + (parsed.empty() ? "" : parsed.front()->get_name() + " ") + "--help");
}

}  // namespace

namespace tidemark::cli {
bool Interrupted() { return interrupted; }
}  // namespace tidemark::cli

int main(int argc, char** argv) {
  using namespace tidemark::cli;
  CLI::App app{
      "pitr finds any transaction of a Tidemark archive and restores a MySQL server to just before "
      "or after it."};
  app.name("pitr");
  Context context;
  Action action;
  context.AddTo(app);
  app.set_version_flag("--version", TIDEMARK_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  for (auto add : {AddStatus, AddTimeline, AddSegments, AddLocate, AddPlan, AddRestore, AddExport,
                   AddRescue, AddVerify, AddGap, AddImport, AddSource, AddIndex, AddCheck})
    add(app, context, &action);
  tidemark::AddReference(app, tidemark::PitrText());
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const bool json = std::any_of(argv, argv + argc, [](const char* argument) {
      return std::string_view(argument) == "--json";
    });
    return Report(UsageError(app, error), json);
  }
  spdlog::set_level(spdlog::level::off);  // what concerns the user comes as an error or a warning
  struct sigaction handler {};
  handler.sa_handler = OnSignal;
  sigaction(SIGTERM, &handler, nullptr);
  sigaction(SIGINT, &handler, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  return Report(action(), context.json);
}
