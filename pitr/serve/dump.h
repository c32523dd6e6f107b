// One replica's event stream: from its dump request to packets. Checks the replica's GTID set
// against the archive as a source does, then gives artificial Rotate, format description, whole
// transactions, heartbeats. Does blocking reads of the archive, knows nothing of sockets. One
// thread at a time.
// Source of facts: MySQL 9.7 sql/rpl_binlog_sender.cc, sql/rpl_replica.cc (queue_event).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "pitr/archive_view.h"
#include "pitr/event_cursor.h"
#include "pitr/serve/packet.h"

namespace tidemark {

// One source of an archive as it is served. A value; the functions are called from several threads.
struct ServedSource {
  std::string name;
  Uuid server_uuid;        // ours
  uint32_t server_id = 0;  // ours
  // A view of its own for each replica, at the archive's published end.
  std::function<Result<std::unique_ptr<ArchiveView>>()> open_view;
  // An upper boundary: nothing from stop_before on is ever sent. `boundary_set` is the source's set
  // there.
  std::optional<Located> stop_before = {};
  std::optional<GtidSet> boundary_set = {};
  GtidSet leave_out = {};  // never sent, and not missed
};

struct ReplicaRequest {
  GtidSet executed;         // what the replica has
  uint32_t server_id = 0;   // the replica's; 0: a reader that is no replica (mysqlbinlog)
  bool knows_checksums = true;
  bool non_blocking = false;
  uint8_t sequence = 1;     // of the first packet
};

// What a refused or broken dump tells the replica: an error 1236 (HY000), which stops it for good,
// if it is not worth another try.
class DumpStream {
 public:
  // Refused, with the words of the error packet as the message:
  //   kGap: the replica lacks transactions that the archive does not have (any more): purged before
  //     archiving, in a gap, before the archive's beginning (missing set named, abridged);
  //   kDivergence: the replica has transactions of an archived server beyond the archive's end
  //     (after waiting for the archive, which is the caller's part: see BehindReplica);
  //   kSourceRefused: the archived events carry checksums and the client does not know them.
  // Other errors: of reading.
  static Result<std::unique_ptr<DumpStream>> Open(const ServedSource& source,
                                                  const ReplicaRequest& request);
  ~DumpStream();

  enum class State : uint8_t {
    kMore,    // `out` may have grown: call again
    kCaughtUp,  // nothing to send now; call again after Refresh
    kEnded,   // the upper boundary, or non_blocking and at the end: `out` has the EOF packet if
              // non_blocking
  };
  // Appends packets to `out`, until it holds `bytes_wanted` or there is a reason to stop (a bounded
  // amount of reading among them). kSourceRefused if an event to be sent has the replica's own
  // server_id (it would silently skip it); kCorruption and others of the archive.
  Result<State> Produce(size_t bytes_wanted, std::string* out);
  Status Refresh();  // sees what has been published since
  // A heartbeat, at an event's end only (always so after kCaughtUp).
  bool CanBeat() const;
  void AppendHeartbeat(std::string* out);

  uint64_t transactions_sent() const;
  uint64_t bytes_sent() const;

 private:
  struct Impl;
  explicit DumpStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The error packet that ends a dump with `error`: 1236, with the message in a source's words.
std::string DumpErrorPayload(const Status& error);

}  // namespace tidemark
