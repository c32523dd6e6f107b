// pitr export: the archive's events as the source wrote them: a range as one binlog stream, or one
// source file whole.
#include <fmt/format.h>

#include "tools/cli/command.h"
#include "tools/cli/event_output.h"

namespace tidemark::cli {
namespace {

struct Options {
  std::string source_file, output, exclude, only;
  TargetFlags target;
};

Status WriteRange(const Context& context, const Options& options, SourceAccess& source,
                  EventOutput& output) {
  TM_ASSIGN_OR_RETURN(const Target target, options.target.Parse());
  TM_ASSIGN_OR_RETURN(const GtidSet exclude, GtidSet::Parse(options.exclude));
  TM_ASSIGN_OR_RETURN(const GtidSet only, GtidSet::Parse(options.only));
  TM_ASSIGN_OR_RETURN(const Boundary boundary, source.Resolve(target));
  StreamProgress done;
  Progress progress(context, "export", "bytes");
  return source.WriteEvents(
      boundary, exclude, only,
      [&](Bytes bytes) {
        progress.Update(done.raw_bytes_given, 0);
        return output.Write(bytes);
      },
      &done);
}

Status Run(const Context& context, const Options& options) {
  TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
  TM_ASSIGN_OR_RETURN(const auto source, archive->OpenSource());
  EventOutput output;
  TM_RETURN_IF_ERROR(output.Open(options.output));
  if (options.source_file.empty())
    return output.Finish(WriteRange(context, options, *source, output));
  bool complete = false;
  Status status = source->WriteSourceFile(
      options.source_file, [&](Bytes bytes) { return output.Write(bytes); }, &complete);
  TM_RETURN_IF_ERROR(output.Finish(status));
  if (!complete)
    SayError("note: {} is archived up to now, but its end (Rotate or Stop) has not come yet\n",
             options.source_file);
  return OkStatus();
}

}  // namespace

void AddExport(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "export", "events as the source wrote them, as a binlog that mysqlbinlog reads");
  auto* what = command->add_option_group("range", "One source file, or everything up to a target");
  what->add_option("--source-file", options->source_file, "exactly this file of the source")
      ->type_name("FILE");
  options->target.AddOptions(*what);
  what->require_option(1);
  command->add_option("--exclude", options->exclude, "leave these transactions out")
      ->type_name("SET");
  command->add_option("--only", options->only, "only these transactions")->type_name("SET");
  command->add_option("--output", options->output, "new file to write; default: standard output")
      ->type_name("FILE");
  command->callback([&context, action, options] {
    *action = [&context, options] { return Run(context, *options); };
  });
}

}  // namespace tidemark::cli
