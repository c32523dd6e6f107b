#include "tests/sim/publisher.h"

#include <algorithm>

#include "replication/archive/gap_room.h"

namespace tidemark::sim {

Status Publisher::OnDurable(const DurableBatch& batch) {
  turn_("index");
  if (dead_) return Status(Code::kIo, "the process is gone");
  if (dice_.OneIn(refuse_one_in_))
    return Status(dice_.OneIn(2) ? Code::kDiskFull : Code::kIo, "the index refuses");
  TM_RETURN_IF_ERROR(index_->Apply(batch));
  turn_("publish");
  if (dead_) return Status(Code::kIo, "the process is gone");
  const SegmentRecord& segment = batch.segment;
  const uint64_t number = segment.header.number;
  if (!published_.empty()) {
    const auto& [last_number, last] = *published_.rbegin();
    const bool follows = number == last_number
                             ? segment.raw_bytes >= last.raw_bytes
                             : number == Follower(last_number, segment) && last.sealed;
    if (!follows && !published_.contains(number))
      violated_({"published in order", "segment " + std::to_string(number) + " follows " +
                                           std::to_string(last_number) +
                                           (last.sealed ? "" : ", which was never sealed")});
  }
  ++batches_;
  (void)Publish(segment);
  return OkStatus();
}

uint64_t Publisher::Follower(uint64_t number, const SegmentRecord& segment) {
  return number + 1 + (segment.header.gap.missing.empty() ? 0 : kSegmentNumbersPerGap);
}

bool Publisher::Publish(const SegmentRecord& segment) {
  const uint64_t number = segment.header.number;
  const std::string path = archive_.SegmentPath(kSource, number);
  Published& published = published_[number];
  const uint64_t from = published.bytes.size();
  const std::string* contents = disk_.Contents(path);
  if (contents == nullptr || segment.stored_bytes < from ||
      !disk_.Durable(path, 0, segment.stored_bytes)) {
    violated_({"published ⊆ durable", path + " is published up to " +
                                          std::to_string(segment.stored_bytes) +
                                          " and not all of that is on the platter"});
    return false;
  }

  published.bytes.append(*contents, from, segment.stored_bytes - from);
  published.sealed = segment.sealed;
  published.raw_bytes = segment.raw_bytes;
  resume_ = segment.header.previous.Union(segment.gtids);
  return true;
}

void Publisher::OnHealed() {
  auto segments = index_->Segments(kSource);
  if (!segments.ok()) return;
  for (const SegmentRecord& segment : *segments)
    if (!Publish(segment)) return;
}

Verdict Publisher::CheckSurvived() const {
  for (const auto& [number, published] : published_) {
    const std::string path = archive_.SegmentPath(kSource, number);
    const std::string* contents = disk_.Contents(path);
    if (contents == nullptr)
      return Violation{"published survives", path + " was published and is gone"};
    const auto [kept, end] = std::mismatch(published.bytes.begin(), published.bytes.end(),
                                           contents->begin(), contents->end());
    if (kept != published.bytes.end())
      return Violation{"published survives", path + " of " + std::to_string(contents->size()) +
                                                 " bytes was published up to " +
                                                 std::to_string(published.bytes.size()) +
                                                 " and is not what it was at " +
                                                 std::to_string(kept - published.bytes.begin())};
    if (published.sealed && contents->size() != published.bytes.size())
      return Violation{"published survives", path + " was published as sealed and has changed"};
  }
  return std::nullopt;
}

}  // namespace tidemark::sim
