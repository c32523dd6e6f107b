#include "tests/support/binlog_builder.h"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "replication/base/checksum.h"
#include "replication/event/control_events.h"

namespace tidemark::testing {
namespace {

constexpr uint64_t kTableId = 108;
constexpr size_t kServerVersionBytes = 50;
constexpr std::string_view kServerVersion = "9.7.4-tidemark-test";
// Post-header lengths of event types 1 to 42, as a 9.7.4 server's format description has them.
constexpr std::array<uint8_t, 42> kPostHeaderBytes = {
    0, 13, 0, 8, 0, 0, 0, 0, 4,  0,  4,  0,  0,  0, 99, 0,  4, 26, 8,  0, 0,
    0, 0,  0, 0, 2, 0, 0, 0, 10, 10, 10, 42, 42, 0, 18, 52, 0, 10, 40, 0, 0};

constexpr uint8_t kTypeLong = 3;    // INT
constexpr uint8_t kTypeBlob = 252;  // LONGBLOB: four length bytes
constexpr uint64_t kOriginalFlag = uint64_t{1} << 55;

}  // namespace

Uuid BuilderUuid() { return *Uuid::Parse(kBuilderUuid); }
Gtid BuilderGtid(int64_t number) {
  static const Tsid tsid{BuilderUuid(), ""};
  return {tsid, number};
}
GtidSet BuilderSet(int64_t first, int64_t last) {
  GtidSet set;
  if (first <= last) set.Add({BuilderUuid(), ""}, {first, last});
  return set;
}

std::string BinlogBuilder::Take() {
  std::string taken;
  taken.swap(bytes_);
  return taken;
}

void BinlogBuilder::Put(uint64_t value, size_t width) {
  std::array<char, 8> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(value));
  bytes_.append(bytes.data(), width);
}

void BinlogBuilder::BeginEvent(EventType type) {
  event_at_ = bytes_.size();
  Put(timestamp_, 4);
  Put(static_cast<uint8_t>(type), 1);
  Put(kBuilderServerId, 4);
  Put(0, 4);  // size and log_pos come at its end
  Put(0, 4);
  Put(0, 2);
}

void BinlogBuilder::EndEvent() {
  auto size = static_cast<uint32_t>(bytes_.size() - event_at_ + ChecksumSizeOf(checksum_));
  position_ += size;
  auto log_pos = static_cast<uint32_t>(position_);
  std::memcpy(&bytes_[event_at_ + 9], &size, sizeof(size));
  std::memcpy(&bytes_[event_at_ + 13], &log_pos, sizeof(log_pos));
  if (checksum_ == ChecksumAlgorithm::kOff) return;
  Put(Crc32(0, AsBytes(bytes_).subspan(event_at_)), kChecksumSize);
}

void BinlogBuilder::BeginFile(const GtidSet& previous) {
  bytes_.append(AsText(Bytes(kBinlogMagic)));
  position_ = kBinlogMagicSize;
  sequence_ = 0;
  BeginEvent(EventType::kFormatDescription);
  Put(4, 2);
  bytes_.append(kServerVersion);
  bytes_.append(kServerVersionBytes - kServerVersion.size(), '\0');
  Put(0, 4);
  Put(kEventHeaderSize, 1);
  bytes_.append(AsText(Bytes(kPostHeaderBytes)));
  Put(static_cast<uint8_t>(checksum_), 1);
  // A format description that names its algorithm has a checksum whatever it names.
  ChecksumAlgorithm algorithm = std::exchange(checksum_, ChecksumAlgorithm::kCrc32);
  EndEvent();
  checksum_ = algorithm;
  BeginEvent(EventType::kPreviousGtids);
  bytes_.append(previous.Encode());
  EndEvent();
}

void BinlogBuilder::Rotate(std::string_view next_file) {
  BeginEvent(EventType::kRotate);
  Put(kBinlogMagicSize, 8);
  bytes_.append(next_file);
  EndEvent();
}

void BinlogBuilder::Stop() {
  BeginEvent(EventType::kStop);
  EndEvent();
}

void BinlogBuilder::AddBody(const TransactionSpec& transaction) {
  if (!transaction.ddl.empty()) return AddQuery(transaction, transaction.ddl);
  AddQuery(transaction, transaction.xa ? "XA START X'78',X'',1" : "BEGIN");
  if (transaction.empty) return AddQuery(transaction, "COMMIT");
  AddTableMap(transaction);
  for (uint32_t i = 0; i < transaction.events; ++i) AddRows(transaction);
  if (!transaction.xa) {
    BeginEvent(EventType::kXid);
    Put(static_cast<uint64_t>(sequence_), 8);
    return EndEvent();
  }
  AddQuery(transaction, "XA END X'78',X'',1");
  BeginEvent(EventType::kXaPrepare);
  Put(0, 1);  // not in one phase
  Put(1, 4);  // format
  Put(1, 4);
  Put(0, 4);
  bytes_.push_back('x');
  EndEvent();
}

