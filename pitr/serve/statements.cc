#include "pitr/serve/statements.h"

#include <algorithm>
#include <optional>

#include "pitr/serve/served_variables.h"
#include "pitr/serve/sql_tokens.h"

namespace tidemark {
namespace {

using Kind = SqlToken::Kind;
using Value = std::optional<std::string>;  // nullopt: NULL
using Payloads = std::vector<std::string>;

// Numbers are MySQL's (share/messages_to_clients.txt).
constexpr uint16_t kParseError = 1064;
constexpr uint16_t kEmptyQuery = 1065;
constexpr uint16_t kUnknownError = 1105;
constexpr uint16_t kUnknownSystemVariable = 1193;
constexpr uint16_t kNotSupportedYet = 1235;
constexpr std::string_view kSyntaxState = "42000";
constexpr std::string_view kGeneralState = "HY000";

// Settings of a connection that clients send without being asked and that change nothing here.
constexpr std::string_view kSettingsWithoutEffect[] = {"autocommit", "character_set_results",
                                                       "sql_mode", "time_zone"};

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// One statement on its way from text to answer. Functions that read a part of it give false, and
// leave an error in `failure_`, if that part is none that we know.
class Statement {
 public:
  Statement(std::string_view sql, const ServedFacts& facts, ServeSession* session)
      : sql_(sql), lexer_(sql), facts_(facts), session_(session) {}
  Payloads Answer();

 private:
  void Advance();
  bool Accept(char symbol);
  bool AcceptWord(std::string_view keyword);
  bool AcceptEnd();
  bool Name(std::string* name);
  bool Text(std::string* text);

  bool Set();
  bool Assignment();
  bool CharacterSet();
  bool SetSystemVariable();
  bool SetUserVariable();
  bool Store(const std::string& name, Value value);

  bool Select();
  bool Item(std::string* column, Value* value);
  bool Limit(bool* nothing);
  bool Expression(Value* value);
  bool Function(const std::string& name, Value* value);
  bool UserVariableName(std::string* name);
  bool SystemVariableName(std::string* scope, std::string* name);
  bool SystemVariable(Value* value);

  bool Show();
  bool ShowVariables();
  bool VariableFilter(std::vector<std::string>* patterns);
  bool ShowStatus();
  bool ShowReplicas(const std::vector<std::string>& columns);

  bool Fail(uint16_t number, std::string_view sqlstate, std::string_view message);
  bool Refuse();

