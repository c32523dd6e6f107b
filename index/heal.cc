// Start-up's way to an index that agrees with the segments, and the rebuild from nothing, which is
// the same work.
#include <algorithm>
#include <set>

#include "index/database.h"
#include "index/index.h"
#include "index/value_codec.h"
#include "replication/archive/segment_reader.h"
#include "replication/base/failpoint.h"

namespace tidemark {
namespace {

using Progress = std::function<void(const HealReport&)>;

struct Healer {
  Index& index;
  ArchiveDirectory& archive;
  const std::string& source;
  const Progress& progress;
  HealReport& report;
  const std::function<bool()>* give_up = nullptr;
  const SegmentContents* recovered = nullptr;
  int64_t commit_high_us = 0;  // of the archive before the segment in hand
  std::vector<SourceFork> forks = {};

  Status Heal();
  Status HealSegment(uint64_t number, uint64_t next);
  Result<SegmentContents> Rescan(uint64_t number);
  Status Replace(const SegmentReader& reader, const SegmentContents& contents, uint64_t next);
  Result<bool> IsCurrent(const SegmentReader& reader, const SegmentRecord& known);
  Result<bool> HasFrames(const SegmentRecord& known, const std::vector<FramePlace>& frames);
  Status DropMissing(const std::vector<uint64_t>& numbers);
};

Status Healer::Heal() {
  TM_ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, archive.Segments(source));
  TM_RETURN_IF_ERROR(DropMissing(numbers));
  forks = archive.ForksOf(source);
  for (size_t i = 0; i < numbers.size(); ++i) {
    TM_RETURN_IF_ERROR(HealSegment(numbers[i], i + 1 < numbers.size() ? numbers[i + 1] : 0));
    if (progress) progress(report);
    if (give_up != nullptr && *give_up && (*give_up)())
      return Status(Code::kInterrupted, "interrupted while reading segments for the index");
  }
  return OkStatus();
}

Status Healer::DropMissing(const std::vector<uint64_t>& numbers) {
  const std::set<uint64_t> present(numbers.begin(), numbers.end());
  TM_ASSIGN_OR_RETURN(const std::vector<SegmentRecord> known, index.Segments(source));
  for (const SegmentRecord& segment : known) {
    if (present.contains(segment.header.number)) continue;
    report.segments_lost.push_back(segment.header.number);
    report.gtids_lost.Add(segment.gtids);
    // What the new first segment's records say of commit times before it nothing vouches for any
    // more: it is scanned anew, as a rebuild would. Forgotten first, so that a crash between leaves
    // it to be scanned too.
    if (!numbers.empty() && segment.header.number < numbers.front())
      TM_RETURN_IF_ERROR(index.DropSegment(source, numbers.front()));
    TM_RETURN_IF_ERROR(index.DropSegment(source, segment.header.number));
  }
  return OkStatus();
}

// `next`: the number of the segment behind it; 0: it is the last one.
Status Healer::HealSegment(uint64_t number, uint64_t next) {
  const std::string path = archive.SegmentPath(source, number);
  auto reader = SegmentReader::Open(archive.files(), path);
  if (!reader.has_value() && reader.error().code() == Code::kTruncated && next == 0) {
    // Its creation was interrupted before the header was whole: recovery deletes such a file, it
    // holds nothing.
    return index.DropSegment(source, number);
  }
  if (!reader.has_value()) return reader.error();
  const SegmentHeader& header = (*reader)->header();
  TM_RETURN_IF_ERROR(CheckSegmentIsOf(source, forks, number, path, header));
  TM_ASSIGN_OR_RETURN(const auto known, index.Segment(source, number));
  bool current = false;
  if (known.has_value()) {
    TM_ASSIGN_OR_RETURN(current, IsCurrent(**reader, *known));
  }
  if (!current && recovered != nullptr && recovered->segment.header.number == number)
    return Replace(**reader, *recovered, next);
  if (!current) {
    TM_ASSIGN_OR_RETURN(const SegmentContents contents, Rescan(number));
    return Replace(**reader, contents, next);
  }
  ++report.segments_current;
  commit_high_us = known->commit_high_us;
  return OkStatus();
}

Result<SegmentContents> Healer::Rescan(uint64_t number) {
  const std::string path = archive.SegmentPath(source, number);
  TM_ASSIGN_OR_RETURN(SegmentContents contents,
                      ScanSegment(archive.files(), path, source, commit_high_us));
  ++report.segments_scanned;
  report.raw_bytes_scanned += contents.segment.raw_bytes;
  return contents;
}

// What was imported in front of a segment may be later than that segment's beginning: then all that
// its records say of the highest commit time so far is too low, and it is scanned anew, and so on.
// Forgotten before the one in front is known, so that a crash between leaves it to be scanned.
Status Healer::Replace(const SegmentReader& reader, const SegmentContents& contents,
                       uint64_t next) {
  const int64_t high_us = contents.segment.commit_high_us;
  const bool raised =
      reader.header().imported || (reader.sealed() && high_us > reader.footer().commit_high_us);
  if (raised && next != 0) {
    TM_ASSIGN_OR_RETURN(const auto behind, index.Segment(source, next));
    if (behind && behind->first_commit_us < high_us)
      TM_RETURN_IF_ERROR(index.DropSegment(source, next));
  }
  TM_RETURN_IF_ERROR(index.ReplaceSegment(contents));
  commit_high_us = contents.segment.commit_high_us;
  return OkStatus();
}

// A sealed segment never changes, so that equal footers mean equal contents. An unsealed one only
// grows, so that it is what the index knows exactly if it is as long.
Result<bool> Healer::IsCurrent(const SegmentReader& reader, const SegmentRecord& known) {
  if (EncodeHeaderValue(reader.header()) != EncodeHeaderValue(known.header) ||
      reader.header().number != known.header.number || reader.sealed() != known.sealed ||
      known.commit_high_us < commit_high_us) {
    return false;
  }
  if (!known.sealed) return reader.frames_end() == known.stored_bytes;
  const SegmentFooter& footer = reader.footer();
  SegmentRecord sealed = known;
  sealed.raw_bytes = footer.raw_bytes;
  sealed.transactions = footer.transactions;
  sealed.gtids = footer.gtids;
  sealed.first_commit_us = footer.first_commit_us;
  sealed.last_commit_us = footer.last_commit_us;
  sealed.commit_high_us = std::max(footer.commit_high_us, commit_high_us);
  sealed.reason = footer.reason;
  sealed.ends_source_file = footer.ends_source_file;
  if (EncodeExtentValue(sealed) != EncodeExtentValue(known)) return false;
  return HasFrames(known, footer.frames);
}

// Batches are written whole and in order: with the last frame there, and none behind it, all are.
Result<bool> Healer::HasFrames(const SegmentRecord& known, const std::vector<FramePlace>& frames) {
  const uint64_t number = known.header.number;
  const uint32_t count = static_cast<uint32_t>(frames.size());
  TM_ASSIGN_OR_RETURN(const auto behind, index.Frame(source, number, count));
  if (behind.has_value() || count == 0) return !behind.has_value();
  TM_ASSIGN_OR_RETURN(const auto last, index.Frame(source, number, count - 1));
  return last.has_value() && last->record.place == frames.back();
}

}  // namespace

