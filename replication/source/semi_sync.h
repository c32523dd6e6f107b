// The wire side of semi-synchronous replication (plugin/semisync in the server's source), for
// MySqlEventSource: two bytes in front of each event, and a packet of our own in answer.
//
// After a packet that asks for an answer both ends begin to number their packets anew: the source's
// next one is number 1, and each answer is number 0 of its own, whenever it comes. So answers may
// be late and may answer for several packets at once.
//
// Functions on a NET belong to the thread that reads from it: a TLS connection is one object.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "replication/base/bytes.h"

struct NET;  // <mysql.h> stays inside this folder's .cc files

namespace tidemark {

inline constexpr size_t kSemiSyncHeaderSize = 2;  // behind the packet's OK byte: 0xEF, flags
inline constexpr uint8_t kSemiSyncMagic = 0xEF;
inline constexpr uint8_t kSemiSyncAckWanted = 0x01;

// Whether `packet`, OK byte included, has the semi-synchronous header. For a dump's first packet,
// an artificial Rotate, whose timestamp is 0: there it is beyond doubt.
bool HasSemiSyncHeader(Bytes packet);
// The payload of an answer: everything in front of `position` in `file` is safe.
std::string EncodeAcknowledgement(std::string_view file, uint64_t position);

// To be called when a packet that wants an answer has been read.
void NoteAckWanted(NET* net);
// False if the link is broken. Overwrites the packet that was read last.
bool SendAcknowledgement(NET* net, Bytes payload);
// Whether bytes behind the last packet have been read from the socket already: polling it would not
// tell. If the library does not say, false.
bool HasUnread(NET* net, bool tls);

// A flag that one thread raises and another waits for with poll(2): an eventfd. Raise may be called
// by any thread.
class WakeUpFlag {
 public:
  WakeUpFlag();
  ~WakeUpFlag();
  WakeUpFlag(const WakeUpFlag&) = delete;
  WakeUpFlag& operator=(const WakeUpFlag&) = delete;

  void Raise();
  void Lower();
  int descriptor() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace tidemark
