#include "pitr/restore/dump_coordinate.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "pitr/restore/dump_text.h"

namespace tidemark {
namespace {

// Reads the few tokens that these statements are made of.
class SqlText {
 public:
  explicit SqlText(std::string_view text) : rest_(text) {}

  void SkipBlanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t\r\n"), rest_.size()));
  }
  bool AtEnd() const { return rest_.empty(); }
  bool Word(std::string_view upper_case) {
    SkipBlanks();
    if (!StartsWithWord(rest_, upper_case)) return false;
    rest_.remove_prefix(upper_case.size());
    return true;
  }
  bool Symbol(std::string_view symbol) {
    SkipBlanks();
    if (!rest_.starts_with(symbol)) return false;
    rest_.remove_prefix(symbol.size());
    return true;
  }
  // "/*!80000" and "*/": code on every server that we meet.
  bool VersionComment() {
    if (Symbol("*/")) {
      in_version_comment_ = false;
      return true;
    }
    if (!Symbol("/*!")) return false;
    in_version_comment_ = true;
    rest_.remove_prefix(std::min(rest_.find_first_not_of("0123456789"), rest_.size()));
    return true;
  }
  bool in_version_comment() const { return in_version_comment_; }
  // Appends the literal's text; nullopt if there is none here, false if it does not end.
  std::optional<bool> Literal(std::string* out) {
    SkipBlanks();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) return std::nullopt;
    const char quote = rest_[0];
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == quote) {
        rest_.remove_prefix(i + 1);
        return true;
      }
      if (rest_[i] == '\\' && i + 1 < rest_.size()) ++i;
      out->push_back(rest_[i]);
    }
    return false;
  }
  std::optional<uint64_t> Number() {
    SkipBlanks();
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (error != std::errc()) return std::nullopt;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return value;
  }

 private:
  std::string_view rest_;
  bool in_version_comment_ = false;
};

bool TablesBegin(std::string_view statement) {
  for (const char* word : {"CREATE", "DROP", "INSERT", "REPLACE", "LOCK", "USE", "LOAD"})
    if (StartsWithWord(statement, word)) return !ContainsWord(statement.substr(0, 64), "USER");
  return false;
}

Status Bad(const std::string& what) { return Status(Code::kBadBackup, what); }

}  // namespace

Result<std::optional<GtidSet>> ParseGtidPurged(std::string_view text) {
  SqlText sql(text);
  if (!sql.Word("SET")) return std::optional<GtidSet>();
  if (!(sql.Symbol("@@") && sql.Word("GLOBAL") && sql.Symbol(".")) && !sql.Word("GLOBAL"))
    return std::optional<GtidSet>();
  if (!sql.Word("GTID_PURGED")) return std::optional<GtidSet>();
  if (!sql.Symbol("=") && !sql.Symbol(":="))
    return Bad("the GTID_PURGED statement assigns nothing");
  std::string value;
  bool has_value = false;
  while (true) {
    if (sql.VersionComment()) continue;
    const std::optional<bool> literal = sql.Literal(&value);
    if (!literal) break;
    if (!*literal) return Bad("the GTID_PURGED statement is cut off before its closing quote");
    has_value = true;
  }
  // "/* SET …=/*!80000 '+'*/ 'SET';*/": for MySQL the comment ends behind the '+', and so it does
  // for us. Half a statement is no empty set.
  if (sql.in_version_comment())
    return Bad(
        "the GTID_PURGED statement is cut apart: it was put into a comment that ends inside it");
  sql.SkipBlanks();
  if (!has_value || (!sql.AtEnd() && !sql.Symbol(";")))
    return Bad("the GTID_PURGED statement is not one that mysqldump writes");
  std::string_view set = value;
  if (set.starts_with('+')) set.remove_prefix(1);
  Result<GtidSet> parsed = GtidSet::Parse(set);
  if (!parsed.ok())
    return Bad("the GTID_PURGED statement has no valid set: " + parsed.error().message());
  return std::optional<GtidSet>(std::move(*parsed));
}

