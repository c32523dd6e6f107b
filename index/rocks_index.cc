#include "index/rocks_index.h"

#include <algorithm>
#include <utility>

namespace tidemark {
namespace {

// Turns the entries `before` into `after`; both sorted by key.
void AddDifference(const Database& database, const std::vector<IndexEntry>& before,
                   const std::vector<IndexEntry>& after, rocksdb::WriteBatch* batch) {
  auto old_entry = before.begin();
  for (const IndexEntry& entry : after) {
    while (old_entry != before.end() && old_entry->KeyLess(entry)) {
      (void)batch->Delete(database.Handle(old_entry->family), AsSlice(old_entry->key));
      ++old_entry;
    }
    const bool was_there = old_entry != before.end() && !entry.KeyLess(*old_entry);
    if (!was_there || old_entry->value != entry.value) {
      (void)batch->Put(database.Handle(entry.family), AsSlice(entry.key), AsSlice(entry.value));
    }
    if (was_there) ++old_entry;
  }
  for (; old_entry != before.end(); ++old_entry) {
    (void)batch->Delete(database.Handle(old_entry->family), AsSlice(old_entry->key));
  }
}

Status CheckSource(const std::string& source) {
  if (!source.empty() && source.size() <= kSourceNameBytesMax) return OkStatus();
  return {Code::kUsage,
          "a source's name has 1 to 64 bytes, this one has " + std::to_string(source.size())};
}

}  // namespace

Result<std::unique_ptr<Index>> Index::OpenForWriting(const std::string& path) {
  TM_ASSIGN_OR_RETURN(auto database, Database::OpenPrimary(path));
  return std::unique_ptr<Index>(new RocksIndex(std::move(database), true));
}

Result<std::unique_ptr<Index>> Index::OpenForReading(const std::string& path) {
  TM_ASSIGN_OR_RETURN(auto database, Database::OpenSecondary(path));
  return std::unique_ptr<Index>(new RocksIndex(std::move(database), false));
}

std::shared_ptr<Database> RocksIndex::database() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return database_;
}

Status RocksIndex::CheckWritable() const {
  if (writable_) return OkStatus();
  return {Code::kUsage, "index " + database()->path() + " is open for reading only"};
}

Result<RocksIndex::Tail> RocksIndex::LoadTail(const Database& database, const std::string& source,
                                              uint64_t segment) const {
  Tail tail;
  tail.segment = segment;
  TM_ASSIGN_OR_RETURN(const auto record, LoadSegment(database, source, segment));
  if (record.has_value()) tail.segment_entries = SegmentEntries(source, *record);
  TM_ASSIGN_OR_RETURN(const auto last,
                      LastUpTo(database, Family::kFrame, SegmentPrefix(source, segment),
                               FrameKey(source, segment, UINT32_MAX)));
  if (!last.has_value()) return tail;
  TM_ASSIGN_OR_RETURN(const FrameKeyFields key, DecodeFrameKey(last->key));
  TM_ASSIGN_OR_RETURN(const FrameRecord frame, DecodeFrameValue(key.frame, last->value));
  tail.has_frame = true;
  tail.frame = key.frame;
  tail.frame_entries = FrameEntries(source, segment, frame);
  return tail;
}

// The entries of `frame` as they stand in the database; none if it lies behind the last one there.
Result<std::vector<IndexEntry>> RocksIndex::LoadFrameEntries(const Database& database,
                                                             const Tail& tail,
                                                             const std::string& source,
                                                             uint32_t frame) const {
  if (!tail.has_frame || frame > tail.frame) return std::vector<IndexEntry>();
  if (frame == tail.frame) return tail.frame_entries;
  TM_ASSIGN_OR_RETURN(const auto record, LoadFrame(database, source, tail.segment, frame));
  if (!record.has_value()) return std::vector<IndexEntry>();
  return FrameEntries(source, tail.segment, record->record);
}

Status RocksIndex::Apply(const DurableBatch& batch) {
  TM_RETURN_IF_ERROR(CheckWritable());
  TM_RETURN_IF_ERROR(CheckSource(batch.source));
  const auto database = this->database();
  const uint64_t segment = batch.segment.header.number;
  auto known = tails_.find(batch.source);
  if (known == tails_.end() || known->second.segment != segment) {
    TM_ASSIGN_OR_RETURN(Tail loaded, LoadTail(*database, batch.source, segment));
    known = tails_.insert_or_assign(batch.source, std::move(loaded)).first;
  }
  Tail tail = std::move(known->second);
  tails_.erase(known);  // put back only when all of this has been written

  rocksdb::WriteBatch writes;
  std::vector<IndexEntry> entries = SegmentEntries(batch.source, batch.segment);
  AddDifference(*database, tail.segment_entries, entries, &writes);
  tail.segment_entries = std::move(entries);
  for (const FrameRecord& frame : batch.frames) {
    TM_ASSIGN_OR_RETURN(const auto before,
                        LoadFrameEntries(*database, tail, batch.source, frame.frame));
    entries = FrameEntries(batch.source, segment, frame);
    AddDifference(*database, before, entries, &writes);
    if (tail.has_frame && frame.frame < tail.frame) continue;
    tail.has_frame = true;
    tail.frame = frame.frame;
    tail.frame_entries = std::move(entries);
  }
  for (const DdlRecord& ddl : batch.ddl) {
    AddDifference(*database, {}, {DdlEntry(batch.source, segment, ddl)}, &writes);
  }
  for (const OversizeRecord& oversize : batch.oversize) {
    AddDifference(*database, {}, {OversizeEntry(batch.source, segment, oversize)}, &writes);
  }
  TM_RETURN_IF_ERROR(database->Write(&writes));
  tails_.insert_or_assign(batch.source, std::move(tail));
  return OkStatus();
}

