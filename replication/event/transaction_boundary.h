// Where transactions begin and end: a state machine over kinds of events, and nothing else.
//
// Pure values. The server's own machine is libs/mysql/binlog/event/trx_boundary_parser.cpp; ours
// differs in that a transaction always begins with a GTID, and that what a finished transaction was
// (rows, DDL, XA) is an answer too.
#pragma once

#include <cstdint>

#include "replication/event/transaction.h"

namespace tidemark {

// What an event is to the transaction around it.
enum class BoundaryEvent : uint8_t {
  kGtid,
  kBegin,         // Query BEGIN
  kXaStart,       // Query XA START
  kCommit,        // Xid, Query COMMIT or ROLLBACK
  kXaPrepare,     // XA_prepare
  kXaOnePhase,    // XA_prepare with one_phase set: XA COMMIT … ONE PHASE
  kXaResolve,     // Query XA COMMIT or XA ROLLBACK
  kXaEndMark,     // Query XA END
  kStatement,     // any other Query
  kPreStatement,  // Intvar, Rand, User_var: belong to the Query that follows
  kChange,        // Table_map, rows, Rows_query, Begin_load_query, …
  kPayload,       // Transaction_payload: a whole transaction's events but the Gtid
  kIncident,
  kUnknown,
};

enum class BoundaryState : uint8_t { kNone, kAfterGtid, kInTransaction, kInXa };
enum class BoundaryVerdict : uint8_t { kOutside, kBegins, kInside, kEnds, kIllegal };

struct BoundaryStep {
  BoundaryState next = BoundaryState::kNone;
  BoundaryVerdict verdict = BoundaryVerdict::kIllegal;
};
BoundaryStep NextBoundary(BoundaryState state, BoundaryEvent event);

// NextBoundary with memory: what the transaction under way turned out to be.
class TransactionBoundary {
 public:
  explicit TransactionBoundary(BoundaryState state = BoundaryState::kNone) : state_(state) {}

  BoundaryVerdict Take(BoundaryEvent event);
  BoundaryState state() const { return state_; }
  bool open() const { return state_ != BoundaryState::kNone; }
  TransactionKind kind() const { return kind_; }  // after kEnds

 private:
  TransactionKind KindAtEnd(BoundaryEvent last) const;

  BoundaryState state_;
  bool changed_ = false;  // something stood between begin and end
  TransactionKind kind_ = TransactionKind::kRows;
};

}  // namespace tidemark