Result<std::optional<DumpPosition>> ParseChangeSource(std::string_view text) {
  SqlText sql(text);
  if (!sql.Word("CHANGE")) return std::optional<DumpPosition>();
  if (!sql.Word("MASTER") && !(sql.Word("REPLICATION") && sql.Word("SOURCE")))
    return std::optional<DumpPosition>();
  if (!sql.Word("TO")) return std::optional<DumpPosition>();
  DumpPosition position;
  do {
    if (sql.Word("MASTER_LOG_FILE") || sql.Word("SOURCE_LOG_FILE")) {
      position.file.clear();
      if (!sql.Symbol("=") || !sql.Literal(&position.file).value_or(false)) break;
    } else if (sql.Word("MASTER_LOG_POS") || sql.Word("SOURCE_LOG_POS")) {
      const std::optional<uint64_t> number = sql.Symbol("=") ? sql.Number() : std::nullopt;
      if (!number) break;
      position.position = *number;
    } else {
      std::string ignored;  // --include-source-host-port: SOURCE_HOST='…', SOURCE_PORT=…
      if (!sql.Word("MASTER_HOST") && !sql.Word("SOURCE_HOST") && !sql.Word("MASTER_PORT") &&
          !sql.Word("SOURCE_PORT"))
        break;
      if (!sql.Symbol("=") || (!sql.Literal(&ignored) && !sql.Number())) break;
    }
  } while (sql.Symbol(","));
  if (position.file.empty() || position.position == 0)
    return Bad("the statement with the binary log's position is not one that mysqldump writes");
  return std::optional<DumpPosition>(std::move(position));
}

bool DumpCoordinate::Take(const DumpItem& item) {
  if (item.kind == DumpItemKind::kLineComment) {
    TakeCommentLine(item);
    return status_.ok();
  }
  FlushCommentLines();
  if (item.kind == DumpItemKind::kBlockComment) {
    TakeComment(item.text, item.line);
    return status_.ok();
  }
  TakeStatement(item);
  if (!status_.ok()) return false;
  return !(gtid_set() && TablesBegin(item.text));
}

void DumpCoordinate::Finish() { FlushCommentLines(); }

void DumpCoordinate::TakeStatement(const DumpItem& item) {
  if (!status_.ok()) return;
  if (item.shortened && ContainsWord(item.text, "GTID_PURGED")) {
    if (ParseGtidPurged(item.text).ok()) return;  // not such a statement, only one that mentions it
    status_ =
        Bad("line " + std::to_string(item.line) + ": the GTID_PURGED statement has more than " +
            std::to_string(kDumpItemBytesMax) + " bytes");
    return;
  }
  SetGtids(ParseGtidPurged(item.text), &active_, item.line);
  SetPosition(ParseChangeSource(item.text), true, item.line);
}

void DumpCoordinate::TakeComment(std::string_view text, uint64_t line) {
  if (!status_.ok()) return;
  SetGtids(ParseGtidPurged(text), &commented_, line);
  SetPosition(ParseChangeSource(text), false, line);
}

void DumpCoordinate::TakeCommentLine(const DumpItem& item) {
  std::string_view text = item.text;
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  if (text.starts_with("MySQL dump")) is_mysqldump_ = true;
  if (text.starts_with("MariaDB dump")) is_mariadb_ = true;
  if (text.starts_with("Server version") && server_version_.empty()) {
    const size_t from = text.find_first_not_of(" \t", sizeof("Server version") - 1);
    if (from != std::string_view::npos) server_version_ = text.substr(from, 64);
  }
  // "… recovery from (the source for this replica)", older: "(the master of this slave)".
  if (text.find("recovery from (the ") != std::string_view::npos) next_is_upstream_ = true;
  if (StartsWithWord(text, "SET") || StartsWithWord(text, "CHANGE")) {
    FlushCommentLines();
    lines_at_ = item.line;
    lines_ = text;
  } else if (!lines_.empty() && lines_.size() + text.size() < kDumpItemBytesMax) {
    lines_.append("\n").append(text);
  }
  // Complete on one line, or on this one: what comes after it is another comment.
  if (!lines_.empty() && lines_.ends_with(';')) FlushCommentLines();
}

void DumpCoordinate::FlushCommentLines() {
  if (lines_.empty()) return;
  const std::string lines = std::exchange(lines_, {});
  TakeComment(lines, lines_at_);
}

void DumpCoordinate::SetGtids(Result<std::optional<GtidSet>> found, std::optional<GtidSet>* kept,
                              uint64_t line) {
  const std::string where = "line " + std::to_string(line) + ": ";
  if (!found.ok()) {
    status_ = Status(found.error()).WithContext("line " + std::to_string(line));
  } else if (*found && *kept && **found != **kept) {
    status_ = Bad(
        where +
        "a second GTID_PURGED statement that differs from the first: this is more than one dump");
  } else if (*found) {
    *kept = std::move(*found);
  }
}

void DumpCoordinate::SetPosition(Result<std::optional<DumpPosition>> found, bool active,
                                 uint64_t line) {
  if (!status_.ok()) return;
  if (!found.ok()) {
    if (active) status_ = Status(found.error()).WithContext("line " + std::to_string(line));
    return;  // a comment may say "CHANGE MASTER TO" and mean nothing by it
  }
  if (!*found) return;
  position_active_ = position_active_ || active;
  upstream_ = upstream_ || std::exchange(next_is_upstream_, false);
  if (!position_) position_ = std::move(*found);
}

}  // namespace tidemark
