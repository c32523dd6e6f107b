// pitr status: what the archive has of each source, up to when, and whether anything is missing.
#include <fmt/format.h>

#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

// Two digits, as far as they are of use: "9.6 %", "40 %", "108 %".
std::string Percent(uint64_t part, uint64_t whole) {
  const double percent = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  return fmt::format("{:.{}f} %", percent, percent < 9.95 ? 1 : 0);
}

void PrintReplicas(const Json& replicas) {
  for (const Json& replica : replicas)
    Say("  replica     {} at {}, server_id {}{}\n", replica.value("user", "?"),
        replica.value("peer", "?"), replica.value("server_id", uint64_t{0}),
        replica.value("tls", false) ? ", TLS" : "");
}

// Whether a lost primary would lose commits that its clients saw succeed.
void PrintSemiSync(const std::string& state) {
  if (state == "on")
    Say("  semi-sync   on: commits wait for the archive\n");
  else if (state == "ready")
    Say("  semi-sync   ready: nothing was committed since the source was connected to\n");
  else if (state == "not-waiting")
    Say("  SEMI-SYNC   not-waiting: the source's last commits did not wait for the archive\n");
  else if (state == "unavailable")
    Say("  SEMI-SYNC   unavailable: the source has no plugin for it, commits do not wait\n");
}

void PrintSource(const Json& json) {
  const auto text = [](const Json& value) {
    return value.is_null() ? std::string("-") : value.get<std::string>();
  };
  const uint64_t raw = json.at("raw_bytes"), stored = json.at("stored_bytes");
  const Json& coverage = json.at("coverage");
  Say("source        {}\n", json.at("source").get<std::string>());
  for (const std::string& line : LineageLines(json.at("lineage"))) Say("lineage       {}\n", line);
  if (const Json& daemon = json.at("daemon"); daemon.is_object()) {
    const std::string server = daemon.value("server", ""), state = daemon.value("state", "?");
    const char* from = state == "archiving" ? ", from " : ", last from ";
    Say("daemon        {}{}\n", state, server.empty() ? "" : from + server);
    if (daemon.contains("paused")) {
      const Json& paused = daemon.at("paused");
      Say("  PAUSED      by {}, {}: {}\n", paused.value("by", ""), text(paused.at("at")),
          paused.value("reason", ""));
    }
    if (daemon.contains("error"))
      Say("  error       {}\n", daemon.at("error").value("message", ""));
    PrintSemiSync(daemon.value("semi_sync", ""));
    PrintReplicas(daemon.value("replicas", Json::array()));
  } else {
    Say("daemon        not running: nothing is being archived\n");
  }
  Say("transactions  {}\n", FormatCount(json.at("transactions")));
  Say("segments      {}, {} of binlog in {}{}\n", json.at("segments").get<uint64_t>(),
      FormatBytes(raw), FormatBytes(stored), raw == 0 ? "" : " (" + Percent(stored, raw) + ")");
  Say("commits       {} .. {}\n", text(json.at("first_commit")), text(json.at("last_commit")));
  Say("archived      {}\n", ShortSet(coverage.at("archived").get<std::string>()));
  const std::string before = coverage.at("before");
  if (json.at("segments") > 0)
    Say("needs a base  {}\n", before.empty() ? "no: the archive begins with the source's first "
                                               "transaction; an empty server will do"
                                             : "that has at least " + ShortSet(before));
  const Json& gaps = coverage.at("gaps");
  const Json ahead =
      json.at("daemon").is_object() ? json["daemon"].value("gap_ahead", Json()) : Json();
  if (gaps.empty() && ahead.is_null()) Say("gaps          none\n");
  for (const Json& gap : gaps) {
    const std::string missing = gap.at("missing"), acknowledged = gap.at("acknowledged");
    Say("{}           {}: {}{}\n", missing == acknowledged ? "gap" : "GAP", ShortSet(missing),
        gap.at("reason").get<std::string>(), HowAcknowledged(missing, acknowledged));
  }
  if (!ahead.is_null())
    Say("GAP           {}: {}; nothing behind it is archived yet\n",
        ShortSet(ahead.at("missing").get<std::string>()), ahead.at("reason").get<std::string>());
  if (const Json& error = coverage.at("acknowledgements_error"); !error.is_null())
    Say("WARNING       no gap counts as acknowledged: {}\n", error.get<std::string>());
}

Status Run(const Context& context) {
  TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
  TM_ASSIGN_OR_RETURN(const std::vector<SourceState> states, archive->ReadStatus());
  Json sources = Json::array();
  for (const SourceState& state : states) sources.push_back(ToJson(state.summary, state.live));
  if (context.json) {
    PrintJson({{"archive", archive->name()}, {"sources", sources}});
    return OkStatus();
  }
  Say("archive       {}\n", archive->name());
  for (const Json& source : sources) {
    Say("\n");
    PrintSource(source);
  }
  return OkStatus();
}

}  // namespace

void AddStatus(CLI::App& app, Context& context, Action* action) {
  auto* command =
      app.add_subcommand("status", "what the archive has, up to when, and what is missing");
  command->callback([&context, action] { *action = [&context] { return Run(context); }; });
}

}  // namespace tidemark::cli
