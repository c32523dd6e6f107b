#include "replication/event/transaction_boundary.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

using Event = BoundaryEvent;
using Verdict = BoundaryVerdict;

// The kind of the transaction that these events make up, all of them.
TransactionKind KindOf(const std::vector<Event>& events) {
  TransactionBoundary boundary;
  EXPECT_EQ(boundary.Take(Event::kGtid), Verdict::kBegins);
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(boundary.Take(events[i]), i + 1 == events.size() ? Verdict::kEnds : Verdict::kInside)
        << i;
  }
  EXPECT_FALSE(boundary.open());
  return boundary.kind();
}

TEST(TransactionBoundary, KindsOfTransactions) {
  EXPECT_EQ(KindOf({Event::kBegin, Event::kChange, Event::kCommit}), TransactionKind::kRows);
  EXPECT_EQ(KindOf({Event::kBegin, Event::kPreStatement, Event::kStatement, Event::kCommit}),
            TransactionKind::kRows);
  EXPECT_EQ(KindOf({Event::kBegin, Event::kCommit}), TransactionKind::kEmpty);
  EXPECT_EQ(KindOf({Event::kStatement}), TransactionKind::kDdl);
  EXPECT_EQ(KindOf({Event::kPreStatement, Event::kStatement}), TransactionKind::kDdl);
  EXPECT_EQ(KindOf({Event::kXaStart, Event::kChange, Event::kXaEndMark, Event::kXaPrepare}),
            TransactionKind::kXaPrepare);
  EXPECT_EQ(KindOf({Event::kXaStart, Event::kChange, Event::kXaEndMark, Event::kXaOnePhase}),
            TransactionKind::kRows);
  EXPECT_EQ(KindOf({Event::kXaStart, Event::kXaEndMark, Event::kXaOnePhase}),
            TransactionKind::kEmpty);
  EXPECT_EQ(KindOf({Event::kXaResolve}), TransactionKind::kXaEnd);
  EXPECT_EQ(KindOf({Event::kPayload}), TransactionKind::kRows);
  EXPECT_EQ(KindOf({Event::kIncident}), TransactionKind::kEmpty);
  EXPECT_EQ(KindOf({Event::kBegin, Event::kUnknown, Event::kCommit}), TransactionKind::kRows);
}

TEST(TransactionBoundary, NothingBeginsInsideAnother) {
  for (BoundaryState state :
       {BoundaryState::kAfterGtid, BoundaryState::kInTransaction, BoundaryState::kInXa}) {
    EXPECT_EQ(NextBoundary(state, Event::kGtid).verdict, Verdict::kIllegal);
  }
  for (BoundaryState state : {BoundaryState::kInTransaction, BoundaryState::kInXa}) {
    EXPECT_EQ(NextBoundary(state, Event::kBegin).verdict, Verdict::kIllegal);
    EXPECT_EQ(NextBoundary(state, Event::kXaStart).verdict, Verdict::kIllegal);
    EXPECT_EQ(NextBoundary(state, Event::kPayload).verdict, Verdict::kIllegal);
  }
  EXPECT_EQ(NextBoundary(BoundaryState::kInTransaction, Event::kXaPrepare).verdict,
            Verdict::kIllegal);
}

TEST(TransactionBoundary, OutsideOnlyAGtidBegins) {
  for (int event = static_cast<int>(Event::kGtid); event <= static_cast<int>(Event::kUnknown);
       ++event) {
    const Verdict verdict = NextBoundary(BoundaryState::kNone, static_cast<Event>(event)).verdict;
    switch (static_cast<Event>(event)) {
      case Event::kGtid: EXPECT_EQ(verdict, Verdict::kBegins); break;
      case Event::kIncident:
      case Event::kUnknown: EXPECT_EQ(verdict, Verdict::kOutside); break;
      default: EXPECT_EQ(verdict, Verdict::kIllegal) << event; break;
    }
  }
}

TEST(TransactionBoundary, AnIllegalEventChangesNothing) {
  TransactionBoundary boundary;
  ASSERT_EQ(boundary.Take(Event::kGtid), Verdict::kBegins);
  EXPECT_EQ(boundary.Take(Event::kGtid), Verdict::kIllegal);
  EXPECT_EQ(boundary.state(), BoundaryState::kAfterGtid);
}

}  // namespace
}  // namespace tidemark
