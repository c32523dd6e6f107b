#include "tools/daemon_health.h"

#include <gtest/gtest.h>

namespace tidemark {
namespace {

using Clock = DaemonHealth::Clock;

DaemonHealth::Turn TurnOf(std::vector<DaemonHealth::Source> sources) {
  DaemonHealth::Turn turn;
  turn.sources = std::move(sources);
  turn.settled = true;
  return turn;
}

TEST(DaemonHealthTest, HealthyWhileTheLoopTurnsAndNotAfterTenSecondsWithout) {
  DaemonHealth health;
  DaemonHealth::Turn turn = TurnOf({{"main", "archiving", true, false}});
  const Clock::time_point at = turn.at;
  health.Note(turn);
  EXPECT_EQ(health.Health(at + DaemonHealth::kTurnMax).status, 200);
  EXPECT_EQ(health.Health(at + DaemonHealth::kTurnMax).body, "ok\n");
  const auto stuck = health.Health(at + DaemonHealth::kTurnMax + std::chrono::seconds(2));
  EXPECT_EQ(stuck.status, 503);
  EXPECT_EQ(stuck.body, "the main loop has not turned for 12 s\n");
  turn.at = at + std::chrono::seconds(12);
  health.Note(turn);
  EXPECT_EQ(health.Health(at + std::chrono::seconds(13)).status, 200);
}

TEST(DaemonHealthTest, DeadWorkerIsNotHealthy) {
  DaemonHealth health;
  health.Note(TurnOf({{"main", "archiving", true, false}, {"other", "stopped", true, true}}));
  const auto answer = health.Health();
  EXPECT_EQ(answer.status, 503);
  EXPECT_EQ(answer.body, "other: its thread has ended\n");
}

TEST(DaemonHealthTest, ReadyWhenEverySourceHasBeenStarted) {
  DaemonHealth health;
  DaemonHealth::Turn turn = TurnOf({});
  turn.settled = false;
  health.Note(turn);
  EXPECT_EQ(health.Ready().status, 503);
  EXPECT_EQ(health.Ready().body, "starting\n");
  health.Note(TurnOf({{"main", "archiving", true, false},
                      {"other", "cannot-start", false, false},
                      {"third", "starting", false, false}}));
  EXPECT_EQ(health.Ready().status, 503);
  EXPECT_EQ(health.Ready().body, "other: cannot-start\nthird: starting\n");
  EXPECT_EQ(health.Health().status, 200);
  // A source that cannot be reached has been started: it is being tried.
  health.Note(TurnOf({{"main", "archiving", true, false}, {"other", "waiting", true, false}}));
  EXPECT_EQ(health.Ready().status, 200);
  EXPECT_EQ(health.Ready().body, "ready\n");
}

TEST(DaemonHealthTest, StoppingIsHealthyAndNotReady) {
  DaemonHealth health;
  DaemonHealth::Turn turn = TurnOf({{"main", "stopped", true, false}});
  turn.stopping = true;
  health.Note(turn);
  EXPECT_EQ(health.Ready().body, "stopping\n");
  EXPECT_EQ(health.Health().status, 200);
}

}  // namespace
}  // namespace tidemark
