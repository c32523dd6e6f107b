// Acknowledging gaps: the one way in which `pitr gap ack` and AdminService do it. Writes one small
// file beside the source (replication/archive/operator_record.h), for which the archive's lock is
// not needed: a daemon may be running, or not.
#pragma once

#include "pitr/archive_view.h"

namespace tidemark {

struct Acknowledged {
  GtidSet added;      // what was not acknowledged already
  Coverage coverage;  // as it is now
};

// kUsage if `gtids` is empty or names what is in no gap, showing which. Else as AddAcknowledgedGap.
Result<Acknowledged> AcknowledgeGaps(const ArchiveView& view, const GapAcknowledgement& gaps);

}  // namespace tidemark