// libs/mysql/binlog/event/compression/payload_event_buffer_istream.h: events without checksums.
void BinlogBuilder::AddPayload(const TransactionSpec& transaction) {
  std::string outer = std::exchange(bytes_, {});
  const ChecksumAlgorithm checksum = std::exchange(checksum_, ChecksumAlgorithm::kOff);
  const uint64_t position = position_;
  AddBody(transaction);
  const std::string plain = std::exchange(bytes_, std::move(outer));
  checksum_ = checksum;
  position_ = position;
  std::string packed(ZSTD_compressBound(plain.size()), '\0');
  packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 1));
  BeginEvent(EventType::kTransactionPayload);
  Put(2, 1);  // compression: zstd
  Put(1, 1);
  Put(0, 1);
  Put(3, 1);  // size before
  Put(9, 1);
  Put(0xFE, 1);
  Put(plain.size(), 8);
  Put(1, 1);  // size of the payload
  Put(9, 1);
  Put(0xFE, 1);
  Put(packed.size(), 8);
  Put(0, 1);
  bytes_.append(packed);
  EndEvent();
}

// Its checksum is put in once the length is known.
void BinlogBuilder::AddGtid(const TransactionSpec& transaction, uint64_t* length_at) {
  BeginEvent(EventType::kGtid);
  Put(0, 1);
  bytes_.append(AsText(Bytes(transaction.gtid.tsid.uuid.bytes)));
  Put(static_cast<uint64_t>(transaction.gtid.gno), 8);
  Put(2, 1);  // logical timestamps follow
  Put(static_cast<uint64_t>(sequence_), 8);
  Put(static_cast<uint64_t>(++sequence_), 8);
  const uint64_t commit_us = static_cast<uint64_t>(transaction.commit_us) & ~kOriginalFlag;
  const bool copied = transaction.original_commit_us != 0;
  Put(copied ? commit_us | kOriginalFlag : commit_us, 7);
  if (copied) Put(static_cast<uint64_t>(transaction.original_commit_us), 7);
  Put(0xFE, 1);  // transaction_length as a packed integer of eight bytes: its size does not change
  *length_at = bytes_.size();
  Put(0, 8);
  Put(90704, 4);
  EndEvent();
}

void BinlogBuilder::AddQuery(const TransactionSpec& transaction, std::string_view statement) {
  BeginEvent(EventType::kQuery);
  Put(1, 4);  // thread
  Put(0, 4);  // seconds it took
  Put(transaction.schema.size(), 1);
  Put(0, 2);  // error
  Put(0, 2);  // no status variables
  bytes_.append(transaction.schema).push_back('\0');
  bytes_.append(statement);
  EndEvent();
}

void BinlogBuilder::AddTableMap(const TransactionSpec& transaction) {
  BeginEvent(EventType::kTableMap);
  Put(kTableId, 6);
  Put(1, 2);
  Put(transaction.schema.size(), 1);
  bytes_.append(transaction.schema).push_back('\0');
  Put(transaction.table.size(), 1);
  bytes_.append(transaction.table).push_back('\0');
  Put(2, 1);  // columns
  Put(kTypeLong, 1);
  Put(kTypeBlob, 1);
  Put(1, 1);  // metadata
  Put(4, 1);
  Put(2, 1);  // the blob may be NULL
  EndEvent();
}

void BinlogBuilder::AddRows(const TransactionSpec& transaction) {
  bool update = transaction.change == RowChange::kUpdate;
  BeginEvent(update                                     ? EventType::kUpdateRows
             : transaction.change == RowChange::kDelete ? EventType::kDeleteRows
                                                        : EventType::kWriteRows);
  Put(kTableId, 6);
  Put(1, 2);  // end of statement
  Put(2, 2);  // no extra data
  Put(2, 1);  // columns
  Put(3, 1);  // both are there
  if (update) Put(3, 1);
  if (blob_.size() != transaction.row_bytes) blob_.assign(transaction.row_bytes, 'x');
  uint64_t images = uint64_t{transaction.rows} * (update ? 2 : 1);
  for (uint64_t i = 0; i < images; ++i) {
    Put(0, 1);  // no NULLs
    Put(++row_, 4);
    Put(transaction.row_bytes, 4);
    size_t at = bytes_.size();
    bytes_.append(blob_);
    uint64_t mixed =
        row_ * 0x9E3779B97F4A7C15;  // not all alike, or zstd would make too little of it
    std::memcpy(&bytes_[at], &mixed, std::min<size_t>(sizeof(mixed), transaction.row_bytes));
  }
  EndEvent();
}

void BinlogBuilder::Add(const TransactionSpec& transaction) {
  timestamp_ = static_cast<uint32_t>(transaction.commit_us / 1000000);
  size_t begin = bytes_.size();
  uint64_t length_at = 0;
  AddGtid(transaction, &length_at);
  size_t gtid_end = bytes_.size();
  transaction.compressed ? AddPayload(transaction) : AddBody(transaction);
  uint64_t length = bytes_.size() - begin;
  std::memcpy(&bytes_[length_at], &length, sizeof(length));
  if (checksum_ == ChecksumAlgorithm::kOff) return;
  Bytes gtid_event = AsBytes(bytes_).subspan(begin, gtid_end - begin - kChecksumSize);
  uint32_t crc = Crc32(0, gtid_event);
  std::memcpy(&bytes_[gtid_end - kChecksumSize], &crc, sizeof(crc));
}

}  // namespace tidemark::testing
