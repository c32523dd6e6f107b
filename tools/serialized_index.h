// The daemon's one index, which takes one writer at a time, for several sources that archive, and
// are brought up to date, side by side. Writes wait for each other, batch by batch; look-ups do
// not. All of it can be exchanged under those who use it.
//
// A write that fails (a full disk, one that has become read-only) leaves RocksDB refusing all
// others: before the next one the index is opened anew. Where that fails, too, it is opened for
// reading: what there is can be asked for meanwhile.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "index/index.h"

namespace tidemark {

class SerializedIndex : public Index {
 public:
  // How long Replace waits for a moment without look-ups, which take milliseconds.
  static constexpr std::chrono::seconds kReplaceWait{30};

  explicit SerializedIndex(std::unique_ptr<Index> index, std::string path = {})
      : path_(std::move(path)), index_(std::move(index)) {}
  // One that could not be opened for writing, and why.
  SerializedIndex(std::string path, Status why) : path_(std::move(path)), broken_(std::move(why)) {
    OpenForReading();
  }

  // Closes the index, lets `exchange` put another one in its place on the disk, and opens what is
  // there, whatever came of that. Everybody waits meanwhile; nobody may be writing. kLocked: there
  // was no moment without look-ups. Another error: nothing is open, and every call fails; what can
  // be done is to try again.
  Status Replace(const std::string& path, const std::function<Status()>& exchange) {
    std::lock_guard lock(write_);
    std::unique_lock use(use_, kReplaceWait);
    if (!use.owns_lock())
      return Status(Code::kLocked, "the index is too busy to be exchanged", "try again");
    index_.reset();
    const Status exchanged = exchange();
    Result<std::unique_ptr<Index>> opened = Index::OpenForWriting(path);
    if (!opened.ok()) return exchanged.ok() ? opened.error() : exchanged;
    index_ = std::move(*opened);
    broken_ = OkStatus();
    return exchanged;
  }

  // Opens it anew if a write has failed. An error: it still cannot be written. While somebody is
  // writing there is nothing to do: whoever writes mends it first.
  Status Mend() {
    const std::unique_lock lock(write_, std::try_to_lock);
    return lock.owns_lock() ? MendUnlocked() : OkStatus();
  }

  Status Apply(const DurableBatch& batch) override {
    return Write(batch, [&](Index& index) { return index.Apply(batch); });
  }
  Status ReplaceSegment(const SegmentContents& contents) override {
    return Write(contents, [&](Index& index) { return index.ReplaceSegment(contents); });
  }
  Status DropSegment(const std::string& source, uint64_t segment) override {
    std::lock_guard lock(write_);
    TM_RETURN_IF_ERROR(MendUnlocked());
    applied_.erase(source);
    return Noted(Use([&](Index& index) { return index.DropSegment(source, segment); }));
  }
  Status Refresh() override {
    return Use([](Index& index) { return index.Refresh(); });
  }
  Status Flush() override {
    return Use([](Index& index) { return index.Flush(); });
  }
  Result<std::vector<std::string>> Sources() override {
    return Use([](Index& index) { return index.Sources(); });
  }
  Result<std::vector<SegmentRecord>> Segments(const std::string& source) override {
    return Use([&](Index& index) { return index.Segments(source); });
  }
  Result<std::optional<SegmentRecord>> Segment(const std::string& source,
                                               uint64_t segment) override {
    return Use([&](Index& index) { return index.Segment(source, segment); });
  }
  Result<std::optional<SegmentRecord>> LastSegment(const std::string& source) override {
    return Use([&](Index& index) { return index.LastSegment(source); });
  }
  Result<std::optional<IndexedFrame>> FindGtid(const std::string& source,
                                               const Gtid& gtid) override {
    return Use([&](Index& index) { return index.FindGtid(source, gtid); });
  }
  Result<std::optional<IndexedFrame>> FindFirstPast(const std::string& source,
                                                    int64_t time_us) override {
    return Use([&](Index& index) { return index.FindFirstPast(source, time_us); });
  }
  Result<std::optional<IndexedFrame>> FindPosition(const std::string& source,
                                                   const std::string& file,
                                                   uint64_t position) override {
    return Use([&](Index& index) { return index.FindPosition(source, file, position); });
  }
  Result<std::optional<IndexedFrame>> Frame(const std::string& source, uint64_t segment,
                                            uint32_t frame) override {
    return Use([&](Index& index) { return index.Frame(source, segment, frame); });
  }
  Status EachFrame(const std::string& source, uint64_t segment, uint32_t first_frame,
                   const std::function<bool(const IndexedFrame&)>& callback) override {
    return Use(
        [&](Index& index) { return index.EachFrame(source, segment, first_frame, callback); });
  }
  Result<std::vector<IndexedDdl>> ListDdl(const std::string& source, int64_t from_us, int64_t to_us,
                                          size_t limit) override {
    return Use([&](Index& index) { return index.ListDdl(source, from_us, to_us, limit); });
  }
  Result<std::vector<IndexedOversize>> ListOversize(const std::string& source) override {
    return Use([&](Index& index) { return index.ListOversize(source); });
  }
  Result<uint64_t> SizeOnDisk() override {
    return Use([](Index& index) { return index.SizeOnDisk(); });
  }
  Result<std::vector<IndexEntry>> SegmentContentsOf(const std::string& source,
                                                    uint64_t segment) override {
    return Use([&](Index& index) { return index.SegmentContentsOf(source, segment); });
  }
  Status EachEntry(const std::function<Status(const IndexEntry&)>& visit) override {
    return Use([&](Index& index) { return index.EachEntry(visit); });
  }

