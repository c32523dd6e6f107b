// Builds binary log streams in memory, with right sizes, checksums, positions and transaction
// lengths. Each piece can be damaged by the test afterwards.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "replication/event/control_events.h"

namespace tidemark::testing {

class StreamBuilder {
 public:
  explicit StreamBuilder(ChecksumAlgorithm checksum = ChecksumAlgorithm::kCrc32)
      : checksum_(checksum) {}

  const std::string& bytes() const { return bytes_; }
  const std::vector<size_t>& event_offsets() const { return offsets_; }

  StreamBuilder& Magic() {
    bytes_.append(reinterpret_cast<const char*>(kBinlogMagic), kBinlogMagicSize);
    return *this;
  }
  StreamBuilder& FormatDescription(std::string_view version = "9.7.4") {
    std::string body;
    ByteWriter writer(&body);
    writer.U16(4)
        .Text(version)
        .Text(std::string(50 - version.size(), '\0'))
        .U32(0)
        .U8(kEventHeaderSize);
    writer.Text(std::string(42, '\0')).U8(static_cast<uint8_t>(checksum_));
    return Append(
        EncodeEvent(EventType::kFormatDescription, Stamp(123), body, ChecksumAlgorithm::kCrc32));
  }
  StreamBuilder& Event(EventType type, std::string_view body, uint16_t flags = 0) {
    EventStamp stamp = Stamp(kEventHeaderSize + body.size() + ChecksumSizeOf(checksum_));
    stamp.flags = flags;
    return Append(EncodeEvent(type, stamp, body, checksum_));
  }
  // A transaction of the events collected with Add since the last call.
  StreamBuilder& Add(EventType type, std::string_view body) {
    pending_.emplace_back(type, body);
    return *this;
  }
  StreamBuilder& Transaction(int64_t gno, int64_t length_error = 0) {
    uint64_t length = GtidBody(0, 0).size() + kEventHeaderSize + ChecksumSizeOf(checksum_);
    for (const auto& [type, body] : pending_)
      length += body.size() + kEventHeaderSize + ChecksumSizeOf(checksum_);
    Event(EventType::kGtid, GtidBody(gno, length + static_cast<uint64_t>(length_error)));
    for (const auto& [type, body] : pending_) Event(type, body);
    pending_.clear();
    return *this;
  }

  static std::string GtidBody(int64_t gno, uint64_t length) {
    std::string body;
    ByteWriter writer(&body);
    writer.U8(0).Text("0123456789abcdef").U64(static_cast<uint64_t>(gno)).U8(2).U64(1).U64(2);
    writer.Text(std::string("\x80\x96\x98\0\0\0\0", 7)).U8(0xFE).U64(length).U32(90704);
    return body;
  }
  static std::string Query(std::string_view statement, std::string_view schema = "test") {
    std::string body;
    ByteWriter writer(&body);
    writer.U32(7)
        .U32(0)
        .U8(static_cast<uint8_t>(schema.size()))
        .U16(0)
        .U16(5)
        .Text(std::string(5, '\0'));
    writer.Text(schema).U8(0).Text(statement);
    return body;
  }
  static std::string Xid() { return std::string(8, 'x'); }
  // Like sysbench's: INT, INT, CHAR(120), CHAR(60) in utf8mb4.
  static std::string SbtestMap(uint64_t id, std::string_view table = "sbtest1") {
    std::string body = TableId(id);
    ByteWriter writer(&body);
    writer.U16(1)
        .U8(6)
        .Text("sbtest")
        .U8(0)
        .U8(static_cast<uint8_t>(table.size()))
        .Text(table)
        .U8(0);
    writer.U8(4).Text("\x03\x03\xFE\xFE").U8(4).Text("\xEE\xE0\xFE\xF0").U8(0);
    return body;
  }
  static std::string SbtestRow(uint32_t id) {
    std::string row(1, '\0');
    ByteWriter(&row)
        .U32(id)
        .U32(id * 7)
        .Text16(std::string(119, 'c'))
        .U8(59)
        .Text(std::string(59, 'p'));
    return row;
  }
  static std::string Rows(uint64_t id, const std::vector<std::string>& images,
                          bool update = false) {
    std::string body = TableId(id);
    ByteWriter writer(&body);
    writer.U16(1).U16(2).U8(4).U8(0xFF);
    if (update) writer.U8(0xFF);
    for (const std::string& image : images) writer.Text(image);
    return body;
  }

 private:
  static std::string TableId(uint64_t id) {
    std::string body;
    ByteWriter(&body).U32(static_cast<uint32_t>(id)).U16(static_cast<uint16_t>(id >> 32));
    return body;
  }
  EventStamp Stamp(size_t size) const {
    return {1700000000, 1, static_cast<uint32_t>(bytes_.size() + size), 0};
  }
  StreamBuilder& Append(const std::string& event) {
    offsets_.push_back(bytes_.size());
    bytes_ += event;
    return *this;
  }

  ChecksumAlgorithm checksum_;
  std::string bytes_;
  std::vector<size_t> offsets_;
  std::vector<std::pair<EventType, std::string>> pending_;
};

}  // namespace tidemark::testing
