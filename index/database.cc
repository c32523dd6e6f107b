#include "index/database.h"

#include <rocksdb/cache.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "index/value_codec.h"
#include "replication/base/file_system.h"

namespace tidemark {
namespace {

constexpr int kSecondaryOpenAttempts = 20;

// RocksDB's LOG opens with some 100 KiB of options at every start; what matters in it comes back as
// a Status anyway.
class SilentLogger : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char* /*format*/, va_list /*arguments*/) override {}
};

rocksdb::DBOptions DatabaseOptions(bool secondary) {
  rocksdb::DBOptions options;
  options.create_if_missing = !secondary;
  options.create_missing_column_families = !secondary;
  options.info_log = std::make_shared<SilentLogger>();
  options.max_total_wal_size = kIndexWalBytesMax;
  options.max_manifest_file_size = kIndexManifestBytesMax;
  options.allow_fallocate = false;  // else WAL and MANIFEST occupy 4 MiB each from their first byte
  // A lost tail of the log cannot leave the families at different points.
  options.atomic_flush = true;
  options.max_background_jobs = 2;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.skip_stats_update_on_db_open = true;
  options.skip_checking_sst_file_sizes_on_db_open = true;
  options.max_file_opening_threads =
      1;  // a few dozen files: starting 16 threads takes longer than opening them
  options.max_open_files = -1;  // a secondary must keep files open that the primary deletes
  return options;
}

// Keys of most families only ever grow, and then level compaction merely moves the small files of
// many flushes about; universal compaction merges them into few.
rocksdb::ColumnFamilyOptions FamilyOptions(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.block_size = kIndexBlockBytes;
  table.cache_index_and_filter_blocks = true;  // so that they count towards the cache's limit
  table.format_version = 5;
  rocksdb::ColumnFamilyOptions options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.compaction_style = rocksdb::kCompactionStyleUniversal;
  options.compression = rocksdb::kZSTD;
  options.write_buffer_size = kIndexMemtableBytes;
  options.max_write_buffer_number = 3;
  options.arena_block_size = 64 << 10;  // most families hold next to nothing
  return options;
}

std::vector<rocksdb::ColumnFamilyDescriptor> Families() {
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(kIndexCacheBytes);
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (size_t i = 0; i < kFamilyCount; ++i) {
    families.emplace_back(FamilyName(static_cast<Family>(i)), FamilyOptions(cache));
  }
  return families;
}

uint64_t InodeOf(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

}  // namespace

Status FromRocks(const rocksdb::Status& status, const std::string& path) {
  if (status.ok()) return OkStatus();
  const std::string text = "index " + path + ": " + status.ToString();
  if (status.IsNoSpace()) return {Code::kDiskFull, text, "free some space and start again"};
  if (status.IsCorruption()) return {Code::kCorruption, text, kIndexRebuildHint};
  if (status.IsIOError() && (text.find("While lock file") != std::string::npos ||
                             text.find("lock hold by current process") != std::string::npos)) {
    return {Code::kLocked, "index " + path + " is being written by another process",
            "stop tidemarkd, or let it do the work"};
  }
  return {Code::kIo, text};
}

Result<std::shared_ptr<Database>> Database::OpenPrimary(const std::string& path) {
  TM_RETURN_IF_ERROR(PosixFileSystem().CreateDirectories(path));
  std::shared_ptr<Database> database(new Database(path, false));
  TM_RETURN_IF_ERROR(database->CheckFamilies());
  TM_RETURN_IF_ERROR(database->Open());
  TM_RETURN_IF_ERROR(database->CheckFormat());
  return database;
}

