// What the pipeline's and the archiver's tests share: a listener that remembers and checks, and
// looking at an archive.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <mutex>

#include "replication/archive/archive_directory.h"
#include "replication/archive/segment_reader.h"
#include "replication/sink/durable_listener.h"
#include "replication/sink/resume.h"
#include "tests/unit/sink/faulty_files.h"
#include "tests/unit/sink/model_source.h"

namespace tidemark::testing {

inline constexpr char kArchive[] = "/archive";
inline constexpr char kSource[] = "main";

// Checks invariant 1 at each announcement: what is announced is on the disk.
class CheckingListener : public DurableListener {
 public:
  explicit CheckingListener(FaultyFiles& files) : files_(files), archive_(files, kArchive) {}

  Status OnDurable(const DurableBatch& batch) override {
    std::lock_guard lock(mutex_);
    if (refuse_) {
      ++refusals_;
      changed_.notify_all();
      return Status(Code::kIo, "the index refuses");
    }
    const SegmentRecord& segment = batch.segment;
    const std::string path = archive_.SegmentPath(kSource, segment.header.number);
    EXPECT_GE(files_.OnDisk(path).size(), segment.stored_bytes)
        << path << " is announced before it is durable";
    EXPECT_EQ(batch.source, kSource);
    EXPECT_TRUE(last_.header.number == 0 || segment.header.number == last_.header.number ||
                segment.header.number == last_.header.number + 1)
        << "segment " << segment.header.number << " is announced after " << last_.header.number;
    if (segment.header.number == last_.header.number) {
      EXPECT_TRUE(segment.gtids.Minus(last_.gtids).empty() || !last_.sealed);
      EXPECT_GE(segment.raw_bytes, last_.raw_bytes);
    } else if (last_.header.number != 0) {
      EXPECT_TRUE(last_.sealed) << "a segment follows one that was never announced as sealed";
    }
    last_ = segment;
    announced_.Add(segment.gtids);
    ++batches_;
    changed_.notify_all();
    return OkStatus();
  }

  GtidSet announced() {
    std::lock_guard lock(mutex_);
    return announced_;
  }
  SegmentRecord last() {
    std::lock_guard lock(mutex_);
    return last_;
  }
  uint64_t batches() {
    std::lock_guard lock(mutex_);
    return batches_;
  }
  void Refuse(bool refuse) {
    std::lock_guard lock(mutex_);
    refuse_ = refuse;
  }
  void WaitForRefusal() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return refusals_ > 0; });
  }
  // False after a while.
  bool WaitFor(const GtidSet& set) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return set.Minus(announced_).empty(); });
  }

 private:
  FaultyFiles& files_;
  ArchiveDirectory archive_;
  std::mutex mutex_;
  std::condition_variable changed_;
  GtidSet announced_;
  SegmentRecord last_;
  uint64_t batches_ = 0;
  uint64_t refusals_ = 0;
  bool refuse_ = false;
};

struct ReadSegment {
  SegmentHeader header;
  bool sealed = false;
  SegmentFooter footer;
  std::string raw;

  std::string own() const { return raw.substr(header.prefix_bytes); }
};

inline std::vector<ReadSegment> ReadArchive(FileSystem& files) {
  ArchiveDirectory archive(files, kArchive);
  auto numbers = archive.Segments(kSource);
  EXPECT_TRUE(numbers.ok()) << numbers.error().message();
  std::vector<ReadSegment> segments;
  if (!numbers.ok()) return segments;
  for (const uint64_t number : *numbers) {
    auto reader = SegmentReader::Open(files, archive.SegmentPath(kSource, number));
    EXPECT_TRUE(reader.ok()) << reader.error().message();
    if (!reader.ok()) continue;
    ReadSegment segment;
    segment.header = (*reader)->header();
    segment.sealed = (*reader)->sealed();
    if (segment.sealed) segment.footer = (*reader)->footer();
    (void)(*reader)->Walk(
        {.on_block =
             [&](Bytes bytes, uint64_t) {
               segment.raw.append(AsText(bytes));
               return OkStatus();
             },
         .on_frame_end = [](FramePlace, uint64_t, uint64_t) { return OkStatus(); }});
    segments.push_back(std::move(segment));
  }
  return segments;
}

// Every byte is where the server has it, no byte twice, no transaction missing between two
// segments.
inline void ExpectFaithful(FileSystem& files, const ModelServer& server) {
  GtidSet so_far;
  std::string file;
  uint64_t position = 0;
  for (const ReadSegment& segment : ReadArchive(files)) {
    SCOPED_TRACE("segment " + std::to_string(segment.header.number));
    EXPECT_TRUE(segment.sealed);
    EXPECT_EQ(segment.header.previous, so_far);
    so_far.Add(segment.footer.gtids);
    if (segment.header.source_file != file) position = 0;
    EXPECT_GE(segment.header.source_start, position);
    file = segment.header.source_file;
    const std::string own = segment.own();
    position = segment.header.source_start + own.size();
    for (const ModelServer::File& source : server.files)
      if (source.name == file) {
        EXPECT_TRUE(source.bytes.compare(segment.header.source_start, own.size(), own) == 0);
      }
  }
}

// As ExpectFaithful, and the server's files are there from the first to the last byte.
inline void ExpectComplete(FileSystem& files, const ModelServer& server) {
  ExpectFaithful(files, server);
  std::map<std::string, std::string> archived;
  for (const ReadSegment& segment : ReadArchive(files)) {
    std::string& bytes = archived[segment.header.source_file];
    EXPECT_EQ(bytes.size(), segment.header.source_start) << "segment " << segment.header.number;
    bytes += segment.own();
  }
  for (const ModelServer::File& file : server.files) {
    if (&file == &server.files.back() && file.transactions.empty()) continue;
    EXPECT_TRUE(archived[file.name] == file.bytes)
        << file.name << ": " << archived[file.name].size() << " of " << file.bytes.size()
        << " bytes";
  }
}

}  // namespace tidemark::testing
