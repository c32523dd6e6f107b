#include "pitr/archive_view.h"

#include <algorithm>
#include <charconv>

#include "replication/archive/gap_room.h"
#include "replication/archive/segment_reader.h"

namespace tidemark {
namespace {

constexpr std::string_view kSegmentSuffix = ".binlog.zst";
constexpr size_t kSegmentDigits = 10;
// A daemon creates a segment's file before it has published anything of it.
constexpr size_t kUnpublishedSegmentsMax = 1;
// How often a view is read anew when it does not fit the directory, before that is called damage: a
// daemon that rotates between our two looks gives the same picture.
constexpr int kOpenAttemptsMax = 3;

std::string Join(const ArchiveDirectory& archive, const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    text += (text.empty() ? "" : ", ") + name;
    const std::vector<SourceFork> forks = archive.ForksOf(name);
    if (!forks.empty()) text += " (continues " + forks.back().parent + ")";
  }
  return text;
}

Result<std::string> ChooseSource(const ArchiveDirectory& archive, const std::string& wanted) {
  TM_ASSIGN_OR_RETURN(std::vector<std::string> sources, archive.Sources());
  if (!wanted.empty()) {
    TM_RETURN_IF_ERROR(ArchiveDirectory::CheckSourceName(wanted));
    if (std::find(sources.begin(), sources.end(), wanted) != sources.end()) return wanted;
    return Status(Code::kNotFound, "archive " + archive.root() + " has no source '" + wanted + "'",
                  sources.empty() ? "nothing is archived there yet"
                                  : "its sources are: " + Join(archive, sources));
  }
  if (sources.size() == 1) return sources.front();
  if (sources.empty()) {
    return Status(Code::kNotFound, "archive " + archive.root() + " has no source yet",
                  "start tidemarkd with a source configured, or point --archive elsewhere");
  }
  return Status(
      Code::kUsage,
      "archive " + archive.root() + " has more than one source: " + Join(archive, sources),
      "choose one with --source NAME");
}

// 0 if the name is none of a segment.
uint64_t SegmentNumberOf(std::string_view name) {
  if (name.size() != kSegmentDigits + kSegmentSuffix.size() || !name.ends_with(kSegmentSuffix)) {
    return 0;
  }
  uint64_t number = 0;
  const char* end = name.data() + kSegmentDigits;
  auto [parsed, error] = std::from_chars(name.data(), end, number);
  return error == std::errc() && parsed == end ? number : 0;
}

Status IndexDisagrees(const std::string& what) {
  return Status(Code::kCorruption, what,
                "while pitr import runs, wait for its end; if the index is behind or lost: pitr "
                "index rebuild; if a segment file is lost: pitr verify names it");
}

// What concerns the gaps, as they are now: archived meanwhile from another server, they are none.
void AddAcknowledgements(const ArchiveDirectory& archive, const std::string& source,
                         Coverage* coverage) {
  if (coverage->gaps.empty()) return;
  auto acknowledgements = ReadAcknowledgedInLineage(archive, source);
  if (!acknowledgements.ok()) {
    coverage->acknowledgements_error = acknowledgements.error().message();
    return;
  }
  GtidSet missing;
  for (const GapRecord& gap : coverage->gaps) missing.Add(gap.missing);
  for (GapAcknowledgement& one : *acknowledgements) {
    if (!one.gtids.Intersects(missing)) continue;
    coverage->acknowledged.Add(one.gtids.Intersection(missing));
    coverage->acknowledgements.push_back(std::move(one));
  }
}

}  // namespace

ArchiveView::ArchiveView(ArchiveDirectory archive, std::unique_ptr<Index> owned, Index& index,
                         std::string source)
    : archive_(std::move(archive)),
      owned_(std::move(owned)),
      index_(index),
      source_(std::move(source)),
      forks_(archive_.ForksOf(source_)) {}

Result<std::unique_ptr<ArchiveView>> ArchiveView::Open(FileSystem& files, const std::string& root,
                                                       const std::string& source, OpenCheck check) {
  ArchiveDirectory archive(files, root);
  TM_RETURN_IF_ERROR(archive.CheckExists());
  TM_ASSIGN_OR_RETURN(std::string chosen, ChooseSource(archive, source));
  auto index = Index::OpenForReading(archive.IndexPath());
  if (!index.ok()) {
    Status error = index.error();
    bool has_hint = !error.hint().empty();
    return has_hint ? error : std::move(error).WithHint("make it anew: pitr index rebuild");
  }
  Index& opened = **index;
  std::unique_ptr<ArchiveView> view(
      new ArchiveView(std::move(archive), std::move(index.value()), opened, std::move(chosen)));
  Status agrees;
  for (int attempt = 0; attempt < kOpenAttemptsMax; ++attempt) {
    TM_RETURN_IF_ERROR(view->Refresh());
    if (check == OpenCheck::kEvenIfBehind) return view;
    agrees = view->CompareWithDisk();
    if (agrees.ok()) return view;
  }
  return agrees;
}

