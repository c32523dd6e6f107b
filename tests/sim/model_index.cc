#include "tests/sim/model_index.h"

#include <algorithm>

#include "index/entries.h"

namespace tidemark::sim {
namespace {

// `records` replace those with the same key.
template <typename Record, typename Key>
void Merge(const std::vector<Record>& records, const Key& key, std::vector<Record>* into) {
  for (const Record& record : records) {
    const auto known = std::find_if(into->begin(), into->end(), [&](const Record& candidate) {
      return key(candidate) == key(record);
    });
    known == into->end() ? into->push_back(record) : void(*known = record);
  }
}

}  // namespace

Status ModelIndex::Apply(const DurableBatch& batch) {
  auto& known = segments_[batch.segment.header.number];
  auto merged =
      known == nullptr ? std::make_shared<DurableBatch>() : std::make_shared<DurableBatch>(*known);
  merged->source = batch.source;
  merged->segment = batch.segment;
  Merge(
      batch.frames, [](const FrameRecord& r) { return r.frame; }, &merged->frames);
  Merge(
      batch.ddl, [](const DdlRecord& r) { return r.raw_offset; }, &merged->ddl);
  Merge(
      batch.oversize, [](const OversizeRecord& r) { return r.raw_begin; }, &merged->oversize);
  known = std::move(merged);
  return OkStatus();
}

Status ModelIndex::ReplaceSegment(const SegmentContents& contents) {
  segments_[contents.segment.header.number] = std::make_shared<DurableBatch>(contents);
  return OkStatus();
}

Status ModelIndex::DropSegment(const std::string&, uint64_t segment) {
  segments_.erase(segment);
  return OkStatus();
}

Result<std::vector<SegmentRecord>> ModelIndex::Segments(const std::string&) {
  std::vector<SegmentRecord> segments;
  for (const auto& [number, batch] : segments_) segments.push_back(batch->segment);
  return segments;
}

Result<std::optional<SegmentRecord>> ModelIndex::Segment(const std::string&, uint64_t segment) {
  const auto found = segments_.find(segment);
  if (found == segments_.end()) return std::optional<SegmentRecord>();
  return std::optional<SegmentRecord>(found->second->segment);
}

Result<std::optional<SegmentRecord>> ModelIndex::LastSegment(const std::string&) {
  if (segments_.empty()) return std::optional<SegmentRecord>();
  return std::optional<SegmentRecord>(segments_.rbegin()->second->segment);
}

Result<std::optional<IndexedFrame>> ModelIndex::Frame(const std::string&, uint64_t segment,
                                                      uint32_t frame) {
  const auto found = segments_.find(segment);
  if (found != segments_.end())
    for (const FrameRecord& record : found->second->frames)
      if (record.frame == frame) return std::optional<IndexedFrame>({segment, record});
  return std::optional<IndexedFrame>();
}

Result<std::vector<IndexEntry>> ModelIndex::SegmentContentsOf(const std::string&,
                                                              uint64_t segment) {
  const auto found = segments_.find(segment);
  if (found == segments_.end()) return std::vector<IndexEntry>();
  return BatchEntries(*found->second);
}

Status ModelIndex::EachEntry(const std::function<Status(const IndexEntry&)>& visit) {
  std::vector<IndexEntry> entries;
  for (const auto& [number, batch] : segments_)
    for (IndexEntry& entry : BatchEntries(*batch)) entries.push_back(std::move(entry));
  std::sort(entries.begin(), entries.end(),
            [](const IndexEntry& a, const IndexEntry& b) { return a.KeyLess(b); });
  for (const IndexEntry& entry : entries) TM_RETURN_IF_ERROR(visit(entry));
  return OkStatus();
}

}  // namespace tidemark::sim
