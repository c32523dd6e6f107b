// pitr import: fills gaps from binlog files that turned up.
#include "pitr/import.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "replication/base/clock.h"
#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

struct Options {
  std::vector<std::string> paths;
  std::string server_uuid;
  bool allow_truncated = false;
  bool dry_run = false;
};

// Anything else may block for ever, or be another file at the next look.
Status CheckIsFile(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::symlink_status(path, error);
  const auto refuse = [&](const char* what, const char* hint) {
    return Status(Code::kUsage, path + " is " + what, hint);
  };
  switch (status.type()) {
    case std::filesystem::file_type::regular: return OkStatus();
    case std::filesystem::file_type::not_found:
      return Status(Code::kNotFound, path + " does not exist", "name binlog files");
    case std::filesystem::file_type::directory:
      return refuse("a directory", "name the binlog files in it");
    case std::filesystem::file_type::symlink:
      return refuse("a symbolic link", "name the file that it leads to");
    case std::filesystem::file_type::fifo:
      return refuse("a pipe", "save what comes out of it in a file: it is read more than once");
    default:
      return error ? Status(Code::kIo, "cannot look at " + path + ": " + error.message())
                   : refuse("no file", "name binlog files");
  }
}

// Files of another user's would stand between the daemon and its archive.
Status CheckIsOwner(const std::string& archive) {
  struct stat status {};
  if (::stat(archive.c_str(), &status) != 0 || status.st_uid == ::geteuid()) return OkStatus();
  return Status(Code::kUsage, archive + " belongs to another user",
                "import as the user that tidemarkd runs as");
}

Json FileJson(const ImportedFile& file) {
  const SurveyedFile& survey = file.survey;
  return {{"path", survey.path},
          {"source_file", survey.name},
          {"server_uuid", survey.server_uuid ? Json(survey.server_uuid->ToString()) : Json()},
          {"server_id", survey.server_id},
          {"transactions", survey.transactions},
          {"taken", file.taken.ToString()},
          {"already", survey.already.ToString()},
          {"passed", survey.passed.ToString()},
          {"truncated_at", survey.truncated ? Json(survey.whole_bytes) : Json()}};
}

Json ReportJson(const ImportReport& report, bool dry_run) {
  Json files = Json::array(), gaps = Json::array();
  for (const ImportedFile& file : report.files) files.push_back(FileJson(file));
  for (const GapRecord& gap : report.remaining) gaps.push_back(ToJson(gap));
  return {{"source", report.source},
          {"dry_run", dry_run},
          {"files", std::move(files)},
          {"imported", report.taken.ToString()},
          {"transactions", report.taken.Count()},
          {"segments", report.segments},
          {"gaps", std::move(gaps)},
          {"warnings", report.warnings}};
}

void PrintReport(const ImportReport& report, bool dry_run) {
  for (const ImportedFile& file : report.files) {
    const SurveyedFile& survey = file.survey;
    Say("{}: {} taken, {} there already{}\n", survey.path,
        Counted(file.taken.Count(), "transaction"), FormatCount(survey.already.Count()),
        survey.truncated ? fmt::format(", cut off behind {}", survey.whole_bytes) : "");
    if (!file.taken.empty())
      Say("  written by {} (server_id {})\n", survey.server_uuid->ToString(), survey.server_id);
  }
  if (report.taken.empty())
    Say("\nnothing to import: {}\n", report.remaining.empty()
                                         ? "no transaction is missing"
                                         : "none of the files holds what is missing");
  else
    Say("\n{}: {} in {}\n", dry_run ? "would be imported" : "imported", ShortSet(report.taken),
        Counted(report.segments, "segment"));
  for (const GapRecord& gap : report.remaining)
    Say("gap remains: {}: {}\n", ShortSet(gap.missing), gap.reason);
  if (report.remaining.empty() && !report.taken.empty()) Say("no gap remains\n");
}

Status Run(const Context& context, const Options& options) {
  ImportRequest request;
  request.paths = options.paths;
  request.dry_run = options.dry_run;
  request.survey.allow_truncated = options.allow_truncated;
  if (!options.server_uuid.empty()) {
    TM_ASSIGN_OR_RETURN(request.survey.server_uuid, Uuid::Parse(options.server_uuid));
  }
  for (const std::string& path : options.paths) TM_RETURN_IF_ERROR(CheckIsFile(path));
  TM_ASSIGN_OR_RETURN(const std::string archive, context.ArchivePath());
  if (!options.dry_run) TM_RETURN_IF_ERROR(CheckIsOwner(archive));

  static constexpr const char* kSteps[] = {"reading", "planning", "writing", "indexing"};
  std::optional<Progress> progress;
  ImportStep step{};
  request.progress = [&](ImportStep now, uint64_t done, uint64_t total) {
    if (!progress || now != step)
      progress.emplace(context, kSteps[static_cast<size_t>(now)], "bytes");
    step = now;
    progress->Update(done, total);
    return !Interrupted();
  };
  Result<ImportReport> report =
      ImportBinlogs(PosixFileSystem(), SystemClock(), archive, context.source, request);
  progress.reset();
  if (!report.ok()) return report.error();
  for (const std::string& warning : report->warnings)
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  if (context.json)
    PrintJson(ReportJson(*report, options.dry_run));
  else
    PrintReport(*report, options.dry_run);
  return OkStatus();
}

}  // namespace

void AddImport(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "import",
      "fill gaps from binlog files: what is missing is taken from them, checked to fit, what is "
      "there already is compared. On the archive's files, while tidemarkd does not run, as the "
      "user that it runs as");
  command->add_option("FILE", options->paths, "binlog files, in any order")->required();
  command
      ->add_option("--server-uuid", options->server_uuid,
                   "the server that wrote them, if the archive cannot tell by its server_id and by "
                   "what it committed")
      ->type_name("UUID");
  command->add_flag("--allow-truncated", options->allow_truncated,
                    "of a file that is cut off, take the whole transactions");
  command->add_flag("--dry-run", options->dry_run,
                    "only say what would be imported; also beside a running tidemarkd");
  command->callback([&context, action, options] {
    *action = [&context, options] { return Run(context, *options); };
  });
}

}  // namespace tidemark::cli