Result<std::unique_ptr<ArchiveView>> ArchiveView::Over(FileSystem& files, const std::string& root,
                                                       const std::string& source, Index& index) {
  ArchiveDirectory archive(files, root);
  TM_ASSIGN_OR_RETURN(std::string chosen, ChooseSource(archive, source));
  std::unique_ptr<ArchiveView> view(
      new ArchiveView(std::move(archive), nullptr, index, std::move(chosen)));
  TM_RETURN_IF_ERROR(view->Refresh());
  return view;
}

Status ArchiveView::Refresh() {
  TM_RETURN_IF_ERROR(index_.Refresh());
  TM_ASSIGN_OR_RETURN(const bool followed, FollowGrowth());
  if (followed) return OkStatus();
  TM_ASSIGN_OR_RETURN(segments_, index_.Segments(source_));
  return OkStatus();
}

// What a daemon does between two looks: the last segment grew, and maybe one came behind it. False:
// more than that has changed. Replicas look at every commit, and an archive has many segments.
Result<bool> ArchiveView::FollowGrowth() {
  if (segments_.empty()) return false;
  const uint64_t first = segments_.front().header.number, last = segments_.back().header.number;
  TM_ASSIGN_OR_RETURN(std::optional<SegmentRecord> newest, index_.LastSegment(source_));
  if (!newest || newest->header.number < last || newest->header.number > last + 1) return false;
  TM_ASSIGN_OR_RETURN(const std::optional<SegmentRecord> oldest, index_.Segment(source_, first));
  if (!oldest) return false;
  if (newest->header.number > last) {
    TM_ASSIGN_OR_RETURN(std::optional<SegmentRecord> grown, index_.Segment(source_, last));
    if (!grown) return false;
    segments_.back() = std::move(*grown);
    segments_.push_back(std::move(*newest));
  } else {
    segments_.back() = std::move(*newest);
  }
  return true;
}

Result<std::vector<uint64_t>> ArchiveView::SegmentsOnDisk(std::vector<std::string>* foreign) const {
  TM_ASSIGN_OR_RETURN(std::vector<std::string> names,
                      archive_.files().List(archive_.SegmentsPath(source_)));
  std::vector<uint64_t> numbers;
  for (const std::string& name : names) {
    if (uint64_t number = SegmentNumberOf(name); number != 0) {
      numbers.push_back(number);
    } else if (foreign != nullptr) {
      foreign->push_back(name);
    }
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

bool ArchiveView::IsOfAnImport(uint64_t number) const {
  const auto reader = OpenSegmentFile(archive_, source_, number);
  return reader.ok() && (*reader)->header().imported;
}

Status ArchiveView::CompareWithDisk() const {
  TM_ASSIGN_OR_RETURN(std::vector<uint64_t> on_disk, SegmentsOnDisk(nullptr));
  for (const SegmentRecord& segment : segments_) {
    uint64_t number = segment.header.number;
    if (!std::binary_search(on_disk.begin(), on_disk.end(), number)) {
      return IndexDisagrees("the index knows of " + archive_.SegmentPath(source_, number) +
                            ", but there is no such file");
    }
  }
  uint64_t last_known = segments_.empty() ? 0 : segments_.back().header.number;
  size_t newer = 0;
  for (uint64_t number : on_disk) {
    if (number > last_known) {
      ++newer;
    } else if (segment(number) == nullptr && !IsOfAnImport(number)) {
      return IndexDisagrees("the index does not know " + archive_.SegmentPath(source_, number));
    }
  }
  if (newer <= kUnpublishedSegmentsMax) return OkStatus();
  return IndexDisagrees("the index ends at segment " + std::to_string(last_known) + " of source " +
                        source_ + ", but " + std::to_string(newer) + " newer ones are on disk");
}

const SegmentRecord* ArchiveView::segment(uint64_t number) const {
  auto at = std::lower_bound(
      segments_.begin(), segments_.end(), number,
      [](const SegmentRecord& segment, uint64_t wanted) { return segment.header.number < wanted; });
  return at != segments_.end() && at->header.number == number ? &*at : nullptr;
}

Coverage ArchiveView::ComputeCoverage() const {
  Coverage coverage;
  for (const SegmentRecord& segment : segments_) coverage.archived.Add(segment.gtids);
  std::vector<GapRecord> recorded;
  for (const SegmentRecord& segment : segments_)
    if (!segment.header.gap.missing.empty()) recorded.push_back(segment.header.gap);
  coverage.gaps = RemainingGaps(std::move(recorded), coverage.archived);
  if (segments_.empty()) return coverage;
  coverage.before = segments_.front().header.previous;
  coverage.end = coverage.before.Union(coverage.archived);
  for (const GapRecord& gap : coverage.gaps) coverage.end.Add(gap.missing);
  AddAcknowledgements(archive_, source_, &coverage);
  return coverage;
}

}  // namespace tidemark
