// RocksDB as the index uses it: one database, one column family per Family, options that keep it
// small, and RocksDB's errors turned into ours. Internal to this folder (and its tests).
//
// A primary is the one writer. A secondary reads beside it, in another process or the same, and
// creates nothing in the directory. Safe for concurrent use; a Database must outlive its iterators.
// Writes go to the WAL without fsync: a crash of the process loses nothing, one of the machine
// perhaps the latest batches.
#pragma once

#include <rocksdb/db.h>
#include <rocksdb/transaction_log.h>
#include <rocksdb/write_batch.h>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "index/key_codec.h"

namespace tidemark {

inline constexpr uint64_t kIndexWalBytesMax = 512 << 10;  // then memtables are written out
inline constexpr size_t kIndexMemtableBytes =
    4 << 20;  // per family, rarely reached: the WAL limit comes first
inline constexpr size_t kIndexCacheBytes = 8 << 20;  // data, index and filter blocks together
inline constexpr size_t kIndexBlockBytes = 16 << 10;
inline constexpr uint64_t kIndexManifestBytesMax = 128 << 10;  // then a fresh one is begun

// Never null: RocksDB hands an empty slice's pointer to memcmp.
inline rocksdb::Slice AsSlice(std::string_view text) {
  return text.empty() ? rocksdb::Slice() : rocksdb::Slice(text.data(), text.size());
}

// kNoSpace -> kDiskFull, Corruption -> kCorruption (hint: rebuild), a held lock -> kLocked, the
// rest -> kIo.
Status FromRocks(const rocksdb::Status& status, const std::string& path);

class Database {
 public:
  // Creates it if absent.
  static Result<std::shared_ptr<Database>> OpenPrimary(const std::string& path);
  static Result<std::shared_ptr<Database>> OpenSecondary(const std::string& path);
  ~Database();  // a primary writes its memtables out
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::string& path() const { return path_; }
  Result<std::optional<std::string>> Get(Family family, std::string_view key) const;
  std::unique_ptr<rocksdb::Iterator> Iterate(Family family) const;
  rocksdb::ColumnFamilyHandle* Handle(Family family) const;
  Status Write(rocksdb::WriteBatch* batch);
  Status Flush();
  // Secondary: takes in what the primary has written since; reopens nothing. An error if the
  // primary's directory has been replaced, or files came or went away under it: then open anew.
  Status CatchUp();
  // Is `path` still the directory that was opened? (A rebuild swaps in another one.)
  bool StillInPlace() const;
  Status ToStatus(const rocksdb::Status& status) const { return FromRocks(status, path_); }

 private:
  Database(std::string path, bool secondary) : path_(std::move(path)), secondary_(secondary) {}
  Status Open();
  Status CheckFamilies() const;
  Status CheckFormat();
  Status WriteFormat();
  void Settle();
  uint64_t NewestTable() const;  // its file's number

  std::string path_;
  bool secondary_;
  uint64_t inode_ = 0;
  uint64_t newest_table_ = 0;  // when it was opened
  std::unique_ptr<rocksdb::DB> db_;
  std::array<rocksdb::ColumnFamilyHandle*, kFamilyCount> handles_{};
};

// Calls `visit(key, value)` for each record of `family` from `start` on whose key begins with
// `prefix`, until it returns a Status that is not OK; kEndOfData from it means "enough" and gives
// OK.
template <typename Visit>
Status EachRecord(const Database& database, Family family, std::string_view prefix,
                  std::string_view start, const Visit& visit) {
  const auto iterator = database.Iterate(family);
  for (iterator->Seek(AsSlice(start));
       iterator->Valid() && iterator->key().starts_with(AsSlice(prefix)); iterator->Next()) {
    Status status = visit(iterator->key().ToStringView(), iterator->value().ToStringView());
    if (status.code() == Code::kEndOfData) return OkStatus();
    if (!status.ok()) return status;
  }
  return database.ToStatus(iterator->status());
}

struct Record {
  std::string key;
  std::string value;
};
// The last record at or before `key` that begins with `prefix`; the first one at or after it.
Result<std::optional<Record>> LastUpTo(const Database& database, Family family,
                                       std::string_view prefix, std::string_view key);
Result<std::optional<Record>> FirstFrom(const Database& database, Family family,
                                        std::string_view prefix, std::string_view key);

Result<uint64_t> DirectoryBytes(const std::string& path);
Status RemoveDirectory(const std::string& path);  // with everything in it; fine if absent

}  // namespace tidemark
