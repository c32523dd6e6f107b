// One replica's event stream: from its dump request to packets. Checks the replica's GTID set
// against the archive as a source does, then gives events. Does blocking reads of the archive
// (by its EventFeed), knows nothing of sockets. Memory: the feed, one event of kHeldEventBytesMax,
// the replica's GTID set. One thread at a time. Nothing here survives a crash, or needs to: a
// replica that reconnects says anew what it has.
//
// What is sent. For each source file of which something is sent:
//   1. an artificial Rotate to (file, 4): timestamp and log_pos 0, our server_id;
//   2. the file's format description as a source sends it: `created` 0 if the replica has
//      transactions of that file or its beginning is not archived (else the replica would drop its
//      temporary tables in mid-file), "in use" cleared; and our server_id, since a replica treats a
//      format description with its own server_id as its own. log_pos stays, the checksum is made
//      anew. Where the file goes on in another segment neither comes again;
//   3. whole transactions with the source's bytes: their server_id, log_pos and checksum are the
//      original ones.
// Previous_gtids, Rotate and Stop of the files are left out: replicas need none of them. A replica
// for which there is nothing to send gets 1 and 2 of the last file, then heartbeats.
// From an empty archive nothing is sent at all, no heartbeat either: a heartbeat must name the file
// of the Rotate before it (queue_event compares), and there is none to name. The replica waits
// replica_net_timeout seconds, asks again, and finds its way when something has been archived.
//
// Heartbeats. A replica stops at one that names another file than the last Rotate or a position
// below its own count: 4 at a Rotate, then the size of each event it was sent. So we count as it
// does and say that; when all has been sent we say where the archive's file stands if that is
// further, as a source does after skipping. Version 2 if the dump request had kDumpHeartbeatV2
// (all but early 8.0), else version 1, whose position has 32 bits: it says at most UINT32_MAX, and
// behind that nothing, so that such a replica reconnects and counts from 4 again. Source of facts:
// MySQL 9.7 sql/rpl_binlog_sender.cc, sql/rpl_replica.cc (queue_event, heartbeat_queue_event,
// handle_slave_io), sql/log_event.cc (Format_description_log_event).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "pitr/event_feed.h"
#include "pitr/serve/packet.h"
#include "replication/event/binlog_format.h"

namespace tidemark {

inline constexpr uint16_t kDumpHeartbeatV2 = 2;  // flag of a dump request (USE_HEARTBEAT_EVENT_V2)

// One source of an archive as it is served. A value; the functions are called from several threads.
struct ServedSource {
  std::string name;
  Uuid server_uuid;        // ours
  uint32_t server_id = 0;  // ours
  OpenFeed open_feed;
  // An upper boundary: nothing from stop_before on is ever sent. `boundary_set` is the source's set
  // there. The set alone is a boundary too: the stream then ends with the last archived transaction
  // of the set, however the archive grows.
  std::optional<Located> stop_before = {};
  std::optional<GtidSet> boundary_set = {};
  GtidSet leave_out = {};  // never sent, and not missed
};

struct ReplicaRequest {
  GtidSet executed;        // what the replica has
  uint32_t server_id = 0;  // the replica's; 0: a reader that is no replica (mysqlbinlog)
  bool knows_checksums = true;
  bool non_blocking = false;
  uint8_t sequence = 1;  // of the first packet
  // Of the Rotate before the first format description (ServeSession::FirstRotateHasChecksum).
  ChecksumAlgorithm first_checksum = ChecksumAlgorithm::kCrc32;
  bool heartbeat_v2 = false;      // the request had kDumpHeartbeatV2
  std::optional<Uuid> uuid = {};  // the replica's: what it committed itself is its own business
};

// A refused or broken dump tells the replica its error by the packet of DumpErrorPayload.
class DumpStream {
 public:
  // Refused, with the words of the error packet as the message:
  //   kGap: the replica lacks transactions that the archive does not have (any more): purged before
  //     archiving, in a gap, before the archive's beginning (missing set named, abridged);
  //   kDivergence: the replica has transactions of an archived server beyond the archive's end (an
  //     archive that lags looks the same: worth opening again for a while as it grows);
  //   kSourceRefused: the replica is beyond the upper boundary;
  //   kUnreachableTarget: the archive does not reach to boundary_set.
  // Other errors: of reading.
  static Result<std::unique_ptr<DumpStream>> Open(const ServedSource& source,
                                                  const ReplicaRequest& request);
  ~DumpStream();

  enum class State : uint8_t {
    kMore,      // `out` may have grown: call again
    kCaughtUp,  // nothing to send now; call again after Refresh
    kEnded,     // the upper boundary, or non_blocking and at the end: `out` has the EOF packet if
                // non_blocking. A replica at the boundary is kept by heartbeats
  };
  // Appends packets to `out`, until it holds `bytes_wanted` or there is a reason to stop (a bounded
  // amount of reading among them); at most one piece of the cursor and kHeldEventBytesMax more.
  // kSourceRefused if an event to be sent has the replica's own server_id (it would silently skip
  // it), or checksums that the client does not know; kCorruption and others of the archive. After
  // an error `out` has what came before it: send that, then AppendError, and close.
  Result<State> Produce(size_t bytes_wanted, std::string* out);
  // Sees what has been published since. kGap if the archive went on behind a gap that the replica
  // does not have; an error ends the dump.
  Status Refresh();
  // A heartbeat, at an event's end only (always so after kCaughtUp, except from an empty archive
  // and for version 1 behind 4 GiB).
  bool CanBeat() const;
  void AppendHeartbeat(std::string* out);
  // The error packet that ends the dump. False, and nothing appended, inside an event longer than
  // kHeldEventBytesMax: then nothing is left but to close the connection.
  bool AppendError(const Status& error, std::string* out);

  uint64_t transactions_sent() const;
  uint64_t bytes_sent() const;  // of packets

 private:
  struct Impl;
  explicit DumpStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The error packet that ends a dump with `error`. Number 1236 (HY000) stops a replica's receiver
// for good; it is for what another try will not change. Any other number makes it reconnect after
// SOURCE_CONNECT_RETRY seconds: 1053 (08S01, shutdown) if we were asked to stop, 1105 (HY000) for
// failures of reading.
std::string DumpErrorPayload(const Status& error);

}  // namespace tidemark