 private:
  // A look-up inside a callback of another is let in, since readers are preferred (glibc); that
  // Replace may starve is what its limit is for.
  template <typename Call>
  auto Use(Call call) -> decltype(call(std::declval<Index&>())) {
    std::shared_lock use(use_);
    if (index_ == nullptr) return closed_;
    return call(*index_);
  }

  template <typename Call>
  Status Write(const DurableBatch& batch, const Call& call) {
    std::lock_guard lock(write_);
    TM_RETURN_IF_ERROR(MendUnlocked());
    const SegmentRecord& segment = batch.segment;
    Status status = Use(call);
    if (status.ok()) applied_[batch.source] = {segment.header.number, segment.raw_bytes};
    return Noted(std::move(status));
  }

  Status Noted(Status written) {
    if (written.code() == Code::kDiskFull || written.code() == Code::kIo) broken_ = written;
    return written;
  }

  Status MendUnlocked() {
    if (broken_.ok() || path_.empty()) return OkStatus();
    // Opening takes some room itself, and closing one that answers, for nothing, would be a pity.
    const Result<uint64_t> free = PosixFileSystem().FreeBytes(ParentPath(path_));
    if (free.ok() && *free < kMendBytes) return broken_;
    std::unique_lock use(use_, kReplaceWait);
    if (!use.owns_lock()) return broken_;
    index_.reset();
    Result<std::unique_ptr<Index>> opened = Index::OpenForWriting(path_);
    if (!opened.ok()) {
      broken_ = opened.error();
      OpenForReading();
      return broken_;
    }
    index_ = std::move(*opened);
    broken_ = CheckApplied();
    return broken_;
  }

  void OpenForReading() {
    closed_ = broken_;
    Result<std::unique_ptr<Index>> opened = Index::OpenForReading(path_);
    if (opened.ok()) index_ = std::move(*opened);
  }

  // What it was told it knows, also after it was opened anew. (No disk that we know of would lose
  // it, without the machine; but then the batches that follow would hide the hole.)
  Status CheckApplied() {
    for (const auto& [source, last] : applied_) {
      TM_ASSIGN_OR_RETURN(const auto known, index_->Segment(source, last.first));
      if (!known || known->raw_bytes < last.second)
        return Status(Code::kIo, "the index has lost what it was told of " + source,
                      "restart tidemarkd: it brings the index up to date");
    }
    return OkStatus();
  }

  static constexpr uint64_t kMendBytes = 2 << 20;

  const std::string path_;
  std::mutex write_;  // one writer at a time; guards applied_ and broken_, comes before use_
  std::map<std::string, std::pair<uint64_t, uint64_t>> applied_;  // last segment, its raw bytes
  Status broken_;                // why it cannot be written, until it is mended
  std::shared_timed_mutex use_;  // guards index_, which one it is, and closed_
  std::unique_ptr<Index> index_;
  Status closed_{Code::kIo, "the index could not be opened after it was exchanged",
                 "restart tidemarkd, or pitr index rebuild"};  // why there is none
};

}  // namespace tidemark
