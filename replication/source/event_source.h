// Where events come from, as the sink sees it: a real source (mysql_event_source.h) or a scripted
// one in tests.
//
// One thread calls Connect, StartDump, Next and Disconnect; any thread may call Interrupt and Wake
// at any time during the object's life. The order is Connect → StartDump → Next… → (Connect again |
// Disconnect). Holds nothing durable.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "replication/base/bytes.h"
#include "replication/base/status.h"
#include "replication/event/gtid_set.h"
#include "replication/source/source_facts.h"

namespace tidemark {

struct DumpRequest {
  GtidSet exclude;           // what we have: the source sends everything else
  bool by_position = false;  // instead: `file` from `position` on, whatever its GTIDs
  // Where to begin. Needed by_position, where the position must fit 32 bits (COM_BINLOG_DUMP has no
  // more). Otherwise optional: empty lets the source search the file that holds the first
  // transaction outside `exclude`, with a name it begins there and leaves out `exclude` all the
  // same (sql/rpl_binlog_sender.cc, check_start_file).
  std::string file;
  uint64_t position = 4;
  bool non_blocking = false;  // end the stream at the source's end instead of waiting for more
  uint32_t server_id = 0;     // ours, not 0
  Uuid our_uuid;
  int64_t heartbeat_us = 0;  // period of the source's heartbeats; at least 1000
  // Be a semi-synchronous replica if the source has the plugin for it; not with non_blocking.
  bool semi_sync = false;
};

// How far the archive goes, and from whom it was archived last.
struct ArchivedSoFar {
  GtidSet executed;                 // archived, or known to be missing
  std::optional<Uuid> server_uuid;  // nullopt: from nobody yet
  GtidSet missing = {};             // of `executed`: the gaps

  GtidSet archived() const { return executed.Minus(missing); }
};

class EventSource {
 public:
  virtual ~EventSource() = default;

  // Logs in, on a fresh connection each time, and asks for the facts.
  virtual Result<SourceFacts> Connect() = 0;
  virtual Status StartDump(const DumpRequest& request) = 0;

  // The next event whole, header to checksum, without the protocol's leading byte: real ones,
  // artificial Rotates, format descriptions and heartbeats alike. Valid until the next call.
  // kEndOfData: a non-blocking dump is through. kSourceUnavailable: the link broke, or nothing came
  // for kHeartbeatsPerReadTimeout heartbeats. kGap, kDivergence, kSourceRefused: the source's
  // verdict on the request; it comes here, not from StartDump. kInterrupted. After an error the
  // only way on is Connect.
  virtual Result<Bytes> Next() = 0;

  // Makes a blocked Next return kInterrupted, and every later Connect, StartDump and Next too:
  // meant for stopping.
  virtual void Interrupt() = 0;
  virtual void Disconnect() = 0;

  // Of the thread that calls Next. What Connect goes by where there are several servers to choose
  // from; once before it, and now and then while a dump runs.
  virtual void NoteArchived(const ArchivedSoFar& archived) { (void)archived; }

  // Semi-synchronous replication. All but Wake belong to the thread that calls Next.
  //
  // Whether the source grants it; known as soon as Next has given the first event.
  virtual bool semi_sync() const { return false; }
  // Whether the source wants to be told when the event that Next gave last is safe.
  virtual bool AckWanted() const { return false; }
  // Tells the source that everything in front of `position` of its `file` is safe: never to be said
  // of what a power failure could still take. The event that Next gave last becomes invalid.
  virtual Status Acknowledge(const std::string& file, uint64_t position) {
    (void)file, (void)position;
    return OkStatus();
  }
  // Waits until Next has something to read (which need not be a whole event), or fails: true. Or
  // until somebody has called Wake, or `timeout_us` is over: false.
  virtual bool WaitForMore(int64_t timeout_us) {
    (void)timeout_us;
    return true;
  }
  // Whether clients of the source wait for an acknowledgement at this moment; asked on another
  // connection, beside the dump. kSourceUnavailable, kSourceRefused.
  virtual Result<bool> CommitsWait() { return false; }
  // Any thread: ends the WaitForMore under way, or else the next one.
  virtual void Wake() {}
};

}  // namespace tidemark
