// Gives back what the archive holds, byte for byte: the events of a range as one binlog stream that
// mysqlbinlog and a replica understand, or one source file as the source wrote it. Memory is
// bounded whatever the event's size.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "pitr/archive_view.h"
#include "pitr/event_cursor.h"

namespace tidemark {

// The segments of the source's file of that name, of the latest if there were several, in order.
// kNotFound if there is none; kGap if its beginning or a middle part is not archived.
Result<std::vector<SegmentRecord>> SegmentsOfFile(const ArchiveView& view, const std::string& file);

class EventStream {
 public:
  using Sink = std::function<Status(Bytes)>;
  explicit EventStream(ArchiveView& view);

  // Magic, then for each segment that contributes: its format description (once per source file,
  // and only when it differs in content or file), then whole transactions in archive order, bytes
  // as the source wrote them. Frames whose transactions are all excluded are not decoded. Ends at a
  // transaction boundary or with an error; never in between without one. Checks every event's
  // checksum on the way.
  Status WriteRange(const StreamRange& range, const Sink& sink, StreamProgress* progress);
  // Exactly the source's file from its first byte to the last archived one. kNotFound if no segment
  // is of that file; kGap if its beginning or a middle part is not archived. `complete` tells
  // whether its own Rotate/Stop is there.
  Status WriteSourceFile(const std::string& file, const Sink& sink, bool* complete);

 private:
  ArchiveView& view_;
};

}  // namespace tidemark
