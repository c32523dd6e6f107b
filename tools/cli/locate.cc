// pitr locate: a GTID, a time or a source position -> segment, frame, and the transactions around
// it.
#include <fmt/format.h>

#include "pitr/place.h"
#include "tools/cli/command.h"
#include "tools/cli/describe.h"

namespace tidemark::cli {
namespace {

struct Options {
  std::string gtid, time, position;
};

Result<Place> Parse(const Options& options) {
  if (!options.gtid.empty()) {
    TM_ASSIGN_OR_RETURN(Gtid gtid, Gtid::Parse(options.gtid));
    return Place(std::move(gtid));
  }
  if (!options.time.empty()) {
    TM_ASSIGN_OR_RETURN(const int64_t time_us, ParseTime(options.time));
    return Place(CommittedFrom{time_us});
  }
  const size_t colon = options.position.rfind(':');
  FilePosition at;
  if (colon == std::string::npos ||
      !CLI::detail::lexical_cast(options.position.substr(colon + 1), at.position))
    return Status(Code::kUsage, "'" + options.position + "' is not FILE:POSITION",
                  "for example binlog.000042:1234");
  at.file = options.position.substr(0, colon);
  return Place(std::move(at));
}

}  // namespace

void AddLocate(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "locate", "find a transaction by GTID, time or source position, with its neighbours");
  auto* group = command->add_option_group("what", "Exactly one of");
  group->add_option("--gtid", options->gtid, "this transaction")->type_name("GTID");
  group
      ->add_option("--time", options->time,
                   "the first transaction in archive order at or after this moment")
      ->type_name("TIME");
  group
      ->add_option("--position", options->position,
                   "the transaction at this place of the source's binlog")
      ->type_name("FILE:POSITION");
  group->require_option(1);
  command->callback([&context, action, options] {
    *action = [&context, options]() -> Status {
      TM_ASSIGN_OR_RETURN(const Place place, Parse(*options));
      TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
      TM_ASSIGN_OR_RETURN(const auto source, archive->OpenSource());
      TM_ASSIGN_OR_RETURN(const FoundPlace place_found, source->Locate(place));
      const Neighbourhood& around = place_found.around;
      if (context.json) {
        PrintJson(ToJson(around));
        return OkStatus();
      }
      const Located& found = around.found;
      Say("previous  {}\n", DescribeOptional(around.previous, "none: the archive begins here"));
      Say("found     {}\n", Describe(found));
      Say("next      {}\n", DescribeOptional(around.next, "none: the archive ends here"));
      Say("segment   {}\n", place_found.segment_path);
      Say("          frame {}, bytes {} to {} of its binlog\n", found.frame,
          found.transaction.begin_offset, found.transaction.end_offset);
      Say("source    {}:{}\n", found.source_file, found.source_begin);
      return OkStatus();
    };
  });
}

}  // namespace tidemark::cli
