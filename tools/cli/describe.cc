#include "tools/cli/describe.h"

#include <fmt/format.h>

#include "pitr/target.h"
#include "tools/cli/command.h"

namespace tidemark::cli {
namespace {

constexpr size_t kTablesShown = 4;
constexpr uint64_t kSizeShownBytesMin = 1 << 20;

std::string TouchText(const TableTouch& touch) {
  std::string text = touch.schema + "." + touch.table;
  if (touch.inserted > 0) text += fmt::format(" +{}", touch.inserted);
  if (touch.updated > 0) text += fmt::format(" ~{}", touch.updated);
  if (touch.deleted > 0) text += fmt::format(" -{}", touch.deleted);
  return text;
}

std::string WhatItDid(const Transaction& transaction) {
  if (transaction.kind == TransactionKind::kDdl) return transaction.ddl_statement.substr(0, 100);
  if (transaction.kind == TransactionKind::kXaEnd) return "ends a prepared XA transaction";
  std::string text = transaction.ddl_statement.substr(0, 100);  // of CREATE TABLE … SELECT
  if (!text.empty() && !transaction.tables.empty()) text += ": ";
  for (size_t i = 0; i < transaction.tables.size() && i < kTablesShown; ++i)
    text += (i == 0 ? "" : ", ") + TouchText(transaction.tables[i]);
  const uint64_t more = transaction.tables.size() + transaction.tables_omitted;
  if (more > kTablesShown) text += fmt::format(" and {} more tables", more - kTablesShown);
  if (text.empty())
    text = transaction.kind == TransactionKind::kEmpty ? "empty" : FormatBytes(transaction.size());
  if (transaction.size() >= kSizeShownBytesMin && !transaction.tables.empty())
    text += " (" + FormatBytes(transaction.size()) + ")";
  if (transaction.kind == TransactionKind::kXaPrepare) text = "XA PREPARE: " + text;
  return text;
}

}  // namespace

std::string Describe(const Located& located) {
  std::string did = WhatItDid(located.transaction);
  for (char& c : did)
    if (c == '\n' || c == '\r' || c == '\t') c = ' ';
  return fmt::format("{}  {}  {}", located.transaction.gtid.ToString(),
                     FormatTime(located.transaction.immediate_commit_us), did);
}

std::string DescribeOptional(const std::optional<Located>& located, const std::string& if_none) {
  return located ? Describe(*located) : if_none;
}

namespace {

std::string DescribeBase(const PreparedRestore& prepared) {
  const BaseBackup& base = prepared.base;
  const std::string set = prepared.plan.base.empty() ? "nothing" : ShortSet(prepared.plan.base);
  if (!prepared.loads_base || base.path.empty()) return "has " + set;
  return fmt::format("{} ({}{}), has {}", base.path, FormatBytes(base.text_bytes),
                     base.compressed ? " uncompressed" : "", set);
}

std::string DescribeRate(const Rate& rate) {
  return fmt::format("{}/s {}", FormatBytes(static_cast<uint64_t>(rate.bytes_per_second)),
                     rate.measured_us == 0
                         ? "on the reference machine"
                         : "measured here " + FormatTime(rate.measured_us).substr(0, 10));
}

// "about WHOLE: a + b + c", of which there is always one; what is nothing is not told.
class Sum {
 public:
  void Add(bool is_something, const std::string& what) {
    if (is_something) parts_ += (parts_.empty() ? "" : " + ") + what;
  }
  void Print(const char* name, const std::string& about, const std::string& tail = {}) const {
    Say("{:<15} {}{}{}{}\n", name, about, parts_.empty() ? "" : ": ", parts_, tail);
  }

