// The words of an SQL statement, one at a time: as much of MySQL's lexical rules as statements of a
// replica, of mysqlbinlog and of connectors need. Pure; memory is one token whatever the statement.
// The statement's text must outlive the lexer.
// Source of facts: MySQL reference manual, "Language Structure"; MySQL 9.7 sql/sql_lex.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tidemark {

struct SqlToken {
  enum class Kind : uint8_t {
    kEnd,
    kWord,        // a keyword or name, as it stands there
    kQuotedName,  // `name`, unquoted: never a keyword
    kNumber,      // unsigned, integer or decimal
    kString,      // 'text' or "text", unquoted
    kSymbol,      // one character; := is given as =
    kBad,         // an unterminated string or comment, or $$: nothing follows
  };
  Kind kind = Kind::kEnd;
  std::string text;
  size_t begin = 0;  // where it stands in the statement
  size_t end = 0;

  bool Is(char symbol) const { return kind == Kind::kSymbol && text[0] == symbol; }
  bool IsWord(std::string_view keyword) const;  // in any letter case
};

// ASCII only, as keywords and variable names are.
bool EqualIgnoringCase(std::string_view a, std::string_view b);

class SqlLexer {
 public:
  explicit SqlLexer(std::string_view sql) : sql_(sql) {}
  SqlToken Next();

 private:
  bool At(std::string_view text) const { return sql_.substr(at_, text.size()) == text; }
  bool SkipSpace();    // and comments; false: one is not terminated
  bool SkipComment();  // "/*…*/"; of "/*!NNNNN …*/" only the marks
  void SkipLine();
  SqlToken::Kind Quoted(char quote, std::string* text);
  void Escaped(std::string* text);
  SqlToken::Kind Word(std::string* text);

  std::string_view sql_;
  size_t at_ = 0;
  bool in_conditional_ = false;  // inside "/*! …", which servers execute
};

}  // namespace tidemark
