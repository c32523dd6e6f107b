// pitr timeline: the archive's history in order: where it begins, DDL, oversized transactions,
// gaps, where it ends. This is where a DBA finds the DROP.
#include <fmt/format.h>

#include <algorithm>
#include <limits>

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

Json Entry(int64_t time_us, const char* kind, const Gtid& gtid) {
  Json entry;
  AddTime(&entry, "time", time_us);
  entry["kind"] = kind;
  entry["gtid"] = gtid.ToString();
  return entry;
}

Result<Json> Collect(ArchiveView& view, const Options& options) {
  int64_t from_us = std::numeric_limits<int64_t>::min(),
          to_us = std::numeric_limits<int64_t>::max();
  if (!options.from.empty()) {
    TM_ASSIGN_OR_RETURN(from_us, ParseTime(options.from));
  }
  if (!options.to.empty()) {
    TM_ASSIGN_OR_RETURN(to_us, ParseTime(options.to));
  }
  std::vector<std::pair<int64_t, Json>> entries;
  TM_ASSIGN_OR_RETURN(auto ddl, view.index().ListDdl(view.source(), from_us, to_us, options.limit));
  for (const IndexedDdl& found : ddl) {
    Json entry = Entry(found.record.commit_us, "ddl", found.record.gtid);
    entry["schema"] = found.record.schema;
    entry["statement"] = found.record.statement;
    entries.emplace_back(found.record.commit_us, std::move(entry));
  }
  TM_ASSIGN_OR_RETURN(auto oversize, view.index().ListOversize(view.source()));
  for (const IndexedOversize& found : oversize) {
    if (found.record.commit_us < from_us || found.record.commit_us > to_us) continue;
    Json entry = Entry(found.record.commit_us, "large-transaction", found.record.gtid);
    entry["bytes"] = found.record.raw_end - found.record.raw_begin;
    entries.emplace_back(found.record.commit_us, std::move(entry));
  }
  for (const GapRecord& gap : view.ComputeCoverage().gaps) {
    Json entry;
    AddTime(&entry, "time", gap.noticed_us);
    entry.update({{"kind", "gap"}, {"missing", gap.missing.ToString()}, {"reason", gap.reason}});
    entries.emplace_back(gap.noticed_us, std::move(entry));
  }
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  Json list = Json::array();
  for (auto& [time_us, entry] : entries) list.push_back(std::move(entry));
  Json json = {{"source", view.source()},
               {"coverage", ToJson(view.ComputeCoverage())},
               {"entries", std::move(list)}};
  json["truncated"] = ddl.size() == options.limit;
  return json;
}

void Print(const Json& json, const Options& options) {
  for (const Json& entry : json.at("entries")) {
    const std::string kind = entry.at("kind");
    const std::string time = entry.at("time").is_null() ? "-" : entry.at("time").get<std::string>();
    if (kind == "gap") {
      fmt::print("{}  GAP    {}: {}\n", time, ShortSet(entry.at("missing").get<std::string>()),
                 entry.at("reason").get<std::string>());
    } else if (kind == "ddl") {
      const std::string schema = entry.at("schema");
      fmt::print("{}  DDL    {}  {}{}\n", time, entry.at("gtid").get<std::string>(),
                 schema.empty() ? "" : "[" + schema + "] ", OneLine(entry.at("statement"), 100));
    } else {
      fmt::print("{}  LARGE  {}  {}\n", time, entry.at("gtid").get<std::string>(),
                 FormatBytes(entry.at("bytes")));
    }
  }
  if (json.at("entries").empty())
    fmt::print("no DDL, no large transaction and no gap in this range\n");
  if (json.at("truncated"))
    fmt::print(
        "(cut after {} DDL statements: narrow the range with --from and --to, or raise --limit)\n",
        options.limit);
}

}  // namespace

void AddTimeline(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "timeline", "DDL, large transactions and gaps, in order: where to find the DROP");
  command->add_option("--from", options->from, "only from this moment on")->type_name("TIME");
  command->add_option("--to", options->to, "only up to this moment")->type_name("TIME");
  command->add_option("--limit", options->limit, "at most so many DDL statements")
      ->capture_default_str();
  command->callback([&context, action, options] {
    *action = [&context, options]() -> Status {
      TM_ASSIGN_OR_RETURN(auto view, context.OpenView());
      TM_ASSIGN_OR_RETURN(Json json, Collect(*view, *options));
      if (context.json)
        PrintJson(json);
      else
        Print(json, *options);
      return OkStatus();
    };
  });
}

}  // namespace tidemark::cli