 private:
  std::string parts_;
};

void PrintTime(const TimeEstimate& time, bool goes_on) {
  Sum sum;
  sum.Add(time.provision_seconds > 0, "server " + FormatDuration(time.provision_seconds));
  sum.Add(time.load_seconds > 0, fmt::format("loading {} ({})", FormatDuration(time.load_seconds),
                                             DescribeRate(time.load)));
  sum.Add(time.apply_seconds > 0,
          fmt::format("applying {} ({}, {})", FormatDuration(time.apply_seconds),
                      ApplierKindName(time.applier), DescribeRate(time.apply)));
  sum.Print("time", (goes_on ? "at most " : "about ") + FormatDuration(time.seconds()));
}

void PrintDisk(const DiskEstimate& disk) {
  Sum sum;
  const auto add = [&sum](const char* what, uint64_t bytes) {
    sum.Add(bytes > 0, std::string(what) + " " + FormatBytes(bytes));
  };
  add("dump", disk.dump_bytes);
  add("changes", disk.raw_bytes);
  add("relay log", disk.relay_log_bytes);
  add("the target's binlog", disk.binlog_bytes);
  add("server", disk.fixed_bytes);
  sum.Print("disk", "about " + FormatBytes(disk.bytes()),
            disk.free_bytes ? "; " + FormatBytes(*disk.free_bytes) + " free" : "");
}

void PrintPlan(const PlanReport& report) {
  const Plan& plan = report.prepared.plan;
  if (!plan.lineage.empty()) Say("source          {}\n", plan.source);
  for (const std::string& line : LineageLines(ToJson(plan.lineage)))
    Say("lineage         {}\n", line);
  Say("target          {}\n", plan.target.ToString());
  Say("last included   {}\n",
      DescribeOptional(plan.boundary.last_included,
                       "none: the boundary is before the archive's first transaction"));
  Say("first excluded  {}\n",
      DescribeOptional(plan.boundary.first_excluded, "none: the boundary is the archive's end"));
  Say("base            {}\n", DescribeBase(report.prepared));
  Say("to apply        {}{}\n",
      plan.to_apply.empty() ? "nothing" : Counted(plan.transactions, "transaction"),
      plan.to_apply.empty() ? "" : ": " + ShortSet(plan.to_apply));
  for (const std::string& line : DescribeSurgery(plan.surgery)) Say("surgery         {}\n", line);
  Say("end set         {}\n", ShortSet(plan.end_set));
  Say("to read         {}, {} of binlog\n", Counted(plan.segments.size(), "segment"),
      FormatBytes(plan.raw_bytes));
  const bool goes_on = report.prepared.found && !report.prepared.loads_base;
  if (report.prepared.finished) {
    Say("done            this restore is finished: it would touch nothing\n");
  } else {
    PrintTime(report.time, goes_on);
    PrintDisk(report.prepared.disk);
    if (report.prepared.found)
      Say("goes on         {}\n",
          goes_on ? "from where an earlier run ended" : "in the directory of an earlier run, anew");
  }
  for (const std::string& warning : plan.warnings) Say("WARNING         {}\n", warning);
  for (const Status& blocker : report.prepared.blockers)
    Say("BLOCKER         {}\n", blocker.message());
}

Json ReportToJson(const PlanReport& report) {
  Json json = ToJson(report.prepared.plan);
  json["eta"] = ToJson(report.time);
  json["disk"] = ToJson(report.prepared.disk);
  Json blockers = Json::array();
  for (const Status& blocker : report.prepared.blockers) blockers.push_back(ToJson(blocker));
  json["blockers"] = std::move(blockers);
  return json;
}

}  // namespace

PlanReport MakePlanReport(PreparedRestore prepared, bool provision, ApplierKind applier) {
  PlanReport report;
  Plan& plan = prepared.plan;
  plan.warnings.insert(plan.warnings.begin(), prepared.warnings.begin(), prepared.warnings.end());
  report.time = EstimateTime(plan, prepared.loads_base ? &prepared.base : nullptr, provision,
                             applier, LoadRates(PosixFileSystem(), RatesPath()));
  report.prepared = std::move(prepared);
  return report;
}

Status PrintPlanReport(const PlanReport& report, bool json) {
  const std::vector<Status>& blockers = report.prepared.blockers;
  Status outcome;
  if (!blockers.empty()) {
    std::string others;
    if (blockers.size() > 1) others = fmt::format(" (and {} more)", blockers.size() - 1);
    outcome =
        Status(Code::kTargetRefused, blockers.front().message() + others, blockers.front().hint());
  }
  if (json) return PrintJsonWith(ReportToJson(report), std::move(outcome));
  PrintPlan(report);
  return outcome;
}

}  // namespace tidemark::cli
