#include "pitr/import.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

#include "pitr/abridged.h"
#include "pitr/import_fill.h"
#include "pitr/import_holes.h"
#include "pitr/segment_cache.h"
#include "pitr/target.h"
#include "replication/archive/gap_room.h"
#include "replication/sink/pipeline.h"
#include "replication/sink/resume.h"

namespace tidemark {
namespace {

// What an import into a hole would make.
class CountingPerformer : public SegmentPerformer {
 public:
  Status Begin(SegmentStart start, int64_t) override {
    missing_before.push_back(start.header.gap.missing.Count());
    return OkStatus();
  }
  Status Append(Bytes, const ScannedEvent&) override { return OkStatus(); }
  Status Seal(SealReason) override { return OkStatus(); }

  std::vector<uint64_t> missing_before;  // of each segment
};

class NobodyListens : public DurableListener {
  Status OnDurable(const DurableBatch&) override { return OkStatus(); }
};

// The same files were counted.
Status FilesChanged() {
  return {Code::kIo, "a file that is imported has changed since it was looked at",
          "make sure that nothing writes to it, and try again"};
}

class WritingPerformer : public SegmentPerformer {
 public:
  WritingPerformer(ArchiveDirectory& archive, const std::string& source, Clock& clock,
                   const std::vector<uint64_t>& numbers)
      : numbers_(numbers), pipeline_(archive, source, clock, nobody_, Options()) {}

  Status Begin(SegmentStart start, int64_t commit_high_us) override {
    if (next_ == numbers_.size()) return FilesChanged();
    start.header.number = numbers_[next_++];
    start.header.imported = true;
    return pipeline_.Begin(std::move(start), commit_high_us);
  }
  Status Append(Bytes bytes, const ScannedEvent& event) override {
    return pipeline_.Append(bytes, event);
  }
  Status Seal(SealReason reason) override { return pipeline_.Seal(reason); }
  Status Finish() {
    TM_RETURN_IF_ERROR(pipeline_.Drain());
    return next_ == numbers_.size() ? OkStatus() : FilesChanged();
  }

 private:
  static PipelineOptions Options() {
    PipelineOptions options;
    options.path_suffix = kImportSuffix;
    return options;
  }

  const std::vector<uint64_t>& numbers_;
  size_t next_ = 0;
  NobodyListens nobody_;
  Pipeline pipeline_;
};

// What goes into one hole.
struct PlannedHole {
  Hole hole;
  SourcePlace place;  // where the segment in front of it ends
  std::optional<uint32_t> file_created;
  std::vector<const SurveyedFile*> files;
  std::vector<uint64_t> numbers;
  GtidSet taken;
};

class Importer {
 public:
  Importer(ArchiveView& view, Index* index, Clock& clock, const ImportRequest& request)
      : view_(view), index_(index), clock_(clock), request_(request) {}

  Result<ImportReport> Run() {
    report_.source = view_.source();
    TM_RETURN_IF_ERROR(ReadFiles());
    TM_RETURN_IF_ERROR(PutInOrder());
    for (Hole& hole : HolesOf(view_.segments())) TM_RETURN_IF_ERROR(Plan(std::move(hole)));
    report_.remaining = Remaining();
    if (index_ == nullptr || planned_.empty()) return std::move(report_);
    const Status written = Write();
    if (!written.ok()) {
      (void)RemoveUnfinishedImport(view_.archive(), view_.source());  // or the next one does
      return written;
    }
    TM_RETURN_IF_ERROR(Publish());
    return std::move(report_);
  }

 private:
  bool GoOn(ImportStep step, uint64_t done, uint64_t total) const {
    return !request_.progress || request_.progress(step, done, total);
  }

  Status ReadFiles() {
    // What is no binary log at all is said before gigabytes are read.
    uint64_t total = 0;
    for (const std::string& path : request_.paths) {
      TM_ASSIGN_OR_RETURN(const auto file, BinlogFile::Open(view_.archive().files(), path));
      total += file->bytes();
    }
    Survey survey(view_, request_.survey,
                  [&](uint64_t done) { return GoOn(ImportStep::kReading, done, total); });
    for (const std::string& path : request_.paths) {
      TM_ASSIGN_OR_RETURN(SurveyedFile file, survey.Read(path));
      for (const ImportedFile& other : report_.files)
        if (other.survey.wanted.Intersects(file.wanted))
          return Status(Code::kUsage,
                        "both " + other.survey.path + " and " + path + " hold " +
                            Abridged(file.wanted.Intersection(other.survey.wanted)),
                        "name one of them only");
      report_.files.push_back({std::move(file), {}});
    }
    return survey.Finish();
  }

