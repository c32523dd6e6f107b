// Which transactions the archive holds under their GTIDs, read from the segments themselves: what a
// source's history is compared with. Never writes. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "replication/archive/archive_directory.h"
#include "replication/archive/segment_reader.h"
#include "replication/event/gtid_set.h"
#include "replication/event/transaction_origin.h"

namespace tidemark {

struct ArchivedOrigin {
  TransactionOrigin origin;
  uint64_t segment = 0;
  // Where it begins in the binary log of the server that it was archived from.
  Uuid server_uuid;
  std::string source_file;
  uint64_t source_begin = 0;
};

using OnArchivedOrigin = std::function<Status(const ArchivedOrigin&)>;

// Every transaction that begins in the segment, in archive order. Of an unsealed one: as far as it
// reads, so that the last may not be whole.
Status EachOrigin(SegmentReader& reader, const OnArchivedOrigin& each);

// The last one in archive order. Decodes one frame or a few; an unsealed last segment whole.
// Nullopt: there is none. kIo, kCorruption, …: a segment does not read.
Result<std::optional<ArchivedOrigin>> LastOrigin(ArchiveDirectory& archive,
                                                 const std::string& source);

// Those of `wanted`, in no order, looked for from the archive's end backwards: opens each segment
// until it has them all. A segment that does not read is passed over: `pitr verify` tells of it.
// kInterrupted: `give_up`, asked between segments, said so.
Status FindOrigins(ArchiveDirectory& archive, const std::string& source, GtidSet wanted,
                   const std::function<bool()>& give_up, const OnArchivedOrigin& each);

}  // namespace tidemark
