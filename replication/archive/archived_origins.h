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
  // Where it begins in the binary log of the server that it was archived from.
  Uuid server_uuid;
  std::string source_file;
  uint64_t source_begin = 0;
};

// Every transaction that begins in the segment, in archive order. Of an unsealed one: as far as it
// reads, so that the last may not be whole.
Status EachOrigin(SegmentReader& reader, const std::function<Status(const ArchivedOrigin&)>& each);

// The last one in archive order, of those in `among` if that is given. Decodes one frame or a few.
// An unsealed last segment is read whole. Nullopt: there is none. kIo, kCorruption, …: a segment
// does not read.
Result<std::optional<ArchivedOrigin>> LastOrigin(ArchiveDirectory& archive,
                                                 const std::string& source,
                                                 const GtidSet* among = nullptr);

}  // namespace tidemark