// The primary may delete a table file between the moment the manifest names it and the moment it is
// opened here: then the next attempt finds a newer manifest. By RocksDB's way of reading, a flush
// between our reading the manifest and our reading the logs could also leave a hole; catching up
// once more is cheap insurance (no test has shown the hole).
Result<std::shared_ptr<Database>> Database::OpenSecondary(const std::string& path) {
  if (!std::filesystem::exists(path + "/CURRENT")) {
    return Status(Code::kNotFound, "there is no index at " + path, kIndexRebuildHint);
  }
  Status status;
  for (int attempt = 0; attempt < kSecondaryOpenAttempts; ++attempt) {
    std::shared_ptr<Database> database(new Database(path, true));
    status = database->Open();
    if (status.ok()) status = database->CatchUp();
    if (status.ok()) {
      TM_RETURN_IF_ERROR(database->CheckFormat());
      return database;
    }
  }
  return status;
}

Status Database::Open() {
  inode_ = InodeOf(path_);
  rocksdb::DB* db = nullptr;
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  const rocksdb::DBOptions options = DatabaseOptions(secondary_);
  const rocksdb::Status status =
      secondary_
          // Its second directory is only ever used for a LOG, which the silent logger replaces.
          ? rocksdb::DB::OpenAsSecondary(options, path_, path_, Families(), &handles, &db)
          : rocksdb::DB::Open(options, path_, Families(), &handles, &db);
  if (status.IsInvalidArgument() && secondary_) {
    // Families are created one after the other, before anything is written.
    return {Code::kNotFound, "the index at " + path_ + " is not complete", kIndexRebuildHint};
  }
  TM_RETURN_IF_ERROR(ToStatus(status));
  db_.reset(db);
  std::copy(handles.begin(), handles.end(), handles_.begin());
  newest_table_ = NewestTable();
  return OkStatus();
}

Database::~Database() {
  if (db_ == nullptr) return;
  if (!secondary_) Settle();
  for (rocksdb::ColumnFamilyHandle* handle : handles_) (void)db_->DestroyColumnFamilyHandle(handle);
}

// At rest everything is in table files: the directory is smallest then, and readers open it
// fastest. A log that overlapped an earlier flush is only let go when a later one ends: hence once
// more if one is left.
void Database::Settle() {
  if (!Flush().ok()) return;
  rocksdb::VectorLogPtr logs;
  if (!db_->GetSortedWalFiles(logs).ok() || logs.empty()) return;
  if (WriteFormat().ok()) (void)Flush();
}

// RocksDB refuses to open for writing with families left out; a family we do not know is a newer
// version's.
Status Database::CheckFamilies() const {
  std::vector<std::string> names;
  if (!std::filesystem::exists(path_ + "/CURRENT")) return OkStatus();
  TM_RETURN_IF_ERROR(
      ToStatus(rocksdb::DB::ListColumnFamilies(DatabaseOptions(false), path_, &names)));
  for (const std::string& name : names) {
    bool known = false;
    for (size_t i = 0; i < kFamilyCount; ++i) known |= name == FamilyName(static_cast<Family>(i));
    if (known) continue;
    return {
        Code::kUnsupportedFormat,
        "index " + path_ + " holds the unknown column family '" + name + "'",
        "use the newer tidemark that wrote it, or rebuild it with this one: pitr index rebuild"};
  }
  return OkStatus();
}

Status Database::CheckFormat() {
  TM_ASSIGN_OR_RETURN(const auto value, Get(Family::kMeta, kMetaFormatKey));
  if (!value.has_value()) {
    if (secondary_) {
      return {Code::kNotFound, "the index at " + path_ + " is not complete", kIndexRebuildHint};
    }
    return WriteFormat();
  }
  TM_ASSIGN_OR_RETURN(const uint32_t version, DecodeMetaFormat(*value));
  if (version <= kIndexFormatVersion) return OkStatus();
  return {Code::kUnsupportedFormat,
          "index " + path_ + " has format version " + std::to_string(version) +
              ", this program knows up to " + std::to_string(kIndexFormatVersion),
          "use the newer tidemark that wrote it, or rebuild it with this one: pitr index rebuild"};
}

Status Database::WriteFormat() {
  rocksdb::WriteBatch batch;
  (void)batch.Put(Handle(Family::kMeta), AsSlice(kMetaFormatKey),
                  EncodeMetaFormat(kIndexFormatVersion));
  return Write(&batch);
}

