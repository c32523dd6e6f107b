#include "replication/event/transaction_boundary.h"

namespace tidemark {
namespace {

using Event = BoundaryEvent;
using State = BoundaryState;
using Verdict = BoundaryVerdict;

constexpr BoundaryStep kIllegal{State::kNone, Verdict::kIllegal};
constexpr BoundaryStep kEnds{State::kNone, Verdict::kEnds};

constexpr BoundaryStep Inside(State next) { return {next, Verdict::kInside}; }

BoundaryStep Outside(Event event) {
  if (event == Event::kGtid) return {State::kAfterGtid, Verdict::kBegins};
  if (event == Event::kIncident || event == Event::kUnknown)
    return {State::kNone, Verdict::kOutside};
  return kIllegal;
}

BoundaryStep AfterGtid(Event event) {
  switch (event) {
    case Event::kBegin: return Inside(State::kInTransaction);
    case Event::kXaStart: return Inside(State::kInXa);
    case Event::kChange: return Inside(State::kInTransaction);
    case Event::kPreStatement:
    case Event::kUnknown: return Inside(State::kAfterGtid);
    case Event::kStatement:
    case Event::kCommit:
    case Event::kXaResolve:
    case Event::kPayload:
    case Event::kIncident: return kEnds;
    default: return kIllegal;
  }
}

BoundaryStep InBody(State state, Event event) {
  switch (event) {
    case Event::kStatement:
    case Event::kPreStatement:
    case Event::kChange:
    case Event::kUnknown: return Inside(state);
    case Event::kXaEndMark: return state == State::kInXa ? Inside(state) : kIllegal;
    case Event::kXaPrepare:
    case Event::kXaOnePhase: return state == State::kInXa ? kEnds : kIllegal;
    case Event::kCommit:
    case Event::kXaResolve:
    case Event::kIncident: return kEnds;
    default: return kIllegal;
  }
}

bool IsContent(Event event) {
  return event == Event::kStatement || event == Event::kPreStatement || event == Event::kChange ||
         event == Event::kUnknown;
}

}  // namespace

BoundaryStep NextBoundary(BoundaryState state, BoundaryEvent event) {
  switch (state) {
    case State::kNone: return Outside(event);
    case State::kAfterGtid: return AfterGtid(event);
    case State::kInTransaction:
    case State::kInXa: return InBody(state, event);
  }
  return kIllegal;
}

TransactionKind TransactionBoundary::KindAtEnd(BoundaryEvent last) const {
  if (last == Event::kXaPrepare) return TransactionKind::kXaPrepare;
  if (state_ == State::kAfterGtid && last == Event::kStatement) return TransactionKind::kDdl;
  if (state_ == State::kAfterGtid && last == Event::kXaResolve) return TransactionKind::kXaEnd;
  return changed_ || last == Event::kPayload ? TransactionKind::kRows : TransactionKind::kEmpty;
}

BoundaryVerdict TransactionBoundary::Take(BoundaryEvent event) {
  const BoundaryStep step = NextBoundary(state_, event);
  if (step.verdict == Verdict::kBegins) changed_ = false;
  if (step.verdict == Verdict::kInside) changed_ = changed_ || IsContent(event);
  if (step.verdict == Verdict::kEnds) kind_ = KindAtEnd(event);
  if (step.verdict != Verdict::kIllegal) state_ = step.next;
  return step.verdict;
}

}  // namespace tidemark
