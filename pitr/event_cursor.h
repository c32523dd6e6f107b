// Reads a range of the archive in pieces, as fast as the caller asks for them: what an export, a
// restore and a replica are given. Whole transactions in archive order, bytes as the source wrote
// them, every checksum checked on the way. Goes on from where it stands when the view has been
// refreshed, so that a replica can follow an archive that is being written. Memory is bounded
// whatever the event's size. One thread at a time; the view must outlive the cursor, and is not
// refreshed while Next runs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "pitr/archive_view.h"
#include "pitr/locator.h"

namespace tidemark {

struct StreamProgress {
  uint64_t raw_bytes_read = 0;
  uint64_t raw_bytes_given = 0;
  uint64_t transactions_given = 0;
};

struct StreamRange {
  GtidSet exclude = {};  // transactions left out (those the receiver already has)
  GtidSet include = {};  // if not empty, only these
  // Stop before this transaction; nullopt: at the archive's published end, wherever that comes to
  // be.
  std::optional<Located> stop_before = {};
};

struct StreamPiece {
  enum class Kind : uint8_t {
    kFormatDescription,  // one whole event; comes before the first transaction of a source file
    kTransactions,       // a run of events of whole transactions, cut anywhere; never empty
    kNothingYet,  // a bounded amount of work was done and there is nothing to give: ask again
    kEnd,         // all that the view knew is given; see at_stop()
  };
  Kind kind = Kind::kEnd;
  Bytes bytes = {};        // valid until the next call
  GtidSet ended = {};      // the transactions whose last byte is in `bytes`
  size_t whole_bytes = 0;  // of `bytes`, up to the end of the last of them; 0 if there is none
};

class EventCursor {
 public:
  EventCursor(ArchiveView& view, StreamRange range);
  ~EventCursor();
  EventCursor(const EventCursor&) = delete;
  EventCursor& operator=(const EventCursor&) = delete;

  // kCorruption, kTruncated naming segment and offset; kNotFound if the segment that was being
  // read, or one behind it with something wanted, is gone from the view; kGap never (the caller
  // checked coverage); kIo. After an error the cursor must not be asked again. At kEnd the stream
  // is at a transaction boundary.
  Result<StreamPiece> Next();
  bool at_stop() const;  // kEnd was given because of stop_before: nothing more will ever come

  // Of the piece given last: where it is from, in the source's terms.
  const std::string& source_file() const;
  const Uuid& server_uuid() const;   // of the server that wrote source_file()
  uint64_t source_position() const;  // end of the last whole transaction given or passed over in
                                     // source_file(); 0 before the first
  const StreamProgress& progress() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace tidemark
