#include "pitr/serve/served_variables.h"

#include <algorithm>

#include "pitr/serve/sql_tokens.h"

namespace tidemark {
namespace {

// Not here, because they would be claims about the archived source that nobody needs to hear from
// us: binlog_format, binlog_row_image, innodb_…. rpl_semi_sync_source_enabled must not be here: its
// absence (error 1193) is how a replica learns that it need not acknowledge anything.
constexpr ServedVariable kVariables[] = {
    {"binlog_checksum", false,
     [](const ServedFacts& facts) { return std::string(facts.checksums ? "CRC32" : "NONE"); }},
    // Both: no transaction without a GTID is ever archived.
    {"enforce_gtid_consistency", false, [](const ServedFacts&) { return std::string("ON"); }},
    {"gtid_executed", false, [](const ServedFacts& facts) { return facts.gtid_executed; }},
    {"gtid_mode", false, [](const ServedFacts&) { return std::string("ON"); }},
    {"gtid_owned", false, [](const ServedFacts&) { return std::string(); }},
    {"gtid_purged", false, [](const ServedFacts& facts) { return facts.gtid_purged; }},
    {"log_bin", true, [](const ServedFacts&) { return std::string("ON"); }},
    {"max_allowed_packet", false,
     [](const ServedFacts&) { return std::to_string(kCommandPacketBytesMax); }},
    {"read_only", true, [](const ServedFacts&) { return std::string("ON"); }},
    {"server_id", false, [](const ServedFacts& facts) { return std::to_string(facts.server_id); }},
    {"server_uuid", false, [](const ServedFacts& facts) { return facts.server_uuid.ToString(); }},
    {"super_read_only", true, [](const ServedFacts&) { return std::string("ON"); }},
    // Nothing is served before it is durable.
    {"sync_binlog", false, [](const ServedFacts&) { return std::string("1"); }},
    {"version", false, [](const ServedFacts& facts) { return facts.server_version; }},
    {"version_comment", false,
     [](const ServedFacts& facts) {
       return "Tidemark's archive of source '" + facts.source + "'";
     }},
};

}  // namespace

std::string ServedVariable::Selected(const ServedFacts& facts) const {
  const std::string value = shown(facts);
  return is_switch ? std::to_string(value == "ON" ? 1 : 0) : value;
}

std::span<const ServedVariable> ServedVariables() { return kVariables; }

const ServedVariable* FindServedVariable(std::string_view name) {
  const auto* found = std::find_if(
      std::begin(kVariables), std::end(kVariables),
      [&](const ServedVariable& variable) { return EqualIgnoringCase(variable.name, name); });
  return found == std::end(kVariables) ? nullptr : found;
}

// Goes back to the last % only, so that no pattern takes longer than text times pattern.
bool MatchesLike(std::string_view text, std::string_view pattern) {
  size_t at = 0;
  size_t in_pattern = 0;
  size_t after_percent = std::string_view::npos;
  size_t resume_at = 0;
  while (true) {
    if (in_pattern < pattern.size() && pattern[in_pattern] == '%') {
      after_percent = ++in_pattern;
      resume_at = at;
      continue;
    }
    if (at == text.size() && in_pattern == pattern.size()) return true;
    if (at < text.size() && in_pattern < pattern.size()) {
      const bool any = pattern[in_pattern] == '_';
      const bool escaped = pattern[in_pattern] == '\\' && in_pattern + 1 < pattern.size();
      const size_t plain = in_pattern + (escaped ? 1 : 0);
      if (any || EqualIgnoringCase(text.substr(at, 1), pattern.substr(plain, 1))) {
        ++at;
        in_pattern = plain + 1;
        continue;
      }
    }
    if (after_percent == std::string_view::npos || resume_at == text.size()) return false;
    at = ++resume_at;
    in_pattern = after_percent;
  }
}

}  // namespace tidemark
