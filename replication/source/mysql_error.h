// What MySQL's error numbers and texts mean to Tidemark: the one place where they become a Status.
//
// Pure. The question behind the code is "is another try worth it?": kSourceUnavailable says yes,
// everything else says that somebody has to do something first, and the hint says who and what. No
// password can be in a message: nothing that knows one is passed in, and the server's own texts
// never quote it. Source of the facts: MySQL 9.7 share/messages_to_clients.txt, include/errmsg.h,
// sql/rpl_binlog_sender.cc.
#pragma once

#include <string>
#include <string_view>

#include "replication/base/status.h"

namespace tidemark {

enum class SourcePhase { kLogin, kQuery, kDump };

struct MysqlErrorContext {
  std::string endpoint;  // ConnectionOptions::Endpoint()
  std::string user;
  SourcePhase phase = SourcePhase::kQuery;
  std::string identity;  // while dumping: "server_id 7, server_uuid …", to name a clash
};

// `number` is nonzero; `text` is what came with it (control bytes are replaced, they may be a
// stranger's).
Status StatusFromMysqlError(unsigned number, std::string_view text,
                            const MysqlErrorContext& context);

// "GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'user'@'…'", for hints.
std::string NeededGrant(std::string_view user);

}  // namespace tidemark
