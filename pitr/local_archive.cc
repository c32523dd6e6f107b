#include "pitr/local_archive.h"

#include "pitr/locator.h"
#include "pitr/restore/blockers.h"
#include "pitr/restore/pipe_applier.h"
#include "pitr/unindexed.h"

namespace tidemark {

Result<std::set<Uuid>> LocalSource::ServerUuids() {
  std::set<Uuid> servers;
  for (const SegmentRecord& segment : view_->segments()) servers.insert(segment.header.server_uuid);
  return servers;
}

Result<std::vector<SegmentFile>> LocalSource::ListSegments() {
  std::vector<SegmentFile> list;
  for (const SegmentRecord& segment : view_->segments())
    list.push_back({segment, view_->archive().SegmentPath(source(), segment.header.number)});
  return list;
}

Result<Timeline> LocalSource::ReadTimeline(const TimelineRange& range) {
  return MakeTimeline(*view_, range);
}

Result<FoundPlace> LocalSource::Locate(const Place& place) {
  Locator locator(*view_);
  TM_ASSIGN_OR_RETURN(Neighbourhood around, FindPlace(locator, place));
  std::string path = view_->archive().SegmentPath(source(), around.found.segment);
  return FoundPlace{std::move(around), std::move(path)};
}

// Once: from then on the view is what "latest" means.
Status LocalSource::CheckEnd() {
  if (end_is_indexed_) return OkStatus();
  Status indexed = AwaitIndexedEnd(*view_);
  end_is_indexed_ = indexed.ok();
  if (indexed.ok()) return indexed;
  const Result<Boundary> known = Locator(*view_).Resolve(Target{});
  if (!known.ok() || !known->last_included) return indexed;
  const std::string hint = indexed.hint() + (indexed.hint().empty() ? "" : "; ") +
                           "to go without: --through-gtid " +
                           known->last_included->transaction.gtid.ToString();
  return std::move(indexed).WithHint(hint);
}

Result<Boundary> LocalSource::Resolve(const Target& target) {
  if (target.kind == TargetKind::kLatest) TM_RETURN_IF_ERROR(CheckEnd());
  return Locator(*view_).Resolve(target);
}

Result<ProvedPlan> LocalSource::MakePlan(const Target& target, const GtidSet& base,
                                         const Surgery& surgery, bool for_pipe) {
  TM_ASSIGN_OR_RETURN(const Boundary boundary, Resolve(target));
  ProvedPlan proved;
  TM_ASSIGN_OR_RETURN(
      proved.plan,
      tidemark::MakePlan(source(), target, base, boundary, view_->ComputeCoverage(),
                         view_->segments(), surgery, ReadLineage(view_->archive(), source())));
  if (for_pipe) TM_RETURN_IF_ERROR(CheckPipeCarries(*view_, proved.plan));
  TM_ASSIGN_OR_RETURN(proved.source_version, SourceVersion(*view_, proved.plan));
  TM_ASSIGN_OR_RETURN(proved.source_server_ids, ArchivedServerIds(*view_, proved.plan));
  return proved;
}

Status LocalSource::WriteEvents(const Boundary& until, const GtidSet& exclude, const GtidSet& only,
                                const EventStream::Sink& sink, StreamProgress* progress) {
  return EventStream(*view_).WriteRange(
      {.exclude = exclude, .include = only, .stop_before = until.first_excluded}, sink, progress);
}

Status LocalSource::WriteSourceFile(const std::string& file, const EventStream::Sink& sink,
                                    bool* complete) {
  TM_RETURN_IF_ERROR(EventStream(*view_).WriteSourceFile(file, sink, complete));
  return *complete ? OkStatus() : CheckEnd();
}

OpenFeed LocalSource::feeds() const {
  return ArchiveFeeds([&files = view_->archive().files(), root = view_->archive().root(),
                       name = source()] { return ArchiveView::Open(files, root, name); });
}

Result<std::vector<std::string>> LocalArchive::SourceNames() {
  ArchiveDirectory archive(files_, root_);
  TM_RETURN_IF_ERROR(archive.CheckExists());
  if (source_.empty()) return archive.Sources();
  return std::vector<std::string>{source_};
}

Result<std::vector<SourceState>> LocalArchive::ReadStatus() {
  TM_ASSIGN_OR_RETURN(const std::vector<std::string> names, SourceNames());
  ArchiveDirectory archive(files_, root_);
  std::vector<SourceState> states;
  for (const std::string& name : names) {
    TM_ASSIGN_OR_RETURN(const auto view, ArchiveView::Open(files_, root_, name));
    states.push_back({Summarize(*view), ReadLiveState(archive, name)});
  }
  return states;
}

Result<VerifyReport> LocalArchive::Verify(const std::string& source, const OnVerified& progress) {
  TM_ASSIGN_OR_RETURN(const auto view,
                      ArchiveView::Open(files_, root_, source, OpenCheck::kEvenIfBehind));
  uint64_t total = 0;
  for (const SegmentRecord& segment : view->segments()) total += segment.raw_bytes;
  return VerifyArchive(
      *view, [&](const VerifyReport& so_far) { return progress(so_far.raw_bytes, total); });
}

Result<std::unique_ptr<SourceAccess>> LocalArchive::OpenSource() {
  TM_ASSIGN_OR_RETURN(auto view, ArchiveView::Open(files_, root_, source_));
  return std::unique_ptr<SourceAccess>(std::make_unique<LocalSource>(std::move(view)));
}

}  // namespace tidemark
