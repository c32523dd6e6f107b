// pitr rescue: the transactions that the archive has and a server lost: lists them, writes them as
// a binlog, brings them back.
#include "pitr/restore/rescue.h"

#include <fmt/format.h>

#include <vector>

#include "pitr/restore/process.h"
#include "pitr/restore/running_target.h"
#include "tools/cli/command.h"
#include "tools/cli/connection_flags.h"
#include "tools/cli/describe.h"
#include "tools/cli/event_output.h"

namespace tidemark::cli {
namespace {

struct Options {
  std::string missing_on, executed, output;
  ConnectionFlags login;
  std::string mysql = "mysql", mysqlbinlog = "mysqlbinlog";
  bool apply = false, accept_conflicts = false;
  CLI::Option* executed_option = nullptr;
  size_t limit = 1000;
};

struct Listing {
  std::vector<Transaction> transactions;  // the first ones
  uint64_t count = 0;
  GtidSet made_anew;
  Status compared;  // an error: made_anew is not known. OK without a server, too
};

Result<GtidSet> ExecutedOnServer(const Options& options) {
  if (options.missing_on.empty()) return GtidSet::Parse(options.executed);
  TM_ASSIGN_OR_RETURN(const ConnectionOptions server, options.login.ParseFor(options.missing_on));
  TM_ASSIGN_OR_RETURN(const auto connection, Connection::Open(server));
  return ReadGtidExecuted(*connection);
}

// Lists them, and writes them if that is asked for.
Status Read(const Context& context, const Options& options, SourceAccess& source,
            const Rescue& rescue, Listing* listing) {
  EventOutput output;
  EventStream::Sink sink;
  if (!options.output.empty()) {
    TM_RETURN_IF_ERROR(output.Open(options.output));
    sink = [&](Bytes bytes) { return output.Write(bytes); };
  }
  Progress progress(context, "read", "transactions");
  const uint64_t total = rescue.missing.Count();
  Status read = ReadRescued(
      source, rescue, rescue.missing,
      [&](const Transaction& transaction) {
        if (listing->count++ < options.limit) listing->transactions.push_back(transaction);
        progress.Update(listing->count, total);
        return !Interrupted();
      },
      sink);
  if (read.ok() && listing->count < total)
    read = Interrupted() ? Status(Code::kInterrupted, "interrupted")
                         : Status(Code::kCorruption,
                                  fmt::format("the archive gives only {} of {} transactions",
                                              listing->count, total),
                                  "pitr verify tells what is damaged");
  progress.Finish();
  return options.output.empty() ? read : output.Finish(read);
}

// What was committed on top of what is missing, or is missing below it, nobody but a person can
// weigh.
Status CheckConflicts(const Options& options, const Rescue& rescue) {
  if (rescue.missing.empty() || options.accept_conflicts) return OkStatus();
  if (!rescue.newer.empty())
    return Status(Code::kDivergence,
                  fmt::format("{} has newer transactions ({}): where they changed the same rows, "
                              "what is brought back would overwrite them",
                              options.missing_on, ShortSet(rescue.newer)),
                  "nothing was applied. MySQL finds a row by its key and compares nothing else. "
                  "Look at what both changed (--output FILE writes what is missing); "
                  "--accept-conflicts brings it back all the same");
  if (!rescue.out_of_reach.empty())
    return Status(Code::kGap,
                  fmt::format("{} is on neither, and what is missing may rest on it",
                              ShortSet(rescue.out_of_reach)),
                  "nothing was applied. If its binlog files turn up, pitr import fills the gap; "
                  "--accept-conflicts brings back what there is all the same");
  return OkStatus();
}

// Whether what is missing belongs on that server at all.
Status Compare(const Options& options, SourceAccess& source, const Rescue& rescue,
               Listing* listing) {
  if (options.missing_on.empty()) return OkStatus();
  TM_ASSIGN_OR_RETURN(const ConnectionOptions server, options.login.ParseFor(options.missing_on));
  Result<GtidSet> made_anew = MadeAnew(source, rescue, server);
  if (made_anew.ok())
    listing->made_anew = std::move(*made_anew);
  else
    listing->compared = made_anew.error();
  if (!options.apply) return OkStatus();
  if (!listing->compared.ok())
    return Status(listing->compared).WithContext("cannot compare what both have");
  if (listing->made_anew.empty()) return CheckConflicts(options, rescue);
  return Status(
      Code::kDivergence,
      fmt::format("{} has another transaction {} than the archive: it lost more than what "
                  "is missing, and was written to since under the same GTIDs",
                  options.missing_on, listing->made_anew.ToString()),
      "nothing was applied. `pitr restore` brings another server to the archive's end; "
      "what this one has made anew is in its own binary log");
}

Status Apply(const Context& context, const Options& options, SourceAccess& source,
             const Rescue& rescue) {
  RescueTarget target;
  TM_ASSIGN_OR_RETURN(target.connection, options.login.ParseFor(options.missing_on));
  TM_ASSIGN_OR_RETURN(target.tools.mysql, FindProgram(options.mysql));
  TM_ASSIGN_OR_RETURN(target.tools.mysqlbinlog, FindProgram(options.mysqlbinlog));
  Progress progress(context, "apply", "transactions");
  return ApplyRescue(PosixFileSystem(), source, rescue, target, [&](const ApplyProgress& now) {
    progress.Update(now.transactions_done, now.transactions);
    return !Interrupted();
  });
}

Json EntryJson(const Transaction& transaction) {
  Json json = {{"gtid", transaction.gtid.ToString()}};
  AddTime(&json, "commit_time", transaction.immediate_commit_us);
  json["kind"] = TransactionKindName(transaction.kind);
  json["bytes"] = transaction.size();
  json["schema"] = transaction.ddl_schema;
  json["statement"] = transaction.ddl_statement;
  json["tables"] = Json::array();
  for (const TableTouch& table : transaction.tables) json["tables"].push_back(ToJson(table));
  json["tables_omitted"] = transaction.tables_omitted;
  return json;
}

Json ReportJson(const Options& options, const Rescue& rescue, const Listing& listing,
                bool applied) {
  Json entries = Json::array();
  for (const Transaction& transaction : listing.transactions)
    entries.push_back(EntryJson(transaction));
  return {{"source", rescue.source},
          {"server", options.missing_on.empty() ? Json() : Json(options.missing_on)},
          {"missing", rescue.missing.ToString()},
          {"transactions", rescue.missing.Count()},
          {"entries", std::move(entries)},
          {"truncated", listing.transactions.size() < listing.count},
          {"out_of_reach", rescue.out_of_reach.ToString()},
          {"own", rescue.own.ToString()},
          {"newer", rescue.newer.ToString()},
          {"made_anew", listing.made_anew.ToString()},
          {"compared", !options.missing_on.empty() && listing.compared.ok()},
          {"output", options.output.empty() ? Json() : Json(options.output)},
          {"applied", applied}};
}

void Print(const Options& options, const Rescue& rescue, const Listing& listing, bool applied) {
  const std::string server = options.missing_on.empty() ? "that server" : options.missing_on;
  for (const Transaction& transaction : listing.transactions) {
    Located located;
    located.transaction = transaction;
    Say("{}\n", Describe(located));
  }
  if (listing.transactions.size() < listing.count)
    Say("(and {} more: raise --limit)\n", FormatCount(listing.count - listing.transactions.size()));
  if (rescue.missing.empty())
    Say("nothing to rescue: {} has {} of {}\n", server,
        listing.made_anew.empty() ? "all that is archived" : "the GTIDs of all that is archived",
        rescue.source);
  else
    Say("missing       {}: {}\n", Counted(rescue.missing.Count(), "transaction"),
        ShortSet(rescue.missing));
  if (!rescue.out_of_reach.empty())
    Say("WARNING       {} is on neither: not in the archive, and not on {}\n",
        ShortSet(rescue.out_of_reach), server);
  if (!listing.made_anew.empty())
    Say("WARNING       {} has another transaction {} than the archive: it lost more than these, "
        "and was written to since under the same GTIDs. They do not belong on it\n",
        server, ShortSet(listing.made_anew));
  if (!listing.compared.ok())
    Say("WARNING       what both have could not be compared: {}\n", listing.compared.message());
  if (!rescue.newer.empty())
    Say("WARNING       {} has newer transactions ({}): rows that they changed, too, {}\n", server,
        ShortSet(rescue.newer),
        applied ? "have the older values now, and other ones in a restore of the archive"
                : "would get the older values");
  if (!options.output.empty() && !rescue.missing.empty()) Say("written       {}\n", options.output);
  if (applied) Say("applied       all of them: {} has them now\n", server);
}

Status Check(const Context& context, const Options& options) {
  if (options.missing_on.empty() == (options.executed_option->count() == 0))
    return Status(Code::kUsage, "which transactions are missing?",
                  "name the server (--missing-on HOST:PORT) or what it has (--executed SET)");
  if (options.apply && options.missing_on.empty())
    return Status(Code::kUsage, "--apply needs a server", "--missing-on HOST:PORT");
  if (options.output == "-" && (context.json || options.apply))
    return Status(Code::kUsage, "standard output is the binlog's, and nothing else's",
                  "use --output FILE");
  return OkStatus();
}

Status Run(const Context& context, const Options& options) {
  TM_RETURN_IF_ERROR(Check(context, options));
  TM_ASSIGN_OR_RETURN(const auto archive, context.OpenArchive());
  TM_ASSIGN_OR_RETURN(const auto source, archive->OpenSource());
  TM_ASSIGN_OR_RETURN(const GtidSet executed, ExecutedOnServer(options));
  TM_ASSIGN_OR_RETURN(const Rescue rescue, PlanRescue(*source, executed));
  Listing listing;
  const bool any = !rescue.missing.empty();
  if (any) TM_RETURN_IF_ERROR(Read(context, options, *source, rescue, &listing));
  Status applied = Compare(options, *source, rescue, &listing);
  if (any && options.apply && applied.ok()) applied = Apply(context, options, *source, rescue);
  const bool done = any && options.apply && applied.ok();
  if (options.output == "-") return applied;
  if (context.json) return PrintJsonWith(ReportJson(options, rescue, listing, done), applied);
  Print(options, rescue, listing, done);
  return applied;
}

}  // namespace

void AddRescue(CLI::App& app, Context& context, Action* action) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand(
      "rescue", "transactions that the archive has and a server lost: list them, bring them back");
  command
      ->add_option("--missing-on", options->missing_on,
                   "the server that lost them: HOST, HOST:PORT or its socket")
      ->type_name("SERVER");
  options->executed_option =
      command
          ->add_option("--executed", options->executed,
                       "instead: what a server has, its @@GLOBAL.gtid_executed")
          ->type_name("SET");
  command
      ->add_option("--output", options->output,
                   "write them as a binlog to this new file; -: to standard output")
      ->type_name("FILE");
  command->add_flag("--apply", options->apply,
                    "bring them back: mysqlbinlog | mysql, under their own GTIDs");
  command
      ->add_flag("--accept-conflicts", options->accept_conflicts,
                 "also where the server has newer transactions, whose changes may be overwritten, "
                 "or where a gap is below")
      ->needs("--apply");
  command->add_option("--limit", options->limit, "list at most so many")->capture_default_str();
  options->login.AddLoginTo(*command);
  command->add_option("--mysql", options->mysql, "the mysql client to use")->capture_default_str();
  command->add_option("--mysqlbinlog", options->mysqlbinlog, "the mysqlbinlog to use")
      ->capture_default_str();
  command->callback([&context, action, options] {
    *action = [&context, options] { return Run(context, *options); };
  });
}

}  // namespace tidemark::cli
