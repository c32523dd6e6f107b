// What the end of the archive has on the disk and the index does not know. A transaction counts as
// archived when tidemarkd has told the index of it; that is a moment after it was written. But
// where the machine went down, RocksDB may have lost its last batches, which were not synced, and a
// copy of a live archive may have an older index than segments: then "latest" would be less than
// what was acknowledged, until tidemarkd has brought the index up to the segments, or a rebuild.
#pragma once

#include <chrono>
#include <string>

#include "index/index.h"
#include "pitr/archive_view.h"

namespace tidemark {

// How long a tidemarkd that holds the archive may take for what is on its way; and one that cannot
// be seen to, for a file system does not tell every reader who holds a lock.
inline constexpr std::chrono::seconds kIndexPatience{5};
inline constexpr std::chrono::seconds kUnheldPatience{1};

// The whole transactions of the last segment that the index knows, and of those behind it, that it
// does not know. Reads them if the index does not know them as they are. Errors of reading.
Result<GtidSet> UnindexedGtids(const ArchiveDirectory& archive, Index& index,
                               const std::string& source);

// Refreshes the view, for so long, until it has all that was whole on the disk at the beginning.
// kCorruption, naming the transactions: it still has not. Errors of reading.
Status AwaitIndexedEnd(ArchiveView& view);

}  // namespace tidemark
