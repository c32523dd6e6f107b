#include "pitr/restore/dump_lexer.h"

#include <algorithm>
#include <utility>

#include "pitr/restore/dump_text.h"

namespace tidemark {
namespace {

constexpr size_t kDelimiterBytesMax = 16;
constexpr size_t kLookAhead = 64;  // enough for "DELIMITER " and the longest delimiter

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

// "--" begins a comment only before a blank or the end (manual, "Comments").
bool IsDashComment(std::string_view rest) {
  return rest.starts_with("--") && (rest.size() == 2 || IsBlank(rest[2]));
}

bool IsPlainBlockComment(std::string_view rest) {
  return rest.starts_with("/*") && !rest.starts_with("/*!");
}

}  // namespace

bool DumpLexer::Feed(std::string_view text) {
  if (enough_) return false;
  const std::string joined = std::exchange(carry_, {}).append(text);
  Run(joined, false);
  return !enough_;
}

bool DumpLexer::Finish() {
  const std::string rest = std::exchange(carry_, {});
  Run(rest, true);
  if (!enough_ && state_ != State::kBetween) Emit(state_ == State::kLineComment);
  return !enough_;
}

void DumpLexer::Run(std::string_view text, bool last) {
  const size_t reserve = last ? 0 : kLookAhead;
  size_t at = 0;
  while (!enough_ && at < text.size() && text.size() - at > reserve) {
    const size_t used = Step(text.substr(at));
    line_ += static_cast<uint64_t>(std::count(text.begin() + at, text.begin() + at + used, '\n'));
    const char before = text[at + used - 1];
    at_line_start_ = before == '\n' || (at_line_start_ && IsBlank(before));
    at += used;
  }
  if (!enough_) carry_ = text.substr(at);
}

// Uses up at least one byte.
size_t DumpLexer::Step(std::string_view rest) {
  switch (state_) {
    case State::kBetween: return StepBetween(rest);
    case State::kStatement: return StepStatement(rest);
    case State::kString: {
      const char ends[] = {quote_, '\\', '\0'};
      const size_t special = rest.find_first_of(ends, 0, quote_ == '`' ? 1 : 2);
      if (special == std::string_view::npos) return Keep(rest), rest.size();
      size_t used = special + 1;
      if (rest[special] == quote_) {
        state_ = State::kStatement;
      } else if (used < rest.size()) {
        ++used;  // what is escaped
      } else if (special > 0) {
        used = special;  // what is escaped comes with the next piece
      }
      return Keep(rest.substr(0, used)), used;
    }
    case State::kInnerLine:
    case State::kLineComment: {
      const size_t end = rest.find('\n');
      const size_t used = end == std::string_view::npos ? rest.size() : end + 1;
      Keep(rest.substr(0, end));
      if (end == std::string_view::npos) return used;
      if (state_ == State::kLineComment)
        Emit(true);
      else
        Keep("\n"), state_ = State::kStatement;
      return used;
    }
    case State::kInnerBlock:
    case State::kBlockComment: {
      const size_t end = rest.find("*/");
      if (end == std::string_view::npos) {
        const size_t used =
            rest.size() > 1 ? rest.size() - 1 : 1;  // the last byte may be half of the end
        return Keep(rest.substr(0, used)), used;
      }
      Keep(rest.substr(0, end));
      if (state_ == State::kBlockComment)
        Emit(true);
      else
        Keep("*/"), state_ = State::kStatement;
      return end + 2;
    }
  }
  return 1;
}

size_t DumpLexer::StepBetween(std::string_view rest) {
  if (IsBlank(rest[0])) return 1;
  if (IsDashComment(rest)) return Begin(DumpItemKind::kLineComment, State::kLineComment), 2;
  if (rest[0] == '#') return Begin(DumpItemKind::kLineComment, State::kLineComment), 1;
  if (IsPlainBlockComment(rest)) return Begin(DumpItemKind::kBlockComment, State::kBlockComment), 2;
  if (at_line_start_ && StartsWithWord(rest, "DELIMITER")) return StepDelimiterLine(rest);
  if (rest.starts_with(delimiter_)) return delimiter_.size();
  Begin(DumpItemKind::kStatement, State::kStatement);
  return StepStatement(rest);
}

size_t DumpLexer::StepDelimiterLine(std::string_view rest) {
  rest =
      rest.substr(0, kLookAhead);  // as much as there is for certain, wherever the pieces were cut
  const size_t first =
      std::min(rest.find_first_not_of(" \t", sizeof("DELIMITER") - 1), rest.size());
  const size_t end = std::min(rest.find_first_of(" \t\r\n", first), rest.size());
  if (end > first) delimiter_ = rest.substr(first, std::min(end - first, kDelimiterBytesMax));
  return end;
}

size_t DumpLexer::StepStatement(std::string_view rest) {
  if (rest.starts_with(delimiter_)) return Emit(true), delimiter_.size();
  const char c = rest[0];
  if (c == '\'' || c == '"' || c == '`') {
    quote_ = c;
    state_ = State::kString;
    return Keep(rest.substr(0, 1)), 1;
  }
  if (IsDashComment(rest) || c == '#') {
    state_ = State::kInnerLine;
    return Keep(rest.substr(0, 1)), 1;
  }
  if (IsPlainBlockComment(rest)) {
    state_ = State::kInnerBlock;
    return Keep(rest.substr(0, 2)), 2;
  }
  // Plain text up to the next byte that may mean something.
  const char specials[] = {'\'', '"', '`', '#', '-', '/', delimiter_[0]};
  const size_t used = std::min(rest.find_first_of({specials, sizeof specials}, 1), rest.size());
  return Keep(rest.substr(0, used)), used;
}

void DumpLexer::Begin(DumpItemKind kind, State state) {
  item_ = DumpItem{kind, {}, true, false, line_};
  candidate_ = false;
  state_ = state;
}

void DumpLexer::Keep(std::string_view text) {
  while (!text.empty()) {
    const size_t limit = candidate_ ? kDumpItemBytesMax : kDumpHeadBytesMax;
    const size_t taken = std::min(text.size(), limit - std::min(limit, item_.text.size()));
    item_.text.append(text.substr(0, taken));
    text.remove_prefix(taken);
    if (text.empty()) return;
    if (candidate_ || item_.shortened || !ContainsWord(item_.text, "GTID_PURGED")) {
      item_.shortened = true;
      return;
    }
    candidate_ = true;
  }
}

void DumpLexer::Emit(bool complete) {
  item_.complete = complete;
  state_ = State::kBetween;
  if (!on_item_(item_)) enough_ = true;
}

}  // namespace tidemark
