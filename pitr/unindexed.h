// What the last segment has and the index does not know yet. A running tidemarkd tells the index of
// every transaction before it is counted as archived; but where the machine went down, RocksDB may
// have lost its last batches, which were not synced, and a copy of a live archive may have an older
// index than segments. Until tidemarkd is started again, or the index rebuilt, "latest" would be
// less than what was acknowledged.
#pragma once

#include "pitr/archive_view.h"

namespace tidemark {

// OK while somebody (tidemarkd, as a rule) holds the archive: what is written then becomes known by
// itself. kCorruption, naming the transactions: there are such, and who brings the index up to
// them. Errors of reading the last segment. Reads that segment if the index does not know it as it
// is.
Status CheckIndexKnowsTheEnd(const ArchiveView& view);

}  // namespace tidemark
