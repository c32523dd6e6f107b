// The daemon's DurableListener as it is in production, an index and then everybody who wants to
// know, with oracles in between: what it hears of must be on the platter, and must be there
// whenever it is looked for again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "replication/sink/durable_listener.h"
#include "tests/sim/archive_oracle.h"

namespace tidemark::sim {

class Publisher : public DurableListener {
 public:
  // `turn` as the disk's; `violated` is told of what must not be.
  Publisher(Disk& disk, Dice& dice, std::function<void(const char*)> turn,
            std::function<void(Violation)> violated)
      : disk_(disk),
        archive_(disk, kArchive),
        dice_(dice),
        turn_(std::move(turn)),
        violated_(std::move(violated)) {}

  void SetIndex(Index* index) { index_ = index; }
  // One batch in so many is refused by the index.
  void SetRefusals(uint64_t one_in) { refuse_one_in_ = one_in; }
  bool refuses() const { return refuse_one_in_ != 0; }
  // The process is gone: whatever is still announced reaches nobody.
  void set_dead(bool dead) { dead_ = dead; }

  Status OnDurable(const DurableBatch& batch) override;
  // At start-up, after the index was healed: whatever is in the index counts as published.
  void OnHealed();
  // Everything published is still there, byte for byte. Call whenever the disk is quiet.
  Verdict CheckSurvived() const;

  // All that the last published batch says to be archived or known missing.
  const GtidSet& resume() const { return resume_; }
  uint64_t batches() const { return batches_; }
  bool LastIsSealed() const { return published_.empty() || published_.rbegin()->second.sealed; }
  uint64_t PublishedBytes(uint64_t segment) const {
    const auto found = published_.find(segment);
    return found == published_.end() ? 0 : found->second.bytes.size();
  }

 private:
  struct Published {
    std::string bytes;  // of the file, as far as published
    bool sealed = false;
    uint64_t raw_bytes = 0;
  };

  static uint64_t Follower(uint64_t number, const SegmentRecord& segment);
  bool Publish(const SegmentRecord& segment);

  Disk& disk_;
  const ArchiveDirectory archive_;
  Dice& dice_;
  const std::function<void(const char*)> turn_;
  const std::function<void(Violation)> violated_;
  Index* index_ = nullptr;
  uint64_t refuse_one_in_ = 0;
  bool dead_ = false;
  std::map<uint64_t, Published> published_;
  GtidSet resume_;
  uint64_t batches_ = 0;
};

}  // namespace tidemark::sim
