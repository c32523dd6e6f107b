// An event stream as packets, as a dump sends them: each event behind an OK byte. Pure; appends to
// a string it does not own. One thread at a time.
//
// Events are recognised by the size in their headers, and may come in pieces cut anywhere; of an
// event nothing but the beginning of a cut header is held. Made to run at nearly the speed of
// memory: a hundred million small events pass through here in one restore. Source of facts:
// MySQL 9.7 sql/rpl_binlog_sender.cc (send_packet), sql-common/net_serv.cc.
#pragma once

#include <cstdint>
#include <string>

#include "replication/base/bytes.h"
#include "replication/base/status.h"

namespace tidemark {

class EventPacketizer {
 public:
  // `sequence`: of the first packet; goes on over 255 to 0.
  explicit EventPacketizer(uint8_t sequence) : sequence_(sequence) {}
  // kCorruption if an event's header gives a size that no event has; nothing can follow then.
  Status Append(Bytes events, std::string* out);
  bool at_event_end() const { return event_left_ == 0 && header_.empty(); }
  uint8_t* sequence() { return &sequence_; }

 private:
  Bytes AppendWholeEvents(Bytes events, std::string* out);
  Status BeginEvent(Bytes* events, std::string* out);
  void AppendPiece(Bytes piece, std::string* out);
  void BeginPacket(uint64_t payload_left, std::string* out);

  uint8_t sequence_;
  std::string header_;           // of an event cut before its size is known
  uint64_t event_left_ = 0;      // bytes of the event that have not been given
  uint64_t packet_left_ = 0;     // … and of the packet under way
  bool packet_is_full_ = false;  // that packet says: another one follows
};

}  // namespace tidemark
