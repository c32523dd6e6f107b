// What every subcommand of pitr shares: the global options, how results and errors are printed,
// progress, and signals. One file per subcommand; each adds itself to the app and returns a Status,
// which main turns into an exit code.
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pitr/archive_access.h"
#include "pitr/json.h"
#include "pitr/target.h"
#include "tools/cli/server_flags.h"

namespace tidemark::cli {

struct Context {
  ArchiveFlag archive;
  ServerFlags server;
  std::string source;  // --source; may be empty if the archive has just one
  bool json = false;

  void AddTo(CLI::App& app);
  // What the command asks: the archive's files, or a daemon. Nothing is opened, nobody is asked
  // yet. kUsage if both are named: a command line wins over the environment.
  Result<std::unique_ptr<ArchiveAccess>> OpenArchive() const;
  // For what only a running daemon can do. kUsage if none is named.
  Result<rpc::RpcClientOptions> Server() const;
  // For what works on the files themselves: --archive, TIDEMARK_ARCHIVE, or the default
  // configuration's. kUsage if a daemon is named instead.
  Result<std::string> ArchivePath() const;
};

// A subcommand's action; set by its Add… function, run by main after parsing.
using Action = std::function<Status()>;

void AddStatus(CLI::App& app, Context& context, Action* action);
void AddTimeline(CLI::App& app, Context& context, Action* action);
void AddSegments(CLI::App& app, Context& context, Action* action);
void AddLocate(CLI::App& app, Context& context, Action* action);
void AddPlan(CLI::App& app, Context& context, Action* action);
void AddRestore(CLI::App& app, Context& context, Action* action);
void AddExport(CLI::App& app, Context& context, Action* action);
void AddRescue(CLI::App& app, Context& context, Action* action);
void AddVerify(CLI::App& app, Context& context, Action* action);
void AddIndex(CLI::App& app, Context& context, Action* action);
void AddGap(CLI::App& app, Context& context, Action* action);
void AddImport(CLI::App& app, Context& context, Action* action);
void AddSource(CLI::App& app, Context& context, Action* action);
void AddCheck(CLI::App& app, Context& context, Action* action);

// The five ways to name a restore target, of which exactly one must be given.
struct TargetFlags {
  std::string before_gtid, through_gtid, before_time, through_time;
  bool latest = false;

  void AddTo(CLI::App& command);
  void AddOptions(CLI::App& group);  // without the rule that one must be given
  Result<Target> Parse() const;
};

// For people, on standard output or error; made Printable.
void PrintText(std::FILE* to, std::string_view text);
template <typename... Args>
void Say(fmt::format_string<Args...> format, Args&&... args) {
  PrintText(stdout, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void SayError(fmt::format_string<Args...> format, Args&&... args) {
  PrintText(stderr, fmt::format(format, std::forward<Args>(args)...));
}
void PrintJson(const Json& json);
// The error's JSON, with its exit code, as scripts get it.
Json ErrorJson(const Status& error);
// Prints the one document of a command that found fault: what it found, and the error as its member
// "error". Gives `outcome` back, for main to report on standard error only.
Status PrintJsonWith(Json json, Status outcome);
bool JsonIsPrinted();
// For people: a set of at most about `bytes_max` characters; a longer one is cut at a comma, and
// counted.
std::string ShortSet(const GtidSet& set, size_t bytes_max = 400);
std::string ShortSet(const std::string& set_text, size_t bytes_max = 400);
// Of a gap, behind its reason; "" if nobody knows of it.
std::string HowAcknowledged(const std::string& missing, const std::string& acknowledged);
// Of a source's lineage ({"continues", "continued_by"}): "continues main since …, behind …", a line
// for each; none for one that stands alone.
std::vector<std::string> LineageLines(const Json& lineage);
std::string Counted(uint64_t count, const std::string& what);  // "1 segment", "1,234 segments"
std::string FormatBytes(uint64_t bytes);                       // "1.2 GiB"
std::string FormatCount(uint64_t count);                       // "1,234,567"
std::string FormatDuration(double seconds);                    // "1h02m", "3m05s", "12.3 s"

// Who is at the keyboard, for notes: the account's name.
std::string OperatorName();

// True once SIGINT or SIGTERM has come: long work asks it and ends in an orderly way.
bool Interrupted();

// Progress of long work: a line that rewrites itself on a terminal, a plain line now and then
// elsewhere; on stderr. Silent with --json unless stderr is a terminal.
class Progress {
 public:
  Progress(const Context& context, std::string what, std::string unit);
  ~Progress();
  void Update(uint64_t done, uint64_t total);  // total 0: unknown
  void Finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tidemark::cli
