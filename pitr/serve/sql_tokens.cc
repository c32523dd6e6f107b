#include "pitr/serve/sql_tokens.h"

#include <algorithm>

namespace tidemark {
namespace {

using Kind = SqlToken::Kind;

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameCharacter(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
         static_cast<uint8_t>(c) >= 0x80;
}
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return Lower(x) == Lower(y); });
}

bool SqlToken::IsWord(std::string_view keyword) const {
  return kind == Kind::kWord && EqualIgnoringCase(text, keyword);
}

SqlToken SqlLexer::Next() {
  SqlToken token;
  const bool terminated = SkipSpace();
  token.begin = at_;
  if (!terminated) {
    token.kind = Kind::kBad;
  } else if (at_ == sql_.size()) {
    token.kind = in_conditional_ ? Kind::kBad : Kind::kEnd;
  } else if (const char c = sql_[at_]; c == '\'' || c == '"' || c == '`') {
    token.kind = Quoted(c, &token.text);
  } else if (IsNameCharacter(c)) {
    token.kind = Word(&token.text);
  } else {
    token.kind = Kind::kSymbol;
    if (At(":=")) ++at_;
    token.text = sql_[at_++];
  }
  token.end = at_;
  if (token.kind == Kind::kBad) at_ = sql_.size();
  return token;
}

bool SqlLexer::SkipSpace() {
  while (at_ < sql_.size()) {
    if (IsSpace(sql_[at_])) {
      ++at_;
    } else if (At("#") || (At("--") && (at_ + 2 == sql_.size() || IsSpace(sql_[at_ + 2])))) {
      SkipLine();
    } else if (At("/*")) {
      if (!SkipComment()) return false;
    } else if (in_conditional_ && At("*/")) {
      in_conditional_ = false;
      at_ += 2;
    } else {
      break;
    }
  }
  return true;
}

bool SqlLexer::SkipComment() {
  at_ += 2;
  if (At("!") && !in_conditional_) {
    in_conditional_ = true;
    ++at_;
    while (at_ < sql_.size() && IsDigit(sql_[at_])) ++at_;
    return true;
  }
  const size_t close = sql_.find("*/", at_);
  at_ = close == std::string_view::npos ? sql_.size() : close + 2;
  return close != std::string_view::npos;
}

void SqlLexer::SkipLine() { at_ = std::min(sql_.find('\n', at_), sql_.size()); }

Kind SqlLexer::Quoted(char quote, std::string* text) {
  ++at_;
  while (at_ < sql_.size()) {
    const char c = sql_[at_++];
    if (c == quote) {
      if (at_ == sql_.size() || sql_[at_] != quote) {
        return quote == '`' ? Kind::kQuotedName : Kind::kString;
      }
      text->push_back(sql_[at_++]);  // a doubled quote is one
    } else if (c == '\\' && quote != '`' && at_ < sql_.size()) {
      Escaped(text);
    } else {
      text->push_back(c);
    }
  }
  return Kind::kBad;
}

// \% and \_ stay two characters: they mean something to LIKE only.
void SqlLexer::Escaped(std::string* text) {
  const char c = sql_[at_++];
  switch (c) {
    case '0': text->push_back('\0'); break;
    case 'b': text->push_back('\b'); break;
    case 'n': text->push_back('\n'); break;
    case 'r': text->push_back('\r'); break;
    case 't': text->push_back('\t'); break;
    case 'Z': text->push_back('\x1A'); break;
    case '%':
    case '_': text->append({'\\', c}); break;
    default: text->push_back(c);
  }
}

Kind SqlLexer::Word(std::string* text) {
  if (At("$$")) return Kind::kBad;  // `mysql` asks whether this begins a quotation, as in 9.x
  const size_t begin = at_;
  bool digits_only = true;
  for (; at_ < sql_.size() && IsNameCharacter(sql_[at_]); ++at_) {
    digits_only = digits_only && IsDigit(sql_[at_]);
  }
  if (digits_only && At(".")) {
    ++at_;
    while (at_ < sql_.size() && IsDigit(sql_[at_])) ++at_;
  }
  *text = sql_.substr(begin, at_ - begin);
  return digits_only ? Kind::kNumber : Kind::kWord;
}

}  // namespace tidemark
