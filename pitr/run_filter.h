// Cuts the wanted transactions out of a segment's raw bytes, piece by piece, for EventCursor.
// Whether a transaction is wanted is known when its Gtid event is whole; from then on its bytes
// flow in the pieces they come in, so that an event's size does not matter. Pure; one thread; holds
// a Gtid event.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pitr/event_cursor.h"
#include "pitr/frame_scan.h"

namespace tidemark {

bool IsGiven(const StreamRange& range, const Gtid& gtid);
GtidSet GivenOf(const StreamRange& range, const GtidSet& gtids);

// Consecutive bytes to be given.
struct WantedBytes {
  Bytes bytes;                // of the piece, or of the filter: valid until the next piece
  uint64_t transactions = 0;  // that end in them
  uint64_t whole_until = 0;   // raw offset behind the last whole transaction up to here
  GtidSet ended = {};         // the transactions that end in them
  size_t whole_bytes = 0;     // of `bytes`, up to the end of the last of those; 0 if there is none
};

class RunFilter {
 public:
  // `segment` and `range` must outlive the filter. `from`: raw offset of the first byte, which is
  // an event's first, but may stand inside a transaction: that one is passed over.
  RunFilter(const StreamRange& range, const OpenSegment& segment, uint64_t from);

  // The next piece; what is wanted of it goes to `wanted`. kCorruption, without the segment's name.
  Status OnPiece(Bytes piece, std::vector<WantedBytes>* wanted);
  // OK between two transactions, else kTruncated.
  Status Finish() const { return seeker_.Finish(); }
  // Raw offset behind the last whole transaction, given or not; 0 before the first.
  uint64_t whole_until() const { return whole_until_; }

  // Transactions given since the last call of ForgetGiven.
  const GtidSet& given() const { return given_; }
  void ForgetGiven() { given_ = {}; }

 private:
  Status OnEvent(const ScannedEvent& event);
  Status Begin(const ScannedEvent& event);
  void Give(Bytes bytes);
  void Flush();

  const StreamRange& range_;
  TransactionSeeker seeker_;
  Bytes piece_;
  uint64_t piece_begin_;
  // [from_, to_) of the piece is wanted and not given yet; while giving_, to_ is open.
  size_t from_ = 0;
  size_t to_ = 0;
  bool giving_ = false;
  std::string head_;  // a Gtid event that began in an earlier piece
  std::vector<WantedBytes>* wanted_ = nullptr;
  uint64_t transactions_ = 0;  // that end in what is not given yet
  uint64_t whole_until_ = 0;
  GtidSet ended_;        // likewise
  size_t ended_at_ = 0;  // in the piece, the end of the last of them
  GtidSet given_;
};

}  // namespace tidemark
