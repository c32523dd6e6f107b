// Records as index entries: the one place that says which keys and values a frame or a segment has.
// Writing is "put the entries of the new record that the old one had not, delete those it had and
// the new one has not"; dropping a segment and verifying one start from the same lists. Pure
// functions.
#pragma once

#include <string>
#include <vector>

#include "index/key_codec.h"
#include "index/value_codec.h"

namespace tidemark {

// All sorted by (family, key).
std::vector<IndexEntry> SegmentEntries(const std::string& source, const SegmentRecord& segment);
std::vector<IndexEntry> FrameEntries(const std::string& source, uint64_t segment,
                                     const FrameRecord& frame);
IndexEntry DdlEntry(const std::string& source, uint64_t segment, const DdlRecord& ddl);
IndexEntry OversizeEntry(const std::string& source, uint64_t segment,
                         const OversizeRecord& oversize);
std::vector<IndexEntry> BatchEntries(const DurableBatch& batch);

// One line of text, canonical: equal entries give equal lines. What cannot be decoded is shown in
// hex, with the reason.
std::string DescribeEntry(const IndexEntry& entry);

}  // namespace tidemark
