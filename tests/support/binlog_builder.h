// Makes binary logs out of nothing: magic, format description, Previous_gtids, transactions,
// Rotate; with checksums and transaction lengths as a 9.7 server writes them. Fast enough for tens
// of millions of transactions. One thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "replication/event/binlog_format.h"
#include "replication/event/gtid_set.h"

namespace tidemark::testing {

inline constexpr uint32_t kBuilderServerId = 7;
inline constexpr std::string_view kBuilderUuid = "aaaaaaaa-0000-0000-0000-000000000001";
Uuid BuilderUuid();

enum class RowChange : uint8_t { kInsert, kUpdate, kDelete };

// BEGIN, one table map, `events` row events of `rows` rows each, XID; or one DDL statement (or
// another one that is a transaction of its own: XA COMMIT).
struct TransactionSpec {
  Gtid gtid = {};  // untagged
  int64_t commit_us = 0;
  int64_t original_commit_us = 0;  // on the server that committed it first; 0: on this one
  std::string_view schema = "test";
  std::string_view table = "t";
  RowChange change = RowChange::kInsert;
  uint32_t rows = 1;        // per event
  uint32_t row_bytes = 16;  // of the blob in each row image
  uint32_t events = 1;
  std::string_view ddl = {};  // not empty: the statement, and nothing of the above but schema
  bool empty = false;         // BEGIN, COMMIT and nothing between
  bool xa = false;            // XA START … XA END, XA_prepare instead of BEGIN and XID
  bool compressed = false;    // what follows the GTID as one Transaction_payload
};

class BinlogBuilder {
 public:
  explicit BinlogBuilder(ChecksumAlgorithm checksum = ChecksumAlgorithm::kCrc32)
      : checksum_(checksum) {}

  // Bytes made since the last Take. `position()` counts from the file's begin.
  const std::string& bytes() const { return bytes_; }
  std::string Take();
  uint64_t position() const { return position_; }

  void BeginFile(const GtidSet& previous);                  // position starts again at 0
  void GoOnAt(uint64_t position) { position_ = position; }  // of a file that was cut there
  void Add(const TransactionSpec& transaction);
  // Of the events that belong to no transaction, as of a file's format description; commits set it.
  void SetTime(uint32_t seconds) { timestamp_ = seconds; }
  void Rotate(std::string_view next_file);
  void Stop();

 private:
  void BeginEvent(EventType type);
  void EndEvent();
  void AddGtid(const TransactionSpec& transaction, uint64_t* length_at);
  void AddQuery(const TransactionSpec& transaction, std::string_view statement);
  void AddTableMap(const TransactionSpec& transaction);
  void AddRows(const TransactionSpec& transaction);
  void AddBody(const TransactionSpec& transaction);
  void AddPayload(const TransactionSpec& transaction);
  void Put(uint64_t value, size_t width);

  ChecksumAlgorithm checksum_;
  std::string bytes_;
  std::string blob_;
  uint64_t position_ = 0;  // of bytes_.end() in the file
  size_t event_at_ = 0;    // in bytes_
  uint32_t timestamp_ = 0;
  int64_t sequence_ = 0;
  uint64_t row_ = 0;
};

// UUID BuilderUuid():number.
Gtid BuilderGtid(int64_t number);
GtidSet BuilderSet(int64_t first, int64_t last);

}  // namespace tidemark::testing
