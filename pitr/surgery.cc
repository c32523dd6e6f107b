#include "pitr/surgery.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace tidemark {
namespace {

constexpr size_t kIdentifierBytesMax = 64 * 4;  // 64 characters, utf8mb4
constexpr size_t kSetTextBytesMax = 200;

Status BadName(const std::string& text, const std::string& why) {
  return Status(Code::kUsage, "'" + text + "' " + why,
                "name it schema.table; a part with a '.' or '`' in it goes into backquotes");
}

// Takes one identifier off the front of `rest`: `quoted` or everything up to a '.'.
std::optional<std::string> TakeIdentifier(std::string_view* rest) {
  std::string name;
  if (!rest->starts_with('`')) {
    const size_t end = std::min(rest->find('.'), rest->size());
    name = rest->substr(0, end);
    rest->remove_prefix(end);
    return name.find('`') == std::string::npos ? std::optional(name) : std::nullopt;
  }
  for (size_t at = 1; at < rest->size(); ++at) {
    if ((*rest)[at] == '`') {
      if (at + 1 == rest->size() || (*rest)[at + 1] != '`') {
        rest->remove_prefix(at + 1);
        return name;
      }
      ++at;
    }
    name += (*rest)[at];
  }
  return std::nullopt;
}

// What no server has as a name, so that a typing error is not a filter that matches nothing.
bool IsName(const std::string& name) {
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  return !name.empty() && name.size() <= kIdentifierBytesMax && name.back() != ' ' &&
         std::none_of(name.begin(), name.end(), control);
}

std::string QuotedIdentifier(const std::string& name) {
  std::string quoted = "`";
  for (const char c : name) quoted.append(c == '`' ? 2 : 1, c);
  return quoted + "`";
}

std::string Readable(const TableName& name) {
  const auto part = [](const std::string& text) {
    return text.find_first_of(".` ,") == std::string::npos ? text : QuotedIdentifier(text);
  };
  return part(name.schema) + "." + part(name.table);
}

// A string literal with a pattern of rpl_filter.cc that matches `schema` as it is, then ".", then
// what `tables` matches. Each backslash is one for the pattern and one more for the literal.
std::string SchemaPattern(const std::string& schema, const std::string& tables) {
  std::string literal = "'";
  for (const char c : schema) {
    if (c == '_' || c == '%') literal += "\\\\";
    if (c == '\\') literal += "\\\\\\";
    if (c == '\'') literal += '\'';
    literal += c;
  }
  return literal + "." + tables + "'";
}

std::string TableRules(const std::vector<TableName>& tables) {
  std::string rules;
  for (const TableName& name : tables)
    rules += (rules.empty() ? "" : ",") + QuotedIdentifier(name.schema) + "." +
             QuotedIdentifier(name.table);
  return rules;
}

std::string SchemaRules(const Surgery& surgery) {
  std::vector<std::string> patterns;
  for (const std::string& schema : surgery.only_schemas)
    patterns.push_back(SchemaPattern(schema, "%"));
  // Matches no table, only what the server asks of CREATE, ALTER and DROP DATABASE.
  for (const TableName& name : surgery.only_tables)
    patterns.push_back(SchemaPattern(name.schema, ""));
  std::sort(patterns.begin(), patterns.end());
  patterns.erase(std::unique(patterns.begin(), patterns.end()), patterns.end());
  std::string rules;
  for (const std::string& pattern : patterns) rules += (rules.empty() ? "" : ",") + pattern;
  return rules;
}

std::string CountOf(uint64_t transactions) {
  return std::to_string(transactions) + (transactions == 1 ? " transaction" : " transactions");
}

std::string SetText(const GtidSet& set) {
  const std::string text = set.ToString();
  if (text.size() <= kSetTextBytesMax) return text;
  return text.substr(0, std::min(text.rfind(',', kSetTextBytesMax), kSetTextBytesMax)) + ",…";
}

}  // namespace

Result<TableName> ParseTableName(const std::string& text) {
  std::string_view rest = text;
  const auto schema = TakeIdentifier(&rest);
  if (!schema || !rest.starts_with('.')) return BadName(text, "names no schema and table");
  rest.remove_prefix(1);
  const auto table = TakeIdentifier(&rest);
  if (!table || !rest.empty()) return BadName(text, "names no schema and table");
  if (!IsName(*schema) || !IsName(*table)) return BadName(text, "can be no table's name");
  return TableName{*schema, *table};
}

Result<std::string> ParseSchemaName(const std::string& text) {
  std::string_view rest = text;
  const auto schema = TakeIdentifier(&rest);
  if (!schema || !rest.empty() || !IsName(*schema)) return BadName(text, "can be no schema's name");
  return *schema;
}

Status CheckSurgery(const Surgery& surgery) {
  const GtidSet both = surgery.skip.Intersection(surgery.leave_out);
  if (!both.empty())
    return Status(Code::kUsage, SetText(both) + " is to be skipped and to be left out",
                  "skipped transactions count as executed, left-out ones do not: choose one");
  for (const TableName& name : surgery.only_tables)
    if (std::find(surgery.without_tables.begin(), surgery.without_tables.end(), name) !=
        surgery.without_tables.end())
      return Status(Code::kUsage, Readable(name) + " is named to be written and not to be written",
                    "take it out of one of the lists");
  return OkStatus();
}

std::vector<std::string> DescribeSurgery(const Surgery& surgery) {
  std::vector<std::string> lines;
  if (!surgery.skip.empty())
    lines.push_back("skips " + CountOf(surgery.skip.Count()) +
                    " (executed as empty): " + SetText(surgery.skip));
  if (!surgery.leave_out.empty())
    lines.push_back("leaves out " + CountOf(surgery.leave_out.Count()) +
                    " (never executed): " + SetText(surgery.leave_out));
  std::string only, without;
  for (const std::string& schema : surgery.only_schemas)
    only += (only.empty() ? "" : ", ") + QuotedIdentifier(schema) + ".*";
  for (const TableName& name : surgery.only_tables)
    only += (only.empty() ? "" : ", ") + Readable(name);
  for (const TableName& name : surgery.without_tables)
    without += (without.empty() ? "" : ", ") + Readable(name);
  if (!only.empty()) lines.push_back("writes only " + only);
  if (!without.empty()) lines.push_back("does not write " + without);
  return lines;
}

// The server asks the rules in this order, and the first that matches decides: DO_TABLE,
// IGNORE_TABLE, WILD_DO_TABLE, WILD_IGNORE_TABLE; what matches none is written if there is no DO
// rule (rpl_filter.cc, tables_ok). CREATE, ALTER and DROP DATABASE look at the wild rules only,
// with an empty table name (db_ok_with_wild_table).
std::string FilterStatement(const Surgery& surgery, const std::string& channel) {
  if (!surgery.filters()) return {};
  std::string filters;
  const auto add = [&filters](const char* name, const std::string& rules) {
    if (!rules.empty()) filters += (filters.empty() ? " " : ", ") + (name + ("=(" + rules + ")"));
  };
  add("REPLICATE_DO_TABLE", TableRules(surgery.only_tables));
  add("REPLICATE_IGNORE_TABLE", TableRules(surgery.without_tables));
  add("REPLICATE_WILD_DO_TABLE", SchemaRules(surgery));
  return "CHANGE REPLICATION FILTER" + filters + " FOR CHANNEL '" + channel + "'";
}

}  // namespace tidemark