  const std::string_view sql_;
  SqlLexer lexer_;
  const ServedFacts& facts_;
  ServeSession* session_;
  SqlToken token_;                                // the one to be looked at
  size_t last_end_ = 0;                           // of the one before it
  std::map<std::string, std::string> variables_;  // the session's, as the statement leaves them
  Payloads answer_;
  std::string failure_;
};

Payloads Statement::Answer() {
  bool known = false;
  if (sql_.size() > kStatementBytesMax) {
    known = Refuse();
  } else if (Advance(); token_.kind == Kind::kEnd) {
    known = Fail(kEmptyQuery, kSyntaxState, "Query was empty");
  } else if (AcceptWord("SET")) {
    known = Set();
  } else if (AcceptWord("SELECT")) {
    known = Select();
  } else if (AcceptWord("SHOW")) {
    known = Show();
  } else {
    known = Refuse();
  }
  return known ? std::move(answer_) : Payloads{failure_};
}

bool Statement::Fail(uint16_t number, std::string_view sqlstate, std::string_view message) {
  failure_ = ErrorPayload(number, sqlstate, message);
  return false;
}

bool Statement::Refuse() {
  const uint16_t number = token_.kind == Kind::kBad ? kParseError : kNotSupportedYet;
  return Fail(number, kSyntaxState,
              "this is Tidemark's archive of source '" + facts_.source +
                  "': it serves binary log events to replicas (CHANGE REPLICATION SOURCE TO ... "
                  "SOURCE_AUTO_POSITION=1) and answers no other statement");
}

void Statement::Advance() {
  last_end_ = token_.end;
  token_ = lexer_.Next();
}

bool Statement::Accept(char symbol) {
  const bool found = token_.Is(symbol);
  if (found) Advance();
  return found;
}

bool Statement::AcceptWord(std::string_view keyword) {
  const bool found = token_.IsWord(keyword);
  if (found) Advance();
  return found;
}

bool Statement::AcceptEnd() {
  (void)Accept(';');
  return token_.kind == Kind::kEnd || Refuse();
}

bool Statement::Name(std::string* name) {
  if (token_.kind != Kind::kWord && token_.kind != Kind::kQuotedName) return Refuse();
  *name = token_.text;
  Advance();
  return true;
}

bool Statement::Text(std::string* text) {
  if (token_.kind != Kind::kString) return Refuse();
  *text = token_.text;
  Advance();
  return true;
}

// ---- SET

bool Statement::Set() {
  variables_ = session_->variables;
  do {
    if (!Assignment()) return false;
  } while (Accept(','));
  if (!AcceptEnd()) return false;
  session_->variables = std::move(variables_);
  answer_ = {OkPayload()};
  return true;
}

bool Statement::Assignment() {
  if (Accept('@')) return Accept('@') ? SetSystemVariable() : SetUserVariable();
  if (AcceptWord("NAMES") || AcceptWord("CHARSET")) return CharacterSet();
  if (AcceptWord("CHARACTER")) return AcceptWord("SET") ? CharacterSet() : Refuse();
  if (!AcceptWord("SESSION")) (void)AcceptWord("LOCAL");
  return SetSystemVariable();
}

// Names of ours are ASCII: whatever character set the client speaks is good.
bool Statement::CharacterSet() {
  std::string ignored;
  if (!(token_.kind == Kind::kString ? Text(&ignored) : Name(&ignored))) return false;
  if (!AcceptWord("COLLATE")) return true;
  return token_.kind == Kind::kString ? Text(&ignored) : Name(&ignored);
}

bool Statement::SetSystemVariable() {
  std::string scope;
  std::string name;
  if (!SystemVariableName(&scope, &name)) return false;
  const bool known =
      std::any_of(std::begin(kSettingsWithoutEffect), std::end(kSettingsWithoutEffect),
                  [&](std::string_view setting) { return EqualIgnoringCase(setting, name); });
  if (!known || EqualIgnoringCase(scope, "global") || !Accept('=')) return Refuse();
  std::string word;
  Value value;
  return token_.kind == Kind::kWord ? Name(&word) : Expression(&value);
}

bool Statement::SetUserVariable() {
  std::string name;
  Value value;
  if (!UserVariableName(&name)) return false;
  if (!Accept('=')) return Refuse();
  return Expression(&value) && Store(name, std::move(value));
}

bool Statement::Store(const std::string& name, Value value) {
  if (!value) {
    variables_.erase(name);
    return true;
  }
  if (name.size() > kSessionVariableNameBytesMax || value->size() > kSessionVariableBytesMax) {
    return Fail(kUnknownError, kGeneralState,
                "a user variable here has a name of at most " +
                    std::to_string(kSessionVariableNameBytesMax) +
                    " bytes and a value of at most " + std::to_string(kSessionVariableBytesMax));
  }
  variables_[name] = std::move(*value);
  if (variables_.size() <= kSessionVariablesMax) return true;
  return Fail(
      kUnknownError, kGeneralState,
      "a connection here has at most " + std::to_string(kSessionVariablesMax) + " user variables");
}

// ---- SELECT

bool Statement::Select() {
  std::vector<std::string> columns;
  ResultRow row;
  do {
    if (columns.size() == kSelectItemsMax) return Refuse();
    if (!Item(&columns.emplace_back(), &row.emplace_back())) return false;
  } while (Accept(','));
  bool nothing = false;
  if (!Limit(&nothing) || !AcceptEnd()) return false;
  std::vector<ResultRow> rows;
  if (!nothing) rows.push_back(std::move(row));
  answer_ = ResultSetPayloads(columns, rows);
  return true;
}

// A column without an alias is called what the client wrote.
bool Statement::Item(std::string* column, Value* value) {
  const size_t begin = token_.begin;
  if (!Expression(value)) return false;
  *column = sql_.substr(begin, last_end_ - begin);
  const bool has_alias = AcceptWord("AS");
  if (token_.kind == Kind::kString) return Text(column);
  const bool bare_alias =
      (token_.kind == Kind::kWord && !token_.IsWord("LIMIT")) || token_.kind == Kind::kQuotedName;
  return has_alias || bare_alias ? Name(column) : true;
}

bool Statement::Limit(bool* nothing) {
  if (!AcceptWord("LIMIT")) return true;
  if (token_.kind != Kind::kNumber) return Refuse();
  *nothing = token_.text == "0";
  Advance();
  return true;
}

bool Statement::Expression(Value* value) {
  if (Accept('@')) {
    if (Accept('@')) return SystemVariable(value);
    std::string name;
    if (!UserVariableName(&name)) return false;
    // As it was before this statement: a SET evaluates everything before it assigns anything.
    const auto found = session_->variables.find(name);
    *value = found == session_->variables.end() ? Value() : Value(found->second);
    return true;
  }
  const bool negative = Accept('-');
  const SqlToken token = token_;
  if (token.kind == Kind::kNumber || (token.kind == Kind::kString && !negative)) {
    *value = (negative ? "-" : "") + token.text;
  } else if (token.IsWord("NULL") && !negative) {
    value->reset();
  } else if ((token.IsWord("TRUE") || token.IsWord("FALSE")) && !negative) {
    *value = token.IsWord("TRUE") ? "1" : "0";
  } else if (token.kind == Kind::kWord && !negative) {
    Advance();
    return Function(token.text, value);
  } else {
    return Refuse();
  }
  Advance();
  return true;
}

bool Statement::Function(const std::string& name, Value* value) {
  constexpr int64_t kSecond = 1'000'000;
  if (!Accept('(') || !Accept(')')) return Refuse();
  if (EqualIgnoringCase(name, "VERSION")) {
    *value = facts_.server_version;
  } else if (EqualIgnoringCase(name, "UNIX_TIMESTAMP")) {
    *value = std::to_string(facts_.now_us / kSecond);
  } else if (EqualIgnoringCase(name, "DATABASE") || EqualIgnoringCase(name, "SCHEMA")) {
    value->reset();
  } else {
    return Refuse();
  }
  return true;
}

// name, name.name, 'any text' or `any text`.
bool Statement::UserVariableName(std::string* name) {
  if (token_.kind == Kind::kString ? !Text(name) : !Name(name)) return false;
  while (Accept('.')) {
    std::string part;
    if (!Name(&part)) return false;
    name->append(".").append(part);
  }
  *name = Lower(std::move(*name));
  return true;
}

bool Statement::SystemVariableName(std::string* scope, std::string* name) {
  if (!Name(name)) return false;
  if (!Accept('.')) return true;
  *scope = std::move(*name);
  const bool known = EqualIgnoringCase(*scope, "global") || EqualIgnoringCase(*scope, "session") ||
                     EqualIgnoringCase(*scope, "local");
  return known ? Name(name) : Refuse();
}

bool Statement::SystemVariable(Value* value) {
  std::string scope;
  std::string name;
  if (!SystemVariableName(&scope, &name)) return false;
  const ServedVariable* variable = FindServedVariable(name);
  if (variable == nullptr) {
    return Fail(kUnknownSystemVariable, kGeneralState, "Unknown system variable '" + name + "'");
  }
  *value = variable->Selected(facts_);
  return true;
}

// ---- SHOW

bool Statement::Show() {
  if (AcceptWord("BINARY")) {
    return AcceptWord("LOG") && AcceptWord("STATUS") ? ShowStatus() : Refuse();
  }
  if (AcceptWord("MASTER")) return AcceptWord("STATUS") ? ShowStatus() : Refuse();
  if (AcceptWord("REPLICAS")) {
    return ShowReplicas({"Server_Id", "Host", "Port", "Source_Id", "Replica_UUID"});
  }
  if (AcceptWord("SLAVE")) {
    if (!AcceptWord("HOSTS")) return Refuse();
    return ShowReplicas({"Server_id", "Host", "Port", "Master_id", "Slave_UUID"});
  }
  if (!AcceptWord("GLOBAL") && !AcceptWord("SESSION")) (void)AcceptWord("LOCAL");
  return AcceptWord("VARIABLES") ? ShowVariables() : Refuse();
}

bool Statement::ShowVariables() {
  std::vector<std::string> patterns;
  if (!VariableFilter(&patterns) || !AcceptEnd()) return false;
  std::vector<ResultRow> rows;
  for (const ServedVariable& variable : ServedVariables()) {
    const bool wanted = std::any_of(
        patterns.begin(), patterns.end(),
        [&](const std::string& pattern) { return MatchesLike(variable.name, pattern); });
    if (wanted) rows.push_back({std::string(variable.name), variable.shown(facts_)});
  }
  answer_ = ResultSetPayloads({"Variable_name", "Value"}, rows);
  return true;
}

// LIKE 'x'; WHERE Variable_name LIKE 'x'; WHERE Variable_name = 'x'; WHERE Variable_name IN
// ('x',…). Names that are to be equal match as patterns, too: that an _ would match another
// character makes no difference among the few that we have.
bool Statement::VariableFilter(std::vector<std::string>* patterns) {
  if (AcceptWord("LIKE")) return Text(&patterns->emplace_back());
  if (!AcceptWord("WHERE")) {
    patterns->push_back("%");
    return true;
  }
  std::string column;
  if (!Name(&column)) return false;
  if (!EqualIgnoringCase(column, "Variable_name")) return Refuse();
  if (AcceptWord("LIKE") || Accept('=')) return Text(&patterns->emplace_back());
  if (!AcceptWord("IN") || !Accept('(')) return Refuse();
  do {
    if (!Text(&patterns->emplace_back())) return false;
  } while (Accept(','));
  return Accept(')') || Refuse();
}

// An archive has no file that it is writing to, and its replicas need none.
bool Statement::ShowStatus() {
  if (!AcceptEnd()) return false;
  answer_ = ResultSetPayloads(
      {"File", "Position", "Binlog_Do_DB", "Binlog_Ignore_DB", "Executed_Gtid_Set"},
      {{"", "0", "", "", facts_.gtid_executed}});
  return true;
}

bool Statement::ShowReplicas(const std::vector<std::string>& columns) {
  if (!AcceptEnd()) return false;
  std::vector<ResultRow> rows;
  for (const KnownReplica& replica : facts_.replicas) {
    rows.push_back({std::to_string(replica.server_id), replica.host, std::to_string(replica.port),
                    std::to_string(facts_.server_id), replica.uuid});
  }
  answer_ = ResultSetPayloads(columns, rows);
  return true;
}

}  // namespace

Payloads AnswerStatement(std::string_view sql, const ServedFacts& facts, ServeSession* session) {
  return Statement(sql, facts, session).Answer();
}

}  // namespace tidemark
