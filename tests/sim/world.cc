// What happens around the daemon while it lives: commits and everything worse.
#include <algorithm>

#include "tests/sim/run.h"

namespace tidemark::sim {

// Files are never made in one second twice: what tells two of a name apart is that second.
uint32_t Run::NowSeconds() {
  seconds_ += static_cast<uint32_t>(dice_.Between(1, 100));
  return seconds_;
}

void Run::Happen() {
  if (!primary_->up) {
    if (dice_.OneIn(3)) primary_->up = true;
    return;
  }
  const uint64_t what = dice_.Below(100);
  if (what < 70) return Commit();
  if (what < 77) {
    Note("rotate");
    primary_->Rotate(NowSeconds());
    if (sets_back_ && dice_.OneIn(3)) crash_in_ = dice_.Between(3, 80);
    return;
  }
  if (what < 81) {
    const bool orderly = dice_.OneIn(2);
    Note(orderly ? "primary restarts" : "primary crashes");
    primary_->Restart(orderly, NowSeconds());
    primary_->up = dice_.OneIn(2);
    return;
  }
  if (what < 85) return Purge();
  if (what < 88) return FailOver();
  if (what < 90) return SetBack(8);
  if (what < 93) {
    Note("clock steps");
    return clock_.Step((dice_.OneIn(2) ? 1 : -1) * static_cast<int64_t>(dice_.Small(34)));
  }
  ChangeDisk();
}

void Run::Commit() {
  for (uint64_t count = dice_.Between(1, 4); count > 0; --count) {
    if (counts_.transactions >= transactions_max_) return;
    ++counts_.transactions;
    Recipe recipe;
    recipe.id = next_id_++;
    recipe.gtid = primary_->NextGtid();
    recipe.spec = RandomSpec(dice_, dice_.OneIn(large_one_in_));
    recipe.spec.original_commit_us = OriginalCommitTime(recipe.id);
    Note("commit", static_cast<uint64_t>(recipe.gtid.gno));
    primary_->Commit(std::move(recipe), std::max<int64_t>(clock_.WallMicroseconds(), 1'000'000));
  }
}

void Run::Purge() {
  if (!purges_ || counts_.set_backs > 0) return;  // what was purged cannot be compared any more
  if (primary_->PurgeFirstFile()) Note("purge", primary_->purged().Count());
}

// To a replica with the same history, or all of it but the end; or back to one that was primary
// before.
void Run::FailOver() {
  if (!fails_over_) return;
  ++counts_.failovers;
  primary_->up = dice_.OneIn(2);  // it may go on serving for a while
  for (const auto& other : servers_) {
    if (other == primary_ || !dice_.OneIn(2)) continue;
    const bool behind =
        std::all_of(other->ids().begin(), other->ids().end(), [&](const auto& entry) {
          const auto found = primary_->ids().find(entry.first);
          return found != primary_->ids().end() && found->second == entry.second;
        });
    if (!behind) continue;
    other->Restart(false, NowSeconds());
    for (const Recipe& recipe : primary_->history())
      if (!other->ids().contains(recipe.gtid)) other->Commit(recipe, clock_.WallMicroseconds());
    other->up = true;
    primary_ = other;
    return Note("fail back");
  }
  std::vector<Recipe> history = primary_->history();
  if (dice_.OneIn(4)) history.resize(history.size() - std::min(history.size(), dice_.Small(3)));
  const bool purges = counts_.set_backs == 0 && dice_.OneIn(2);
  const size_t purged = purges ? dice_.Below(history.size() + 1) : 0;
  Note("fail over", history.size(), purged);
  servers_.push_back(
      std::make_shared<Server>(ServerUuid(next_server_++), dice_, NowSeconds(), history, purged));
  primary_ = servers_.back();
}

// Crashed soon after a rotation, without having synced its binary log, and soon busy again.
void Run::LoseTheEnd() {
  SetBack(5);
  primary_->up = true;
  for (int i = 0; i < 4; ++i) Commit();
}

// Restored from a backup, or crashed.
void Run::SetBack(size_t lost_max) {
  if (!sets_back_ || primary_->history().empty()) return;
  const size_t lost = dice_.Between(1, std::min<size_t>(primary_->history().size(), lost_max));
  auto back = primary_->SetBack(lost, !dice_.OneIn(3), NowSeconds());
  if (back == nullptr) return;
  Note("set back", lost);
  ++counts_.set_backs;
  primary_->up = false;
  servers_.push_back(back);
  primary_ = std::move(back);
}

void Run::ChangeDisk() {
  const bool full = disk_.faults().capacity_bytes != UINT64_MAX;
  if (full) return FreeDisk();
  if (!life_.until_caught_up && dice_.OneIn(2)) FillDisk();
}

void Run::FreeDisk() {
  DiskFaults faults = disk_.faults();
  faults.capacity_bytes = UINT64_MAX;
  Note("disk is freed");
  disk_.SetFaults(faults);
  room_to_seal_ = false;
}

// By somebody else, but for a little.
void Run::FillDisk() {
  DiskFaults faults = disk_.faults();
  faults.capacity_bytes = disk_.used_bytes() + dice_.Small(13);
  Note("disk is filled", faults.capacity_bytes);
  disk_.SetFaults(faults);
  const bool reserve_held = reserve_ != nullptr && reserve_->held_bytes() > 0;
  room_to_seal_ = reserve_held && !publisher_.refuses() &&
                  faults.read + faults.write + faults.sync + faults.name == 0;
}

}  // namespace tidemark::sim
