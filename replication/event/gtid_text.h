// Cuts MySQL's text form of GTIDs and GTID sets into its tokens. Internal to gtid.cc and
// gtid_set.cc.
//
// Does not own the text. Never allocates by what the text says, except a tag of at most
// kGtidTagBytesMax. Facts: sql/rpl_gtid_set.cc (Gtid_set::add_gtid_text),
// libs/mysql/gtid/{uuid,tag}.cpp. Stricter than the server in one place: it reads numbers with C's
// base prefixes, so that 010 is eight; here a leading zero is refused, since whoever wrote it
// hardly meant that.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "replication/base/status.h"
#include "replication/event/gtid.h"

namespace tidemark {

class GtidText {
 public:
  // `what` names the grammar in error messages: "GTID", "GTID set", "UUID".
  GtidText(std::string_view text, const char* what) : text_(text), what_(what) {}

  void SkipBlanks();
  bool AtEnd() const { return position_ == text_.size(); }
  bool Consume(char wanted);  // skips blanks, then takes `wanted` if it is next
  // Each of these skips blanks first and takes nothing if the token is not there.
  std::optional<Uuid> TakeUuid();
  std::optional<std::string> TakeTag();  // folded to lower case; refuses over-long ones
  std::optional<int64_t> TakeNumber();   // 0 .. kGnoMax; refuses overflow and leading zeros
  // kUsage: what was expected, where, and a short printable piece of what stands there.
  Status Expected(const std::string& token) const;

 private:
  char Peek() const { return AtEnd() ? '\0' : text_[position_]; }

  std::string_view text_;
  const char* what_;
  size_t position_ = 0;
};

// The rule for tags, for decoders that take them from bytes: 1 to 32 of [a-z_][a-z0-9_]*, lower
// case only.
bool IsCanonicalTag(std::string_view tag);

}  // namespace tidemark
