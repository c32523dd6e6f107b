// Records of a segment that two sources share, from the one to the other.
#include "index/index.h"
#include "index/value_codec.h"

namespace tidemark {
namespace {

Status TakeEntry(const IndexEntry& entry, DurableBatch* batch) {
  if (entry.family != Family::kDdl && entry.family != Family::kOversize) return OkStatus();
  TM_ASSIGN_OR_RETURN(const OffsetKeyFields key, DecodeOffsetKey(entry.key));
  if (entry.family == Family::kDdl) {
    TM_ASSIGN_OR_RETURN(DdlRecord ddl, DecodeDdlValue(key.raw_offset, entry.value));
    batch->ddl.push_back(std::move(ddl));
  } else {
    TM_ASSIGN_OR_RETURN(OversizeRecord oversize, DecodeOversizeValue(key.raw_offset, entry.value));
    batch->oversize.push_back(std::move(oversize));
  }
  return OkStatus();
}

}  // namespace

Status CopySegmentRecords(Index& index, const std::string& from, const std::string& to,
                          uint64_t segment) {
  TM_ASSIGN_OR_RETURN(std::optional<SegmentRecord> known, index.Segment(from, segment));
  if (!known || !known->sealed) return OkStatus();
  DurableBatch batch;
  batch.source = to;
  batch.segment = std::move(*known);
  TM_RETURN_IF_ERROR(index.EachFrame(from, segment, 0, [&batch](const IndexedFrame& frame) {
    batch.frames.push_back(frame.record);
    return true;
  }));
  TM_ASSIGN_OR_RETURN(const std::vector<IndexEntry> entries,
                      index.SegmentContentsOf(from, segment));
  for (const IndexEntry& entry : entries) TM_RETURN_IF_ERROR(TakeEntry(entry, &batch));
  return index.ReplaceSegment(batch);
}

}  // namespace tidemark
