#include "replication/event/query_event.h"

#include <array>

namespace tidemark {
namespace {

constexpr std::array<std::string_view, 20> kDdlWords = {
    "ALTER",   "ANALYZE", "CHANGE",   "CREATE",   "DROP",      "FLUSH",  "GRANT",
    "IMPORT",  "INSTALL", "LOCK",     "OPTIMIZE", "RENAME",    "REPAIR", "RESET",
    "RESTART", "REVOKE",  "SHUTDOWN", "TRUNCATE", "UNINSTALL", "UNLOCK",
};

char Upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
bool IsBlank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool IsWordCharacter(char c) {
  return (Upper(c) >= 'A' && Upper(c) <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

void SkipThrough(std::string_view* text, std::string_view end) {
  const size_t at = text->find(end);
  text->remove_prefix(at == std::string_view::npos ? text->size() : at + end.size());
}

// Blanks and comments. The inside of /*! … */ and /*+ … */ is not skipped: the server executes the
// former.
void SkipBlanks(std::string_view* text) {
  while (!text->empty()) {
    if (IsBlank(text->front()) || text->front() == ';') {
      text->remove_prefix(1);
    } else if (text->starts_with("/*!")) {
      text->remove_prefix(3);
      while (!text->empty() && text->front() >= '0' && text->front() <= '9') text->remove_prefix(1);
    } else if (text->starts_with("*/")) {
      text->remove_prefix(2);
    } else if (text->starts_with("/*")) {
      text->remove_prefix(2);
      SkipThrough(text, "*/");
    } else if (text->starts_with("#") || text->starts_with("-- ") || text->starts_with("--\n")) {
      SkipThrough(text, "\n");
    } else {
      return;
    }
  }
}

// The next word in capitals, as far as 16 characters; empty if no word follows.
struct Word {
  std::array<char, 16> characters{};
  size_t size = 0;
  std::string_view text() const { return {characters.data(), size}; }
};

Word TakeWord(std::string_view* text) {
  SkipBlanks(text);
  Word word;
  while (!text->empty() && IsWordCharacter(text->front())) {
    if (word.size < word.characters.size()) word.characters[word.size++] = Upper(text->front());
    text->remove_prefix(1);
  }
  return word;
}

StatementKind ClassifyXa(std::string_view rest) {
  const Word verb = TakeWord(&rest);
  if (verb.text() == "START" || verb.text() == "BEGIN") return StatementKind::kXaStart;
  if (verb.text() == "END") return StatementKind::kXaEnd;
  if (verb.text() == "PREPARE") return StatementKind::kXaPrepare;
  if (verb.text() == "COMMIT") return StatementKind::kXaCommit;
  if (verb.text() == "ROLLBACK") return StatementKind::kXaRollback;
  return StatementKind::kOther;
}

}  // namespace

bool ParseQueryEvent(Bytes body, QueryEvent* out) {
  ByteReader reader(body);
  out->thread_id = reader.U32();
  out->execution_seconds = reader.U32();
  const uint8_t schema_size = reader.U8();
  out->error_code = reader.U16();
  const uint16_t status_size = reader.U16();
  reader.Skip(status_size);
  out->schema = AsText(reader.Take(schema_size));
  reader.Skip(1);  // the schema's terminating zero
  if (!reader.ok()) return false;
  out->statement = AsText(reader.Rest());
  return true;
}

StatementKind ClassifyStatement(std::string_view statement) {
  if (statement == "BEGIN") return StatementKind::kBegin;  // by far the most frequent
  const Word first = TakeWord(&statement);
  const std::string_view word = first.text();
  if (word == "BEGIN") return StatementKind::kBegin;
  if (word == "COMMIT") return StatementKind::kCommit;
  if (word == "XA") return ClassifyXa(statement);
  if (word == "SAVEPOINT" || word == "RELEASE") return StatementKind::kSavepoint;
  if (word == "ROLLBACK") {
    Word next = TakeWord(&statement);
    if (next.text() == "WORK") next = TakeWord(&statement);
    return next.text() == "TO" ? StatementKind::kSavepoint : StatementKind::kRollback;
  }
  for (std::string_view ddl : kDdlWords) {
    if (word == ddl) return StatementKind::kDdl;
  }
  return StatementKind::kOther;
}

}  // namespace tidemark
