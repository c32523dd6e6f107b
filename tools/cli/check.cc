// pitr check: is this source fit to be archived? Every finding at once.
#include <fmt/format.h>

#include <algorithm>

#include "replication/source/preflight.h"
#include "tools/cli/command.h"
#include "tools/cli/connection_flags.h"
#include "tools/daemon_config.h"

namespace tidemark::cli {
namespace {

struct Options {
  std::string config;
  ConnectionFlags connection;
  uint32_t server_id = 0;
};

// The archive's own view of the source, if there is one: it tells gaps and divergence.
void AddArchive(const std::string& path, const std::string& source, PreflightOptions* options) {
  Result<std::unique_ptr<ArchiveView>> view = ArchiveView::Open(PosixFileSystem(), path, source);
  if (!view.ok() || (*view)->segments().empty()) return;
  options->resume_set = (*view)->ComputeCoverage().end;
  Result<SourceIdentity> identity = (*view)->archive().ReadIdentity((*view)->source());
  if (identity.ok()) options->our_uuid = identity->replica_uuid;
}

Result<PreflightReport> Check(const Context& context, const Options& options) {
  if (context.server.on_command_line())
    return Status(Code::kUsage, "check asks the MySQL source itself, from here",
                  "leave --server out");
  ConnectionOptions connection;
  PreflightOptions preflight;
  preflight.server_id = options.server_id;
  if (options.config.empty()) {
    TM_ASSIGN_OR_RETURN(connection, options.connection.Parse());
    if (const Result<std::string> path = context.ArchivePath(); path.ok())
      AddArchive(*path, context.source, &preflight);
  } else {
    TM_ASSIGN_OR_RETURN(DaemonConfig config, LoadDaemonConfig(options.config));
    const SourceConfig* source = context.source.empty() && config.sources.size() == 1
                                     ? &config.sources[0]
                                     : config.Find(context.source);
    if (source == nullptr)
      return Status(Code::kUsage, options.config + " has no source '" + context.source + "'",
                    "use --source NAME");
    connection = source->connection;
    if (preflight.server_id == 0) preflight.server_id = source->archiver.server_id;
    AddArchive(config.archive, source->archiver.source, &preflight);
  }
  TM_ASSIGN_OR_RETURN(auto link, Connection::Open(connection));
  return CheckSource(*link, preflight);
}

Json ReportJson(const PreflightReport& report) {
  Json findings = Json::array();
  for (const Finding& finding : report.findings) {
    Json json = {{"check", finding.check},
                 {"severity", SeverityName(finding.severity)},
                 {"message", finding.message},
                 {"hint", finding.hint}};
    if (!finding.gtids.empty()) json["gtids"] = finding.gtids.ToString();
    findings.push_back(std::move(json));
  }
  Json json = {{"fit", report.fit()}, {"findings", std::move(findings)}};
  if (report.facts) {
    json["server_uuid"] = report.facts->server_uuid.ToString();
    json["server_version"] = report.facts->version;
  }
  return json;
}

Status Run(const Context& context, const Options& options) {
  TM_ASSIGN_OR_RETURN(PreflightReport report, Check(context, options));
  if (context.json) return PrintJsonWith(ReportJson(report), report.ToStatus());
  // What is wrong comes last, where a terminal shows it.
  std::stable_sort(report.findings.begin(), report.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity < b.severity; });
  for (const Finding& finding : report.findings) {
    Say("{:<8} {:<31} {}\n", SeverityName(finding.severity), finding.check, finding.message);
    if (finding.severity != Severity::kOk && !finding.hint.empty())
      Say("{:<8} {:<31} hint: {}\n", "", "", finding.hint);
  }
  Say("{}\n",
      report.fit() ? "this source is fit to be archived" : "this source is NOT fit to be archived");
  return report.ToStatus();
}

}  // namespace

void AddCheck(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("check", "is a MySQL source fit to be archived?");
  command->add_option("--config", options->config, "take the source from tidemarkd's configuration")
      ->type_name("FILE");
  command->add_option("--server-id", options->server_id, "the server_id the daemon will use");
  options->connection.AddTo(*command);
  command->callback([&context, action, options] {
    *action = [&context, options] { return Run(context, *options); };
  });
}

}  // namespace tidemark::cli
