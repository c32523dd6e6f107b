// What a server says when its replication applier stopped, taken apart: which transaction, which
// table, what the matter was. Pure.
// Source of facts: MySQL 9.7 sql/rpl_rli_pdb.cc (Slave_worker::do_report), sql/rpl_reporting.cc,
// sql/log_event.cc (slave_rows_error_report).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark {

struct ApplierError {
  unsigned number = 0;
  std::string gtid;   // "" if not told
  std::string table;  // "schema.table", "" if not told
  std::string said;   // the server's message without the positions around it
};

// `message` as in replication_applier_status_by_worker.LAST_ERROR_MESSAGE, SHOW REPLICA STATUS or
// the error log.
ApplierError ParseApplierError(unsigned number, std::string_view message);

// The applier's last error in an error log's tail that is about `channel`; nullopt: none.
std::optional<ApplierError> LastApplierErrorInLog(std::string_view log, std::string_view channel);

// kTargetRefused, or kDiskFull if that is what the server ran into.
Status ApplierErrorStatus(const ApplierError& error);

// Whether the server's text says that a disk is full.
bool SaysDiskFull(unsigned number, std::string_view text);

}  // namespace tidemark
