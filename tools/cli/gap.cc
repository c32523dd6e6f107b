// pitr gap list: what is missing, and who knows of it. pitr gap ack: somebody does.
#include <fmt/format.h>

#include "replication/base/clock.h"
#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

struct Options {
  std::string gtids, reason, by;
};

Json CoverageJson(const std::string& source, const Coverage& coverage) {
  const Json all = ToJson(coverage);
  Json json = {{"source", source}};
  for (const char* member : {"gaps", "acknowledged", "acknowledgements", "acknowledgements_error"})
    json[member] = all.at(member);
  return json;
}

void PrintGaps(const Coverage& coverage) {
  if (coverage.gaps.empty()) Say("no gap\n");
  for (const GapRecord& gap : coverage.gaps) {
    Say("gap               {}: {}\n", ShortSet(gap.missing),
        Counted(gap.missing.Count(), "transaction"));
    Say("  noticed         {}: {}\n", FormatTime(gap.noticed_us), gap.reason);
    for (const GapAcknowledgement& one : coverage.acknowledgements) {
      const GtidSet known = one.gtids.Intersection(gap.missing);
      if (known.empty()) continue;
      Say("  acknowledged    {} by {}: {}{}\n", FormatTime(one.note.at_us), one.note.by,
          one.note.reason, known == gap.missing ? "" : " (" + ShortSet(known) + ")");
    }
    const GtidSet unknown = gap.missing.Minus(coverage.acknowledged);
    if (!unknown.empty()) Say("  UNACKNOWLEDGED  {}\n", ShortSet(unknown));
  }
}

// It is no error of the gaps that nobody knows what was acknowledged, but it must be heard.
Status Outcome(const Coverage& coverage) {
  if (coverage.acknowledgements_error.empty()) return OkStatus();
  return Status(Code::kCorruption, coverage.acknowledgements_error,
                "until it is put right, every gap counts as unacknowledged");
}

Status Print(const Context& context, Json json, const Coverage& coverage) {
  if (context.json) return PrintJsonWith(std::move(json), Outcome(coverage));
  PrintGaps(coverage);
  return Outcome(coverage);
}

Status List(const Context& context) {
  TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
  TM_ASSIGN_OR_RETURN(const auto source, archive->OpenSource());
  TM_ASSIGN_OR_RETURN(const Coverage coverage, source->ReadCoverage());
  return Print(context, CoverageJson(source->source(), coverage), coverage);
}

Status Acknowledge(const Context& context, const Options& options) {
  GapAcknowledgement gaps;
  TM_ASSIGN_OR_RETURN(gaps.gtids, GtidSet::Parse(options.gtids));
  gaps.note = {options.by, SystemClock().WallMicroseconds(), options.reason};
  TM_RETURN_IF_ERROR(CheckOperatorNote(gaps.note));
  TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
  TM_ASSIGN_OR_RETURN(const auto source, archive->OpenSource());
  TM_ASSIGN_OR_RETURN(const Acknowledged acknowledged, source->AcknowledgeGaps(gaps));
  Json json = CoverageJson(source->source(), acknowledged.coverage);
  json["added"] = acknowledged.added.ToString();
  if (!context.json)
    Say("{}\n\n", acknowledged.added.empty()
                      ? "all of it was acknowledged already: nothing has changed"
                      : "acknowledged: " + ShortSet(acknowledged.added));
  return Print(context, std::move(json), acknowledged.coverage);
}

}  // namespace

void AddGap(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  options->by = OperatorName();
  auto* command = app.add_subcommand("gap", "transactions that are missing for good");
  command->require_subcommand(1);
  auto* list = command->add_subcommand("list", "what is missing, and who has acknowledged it");
  list->callback([&context, action] { *action = [&context] { return List(context); }; });
  auto* ack = command->add_subcommand(
      "ack",
      "say that gaps are known, by naming what is missing: they are no reason for an alarm any "
      "more; a restore that needs them is refused as before. On the archive's files: as the user "
      "that tidemarkd runs as");
  ack->add_option("GTID_SET", options->gtids, "transactions that are in gaps")->required();
  ack->add_option("--reason", options->reason, "why that is all right, in one line")
      ->type_name("TEXT")
      ->required();
  ack->add_option("--by", options->by, "who says so, if not the account you are in")
      ->type_name("NAME");
  ack->callback([&context, action, options] {
    *action = [&context, options] { return Acknowledge(context, *options); };
  });
}

}  // namespace tidemark::cli