  // A history's files: what one was begun behind, the next was begun behind as well.
  Status PutInOrder() {
    std::stable_sort(report_.files.begin(), report_.files.end(),
                     [](const ImportedFile& a, const ImportedFile& b) {
                       const uint64_t before_a = a.survey.previous.Count();
                       const uint64_t before_b = b.survey.previous.Count();
                       return before_a != before_b ? before_a < before_b
                                                   : a.survey.name < b.survey.name;
                     });
    for (size_t i = 0; i + 1 < report_.files.size(); ++i) {
      const SurveyedFile& one = report_.files[i].survey;
      const SurveyedFile& next = report_.files[i + 1].survey;
      if (!one.next_name.empty() && one.server_id == next.server_id &&
          next.previous == one.previous.Union(one.gtids) && !one.gtids.empty() &&
          next.name != one.next_name && !next.wanted.empty())
        return Status(Code::kUsage,
                      next.path + " follows " + one.name + ", which ends by saying that the next " +
                          "file is " + one.next_name,
                      "give it that name");
      if (one.truncated && one.server_id == next.server_id)
        Warn(one.path + " is cut off, and is not the last file");
    }
    for (const ImportedFile& one : report_.files) {
      TM_RETURN_IF_ERROR(CheckName(one.survey));
      WarnOfPassed(one.survey);
    }
    return OkStatus();
  }

  static uint64_t NumberIn(const std::string& name) {
    return std::strtoull(name.c_str() + name.rfind('.') + 1, nullptr, 10);
  }

  // One that was rotated tells its own name, too: by number it is the one before the next.
  static Status CheckName(const SurveyedFile& file) {
    if (file.wanted.empty() || file.next_name.empty() ||
        NumberIn(file.name) + 1 == NumberIn(file.next_name))
      return OkStatus();
    return Status(Code::kUsage,
                  file.path + " has another name than its source gave it: it ends by saying that " +
                      "the next file is " + file.next_name,
                  "give it the name of the one before that");
  }

  // Of the rest of a file that the archive has the beginning of: its end.
  static bool Continues(const PlannedHole& planned, const SurveyedFile& file) {
    return file.server_uuid == planned.place.server_uuid && file.name == planned.place.file &&
           file.created == planned.file_created && file.whole_bytes > planned.place.position;
  }

  Status Plan(Hole hole) {
    PlannedHole planned;
    planned.hole = std::move(hole);
    TM_RETURN_IF_ERROR(FindPlace(&planned));
    GtidSet wanted;
    for (const ImportedFile& file : report_.files) wanted.Add(file.survey.wanted);
    if (!wanted.Intersects(planned.hole.gap.missing)) return OkStatus();
    for (const ImportedFile& file : report_.files)
      if (file.survey.wanted.Intersects(planned.hole.gap.missing) ||
          Continues(planned, file.survey))
        planned.files.push_back(&file.survey);
    CountingPerformer count;
    TM_ASSIGN_OR_RETURN(const GtidSet taken, Fill(planned, ImportStep::kPlanning, count));
    TM_CHECK(taken == wanted.Intersection(planned.hole.gap.missing));
    planned.taken = taken;
    WarnOfNames(planned);
    WarnOfFailover(planned);
    uint64_t missing_behind = planned.hole.gap.missing.Minus(taken).Count();
    for (const uint64_t missing : count.missing_before) missing_behind -= missing;
    TM_ASSIGN_OR_RETURN(planned.numbers,
                        NumbersFor(planned.hole, count.missing_before, missing_behind));
    for (ImportedFile& file : report_.files) file.taken.Add(file.survey.wanted.Intersection(taken));
    report_.taken.Add(taken);
    report_.segments += planned.numbers.size();
    planned_.push_back(std::move(planned));
    return OkStatus();
  }