Result<HealReport> HealIndex(Index& index, ArchiveDirectory& archive, const std::string& source,
                             const Progress& progress, const SegmentContents* recovered) {
  HealReport report;
  Healer healer{index, archive, source, progress, report};
  healer.recovered = recovered;
  TM_RETURN_IF_ERROR(healer.Heal());
  return report;
}

// At each moment of a crash the next rebuild (or the daemon, which heals an absent index like an
// empty one) starts well: index.new is thrown away unread, and index.old only goes when the new
// index is in place.
Result<std::unique_ptr<IndexRebuild>> IndexRebuild::Begin(ArchiveDirectory& archive) {
  const std::string fresh = archive.IndexPath() + ".new";
  TM_RETURN_IF_ERROR(RemoveDirectory(fresh));
  TM_ASSIGN_OR_RETURN(auto index, Index::OpenForWriting(fresh));
  return std::unique_ptr<IndexRebuild>(new IndexRebuild(archive, std::move(index)));
}

Status IndexRebuild::Heal(const Progress& progress, const std::function<bool()>& give_up) {
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> sources, archive_.Sources());
  for (const std::string& source : sources) {
    Healer healer{*fresh_, archive_, source, progress, report_, &give_up};
    TM_RETURN_IF_ERROR(healer.Heal());
  }
  return OkStatus();
}

Status IndexRebuild::SwapIn() {
  const std::string path = archive_.IndexPath();
  const std::string fresh = path + ".new";
  const std::string old = path + ".old";
  FileSystem& files = archive_.files();
  TM_RETURN_IF_ERROR(fresh_->Flush());
  fresh_.reset();
  TM_RETURN_IF_ERROR(files.SyncDirectory(fresh));
  TM_RETURN_IF_ERROR(RemoveDirectory(old));
  if (files.Exists(path)) TM_RETURN_IF_ERROR(files.Rename(path, old));
  TM_FAILPOINT("index.aside");
  TM_RETURN_IF_ERROR(files.Rename(fresh, path));
  TM_FAILPOINT("index.swapped");
  TM_RETURN_IF_ERROR(files.SyncDirectory(archive_.root()));
  return RemoveDirectory(old);
}

Result<HealReport> RebuildIndex(ArchiveDirectory& archive, const Progress& progress) {
  TM_ASSIGN_OR_RETURN(const auto rebuild, IndexRebuild::Begin(archive));
  TM_RETURN_IF_ERROR(rebuild->Heal(progress, {}));
  TM_RETURN_IF_ERROR(rebuild->SwapIn());
  return rebuild->report();
}

}  // namespace tidemark
