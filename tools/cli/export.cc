// pitr export: the archive's events as the source wrote them: a range as one binlog stream, or one
// source file whole.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "pitr/event_stream.h"
#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

struct Options {
  std::string source_file, output, exclude, only;
  TargetFlags target;
};

// Standard output, or a new file that appears under its name only when it is complete and durable.
class Output {
 public:
  Status Open(const std::string& path) {
    path_ = path;
    if (path_.empty()) {
      if (::isatty(STDOUT_FILENO) != 0)
        return Status(Code::kUsage, "a binlog is not for the terminal",
                      "use --output FILE, or pipe it: pitr export … | mysqlbinlog -");
      return OkStatus();
    }
    if (PosixFileSystem().Exists(path_))
      return Status(Code::kUsage, path_ + " exists already", "name a new file");
    const std::string partial = path_ + ".partial";
    if (PosixFileSystem().Exists(partial)) TM_RETURN_IF_ERROR(PosixFileSystem().Remove(partial));
    TM_ASSIGN_OR_RETURN(file_, PosixFileSystem().Open(partial, OpenMode::kCreateNew));
    return OkStatus();
  }
  Status Write(Bytes bytes) {
    if (Interrupted()) return Status(Code::kInterrupted, "interrupted");
    if (file_ != nullptr) return file_->Append(bytes);
    while (!bytes.empty()) {
      const ssize_t put = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0)
        return Status(errno == ENOSPC || errno == EDQUOT ? Code::kDiskFull : Code::kIo,
                      std::string("cannot write to standard output: ") + std::strerror(errno));
      bytes = bytes.subspan(static_cast<size_t>(put));
    }
    return OkStatus();
  }
  Status Finish(const Status& status) {
    if (file_ == nullptr) return status;
    const std::string partial = path_ + ".partial";
    if (!status.ok()) {
      file_.reset();
      (void)PosixFileSystem().Remove(partial);
      return status;
    }
    if (Status synced = file_->DataSync(); !synced.ok()) {
      (void)PosixFileSystem().Remove(partial);
      return synced;
    }
    TM_RETURN_IF_ERROR(PosixFileSystem().Rename(partial, path_));
    const size_t slash = path_.rfind('/');
    return PosixFileSystem().SyncDirectory(slash == std::string::npos ? "."
                                           : slash == 0               ? "/"
                                                                      : path_.substr(0, slash));
  }

 private:
  std::string path_;
  std::unique_ptr<File> file_;
};

Status WriteRange(const Context& context, const Options& options, ArchiveView& view,
                  Output& output) {
  TM_ASSIGN_OR_RETURN(Target target, options.target.Parse());
  Locator locator(view);
  TM_ASSIGN_OR_RETURN(Boundary boundary, locator.Resolve(target));
  StreamRange range;
  TM_ASSIGN_OR_RETURN(range.exclude, GtidSet::Parse(options.exclude));
  TM_ASSIGN_OR_RETURN(range.include, GtidSet::Parse(options.only));
  range.stop_before = boundary.first_excluded;
  StreamProgress done;
  Progress progress(context, "export", "bytes");
  return EventStream(view).WriteRange(
      range,
      [&](Bytes bytes) {
        progress.Update(done.raw_bytes_given, 0);
        return output.Write(bytes);
      },
      &done);
}

Status Run(const Context& context, const Options& options) {
  TM_ASSIGN_OR_RETURN(auto view, context.OpenView());
  Output output;
  TM_RETURN_IF_ERROR(output.Open(options.output));
  if (options.source_file.empty())
    return output.Finish(WriteRange(context, options, *view, output));
  bool complete = false;
  Status status = EventStream(*view).WriteSourceFile(
      options.source_file, [&](Bytes bytes) { return output.Write(bytes); }, &complete);
  TM_RETURN_IF_ERROR(output.Finish(status));
  if (!complete)
    fmt::print(stderr,
               "note: {} is archived up to now, but its end (Rotate or Stop) has not come yet\n",
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
