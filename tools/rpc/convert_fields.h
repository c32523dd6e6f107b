// The pieces that convert*.cc share. Internal to tools/rpc.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "proto/rpc/rpc_error.h"
#include "replication/event/gtid_set.h"

namespace tidemark::rpc {

inline Status NotSuch(const std::string& what, const Status& error) {
  return Status(Code::kCorruption, what + ": " + error.message(), error.hint());
}

inline Result<GtidSet> SetOf(const std::string& text, const char* field) {
  Result<GtidSet> set = GtidSet::Parse(text);
  if (!set.ok()) return NotSuch(field, set.error());
  return set;
}

inline Result<Gtid> GtidOf(const std::string& text, const char* field) {
  Result<Gtid> gtid = Gtid::Parse(text);
  if (!gtid.ok()) return NotSuch(field, gtid.error());
  return gtid;
}

// Client and server may be of different versions: what this one has no name for is an error.
inline Status UnknownValue(const char* field, int value) {
  return Status(Code::kUnsupportedFormat,
                std::string(field) + " has the unknown value " + std::to_string(value),
                "one side is newer than the other");
}

// A statement: text if it is UTF-8, as text and bytes if not.
template <typename StatementMessage>
void SetStatement(const std::string& statement, StatementMessage* message) {
  std::string valid = ValidUtf8(statement);
  if (valid != statement) message->set_statement_bytes(statement);
  message->set_statement(std::move(valid));
}

template <typename StatementMessage>
std::string StatementOf(const StatementMessage& message) {
  return message.statement_bytes().empty() ? message.statement() : message.statement_bytes();
}

}  // namespace tidemark::rpc
