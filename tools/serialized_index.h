// The daemon's one index, which takes one writer at a time, for several sources that archive, and
// are brought up to date, side by side. Writes wait for each other, batch by batch; look-ups do
// not. The index must outlive the object.
#pragma once

#include <mutex>

#include "index/index.h"

namespace tidemark {

class SerializedIndex : public Index {
 public:
  explicit SerializedIndex(Index& index) : index_(index) {}

  Status Apply(const DurableBatch& batch) override {
    std::lock_guard lock(mutex_);
    return index_.Apply(batch);
  }
  Status DropSegment(const std::string& source, uint64_t segment) override {
    std::lock_guard lock(mutex_);
    return index_.DropSegment(source, segment);
  }
  Status Refresh() override { return index_.Refresh(); }
  Status Flush() override { return index_.Flush(); }
  Result<std::vector<std::string>> Sources() override { return index_.Sources(); }
  Result<std::vector<SegmentRecord>> Segments(const std::string& source) override {
    return index_.Segments(source);
  }
  Result<std::optional<SegmentRecord>> Segment(const std::string& source,
                                               uint64_t segment) override {
    return index_.Segment(source, segment);
  }
  Result<std::optional<SegmentRecord>> LastSegment(const std::string& source) override {
    return index_.LastSegment(source);
  }
  Result<std::optional<IndexedFrame>> FindGtid(const std::string& source,
                                               const Gtid& gtid) override {
    return index_.FindGtid(source, gtid);
  }
  Result<std::optional<IndexedFrame>> FindFirstPast(const std::string& source,
                                                    int64_t time_us) override {
    return index_.FindFirstPast(source, time_us);
  }
  Result<std::optional<IndexedFrame>> FindPosition(const std::string& source,
                                                   const std::string& file,
                                                   uint64_t position) override {
    return index_.FindPosition(source, file, position);
  }
  Result<std::optional<IndexedFrame>> Frame(const std::string& source, uint64_t segment,
                                            uint32_t frame) override {
    return index_.Frame(source, segment, frame);
  }
  Status EachFrame(const std::string& source, uint64_t segment, uint32_t first_frame,
                   const std::function<bool(const IndexedFrame&)>& callback) override {
    return index_.EachFrame(source, segment, first_frame, callback);
  }
  Result<std::vector<IndexedDdl>> ListDdl(const std::string& source, int64_t from_us, int64_t to_us,
                                          size_t limit) override {
    return index_.ListDdl(source, from_us, to_us, limit);
  }
  Result<std::vector<IndexedOversize>> ListOversize(const std::string& source) override {
    return index_.ListOversize(source);
  }
  Result<uint64_t> SizeOnDisk() override { return index_.SizeOnDisk(); }
  Result<std::vector<IndexEntry>> SegmentContentsOf(const std::string& source,
                                                    uint64_t segment) override {
    return index_.SegmentContentsOf(source, segment);
  }
  Status EachEntry(const std::function<Status(const IndexEntry&)>& visit) override {
    return index_.EachEntry(visit);
  }

 private:
  std::mutex mutex_;
  Index& index_;
};

}  // namespace tidemark
