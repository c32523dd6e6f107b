// pitr locate: a GTID, a time or a source position -> segment, frame, and the transactions around
// it.
#include <fmt/format.h>

#include "pitr/locator.h"
#include "tools/cli/command.h"
#include "tools/cli/describe.h"

namespace tidemark::cli {
namespace {

struct Options {
  std::string gtid, time, position;
};

Result<Neighbourhood> Around(Locator& locator, Located found) {
  Neighbourhood around;
  TM_ASSIGN_OR_RETURN(around.previous, locator.Previous(found));
  TM_ASSIGN_OR_RETURN(around.next, locator.Next(found));
  around.found = std::move(found);
  return around;
}

Result<Neighbourhood> Find(Locator& locator, const Options& options) {
  if (!options.gtid.empty()) {
    TM_ASSIGN_OR_RETURN(Gtid gtid, Gtid::Parse(options.gtid));
    return locator.FindGtidWithNeighbours(gtid);
  }
  std::optional<Located> found;
  if (!options.time.empty()) {
    TM_ASSIGN_OR_RETURN(int64_t time_us, ParseTime(options.time));
    TM_ASSIGN_OR_RETURN(found, locator.FindFirstPast(time_us - 1));
    if (!found)
      return Status(Code::kNotFound,
                    "nothing in the archive was committed at or after " + options.time,
                    "pitr status shows up to when the archive reaches");
  } else {
    const size_t colon = options.position.rfind(':');
    uint64_t position = 0;
    if (colon == std::string::npos ||
        !CLI::detail::lexical_cast(options.position.substr(colon + 1), position))
      return Status(Code::kUsage, "'" + options.position + "' is not FILE:POSITION",
                    "for example binlog.000042:1234");
    TM_ASSIGN_OR_RETURN(found, locator.FindPosition(options.position.substr(0, colon), position));
    if (!found)
      return Status(Code::kNotFound, "the archive has no transaction at " + options.position,
                    "pitr segments lists the source files");
  }
  return Around(locator, std::move(*found));
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
      TM_ASSIGN_OR_RETURN(auto view, context.OpenView());
      Locator locator(*view);
      TM_ASSIGN_OR_RETURN(Neighbourhood around, Find(locator, *options));
      TM_RETURN_IF_ERROR(locator.ReadDetails(&around.found));
      if (context.json) {
        PrintJson(ToJson(around));
        return OkStatus();
      }
      const Located& found = around.found;
      fmt::print("previous  {}\n",
                 DescribeOptional(around.previous, "none: the archive begins here"));
      fmt::print("found     {}\n", Describe(found));
      fmt::print("next      {}\n", DescribeOptional(around.next, "none: the archive ends here"));
      fmt::print("segment   {}\n", view->archive().SegmentPath(view->source(), found.segment));
      fmt::print("          frame {}, bytes {} to {} of its binlog\n", found.frame,
                 found.transaction.begin_offset, found.transaction.end_offset);
      fmt::print("source    {}:{}\n", found.source_file, found.source_begin);
      return OkStatus();
    };
  });
}

}  // namespace tidemark::cli
