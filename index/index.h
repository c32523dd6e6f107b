// The index: which frame of which segment holds a GTID, a time, a place in the source's binlog.
// RocksDB, derived from the segments alone and rebuildable from them (KEYS.md tells keys and
// values). The only user of <rocksdb/…>.
//
// A writer (the daemon, `pitr index rebuild`) holds it exclusively; readers open it beside the
// writer and see what the writer had applied when they opened or last refreshed. One object is safe
// for concurrent look-ups; Apply is called by one thread at a time. A crash may lose the latest
// batches (no fsync here): start-up heals from the segments.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "index/key_codec.h"
#include "replication/archive/archive_directory.h"
#include "replication/archive/records.h"
#include "replication/archive/segment_recovery.h"

namespace tidemark {

struct IndexedFrame {
  uint64_t segment = 0;
  FrameRecord record;
};
struct IndexedDdl {
  uint64_t segment = 0;
  DdlRecord record;
};
struct IndexedOversize {
  uint64_t segment = 0;
  OversizeRecord record;
};

class Index {
 public:
  // Creates it if absent. kLocked if another writer has it, kCorruption if RocksDB finds damage
  // (hint: rebuild), kUnsupportedFormat if a newer version wrote it.
  static Result<std::unique_ptr<Index>> OpenForWriting(const std::string& path);
  // kNotFound if there is none (hint: pitr index rebuild).
  static Result<std::unique_ptr<Index>> OpenForReading(const std::string& path);
  virtual ~Index() = default;

  // One atomic write of everything in the batch. Replaces earlier records of the same segment and
  // frames.
  virtual Status Apply(const DurableBatch& batch) = 0;
  // All that the segment has, instead of what was known of it, in one atomic write too: at no
  // moment does a reader miss what it had seen of the segment.
  virtual Status ReplaceSegment(const SegmentContents& contents) = 0;
  // Forgets everything of one segment.
  virtual Status DropSegment(const std::string& source, uint64_t segment) = 0;
  virtual Status Refresh() = 0;  // readers: catch up with the writer
  virtual Status Flush() = 0;    // writers: memtables to disk

  virtual Result<std::vector<std::string>> Sources() = 0;
  // Ascending by number. The archived set is the union of their gtids; the resume set of the last
  // one is header.previous ∪ gtids.
  virtual Result<std::vector<SegmentRecord>> Segments(const std::string& source) = 0;
  virtual Result<std::optional<SegmentRecord>> Segment(const std::string& source,
                                                       uint64_t segment) = 0;
  virtual Result<std::optional<SegmentRecord>> LastSegment(const std::string& source) = 0;

  virtual Result<std::optional<IndexedFrame>> FindGtid(const std::string& source,
                                                       const Gtid& gtid) = 0;
  // The first frame in archive order that holds a transaction whose commit time is past `time_us`
  // (> time_us): the target's boundary lies in it. None: nothing in the archive is past it.
  virtual Result<std::optional<IndexedFrame>> FindFirstPast(const std::string& source,
                                                            int64_t time_us) = 0;
  // The frame that holds byte `position` of the source's file; the latest such file if the name
  // came twice.
  virtual Result<std::optional<IndexedFrame>> FindPosition(const std::string& source,
                                                           const std::string& file,
                                                           uint64_t position) = 0;
  virtual Result<std::optional<IndexedFrame>> Frame(const std::string& source, uint64_t segment,
                                                    uint32_t frame) = 0;
  // Frames of one segment in order, from `first_frame` on; stops when the callback returns false.
  virtual Status EachFrame(const std::string& source, uint64_t segment, uint32_t first_frame,
                           const std::function<bool(const IndexedFrame&)>& callback) = 0;
  // DDL in archive order, commit time in [from_us, to_us], at most `limit`.
  virtual Result<std::vector<IndexedDdl>> ListDdl(const std::string& source, int64_t from_us,
                                                  int64_t to_us, size_t limit) = 0;
  virtual Result<std::vector<IndexedOversize>> ListOversize(const std::string& source) = 0;
  virtual Result<uint64_t> SizeOnDisk() = 0;  // bytes of all its files

  // For comparing indexes (below): all entries of one segment; all entries of all. By (family,
  // key).
  virtual Result<std::vector<IndexEntry>> SegmentContentsOf(const std::string& source,
                                                            uint64_t segment) = 0;
  virtual Status EachEntry(const std::function<Status(const IndexEntry&)>& visit) = 0;
};

// Every record as one line of text, in key order: two indexes of the same archive, however made,
// dump the same.
Status DumpIndex(Index& index, std::string* text);
// Compares what the index holds of one segment with its recomputed contents (`pitr verify`). One
// sentence for each difference, at most `differences_max`; none if they agree.
Result<std::vector<std::string>> VerifyIndexAgainst(Index& index, const SegmentContents& contents,
                                                    size_t differences_max);

struct HealReport {
  uint64_t segments_scanned = 0;
  uint64_t segments_current = 0;  // the index already agreed with them
  uint64_t raw_bytes_scanned = 0;
  // The index knew these and their files are gone: nobody but a person can tell whether that was
  // meant. The caller says so (never silent).
  std::vector<uint64_t> segments_lost;
  GtidSet gtids_lost;
};

// Brings the index of one source up to its segments: rescans those it lacks or knows less of than
// is on disk (sealed segments are compared by their footers without reading them whole), and drops
// records of segments that are gone. `recovered`: what recovery has just read of one of them, which
// is then not read again; may be nullptr.
Result<HealReport> HealIndex(Index& index, ArchiveDirectory& archive, const std::string& source,
                             const std::function<void(const HealReport&)>& progress,
                             const SegmentContents* recovered = nullptr);
// Gives `to` what the index knows of a sealed segment of `from` that both have: the same records
// that reading it again would give. Nothing happens if it knows none.
Status CopySegmentRecords(Index& index, const std::string& from, const std::string& to,
                          uint64_t segment);
// Makes the whole index anew beside the old one and swaps it in. The caller holds the archive's
// lock.
Result<HealReport> RebuildIndex(ArchiveDirectory& archive,
                                const std::function<void(const HealReport&)>& progress);

// The same in pieces, for who goes on using the old one meanwhile. A crash at any moment leaves the
// old index, the new one, or none, which is healed like an empty one.
class IndexRebuild {
 public:
  static Result<std::unique_ptr<IndexRebuild>> Begin(ArchiveDirectory& archive);
  // Brings the new index up to the segments, as HealIndex; again, for what has come since. Segments
  // may be written meanwhile; the last time, none. kInterrupted: `give_up`, asked between segments,
  // said so.
  Status Heal(const std::function<void(const HealReport&)>& progress,
              const std::function<bool()>& give_up);
  const HealReport& report() const { return report_; }  // of all of them together
  // Closes it and puts it in the old one's place, which nobody has open any more. The last call.
  Status SwapIn();

 private:
  IndexRebuild(ArchiveDirectory& archive, std::unique_ptr<Index> fresh)
      : archive_(archive), fresh_(std::move(fresh)) {}

  ArchiveDirectory& archive_;
  std::unique_ptr<Index> fresh_;
  HealReport report_;
};

}  // namespace tidemark