Status RocksIndex::ReplaceSegment(const SegmentContents& contents) {
  TM_RETURN_IF_ERROR(CheckWritable());
  TM_RETURN_IF_ERROR(CheckSource(contents.source));
  tails_.erase(contents.source);
  TM_ASSIGN_OR_RETURN(const std::vector<IndexEntry> before,
                      SegmentContentsOf(contents.source, contents.segment.header.number));
  const auto database = this->database();
  rocksdb::WriteBatch writes;
  AddDifference(*database, before, BatchEntries(contents), &writes);
  return database->Write(&writes);
}

Status RocksIndex::DropSegment(const std::string& source, uint64_t segment) {
  TM_RETURN_IF_ERROR(CheckWritable());
  tails_.erase(source);
  const auto database = this->database();
  TM_ASSIGN_OR_RETURN(const std::vector<IndexEntry> entries, SegmentContentsOf(source, segment));
  rocksdb::WriteBatch writes;
  for (const IndexEntry& entry : entries) {
    (void)writes.Delete(database->Handle(entry.family), AsSlice(entry.key));
  }
  return database->Write(&writes);
}

// What stands in the database for this segment: its frames, DDL and oversize records by their keys,
// the rest as those records imply it and only if it is there.
Result<std::vector<IndexEntry>> RocksIndex::SegmentContentsOf(const std::string& source,
                                                              uint64_t segment) {
  const auto database = this->database();
  const std::string prefix = SegmentPrefix(source, segment);
  std::vector<IndexEntry> entries;
  std::vector<IndexEntry> implied;
  for (Family family : {Family::kSegment, Family::kFrame, Family::kDdl, Family::kOversize}) {
    TM_RETURN_IF_ERROR(EachRecord(
        *database, family, prefix, prefix, [&](std::string_view key, std::string_view value) {
          entries.push_back({family, std::string(key), std::string(value)});
          if (family != Family::kFrame) return OkStatus();
          Result<FrameKeyFields> fields = DecodeFrameKey(key);
          if (!fields.has_value()) return fields.error();
          Result<FrameRecord> frame = DecodeFrameValue(fields->frame, value);
          if (!frame.has_value()) return frame.error();
          for (IndexEntry& entry : FrameEntries(source, segment, *frame)) {
            if (entry.family != Family::kFrame) implied.push_back(std::move(entry));
          }
          return OkStatus();
        }));
  }
  TM_ASSIGN_OR_RETURN(const auto record, LoadSegment(*database, source, segment));
  if (record.has_value()) {
    for (IndexEntry& entry : SegmentEntries(source, *record)) {
      if (entry.family == Family::kPosition) implied.push_back(std::move(entry));
    }
  }
  for (IndexEntry& entry : implied) {
    // A GTID's entry that names another frame is that frame's, not ours to drop.
    TM_ASSIGN_OR_RETURN(const auto value, database->Get(entry.family, entry.key));
    if (value.has_value() && *value == entry.value) entries.push_back(std::move(entry));
  }
  std::sort(entries.begin(), entries.end(),
            [](const IndexEntry& a, const IndexEntry& b) { return a.KeyLess(b); });
  return entries;
}

Status RocksIndex::Refresh() {
  if (writable_) return OkStatus();
  const auto database = this->database();
  if (database->StillInPlace() && database->CatchUp().ok()) return OkStatus();
  // A rebuild has swapped in another index, or the writer's files moved too fast for us: begin
  // anew.
  TM_ASSIGN_OR_RETURN(auto reopened, Database::OpenSecondary(database->path()));
  const std::lock_guard<std::mutex> lock(mutex_);
  database_ = std::move(reopened);
  return OkStatus();
}

Status RocksIndex::Flush() {
  TM_RETURN_IF_ERROR(CheckWritable());
  return database()->Flush();
}

Result<uint64_t> RocksIndex::SizeOnDisk() { return DirectoryBytes(database()->path()); }

Status RocksIndex::EachEntry(const std::function<Status(const IndexEntry&)>& visit) {
  const auto database = this->database();
  for (size_t i = 0; i < kFamilyCount; ++i) {
    const Family family = static_cast<Family>(i);
    TM_RETURN_IF_ERROR(
        EachRecord(*database, family, {}, {}, [&](std::string_view key, std::string_view value) {
          return visit(IndexEntry{family, std::string(key), std::string(value)});
        }));
  }
  return OkStatus();
}

}  // namespace tidemark