Result<std::optional<std::string>> Database::Get(Family family, std::string_view key) const {
  std::string value;
  const rocksdb::Status status =
      db_->Get(rocksdb::ReadOptions(), Handle(family), AsSlice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  TM_RETURN_IF_ERROR(ToStatus(status));
  return std::optional<std::string>(std::move(value));
}

std::unique_ptr<rocksdb::Iterator> Database::Iterate(Family family) const {
  return std::unique_ptr<rocksdb::Iterator>(
      db_->NewIterator(rocksdb::ReadOptions(), Handle(family)));
}

rocksdb::ColumnFamilyHandle* Database::Handle(Family family) const {
  return handles_[static_cast<size_t>(family)];
}

Status Database::Write(rocksdb::WriteBatch* batch) {
  TM_CHECK(!secondary_);
  return ToStatus(db_->Write(rocksdb::WriteOptions(), batch));
}

Status Database::Flush() {
  return ToStatus(db_->Flush(rocksdb::FlushOptions(), {handles_.begin(), handles_.end()}));
}

// Twice: see OpenSecondary. Not when table files came: what a secondary has read from the log goes
// on hiding newer records that went to a file, until something is logged after that
// (AReaderSeesWhatReplacedARecordAndWasFlushedAtOnce).
Status Database::CatchUp() {
  TM_RETURN_IF_ERROR(ToStatus(db_->TryCatchUpWithPrimary()));
  TM_RETURN_IF_ERROR(ToStatus(db_->TryCatchUpWithPrimary()));
  if (NewestTable() == newest_table_) return OkStatus();
  return {Code::kIo, "index " + path_ + ": table files came while it was read", "try again"};
}

uint64_t Database::NewestTable() const {
  std::vector<rocksdb::LiveFileMetaData> tables;
  db_->GetLiveFilesMetaData(&tables);
  uint64_t newest = 0;
  for (const rocksdb::LiveFileMetaData& table : tables)
    newest = std::max(newest, table.file_number);
  return newest;
}

bool Database::StillInPlace() const { return inode_ == InodeOf(path_); }

Result<std::optional<Record>> LastUpTo(const Database& database, Family family,
                                       std::string_view prefix, std::string_view key) {
  const auto iterator = database.Iterate(family);
  iterator->SeekForPrev(AsSlice(key));
  TM_RETURN_IF_ERROR(database.ToStatus(iterator->status()));
  if (!iterator->Valid() || !iterator->key().starts_with(AsSlice(prefix))) {
    return std::optional<Record>();
  }
  return std::optional<Record>({iterator->key().ToString(), iterator->value().ToString()});
}

Result<std::optional<Record>> FirstFrom(const Database& database, Family family,
                                        std::string_view prefix, std::string_view key) {
  const auto iterator = database.Iterate(family);
  iterator->Seek(AsSlice(key));
  TM_RETURN_IF_ERROR(database.ToStatus(iterator->status()));
  if (!iterator->Valid() || !iterator->key().starts_with(AsSlice(prefix))) {
    return std::optional<Record>();
  }
  return std::optional<Record>({iterator->key().ToString(), iterator->value().ToString()});
}

// Files that vanish meanwhile (compaction, WAL) count as nothing.
Result<uint64_t> DirectoryBytes(const std::string& path) {
  std::error_code error;
  uint64_t bytes = 0;
  std::filesystem::directory_iterator entry(path, error);
  if (error) return Status(Code::kIo, "cannot list " + path + ": " + error.message());
  for (; entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    std::error_code vanished;
    const uint64_t size = entry->file_size(vanished);
    if (!vanished) bytes += size;
    if (error) break;
  }
  if (error) return Status(Code::kIo, "cannot list " + path + ": " + error.message());
  return bytes;
}

Status RemoveDirectory(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (!error) return OkStatus();
  return {Code::kIo, "cannot remove " + path + ": " + error.message()};
}

}  // namespace tidemark