  Status FindPlace(PlannedHole* planned) {
    const SegmentRecord* before = view_.segment(planned->hole.after);
    if (before == nullptr || before->ends_source_file) return OkStatus();
    const SegmentHeader& header = before->header;
    planned->place = {header.server_uuid, header.source_file,
                      header.source_start + before->raw_bytes - header.prefix_bytes};
    TM_ASSIGN_OR_RETURN(const OpenSegment opened, OpenSegmentFile(view_, *before));
    planned->file_created = ReadEventHeader(AsBytes(opened.format_description).data()).timestamp;
    return OkStatus();
  }

  // All of the hole's files through one session.
  Result<GtidSet> Fill(const PlannedHole& planned, ImportStep step, SegmentPerformer& performer) {
    HoleFill fill(planned.hole, view_.source(), planned.place, planned.file_created,
                  request_.limits, performer);
    uint64_t total = 0, done = 0;
    for (const SurveyedFile* file : planned.files) total += file->whole_bytes;
    for (const SurveyedFile* file : planned.files) {
      TM_RETURN_IF_ERROR(fill.TakeFile(view_.archive().files(), *file, [&](uint64_t of_file) {
        return GoOn(step, done + of_file, total);
      }));
      done += file->whole_bytes;
    }
    TM_RETURN_IF_ERROR(fill.Finish());
    if (step == ImportStep::kPlanning) WarnOfTimes(planned.hole, fill);
    return fill.taken();
  }

  void WarnOfTimes(const Hole& hole, const HoleFill& fill) {
    if (fill.first_commit_us() == 0) return;
    if (fill.first_commit_us() < hole.commit_high_us)
      Warn("the first one imported was committed at " + FormatTime(fill.first_commit_us()) +
           ", before what is in front of it: " + FormatTime(hole.commit_high_us));
    if (hole.next_commit_us != 0 && fill.last_commit_us() > hole.next_commit_us)
      Warn("the last one imported was committed at " + FormatTime(fill.last_commit_us()) +
           ", after what is behind it: " + FormatTime(hole.next_commit_us));
  }

  void WarnOfPassed(const SurveyedFile& file) {
    if (!file.passed.empty())
      Warn(file.path + " goes on past what the archive has, with " + Abridged(file.passed) +
           ": not imported. tidemarkd archives it from the source, unless it was lost with the "
           "server that wrote it. If that server lost some in a crash and went on, those in front "
           "of them may not be the source's either: compare with a server that has them");
  }

  // A file that does not end with its successor's name (a crash, a copy that is cut off) has at
  // least its place among the server's others. What it is called stays in the archive.
  void WarnOfNames(const PlannedHole& planned) {
    std::vector<std::pair<Uuid, std::string>> names;  // as they come
    const auto add_segment = [&](uint64_t number) {
      if (const SegmentRecord* segment = view_.segment(number))
        names.emplace_back(segment->header.server_uuid, segment->header.source_file);
    };
    add_segment(planned.hole.after);
    for (const SurveyedFile* file : planned.files)
      names.emplace_back(*file->server_uuid, file->name);
    add_segment(planned.hole.before);
    std::map<std::pair<Uuid, std::string>, std::string> last;  // of a server, under a base name
    for (const auto& [uuid, name] : names) {
      std::string& before = last[{uuid, name.substr(0, name.rfind('.'))}];
      if (!before.empty() && NumberIn(name) < NumberIn(before))
        Warn("what is in " + before + " comes before what is in " + name + ", of server " +
             uuid.ToString() + ": one of the two may have another name there");
      before = name;
    }
  }

  // A server that was promoted behind a gap need not have what was in it.
  void WarnOfFailover(const PlannedHole& planned) {
    const SegmentRecord* before = view_.segment(planned.hole.after);
    const Uuid& now = view_.segments().back().header.server_uuid;
    if (before == nullptr || before->header.server_uuid == now) return;
    Warn("the source is archived from another server since, " + now.ToString() +
         ": if that one lacks any of " + Abridged(planned.taken) +
         ", tidemarkd stops at it as at a divergence, and pitr rescue brings it there");
  }

  void Warn(std::string text) { report_.warnings.push_back(std::move(text)); }

