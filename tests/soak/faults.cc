#include "tests/soak/faults.h"

#include <spdlog/sinks/basic_file_sink.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>

namespace tidemark::soak {
namespace {

using testing::FaultProxy;
using SteadyClock = std::chrono::steady_clock;

constexpr int kRecoveryMs = 90'000;
constexpr int kSettleMs = 100;  // in which a client writes down what it has just seen succeed

struct Kind {
  const char* name;
  uint64_t weight;
  bool spares_daemon;  // its process
};
constexpr std::array<Kind, static_cast<size_t>(Fault::kCount)> kKinds = {{
    {"kill -9 tidemarkd", 8, false},
    {"SIGTERM tidemarkd", 4, false},
    {"SIGSTOP tidemarkd", 3, true},
    {"kill -9 mysqld", 5, true},
    {"kill -9 both", 3, false},
    {"SIGTERM mysqld", 1, true},
    {"cut", 6, true},
    {"cut in the midst", 6, true},
    {"stall", 5, true},
    {"corrupt", 9, true},
    {"slow", 3, true},
    {"refuse", 3, true},
}};

double Seconds(SteadyClock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

FaultProxy::Way WayOf(sim::Dice& dice) {
  return dice.OneIn(4) ? FaultProxy::Way::kToServer : FaultProxy::Way::kToClient;
}

FaultProxy::CutBy CutByOf(sim::Dice& dice) {
  return dice.OneIn(2) ? FaultProxy::CutBy::kReset : FaultProxy::CutBy::kEnd;
}

}  // namespace

Faults::Faults(Rig& rig, uint64_t seed, std::function<GtidSet()> succeeded)
    : rig_(rig),
      dice_(seed),
      succeeded_(std::move(succeeded)),
      log_(spdlog::basic_logger_st("faults", rig.options().directory + "/faults.log")) {
  log_->flush_on(spdlog::level::info);
}

Fault Faults::Draw(bool spare_daemon) {
  uint64_t total = 0;
  for (const Kind& kind : kKinds)
    if (kind.spares_daemon || !spare_daemon) total += kind.weight;
  uint64_t at = dice_.Below(total);
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (!kKinds[i].spares_daemon && spare_daemon) continue;
    if (at < kKinds[i].weight) return static_cast<Fault>(i);
    at -= kKinds[i].weight;
  }
  TM_CHECK(!"a fault");
  return Fault::kCut;
}

void Faults::Linger(uint64_t ms_min, uint64_t ms_max) {
  (void)testing::WaitUntil([] { return false; }, static_cast<int>(dice_.Between(ms_min, ms_max)));
}

void Faults::StartDaemon() {
  const bool tls = dice_.OneIn(2);
  log_->info("tidemarkd is started, {} TLS", tls ? "with" : "without");
  const Status started = rig_.StartDaemon(tls);
  if (!started.ok()) rig_.report().Violation("tidemarkd cannot be started: " + started.message());
}

// At the moment in which the primary is lost, all that a client saw succeed has to be archived:
// that is what semi-sync is for.
void Faults::KillPrimary(bool and_daemon) {
  const bool daemon_first = and_daemon && dice_.OneIn(2);
  if (daemon_first) rig_.KillDaemon();
  rig_.primary().Kill9();
  if (and_daemon && !daemon_first) rig_.KillDaemon();
  (void)testing::WaitUntil([] { return false; }, kSettleMs);
  const GtidSet lost = succeeded_().Minus(rig_.Archived()).Minus(excused_);
  const bool misled = rig_.PrimaryMayBeMisled();
  ++kills_;
  misled_ += misled ? 1 : 0;
  if (!lost.empty())
    log_->error("lost{}: {}", misled ? ", by a primary that may be misled" : "", lost.ToString());
  if (misled)
    excused_.Add(lost);
  else if (!lost.empty())
    rig_.report().Violation("with the primary, commits that clients saw succeed would be lost: " +
                            lost.ToString());
  if (dice_.OneIn(3)) Linger(0, 2000);
  RestartPrimary();
  if (and_daemon) StartDaemon();
}

void Faults::RestartPrimary() {
  const Status up = rig_.RestartPrimary();
  if (!up.ok()) rig_.report().Violation("the primary does not come back: " + up.message());
}

void Faults::Corrupt() {
  for (uint64_t left = dice_.Between(1, 4); left > 0; --left) {
    constexpr std::array<FaultProxy::Harm, 4> kHarms = {
        FaultProxy::Harm::kFlip, FaultProxy::Harm::kFlip, FaultProxy::Harm::kDrop,
        FaultProxy::Harm::kDuplicate};
    const FaultProxy::Way way = WayOf(dice_);
    const uint64_t offset = dice_.Small(18);
    const FaultProxy::Harm harm = kHarms[dice_.Below(kHarms.size())];
    const auto mask = static_cast<uint8_t>(1u << dice_.Below(8));
    log_->info("  byte {} to the {}: {} {:#x}", offset,
               way == FaultProxy::Way::kToServer ? "primary" : "archive",
               harm == FaultProxy::Harm::kFlip   ? "flip"
               : harm == FaultProxy::Harm::kDrop ? "drop"
                                                 : "duplicate",
               mask);
    rig_.proxy().Damage(way, offset, harm, mask);
  }
  // So that it meets logins, questions and the beginning of a dump as well.
  if (dice_.OneIn(2)) rig_.proxy().Cut(FaultProxy::CutBy::kReset);
  const uint64_t harmed = rig_.proxy().harmed_bytes();
  (void)testing::WaitUntil([&] { return rig_.proxy().harmed_bytes() > harmed; }, 3000);
  Linger(0, 500);
}

void Faults::Do(Fault fault) {
  FaultProxy& proxy = rig_.proxy();
  switch (fault) {
    case Fault::kKillDaemon:
      rig_.KillDaemon();
      if (dice_.OneIn(3)) Linger(0, 2000);
      return StartDaemon();
    case Fault::kStopDaemon: rig_.StopDaemon(); return StartDaemon();
    case Fault::kFreezeDaemon:
      rig_.SignalDaemon(SIGSTOP);
      Linger(50, 5000);
      return rig_.SignalDaemon(SIGCONT);
    case Fault::kKillPrimary: return KillPrimary(false);
    case Fault::kKillBoth: return KillPrimary(true);
    case Fault::kRestartPrimary:
      // While it goes down it lets clients go that wait for an acknowledgement, so all is made well
      // before and afterwards.
      if (Recover()) RestartPrimary();
      (void)Recover();
      return;
    case Fault::kCut: return proxy.Cut(CutByOf(dice_));
    case Fault::kCutLater:
      proxy.CutAfter(WayOf(dice_), dice_.Small(20), CutByOf(dice_));
      return Linger(0, 1000);
    case Fault::kStall:
      proxy.Stall(true);
      Linger(200, 6000);
      return;
    case Fault::kCorrupt: return Corrupt();
    case Fault::kSlow:
      if (dice_.OneIn(2))
        proxy.Delay(static_cast<int>(dice_.Between(20, 300)));
      else
        proxy.Throttle(dice_.Between(2'000, 500'000));
      return Linger(500, 4000);
    case Fault::kRefuse:
      proxy.Refuse(true);
      proxy.Cut(CutByOf(dice_));
      return Linger(100, 3000);
    case Fault::kCount: return;
  }
}

void Faults::Next(bool spare_daemon) {
  const double uniform = static_cast<double>(dice_.Below(1'000'000) + 1) / 1'000'001;
  const double pause_ms = -std::log(uniform) * rig_.options().pause_ms_mean;
  (void)testing::WaitUntil([] { return false; }, static_cast<int>(std::min(pause_ms, 20'000.0)));
  const Fault fault = Draw(spare_daemon);
  const auto number = static_cast<size_t>(fault);
  ++counts_[number];
  ++done_;
  log_->info("{}", kKinds[number].name);
  const auto begun = SteadyClock::now();
  Do(fault);
  if (dice_.OneIn(5)) return log_->info("not waited for");
  const auto mended = SteadyClock::now();
  if (!Recover()) return;
  const auto again = SteadyClock::now();
  for (Times* times : {&times_[number], &all_}) {
    times->from_fault_s.values.push_back(Seconds(again - begun));
    times->from_mended_s.values.push_back(Seconds(again - mended));
  }
}

bool Faults::Recover(bool under_load) {
  rig_.proxy().Heal();
  if (!rig_.DaemonRuns()) {
    rig_.report().Violation("tidemarkd ended by itself; see " + rig_.daemon_log());
    StartDaemon();
  }
  const Result<GtidSet> wanted = rig_.Executed();
  if (!wanted.ok()) {
    rig_.report().Violation("the primary does not answer: " + wanted.error().message());
    return false;
  }
  GtidSet archived = rig_.Archived();
  const uint64_t before = archived.Count();
  if (testing::WaitUntil(
          [&] {
            archived = rig_.Archived();
            return wanted->IsSubsetOf(archived) && (!under_load || archived.Count() > before);
          },
          kRecoveryMs))
    return true;
  rig_.report().Violation(
      "not archived " + std::to_string(kRecoveryMs / 1000) + " s after all was well: " +
      (wanted->IsSubsetOf(archived) ? "anything new" : wanted->Minus(archived).ToString()));
  return false;
}

void Faults::Print(Report& report) const {
  report.Say(
      "fault                 times   fault to archiving again, s: median / p99 / max"
      "   since mended: median / p99 / max");
  const auto line = [&](const char* name, uint64_t count, const Times& times) {
    char text[200];
    std::snprintf(text, sizeof text, "%-20s %6llu %22.2f /%6.2f /%6.2f %28.2f /%6.2f /%6.2f", name,
                  static_cast<unsigned long long>(count), times.from_fault_s.Quantile(0.5),
                  times.from_fault_s.Quantile(0.99), times.from_fault_s.Quantile(1),
                  times.from_mended_s.Quantile(0.5), times.from_mended_s.Quantile(0.99),
                  times.from_mended_s.Quantile(1));
    report.Say(text);
  };
  for (size_t i = 0; i < kKinds.size(); ++i) line(kKinds[i].name, counts_[i], times_[i]);
  line("all", done_, all_);
  report.Say(std::to_string(kills_ - misled_) +
             " times a primary was killed that had to wait for the archive; " +
             std::to_string(misled_) +
             " more may have believed a damaged acknowledgement, and let " +
             std::to_string(excused_.Count()) + " commits go too early");
}

}  // namespace tidemark::soak
