// What to do with each event a source sends: the pure state machine between the dump and the
// segments.
//
// It knows how far the archive goes (GTID set and place in the source's file), which events are the
// sender's own inventions, when a segment must begin and end, and what must never happen (a
// transaction twice, a jump inside one). It returns the next action and performs nothing. No I/O,
// no clock, one thread.
//
// Rule that makes segments simple: a segment holds one contiguous range of one source file. So an
// event that does not follow the last archived byte of the same file begins a new segment.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "replication/archive/archived_origins.h"
#include "replication/archive/segment_format.h"
#include "replication/event/stream_scanner.h"

namespace tidemark {

// A place in a source's binlog: everything before `position` in `file` is archived. 64 bits: files
// pass 4 GiB.
struct SourcePlace {
  Uuid server_uuid;
  std::string file;  // empty: nowhere yet
  uint64_t position = 0;
  bool operator==(const SourcePlace&) const = default;
};

// Where the archive of one source ends.
struct ResumePoint {
  // All transactions archived or known missing: what the dump must leave out.
  GtidSet executed = {};
  GtidSet missing = {};  // of them: known missing, as far as the segments tell (ReadRooms)
  SourcePlace place = {};
  uint64_t next_segment = 1;
  int64_t commit_high_us = 0;
  // When the source made place.file, in seconds: its format description says so, every time. A file
  // of that name made at another moment is another file: the binary logs were reset in between. Not
  // known: nullopt.
  std::optional<uint32_t> file_created = {};
  // The file that was archived to its own end last. Where `place` is the next one's beginning,
  // which says nothing yet, this tells the same history from another: a source that has the file
  // has it in this length.
  SourcePlace finished = {};
  // The last transaction that is archived, wherever it came from: what tells one history from
  // another that has the same GTIDs. Nullopt: there is none, or it does not read.
  std::optional<ArchivedOrigin> last = {};

  GtidSet archived() const { return executed.Minus(missing); }
};

struct SessionLimits {
  uint64_t segment_raw_bytes_max = 256u << 20;  // sealed at the first transaction end past this
  int64_t segment_age_us_max = 3600ll * 1000 * 1000;
};

// What a new segment starts with.
struct SegmentStart {
  SegmentHeader header;  // created_us is the performer's to set
  std::string
      prefix;  // continuation: magic, format description, Previous_gtids; not the source's bytes
  std::string file_head;  // native: magic and the file's own first events; the source's bytes
};

struct SessionAction {
  std::optional<SealReason> seal_before;  // end the open segment before this event
  std::unique_ptr<SegmentStart> begin;    // then begin this one, if set
  bool archive = false;                   // then append the event's bytes
  uint64_t raw_end = 0;                   // their end in the segment's raw binlog
  std::optional<SealReason> seal_after;   // then end the segment
};

// kDivergence if what the source has under the GTID of one of ours is another transaction.
Status ComparedWithOurs(const std::string& source_name, const TransactionOrigin& ours,
                        const TransactionOrigin& theirs);

class Session {
 public:
  Session(std::string source_name, ResumePoint resume, SessionLimits limits);

  // A new connection to `server_uuid` is up; `gap`, if not empty, is what the dump will leave out
  // for ever and has been allowed to: it becomes part of `executed` and is recorded in the next
  // segment's header, whose number leaves room for it (gap_room.h).
  void OnConnected(const Uuid& server_uuid, const GapRecord& gap);
  // Before a connection: what no segment records yet, another server may have.
  void ForgetGapAhead();
  // The dump over that connection is asked to begin with our last transaction once more, which is
  // then compared and passed over.
  void ExpectLastAgain() { expects_last_ = true; }
  // `bytes` is the whole event, `event` what the scanner says of it; `action` comes empty.
  // kCorruption if the source contradicts itself or sends what we have; kDivergence if it has
  // another transaction under the GTID of one that we have.
  Status OnEvent(Bytes bytes, const ScannedEvent& event, SessionAction* action);
  // What comes next stands at `position` of the file that the sender is in: more was left out,
  // between transactions, than log_pos can tell.
  void SkipTo(uint64_t position);
  // The connection broke, outside any transaction: the open segment stays open. (Inside one, the
  // caller cuts the segment's tail and begins a new Session from what is on disk.)
  void OnDisconnected();
  // The open segment has been sealed for its age, or because we stop.
  void OnSealed();

  bool segment_open() const { return segment_.has_value(); }
  bool in_transaction() const { return in_transaction_; }
  // Our last transaction is still to come once more, or not through.
  bool comparing() const { return expects_last_ || in_last_; }
  const ResumePoint& resume() const { return resume_; }
  // Adopted, and in no segment's header yet.
  const GapRecord& gap_ahead() const { return gap_ahead_; }
  // Of an OnEvent that answered kGap: what the source should have sent before.
  const GtidSet& unsent() const { return unsent_; }

 private:
  struct OpenSegment {
    Uuid server_uuid;
    std::string file;
    uint64_t next_position = 0;
    uint64_t raw_bytes = 0;
  };

  Status OnFormatDescription(Bytes bytes, const ScannedEvent& event);
  Status OnRotate(Bytes bytes, const ScannedEvent& event, SessionAction* action);
  Status OnPreviousGtids(Bytes bytes, const ScannedEvent& event);
  Result<uint64_t> PlaceEvent(const ScannedEvent& event) const;
  Status Archive(Bytes bytes, const ScannedEvent& event, SessionAction* action);
  Status SentAgain(const Gtid& gtid) const;
  Status CompareLast(const ScannedEvent& event, uint64_t begin);
  bool FollowsSegment(uint64_t begin) const;
  Result<std::unique_ptr<SegmentStart>> StartSegment(uint64_t begin, const ScannedEvent& event);
  const SourcePlace* EndInStreamFile() const;
  bool Have(uint64_t begin) const;

  const std::string source_name_;
  const SessionLimits limits_;
  ResumePoint resume_;
  GapRecord gap_ahead_;
  Uuid server_uuid_;
  std::string stream_file_;       // the file the sender is in
  uint64_t stream_position_ = 0;  // where its next event begins, unless it skips
  std::string format_description_;
  uint32_t stream_file_created_ = 0;
  std::string head_;  // magic + FDE + Previous_gtids of stream_file_, until archived
  std::optional<OpenSegment> segment_;
  bool in_transaction_ = false;
  bool expects_last_ = false;
  bool in_last_ = false;            // inside the transaction that is passed over
  uint64_t transaction_begin_ = 0;  // of the one under way, in the source's file
  GtidSet unsent_;
};

}  // namespace tidemark
