// pitr timeline: the archive's history in order: where it begins, DDL, oversized transactions,
// gaps, where it ends. This is where a DBA finds the DROP.
#include "pitr/timeline.h"

#include <fmt/format.h>

#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

struct Options {
  std::string from, to;
  size_t limit = 1000;
};

// One line of DDL: white space folded, cut to `columns`.
std::string OneLine(const std::string& statement, size_t columns) {
  std::string line;
  for (char c : statement) {
    if (c == '\n' || c == '\t' || c == '\r') c = ' ';
    if (c == ' ' && !line.empty() && line.back() == ' ') continue;
    line.push_back(c);
  }
  if (line.size() > columns) line = line.substr(0, columns - 3) + "...";
  return line;
}

Result<TimelineRange> Range(const Options& options) {
  TimelineRange range;
  range.ddl_max = options.limit;
  if (!options.from.empty()) {
    TM_ASSIGN_OR_RETURN(range.from_us, ParseTime(options.from));
  }
  if (!options.to.empty()) {
    TM_ASSIGN_OR_RETURN(range.to_us, ParseTime(options.to));
  }
  return range;
}

void Print(const Json& json, const Options& options) {
  for (const Json& entry : json.at("entries")) {
    const std::string kind = entry.at("kind");
    const std::string time = entry.at("time").is_null() ? "-" : entry.at("time").get<std::string>();
    if (kind == "gap") {
      const std::string missing = entry.at("missing"), acknowledged = entry.at("acknowledged");
      Say("{}  {}    {}: {}{}\n", time, missing == acknowledged ? "gap" : "GAP", ShortSet(missing),
          entry.at("reason").get<std::string>(), HowAcknowledged(missing, acknowledged));
    } else if (kind == "ddl") {
      const std::string schema = entry.at("schema");
      Say("{}  DDL    {}  {}{}\n", time, entry.at("gtid").get<std::string>(),
          schema.empty() ? "" : "[" + schema + "] ", OneLine(entry.at("statement"), 100));
    } else if (kind == "server") {
      Say("{}  SERVER {} instead of {}, from {} on; behind {}\n", time,
          entry.at("server_uuid").get<std::string>(),
          entry.at("previous_server_uuid").get<std::string>(),
          entry.at("source_file").get<std::string>(),
          ShortSet(entry.at("behind").get<std::string>()));
    } else if (kind == "lineage") {
      const std::string lost = entry.at("lost");
      Say("{}  FORK   {} continues {}, behind {}{}\n", time, entry.at("source").get<std::string>(),
          entry.at("continues").get<std::string>(), ShortSet(entry.at("behind").get<std::string>()),
          lost.empty() ? "" : "; left behind: " + ShortSet(lost));
    } else {
      Say("{}  LARGE  {}  {}\n", time, entry.at("gtid").get<std::string>(),
          FormatBytes(entry.at("bytes")));
    }
  }
  if (json.at("entries").empty())
    Say("no DDL, no large transaction, no gap, no change of server and no fork in this range\n");
  if (json.at("truncated"))
    Say("(cut after {} DDL statements: narrow the range with --from and --to, or raise --limit)\n",
        options.limit);
}

}  // namespace

void AddTimeline(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("timeline",
                                     "DDL, large transactions, gaps, changes of server and forks, "
                                     "in order: where to find the DROP");
  command->add_option("--from", options->from, "only from this moment on")->type_name("TIME");
  command->add_option("--to", options->to, "only up to this moment")->type_name("TIME");
  command->add_option("--limit", options->limit, "at most so many DDL statements")
      ->capture_default_str();
  command->callback([&context, action, options] {
    *action = [&context, options]() -> Status {
      TM_ASSIGN_OR_RETURN(const TimelineRange range, Range(*options));
      TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
      TM_ASSIGN_OR_RETURN(const auto source, archive->OpenSource());
      TM_ASSIGN_OR_RETURN(const Timeline timeline, source->ReadTimeline(range));
      const Json json = ToJson(timeline);
      if (context.json)
        PrintJson(json);
      else
        Print(json, *options);
      return OkStatus();
    };
  });
}

}  // namespace tidemark::cli
