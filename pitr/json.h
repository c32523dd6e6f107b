// What `--json` prints: stable, documented in README.md. Every GTID set is its text form, every
// time stands twice: RFC 3339 in UTC, and microseconds since the epoch under the same name with
// _us. Pure.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "pitr/locator.h"
#include "pitr/planner.h"
#include "pitr/verify.h"

namespace tidemark {

using Json = nlohmann::ordered_json;  // members in the order of the documentation

Json ToJson(const TableTouch& table);
Json ToJson(const Located& located);
Json ToJson(const std::optional<Located>& located);  // null if there is none
Json ToJson(const Neighbourhood& neighbourhood);
Json ToJson(const Boundary& boundary);
Json ToJson(const Target& target);
Json ToJson(const GapRecord& gap);
Json ToJson(const OperatorNote& note);
Json ToJson(const GapAcknowledgement& acknowledgement);
Json ToJson(const Coverage& coverage);
Json ToJson(const SegmentRecord& segment);
Json ToJson(const PlannedSegment& segment);
Json ToJson(const Surgery& surgery);
Json ToJson(const LineageFork& fork);
Json ToJson(const Lineage& lineage);
Json ToJson(const Plan& plan);
Json ToJson(const VerifyFinding& finding);
Json ToJson(const VerifyReport& report);
Json ToJson(const Status& error);  // {"code", "message", "hint"}

// "NAME" and "NAME_us"; both null for 0, which means unknown everywhere in the archive.
void AddTime(Json* object, const char* name, int64_t time_us);
const char* TransactionKindName(TransactionKind kind);  // stable
// Text of the whole document, indented, with a newline at its end. Bytes that are not UTF-8
// (statements and names may hold any) become U+FFFD.
std::string JsonText(const Json& json);

}  // namespace tidemark
