#include "replication/source/semi_sync.h"

#include <mysql.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "replication/base/status.h"
#include "replication/event/binlog_format.h"

// Of libmysqlclient (vio/), in no public header: what was read ahead of the last packet. Weak: a
// library without them costs batching, not correctness.
struct Vio;
[[gnu::weak]] bool vio_buff_has_data(Vio* vio);
[[gnu::weak]] bool vio_ssl_has_data(Vio* vio);

namespace tidemark {

bool HasSemiSyncHeader(Bytes packet) {
  constexpr size_t kFront = 1 + kSemiSyncHeaderSize;
  if (packet.size() <= kFront + kEventHeaderSize || packet[1] != kSemiSyncMagic) return false;
  return ReadEventHeader(packet.data() + kFront).size == packet.size() - kFront;
}

std::string EncodeAcknowledgement(std::string_view file, uint64_t position) {
  std::string payload;
  ByteWriter(&payload).U8(kSemiSyncMagic).U64(position).Text(file);
  return payload;
}

void NoteAckWanted(NET* net) { net->pkt_nr = 1; }

bool SendAcknowledgement(NET* net, Bytes payload) {
  const unsigned sequence = net->pkt_nr;  // of the source's next packet
  net_clear(net, false);
  const bool failed = my_net_write(net, payload.data(), payload.size()) || net_flush(net);
  net->pkt_nr = sequence;
  return !failed;
}

bool HasUnread(NET* net, bool tls) {
  const auto has_data = tls ? vio_ssl_has_data : vio_buff_has_data;
  return has_data != nullptr && has_data(net->vio);
}

WakeUpFlag::WakeUpFlag() : descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  TM_CHECK(descriptor_ >= 0);
}

WakeUpFlag::~WakeUpFlag() { ::close(descriptor_); }

void WakeUpFlag::Raise() {
  const uint64_t one = 1;
  const ssize_t written = ::write(descriptor_, &one, sizeof(one));
  (void)written;  // fails only if it is raised 2^64 times over
}

void WakeUpFlag::Lower() {
  uint64_t count = 0;
  const ssize_t got = ::read(descriptor_, &count, sizeof(count));
  (void)got;  // fails if it is not raised
}

}  // namespace tidemark
