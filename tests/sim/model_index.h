// The index as a value: what was applied, by segment. Stands in for RocksDB in most runs, whose
// instances cost milliseconds. Writing, healing and comparing work as on the real one; look-ups
// that none of these needs are refused.
#pragma once

#include <map>
#include <memory>

#include "index/index.h"

namespace tidemark::sim {

class ModelIndex : public Index {
 public:
  using State = std::map<uint64_t, std::shared_ptr<const DurableBatch>>;

  Status Apply(const DurableBatch& batch) override;
  Status ReplaceSegment(const SegmentContents& contents) override;
  Status DropSegment(const std::string& source, uint64_t segment) override;
  Status Refresh() override { return OkStatus(); }
  Status Flush() override { return OkStatus(); }

  Result<std::vector<std::string>> Sources() override { return NotHere(); }
  Result<std::vector<SegmentRecord>> Segments(const std::string& source) override;
  Result<std::optional<SegmentRecord>> Segment(const std::string& source,
                                               uint64_t segment) override;
  Result<std::optional<SegmentRecord>> LastSegment(const std::string& source) override;
  Result<std::optional<IndexedFrame>> FindGtid(const std::string&, const Gtid&) override {
    return NotHere();
  }
  Result<std::optional<IndexedFrame>> FindFirstPast(const std::string&, int64_t) override {
    return NotHere();
  }
  Result<std::optional<IndexedFrame>> FindPosition(const std::string&, const std::string&,
                                                   uint64_t) override {
    return NotHere();
  }
  Result<std::optional<IndexedFrame>> Frame(const std::string& source, uint64_t segment,
                                            uint32_t frame) override;
  Status EachFrame(const std::string&, uint64_t, uint32_t,
                   const std::function<bool(const IndexedFrame&)>&) override {
    return NotHere();
  }
  Result<std::vector<IndexedDdl>> ListDdl(const std::string&, int64_t, int64_t, size_t) override {
    return NotHere();
  }
  Result<std::vector<IndexedOversize>> ListOversize(const std::string&) override {
    return NotHere();
  }
  Result<uint64_t> SizeOnDisk() override { return NotHere(); }
  Result<std::vector<IndexEntry>> SegmentContentsOf(const std::string& source,
                                                    uint64_t segment) override;
  Status EachEntry(const std::function<Status(const IndexEntry&)>& visit) override;

  // The whole state, to be set back to later: copying it is cheap.
  const State& state() const { return segments_; }
  void set_state(State state) { segments_ = std::move(state); }

 private:
  static Status NotHere() { return {Code::kUsage, "the model index does not look things up"}; }

  State segments_;
};

}  // namespace tidemark::sim
