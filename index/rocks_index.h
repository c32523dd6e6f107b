// The Index over RocksDB. Look-ups are in rocks_lookup.cc, writing in rocks_index.cc. Internal to
// this folder.
//
// Writing compares: the entries (entries.h) of the segment and frame written last are kept per
// source, so that the record of the open frame, replaced at every durable point, costs only what
// changed in it. Memory: one frame's entries per source.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "index/database.h"
#include "index/entries.h"
#include "index/index.h"

namespace tidemark {

class RocksIndex : public Index {
 public:
  RocksIndex(std::shared_ptr<Database> database, bool writable)
      : writable_(writable), database_(std::move(database)) {}

  Status Apply(const DurableBatch& batch) override;
  Status ReplaceSegment(const SegmentContents& contents) override;
  Status DropSegment(const std::string& source, uint64_t segment) override;
  Status Refresh() override;
  Status Flush() override;

  Result<std::vector<std::string>> Sources() override;
  Result<std::vector<SegmentRecord>> Segments(const std::string& source) override;
  Result<std::optional<SegmentRecord>> Segment(const std::string& source,
                                               uint64_t segment) override;
  Result<std::optional<SegmentRecord>> LastSegment(const std::string& source) override;

  Result<std::optional<IndexedFrame>> FindGtid(const std::string& source,
                                               const Gtid& gtid) override;
  Result<std::optional<IndexedFrame>> FindFirstPast(const std::string& source,
                                                    int64_t time_us) override;
  Result<std::optional<IndexedFrame>> FindPosition(const std::string& source,
                                                   const std::string& file,
                                                   uint64_t position) override;
  Result<std::optional<IndexedFrame>> Frame(const std::string& source, uint64_t segment,
                                            uint32_t frame) override;
  Status EachFrame(const std::string& source, uint64_t segment, uint32_t first_frame,
                   const std::function<bool(const IndexedFrame&)>& callback) override;
  Result<std::vector<IndexedDdl>> ListDdl(const std::string& source, int64_t from_us, int64_t to_us,
                                          size_t limit) override;
  Result<std::vector<IndexedOversize>> ListOversize(const std::string& source) override;
  Result<uint64_t> SizeOnDisk() override;

  Result<std::vector<IndexEntry>> SegmentContentsOf(const std::string& source,
                                                    uint64_t segment) override;
  Status EachEntry(const std::function<Status(const IndexEntry&)>& visit) override;

 private:
  // What is known to stand in the database for the segment and frame a source wrote last.
  struct Tail {
    uint64_t segment = 0;
    std::vector<IndexEntry> segment_entries;
    bool has_frame = false;
    uint32_t frame = 0;
    std::vector<IndexEntry> frame_entries;
  };

  std::shared_ptr<Database> database() const;
  Status CheckWritable() const;
  Result<Tail> LoadTail(const Database& database, const std::string& source,
                        uint64_t segment) const;
  Result<std::vector<IndexEntry>> LoadFrameEntries(const Database& database, const Tail& tail,
                                                   const std::string& source, uint32_t frame) const;

  const bool writable_;
  mutable std::mutex mutex_;  // of database_, which Refresh may replace
  std::shared_ptr<Database> database_;
  std::map<std::string, Tail> tails_;  // only the applying thread
};

// Look-ups shared by both files.
Result<std::optional<SegmentRecord>> LoadSegment(const Database& database,
                                                 const std::string& source, uint64_t segment);
Result<std::optional<IndexedFrame>> LoadFrame(const Database& database, const std::string& source,
                                              uint64_t segment, uint32_t frame);

}  // namespace tidemark