  Status Write() {
    for (const PlannedHole& planned : planned_) {
      WritingPerformer performer(view_.archive(), view_.source(), clock_, planned.numbers);
      TM_ASSIGN_OR_RETURN(const GtidSet taken, Fill(planned, ImportStep::kWriting, performer));
      TM_RETURN_IF_ERROR(performer.Finish());
      if (!(taken == planned.taken)) return FilesChanged();
    }
    return OkStatus();
  }

  // In archive order, each name durable before the next: whatever a power failure leaves of it, no
  // segment builds on one that is not there.
  Status Publish() {
    ArchiveDirectory& archive = view_.archive();
    for (const PlannedHole& planned : planned_)
      for (const uint64_t number : planned.numbers) {
        const std::string path = archive.SegmentPath(view_.source(), number);
        TM_RETURN_IF_ERROR(archive.files().Rename(path + kImportSuffix, path));
        TM_RETURN_IF_ERROR(archive.files().SyncDirectory(archive.SegmentsPath(view_.source())));
      }
    const auto healed =
        HealIndex(*index_, archive, view_.source(), [this](const HealReport& so_far) {
          (void)GoOn(ImportStep::kIndexing, so_far.raw_bytes_scanned, 0);
        });
    if (healed.ok()) return index_->Flush();
    return Status(
        healed.error().code(),
        "all is imported, but the index does not know it yet: " + healed.error().message(),
        "start tidemarkd, or: pitr index rebuild");
  }

  std::vector<GapRecord> Remaining() const {
    std::vector<GapRecord> gaps;
    for (const Hole& hole : HolesOf(view_.segments())) gaps.push_back(hole.gap);
    return RemainingGaps(std::move(gaps), report_.taken);
  }

  ArchiveView& view_;
  Index* const index_;
  Clock& clock_;
  const ImportRequest& request_;
  ImportReport report_;
  std::vector<PlannedHole> planned_;
};

Result<std::unique_ptr<FileLock>> LockFor(ArchiveDirectory& archive) {
  Result<std::unique_ptr<FileLock>> lock = archive.LockForWriting();
  if (!lock.ok() && lock.error().code() == Code::kLocked)
    return Status(lock.error())
        .WithHint("stop tidemarkd while you import; it goes on where it stopped");
  return lock;
}

// As a daemon's start does.
Result<Recovery> RecoverAsDaemon(ArchiveDirectory& archive, Clock& clock,
                                 const std::string& source) {
  TM_RETURN_IF_ERROR(RemoveUnfinishedImport(archive, source));
  TM_ASSIGN_OR_RETURN(const bool on_disk, LastSegmentIsOnDisk(archive, source));
  if (!on_disk) TM_RETURN_IF_ERROR(RewriteLastSegment(archive, source));
  return RecoverSource(archive, clock, source, archive.ForksOf(source));
}

}  // namespace

Result<ImportReport> ImportInto(ArchiveView& view, Index* index, Clock& clock,
                                const ImportRequest& request) {
  return Importer(view, index, clock, request).Run();
}

Result<ImportReport> ImportBinlogs(FileSystem& files, Clock& clock, const std::string& root,
                                   const std::string& source, const ImportRequest& request) {
  ArchiveDirectory archive(files, root);
  TM_RETURN_IF_ERROR(archive.CheckExists());
  if (request.dry_run) {
    TM_ASSIGN_OR_RETURN(const auto view, ArchiveView::Open(files, root, source));
    return ImportInto(*view, nullptr, clock, request);
  }
  TM_ASSIGN_OR_RETURN(const auto lock, LockFor(archive));
  TM_ASSIGN_OR_RETURN(const auto index, Index::OpenForWriting(archive.IndexPath()));
  TM_ASSIGN_OR_RETURN(auto view, ArchiveView::Over(files, root, source, *index));
  const std::string chosen = view->source();
  TM_ASSIGN_OR_RETURN(const Recovery recovery, RecoverAsDaemon(archive, clock, chosen));
  TM_ASSIGN_OR_RETURN(
      const HealReport healed,
      HealIndex(*index, archive, chosen, {}, recovery.sealed ? &*recovery.sealed : nullptr));
  TM_ASSIGN_OR_RETURN(view, ArchiveView::Over(files, root, chosen, *index));
  return ImportInto(*view, index.get(), clock, request);
}

}  // namespace tidemark
