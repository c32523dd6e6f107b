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

void PrintPlan(const Plan& plan) {
  fmt::print("target          {}\n", plan.target.ToString());
  fmt::print("last included   {}\n",
             DescribeOptional(plan.boundary.last_included,
                              "none: the boundary is before the archive's first transaction"));
  fmt::print("first excluded  {}\n", DescribeOptional(plan.boundary.first_excluded,
                                                      "none: the boundary is the archive's end"));
  fmt::print("base has        {}\n", plan.base.empty() ? "nothing" : ShortSet(plan.base));
  fmt::print("to apply        {}{}\n",
             plan.to_apply.empty() ? "nothing" : Counted(plan.transactions, "transaction"),
             plan.to_apply.empty() ? "" : ": " + ShortSet(plan.to_apply));
  fmt::print("end set         {}\n", ShortSet(plan.end_set));
  fmt::print("to read         {}, {} of binlog\n", Counted(plan.segments.size(), "segment"),
             FormatBytes(plan.raw_bytes));
  for (const std::string& warning : plan.warnings) fmt::print("WARNING         {}\n", warning);
}

}  // namespace tidemark::cli
