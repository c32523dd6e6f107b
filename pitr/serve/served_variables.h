// The system variables that a served source has: what replicas, Tidemark's own archiver and
// connectors ask for, and only where the answer is true of an archive. Pure, constant.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "pitr/serve/statements.h"

namespace tidemark {

struct ServedVariable {
  std::string_view name;
  bool is_switch;  // "ON" and "OFF" in SHOW VARIABLES are 1 and 0 in SELECT
  std::string (*shown)(const ServedFacts& facts);

  std::string Selected(const ServedFacts& facts) const;
};

std::span<const ServedVariable> ServedVariables();                // by name
const ServedVariable* FindServedVariable(std::string_view name);  // in any letter case; may be null

// SQL's LIKE on names: in any letter case, % for anything, _ for one character, \ before a plain
// one.
bool MatchesLike(std::string_view text, std::string_view pattern);

}  // namespace tidemark
