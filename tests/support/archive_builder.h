// Builds an archive on disk through the real SegmentWriter, SegmentCatalog and Index, from made-up
// or given binary logs. What fails aborts: this is for tests and benchmarks. One thread. The index
// is written while the object lives. (Link tidemark_index too.)
#pragma once

#include <map>
#include <memory>
#include <string>

#include "index/index.h"
#include "replication/archive/archive_directory.h"
#include "replication/archive/segment_catalog.h"
#include "replication/archive/segment_writer.h"
#include "replication/event/stream_scanner.h"
#include "tests/support/binlog_builder.h"

namespace tidemark::testing {

class ArchiveBuilder {
 public:
  struct Options {
    bool keep_files = true;                       // remember the source's files for FileBytes
    uint64_t segment_raw_bytes_max = UINT64_MAX;  // longer files get a continuation segment
    ChecksumAlgorithm checksum = ChecksumAlgorithm::kCrc32;
  };
  ArchiveBuilder(const std::string& root, const std::string& source);
  ArchiveBuilder(const std::string& root, const std::string& source, Options options);
  ~ArchiveBuilder();

  // Transactions that were committed before the archive begins: call before the first BeginFile.
  void StartBehind(const GtidSet& set) { set_.Add(set); }
  // Who writes the files that begin from now on.
  void FromServer(const Uuid& server) { server_ = server; }
  // The file before, if any, ends in its Rotate; the new one begins natively.
  void BeginFile(const std::string& name);
  void Add(const TransactionSpec& transaction);
  // Seals and goes on in a continuation segment of the same file.
  void Continue(SealReason reason = SealReason::kSize);
  // Seals; the next file begins behind `missing`, which its segment records. Its number leaves room
  // for it.
  void Gap(const GtidSet& missing, const std::string& reason);
  // A whole file of a real server (magic to Rotate) as one segment.
  void AddWholeFile(const std::string& name, std::string_view bytes);
  void Publish();  // durable, and in the index; unsealed
  // Bytes that are in the file but not published: what a daemon writes while we look.
  void WriteUnpublished(const TransactionSpec& transaction);
  void Finish();  // seals and publishes; the index is flushed and closed

  const GtidSet& set() const { return set_; }  // the source's gtid_executed at the archive's end
  uint64_t segment_number() const { return number_; }
  std::string SegmentPath(uint64_t number) const { return archive_.SegmentPath(source_, number); }
  const std::string& FileBytes(const std::string& name) const { return files_.at(name); }
  Index& index() { return *index_; }

 private:
  void BeginSegment(uint64_t source_start, const std::string& prefix);
  void Append(const std::string& bytes);
  void Seal(SealReason reason);
  void Apply(DurableBatch batch);

  Options options_;
  ArchiveDirectory archive_;
  std::string source_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<Index> index_;
  BinlogBuilder log_;
  std::map<std::string, std::string> files_;
  GtidSet set_;
  GapRecord gap_;
  uint64_t number_ = 0;
  int64_t commit_high_us_ = 0;

  // The file and segment under way.
  std::string file_;
  Uuid server_;
  std::string format_description_;
  uint64_t file_position_ = 0;
  uint64_t raw_offset_ = 0;
  std::unique_ptr<SegmentWriter> writer_;
  std::unique_ptr<SegmentCatalog> catalog_;
  std::unique_ptr<StreamScanner> scanner_;
};

}  // namespace tidemark::testing
