// Is this source fit to be archived? One finding per check, so that a DBA sees everything at once
// and not one thing per restart. Used by `pitr check` and by the sink before it starts.
//
// CheckSource asks (a handful of queries, nothing is changed on the source); preflight_rules.h
// judges, without I/O. Check names are stable: they stand in --json and in people's alert rules.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "replication/base/status.h"
#include "replication/event/gtid_set.h"
#include "replication/source/connection.h"
#include "replication/source/source_facts.h"

namespace tidemark {

enum class Severity : uint8_t { kOk, kWarning, kError };
const char* SeverityName(Severity severity);  // "ok", "warning", "error"

struct Finding {
  Severity severity = Severity::kOk;
  std::string check;    // e.g. "gtid-mode"
  std::string message;  // one lower-case sentence
  std::string hint;
  Code code = Code::kOk;  // of an error: kSourceRefused, kGap or kDivergence
  GtidSet gtids;          // checks "gap" and "divergence": all those the message speaks of
};

struct PreflightOptions {
  uint32_t server_id = 0;                // ours; 0: not decided yet, clashes are not looked for
  std::optional<Uuid> our_uuid;          //
  std::optional<GtidSet> resume_set;     // what the archive has; nullopt: there is no archive yet
  int64_t retention_warn_s = 24 * 3600;  // warn if the source keeps its binary logs for less
};

struct PreflightReport {
  std::vector<Finding> findings;     // in the order of the checks
  std::optional<SourceFacts> facts;  // not of a MariaDB

  bool fit() const;         // no error among the findings
  Status ToStatus() const;  // OK, or the first error; divergence and gap come before lesser ones
};

// An error is a broken link; whatever the source answers is a finding.
Result<PreflightReport> CheckSource(Connection& connection, const PreflightOptions& options);

}  // namespace tidemark
