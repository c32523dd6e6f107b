#include "tools/cli/command.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "pitr/local_archive.h"
#include "replication/base/printable.h"
#include "tools/cli/remote_archive.h"
#include "tools/daemon_config.h"
#include "tools/exit_code.h"

namespace tidemark::cli {

void Context::AddTo(CLI::App& app) {
  archive.AddTo(app);
  app.add_option("--source", source, "which source, if the archive has several")->type_name("NAME");
  app.add_flag("--json", json, "print one JSON document instead of text");
  server.AddTo(app);
}

Result<std::unique_ptr<ArchiveAccess>> Context::OpenArchive() const {
  TM_ASSIGN_OR_RETURN(const bool asks_server, AsksServer(archive, server));
  if (asks_server) {
    TM_ASSIGN_OR_RETURN(const rpc::RpcClientOptions options, server.Parse());
    return RemoteArchive::Create(options, source, Interrupted);
  }
  TM_ASSIGN_OR_RETURN(std::string path, ArchivePath());
  return std::unique_ptr<ArchiveAccess>(
      std::make_unique<LocalArchive>(PosixFileSystem(), std::move(path), source));
}

Result<rpc::RpcClientOptions> Context::Server() const {
  TM_ASSIGN_OR_RETURN(const bool asks_server, AsksServer(archive, server));
  if (asks_server) return server.Parse();
  return Status(Code::kUsage, "this asks a running tidemarkd, and none is named",
                "--server HOST:PORT or --server unix:PATH, where its [rpc] listens");
}

Result<std::string> Context::ArchivePath() const {
  TM_ASSIGN_OR_RETURN(const bool asks_server, AsksServer(archive, server));
  if (asks_server)
    return Status(Code::kUsage, "this works on the archive's files, and a server is named",
                  "run it where they are, with --archive DIR");
  if (archive.given()) return archive.path();
  if (PosixFileSystem().Exists(kDefaultConfigPath)) {
    TM_ASSIGN_OR_RETURN(DaemonConfig config, LoadDaemonConfig(kDefaultConfigPath));
    return config.archive;
  }
  return Status(Code::kUsage, "no archive is named",
                "use --archive DIR or --server HOST:PORT, or set TIDEMARK_ARCHIVE or "
                "TIDEMARK_SERVER");
}

void TargetFlags::AddTo(CLI::App& command) {
  auto* group = command.add_option_group("target", "Exactly one of");
  AddOptions(*group);
  group->require_option(1);
}

void TargetFlags::AddOptions(CLI::App& group) {
  group.add_option("--before-gtid", before_gtid, "stop right before this transaction")
      ->type_name("GTID");
  group.add_option("--through-gtid", through_gtid, "stop right after this transaction")
      ->type_name("GTID");
  group
      .add_option("--before-time", before_time,
                  "the last state before this moment (RFC 3339 with a zone)")
      ->type_name("TIME");
  group
      .add_option("--through-time", through_time,
                  "the state including this moment (RFC 3339 with a zone)")
      ->type_name("TIME");
  group.add_flag("--latest", latest, "everything the archive has");
}

Result<Target> TargetFlags::Parse() const {
  Target target;
  if (latest) return target;
  const bool by_gtid = !before_gtid.empty() || !through_gtid.empty();
  target.edge = !before_gtid.empty() || !before_time.empty() ? Edge::kBefore : Edge::kThrough;
  target.kind = by_gtid ? TargetKind::kGtid : TargetKind::kTime;
  if (by_gtid) {
    TM_ASSIGN_OR_RETURN(target.gtid,
                        Gtid::Parse(target.edge == Edge::kBefore ? before_gtid : through_gtid));
  } else {
    TM_ASSIGN_OR_RETURN(target.time_us,
                        ParseTime(target.edge == Edge::kBefore ? before_time : through_time));
  }
  return target;
}

namespace {
bool json_is_printed = false;
}  // namespace

void PrintText(std::FILE* to, std::string_view text) {
  const std::string printable = Printable(text);
  std::fwrite(printable.data(), 1, printable.size(), to);
}

void PrintJson(const Json& json) {
  const std::string text = JsonText(json);
  std::fwrite(text.data(), 1, text.size(), stdout);
  json_is_printed = true;
}

Json ErrorJson(const Status& error) {
  Json json = ToJson(error);
  json["exit_code"] = ExitCodeOf(error.code());
  return json;
}

Status PrintJsonWith(Json json, Status outcome) {
  if (!outcome.ok()) json["error"] = ErrorJson(outcome);
  PrintJson(json);
  return outcome;
}

bool JsonIsPrinted() { return json_is_printed; }

std::string ShortSet(const GtidSet& set, size_t bytes_max) {
  std::string text = set.ToString();
  if (text.size() <= bytes_max) return text;
  // Before a whole interval, tag or UUID.
  const size_t end = text.find_last_of(",:", bytes_max);
  return text.substr(0, end == std::string::npos ? bytes_max : end) + ",… (" +
         Counted(set.Count(), "transaction") + ")";
}

std::string ShortSet(const std::string& set_text, size_t bytes_max) {
  const Result<GtidSet> set = GtidSet::Parse(set_text);
  return set.ok() ? ShortSet(*set, bytes_max) : set_text;
}

std::string HowAcknowledged(const std::string& missing, const std::string& acknowledged) {
  if (acknowledged.empty()) return "";
  return missing == acknowledged ? " (acknowledged)"
                                 : " (acknowledged: " + ShortSet(acknowledged) + ")";
}

std::vector<std::string> LineageLines(const Json& lineage) {
  std::vector<std::string> lines;
  const auto add = [&lines](const std::string& what, const Json& fork) {
    const std::string lost = fork.at("lost");
    lines.push_back(
        what + (fork.at("since").is_null() ? "" : " since " + fork.at("since").get<std::string>()) +
        ", behind " + ShortSet(fork.at("behind").get<std::string>()) +
        (lost.empty() ? ", without a loss" : "; left behind: " + ShortSet(lost)));
  };
  for (const Json& fork : lineage.at("continues"))
    add(fork.at("source").get<std::string>() + " continues " +
            fork.at("continues").get<std::string>(),
        fork);
  for (const Json& fork : lineage.at("continued_by"))
    add("continued by " + fork.at("source").get<std::string>(), fork);
  return lines;
}

std::string Counted(uint64_t count, const std::string& what) {
  return FormatCount(count) + " " + what + (count == 1 ? "" : "s");
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string FormatCount(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

std::string FormatDuration(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<uint64_t>(seconds);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}h{:02}m", whole / 3600, whole % 3600 / 60);
}

std::string OperatorName() {
  const passwd* account = ::getpwuid(::getuid());
  return account != nullptr && account->pw_name != nullptr ? account->pw_name
                                                           : fmt::format("uid {}", ::getuid());
}

struct Progress::State {
  using Time = std::chrono::steady_clock;
  std::string what, unit;
  bool terminal = false;
  bool silent = false;
  bool printed = false;
  std::optional<uint64_t> first;  // what was done before we began
  Time::time_point begun = Time::now();
  Time::time_point last{};

  std::string Amount(uint64_t amount) const {
    return unit == "bytes" ? FormatBytes(amount) : FormatCount(amount) + " " + unit;
  }
};

Progress::Progress(const Context& context, std::string what, std::string unit)
    : state_(std::make_unique<State>()) {
  state_->what = std::move(what);
  state_->unit = std::move(unit);
  state_->terminal = ::isatty(STDERR_FILENO) != 0;
  state_->silent = context.json && !state_->terminal;
  state_->last = state_->begun;
}

Progress::~Progress() { Finish(); }

void Progress::Update(uint64_t done, uint64_t total) {
  const auto now = State::Time::now();
  if (!state_->first) state_->first = done;
  const auto pause =
      state_->terminal ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  if (state_->silent || now - state_->last < pause) return;
  state_->last = now;
  const double seconds = std::chrono::duration<double>(now - state_->begun).count();
  const double rate =
      static_cast<double>(done - std::min(done, *state_->first)) / std::max(seconds, 1e-3);
  const bool bytes = state_->unit == "bytes";
  std::string line =
      state_->what + ": " + (bytes || total == 0 ? state_->Amount(done) : FormatCount(done));
  if (total > 0)
    line += fmt::format(" of {} ({:.0f} %)", state_->Amount(total),
                        100.0 * static_cast<double>(done) / static_cast<double>(total));
  line += bytes ? fmt::format(", {}/s", FormatBytes(static_cast<uint64_t>(rate)))
                : fmt::format(", {:.{}f}/s", rate, rate < 10 ? 1 : 0);
  if (total > done && rate > 0)
    line += ", " + FormatDuration(static_cast<double>(total - done) / rate) + " left";
  if (state_->terminal)
    std::fprintf(stderr, "\r\x1b[K%s", line.c_str());
  else
    std::fprintf(stderr, "%s\n", line.c_str());
  std::fflush(stderr);
  state_->printed = true;
}

void Progress::Finish() {
  if (state_->printed && state_->terminal) std::fprintf(stderr, "\r\x1b[K");
  state_->printed = false;
}

}  // namespace tidemark::cli
