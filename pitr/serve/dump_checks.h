// Whether a replica can be served: its GTID set against what the archive has, as a source does it
// (MySQL 9.7 sql/rpl_binlog_sender.cc, check_start_file). Pure. Internal to serve.
#pragma once

#include <set>

#include "pitr/serve/dump.h"

namespace tidemark {

// `servers`: UUIDs of the servers that were archived. kDivergence, kSourceRefused, kGap,
// kUnreachableTarget as DumpStream::Open has them.
Status CheckReplicaSet(const Coverage& coverage, const std::set<Uuid>& servers,
                       const ServedSource& source, const ReplicaRequest& request);

// Of a GTID set in a message: an error packet takes 512 bytes, and two sets are in some.
inline constexpr size_t kAbridgedBytesMax = 110;

}  // namespace tidemark
