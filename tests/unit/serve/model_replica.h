// A replica's receiver as far as a dump can go wrong for it: takes packets, checks what queue_event
// checks (MySQL 9.7 sql/rpl_replica.cc), keeps what it was sent. For the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "pitr/serve/packet.h"
#include "replication/event/control_events.h"
#include "replication/event/gtid_event.h"

namespace tidemark::testing {

class ModelReplica {
 public:
  explicit ModelReplica(uint8_t sequence = 1, bool first_rotate_has_checksum = true)
      : sequence_(sequence),
        checksum_(first_rotate_has_checksum ? ChecksumAlgorithm::kCrc32 : ChecksumAlgorithm::kOff) {
  }

  // Packets, cut anywhere. Adds failures to the test.
  void Take(std::string_view bytes) {
    waiting_ += bytes;
    size_t at = 0;
    while (waiting_.size() - at >= kPacketHeaderSize) {
      PacketHeader header = ReadPacketHeader(AsBytes(waiting_).data() + at);
      if (waiting_.size() - at < kPacketHeaderSize + header.payload_bytes) break;
      ASSERT_EQ(header.sequence, sequence_++);
      payload_ += waiting_.substr(at + kPacketHeaderSize, header.payload_bytes);
      at += kPacketHeaderSize + header.payload_bytes;
      if (header.payload_bytes == kPacketPayloadMax) continue;
      ASSERT_NO_FATAL_FAILURE(OnPayload());
      payload_.clear();
    }
    waiting_.erase(0, at);
  }
  bool at_event_end() const { return waiting_.empty() && payload_.empty(); }

  std::vector<std::string> files;  // of the Rotates
  std::vector<std::string> format_descriptions;
  std::vector<Heartbeat> heartbeats;
  std::vector<EventType> heartbeat_types;
  std::string transactions;  // bytes
  GtidSet gtids;
  uint64_t position = 0;  // master_log_pos
  bool eof = false;
  uint16_t error = 0;
  std::string error_message;

 private:
  void OnPayload() {
    ASSERT_FALSE(payload_.empty());
    ASSERT_FALSE(eof) << "something came behind the end";
    ASSERT_EQ(error, 0) << "something came behind the error";
    auto first = static_cast<uint8_t>(payload_[0]);
    Bytes rest = AsBytes(payload_).subspan(1);
    if (first == 0) return OnEvent(rest);
    if (first == 0xFE && payload_.size() < 9) {
      eof = true;
      return;
    }
    ASSERT_EQ(first, 0xFF);
    error = static_cast<uint16_t>(LoadLittleEndian(rest.data(), 2));
    error_message = AsText(rest.subspan(2 + 6));  // "#HY000"
  }

  void OnEvent(Bytes event) {
    ASSERT_GE(event.size(), kEventHeaderSize);
    EventHeader header = ReadEventHeader(event.data());
    ASSERT_EQ(header.size, event.size());
    if (header.type == EventType::kFormatDescription) {
      auto parsed = ParseFormatDescription(event);
      ASSERT_TRUE(parsed.ok());
      checksum_ = parsed->checksum;
      ASSERT_TRUE(EventChecksumMatches(event));
      ASSERT_FALSE(files.empty()) << "a format description before any Rotate";
      format_descriptions.emplace_back(AsText(event));
      if (header.log_pos != 0) position += event.size();
      return;
    }
    if (checksum_ == ChecksumAlgorithm::kCrc32) {
      ASSERT_TRUE(EventChecksumMatches(event));
    }
    Bytes body = EventBody(event, checksum_);
    switch (header.type) {
      case EventType::kRotate: return OnRotate(header, body);
      case EventType::kHeartbeat:
      case EventType::kHeartbeatV2: return OnHeartbeat(header, body);
      default: break;
    }
    ASSERT_FALSE(format_descriptions.empty()) << "a transaction before any format description";
    transactions += AsText(event);
    position += event.size();
    transaction_left_ -= std::min<uint64_t>(transaction_left_, event.size());
    if (header.type != EventType::kGtid) return;
    ASSERT_EQ(transaction_left_, 0U);
    GtidEvent gtid;
    ASSERT_TRUE(ParseGtidEvent(header.type, body, &gtid));
    ASSERT_FALSE(gtids.Contains(gtid.gtid)) << gtid.gtid.ToString() << " came twice";
    gtids.Add(gtid.gtid);
    transaction_left_ = gtid.transaction_length - event.size();
  }

  void OnRotate(const EventHeader& header, Bytes body) {
    ASSERT_EQ(transaction_left_, 0U);
    ASSERT_TRUE(header.artificial());
    ASSERT_EQ(header.timestamp, 0U);
    ASSERT_EQ(header.log_pos, 0U);
    rotate_server_id = header.server_id;
    auto rotate = ParseRotate(body);
    ASSERT_TRUE(rotate.ok());
    ASSERT_EQ(rotate->position, kBinlogMagicSize);
    files.push_back(rotate->next_file);
    position = rotate->position;
  }

  void OnHeartbeat(const EventHeader& header, Bytes body) {
    auto heartbeat = ParseHeartbeat(header, body);
    ASSERT_TRUE(heartbeat.ok());
    ASSERT_FALSE(files.empty());
    ASSERT_EQ(heartbeat->file, files.back());
    ASSERT_GE(heartbeat->position, position) << "a replica stops at this";
    // One that goes further is written to the relay log as a Rotate: not inside a transaction.
    if (transaction_left_ > 0) {
      ASSERT_EQ(heartbeat->position, position);
    }
    position = heartbeat->position;
    heartbeats.push_back(*heartbeat);
    heartbeat_types.push_back(header.type);
  }

 public:
  uint32_t rotate_server_id = 0;

 private:
  uint8_t sequence_;
  ChecksumAlgorithm checksum_;
  uint64_t transaction_left_ = 0;  // bytes
  std::string waiting_;
  std::string payload_;
};

}  // namespace tidemark::testing
