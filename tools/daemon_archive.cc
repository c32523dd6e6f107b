#include "tools/daemon_archive.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "pitr/unindexed.h"

namespace tidemark {
namespace {

using SteadyClock = std::chrono::steady_clock;

// So often a space reserve that is not there is tried, and an index that cannot be written.
constexpr std::chrono::seconds kMendInterval{10};

}  // namespace

DaemonArchive::DaemonArchive(const std::string& root, uint64_t reserve_bytes)
    : directory_(PosixFileSystem(), root),
      reserve_(directory_.files(), directory_.root(), reserve_bytes) {}

Status DaemonArchive::Open(const std::function<void()>& rebuilding) {
  TM_ASSIGN_OR_RETURN(lock_, directory_.LockForWriting());
  NoteReserve(reserve_.Open());
  return OpenIndex(rebuilding);
}

// An index that is damaged or of another version is made anew: it is derived.
Result<std::unique_ptr<Index>> DaemonArchive::OpenOrRebuildIndex(
    const std::function<void()>& rebuilding) {
  Result<std::unique_ptr<Index>> index = Index::OpenForWriting(directory_.IndexPath());
  if (index.ok() || index.error().code() != Code::kCorruption) return index;
  spdlog::warn("the index is damaged and is made anew from the segments: {}",
               index.error().message());
  rebuilding();
  TM_ASSIGN_OR_RETURN(const HealReport report,
                      RebuildIndex(directory_, [&](const HealReport&) { rebuilding(); }));
  spdlog::info("index rebuilt from {} segments", report.segments_scanned);
  return Index::OpenForWriting(directory_.IndexPath());
}

// A full disk is no reason not to come up: what there is can be asked for, and what is wrong said.
// The sources wait until the index can be written.
Status DaemonArchive::OpenIndex(const std::function<void()>& rebuilding) {
  Result<std::unique_ptr<Index>> index = OpenOrRebuildIndex(rebuilding);
  if (!index.ok() && index.error().code() == Code::kDiskFull && reserve_.GiveUp()) {
    spdlog::error("{}; the space reserve is given up", index.error().message());
    index = OpenOrRebuildIndex(rebuilding);
  }
  if (index.ok()) {
    index_ = std::make_unique<SerializedIndex>(std::move(*index), directory_.IndexPath());
    return OkStatus();
  }
  if (index.error().code() != Code::kDiskFull) return index.error();
  spdlog::error("the index cannot be written: {}", index.error().message());
  index_ = std::make_unique<SerializedIndex>(directory_.IndexPath(), index.error());
  return OkStatus();
}

void DaemonArchive::IndexForgotten(const std::vector<std::string>& workers,
                                   const std::function<void()>& rebuilding) {
  const Result<std::vector<std::string>> sources = directory_.Sources();
  if (!sources.ok()) return spdlog::error("{}", sources.error().message());
  for (const std::string& source : *sources) {
    if (std::find(workers.begin(), workers.end(), source) != workers.end()) continue;
    const Status indexed = IndexIfForgotten(source, rebuilding);
    if (!indexed.ok())
      spdlog::error(
          "[{}] cannot be put into the index: {}; hint: pitr verify tells what is damaged", source,
          indexed.message());
  }
}

Status DaemonArchive::IndexIfForgotten(const std::string& source,
                                       const std::function<void()>& rebuilding) {
  TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> on_disk, directory_.Segments(source));
  if (on_disk.empty()) return OkStatus();
  TM_ASSIGN_OR_RETURN(const auto known, index_->Segments(source));
  const auto number = [](const SegmentRecord& one) { return one.header.number; };
  if (std::ranges::includes(known, on_disk, {}, number)) {
    TM_ASSIGN_OR_RETURN(const GtidSet unknown, UnindexedGtids(directory_, *index_, source));
    if (unknown.empty()) return OkStatus();
  }
  rebuilding();
  TM_ASSIGN_OR_RETURN(const HealReport report, HealIndex(*index_, directory_, source,
                                                         [&](const HealReport&) { rebuilding(); }));
  spdlog::info("[{}] is archived no more, and was not whole in the index: {} segments read again",
               source, report.segments_scanned);
  return OkStatus();
}

void DaemonArchive::NoteReserve(const Status& settled) const {
  if (!settled.ok())
    spdlog::warn("{}; hint: {}", settled.message(), settled.hint());
  else if (reserve_.held_bytes() > 0)
    spdlog::info("the space reserve {} has {} MiB", reserve_.path(), reserve_.held_bytes() >> 20);
}

// What could not be done for lack of room, and nobody else may have a reason to try soon.
void DaemonArchive::Mend() {
  if (SteadyClock::now() - mended_ < kMendInterval) return;
  mended_ = SteadyClock::now();
  (void)index_->Mend();
  if (reserve_.held_bytes() > 0 || reserve_.wanted_bytes() == 0) return;
  if (reserve_.Keep().ok() && reserve_.held_bytes() > 0) NoteReserve(OkStatus());
}

void DaemonArchive::Resize(uint64_t reserve_bytes) { NoteReserve(reserve_.Resize(reserve_bytes)); }

}  // namespace tidemark
