#include "pitr/event_feed.h"

#include <algorithm>
#include <utility>

#include "pitr/segment_cache.h"

namespace tidemark {
namespace {

uint64_t LastSegmentOf(const ArchiveView& view) {
  return view.segments().empty() ? 0 : view.segments().back().header.number;
}

uint64_t SourceEnd(const SegmentRecord& segment) {
  return segment.header.source_start + segment.raw_bytes - segment.header.prefix_bytes;
}

class ArchiveFeed : public EventFeed {
 public:
  ArchiveFeed(std::unique_ptr<ArchiveView> view, StreamRange range)
      : view_(std::move(view)),
        stop_before_(range.stop_before),
        cursor_(*view_, std::move(range)),
        seen_to_(LastSegmentOf(*view_)) {}

  Coverage coverage() const override { return view_->ComputeCoverage(); }
  std::set<Uuid> servers() const override {
    std::set<Uuid> servers;
    for (const SegmentRecord& segment : view_->segments())
      servers.insert(segment.header.server_uuid);
    return servers;
  }

  Result<StreamPiece> Next() override { return cursor_.Next(); }
  bool at_stop() const override { return cursor_.at_stop(); }
  const std::string& source_file() const override { return cursor_.source_file(); }
  uint64_t source_position() const override { return cursor_.source_position(); }
  uint64_t transactions_given() const override { return cursor_.progress().transactions_given; }

  bool GivesBeginningOf(const std::string& file, const GtidSet& executed) const override {
    bool begins = false;
    for (const SegmentRecord& segment : view_->segments()) {
      if (segment.header.source_file != file) continue;
      begins = begins || segment.header.source_start == 0;
      if (segment.gtids.Intersects(executed)) return false;
    }
    return begins;
  }

  Result<std::optional<File>> AnyFile(bool last) override {
    if (view_->segments().empty()) return std::optional<File>();
    if (!last) return FileOf(view_->segments().front(), 0);
    const SegmentRecord* segment = &view_->segments().back();
    if (!stop_before_) return FileOf(*segment, SourceEnd(*segment));
    segment = view_->segment(stop_before_->segment);
    if (segment == nullptr)
      return Status(Code::kGap, "The segment in which the boundary lies is not archived any more");
    return FileOf(*segment, stop_before_->source_begin);
  }

  Result<bool> Refresh(const GtidSet& executed) override {
    TM_RETURN_IF_ERROR(view_->Refresh());
    const std::vector<SegmentRecord>& segments = view_->segments();
    bool gap = seen_to_ == 0 && !segments.empty();
    for (auto at = segments.rbegin(); at != segments.rend() && at->header.number > seen_to_; ++at)
      gap = gap || !at->header.gap.missing.IsSubsetOf(executed);
    seen_to_ = std::max(seen_to_, LastSegmentOf(*view_));
    return gap;
  }

 private:
  Result<std::optional<File>> FileOf(const SegmentRecord& record, uint64_t position) {
    TM_ASSIGN_OR_RETURN(OpenSegment opened, OpenSegmentFile(*view_, record));
    return std::optional<File>(
        File{record.header.source_file, std::move(opened.format_description), position});
  }

  const std::unique_ptr<ArchiveView> view_;
  const std::optional<Located> stop_before_;
  EventCursor cursor_;
  uint64_t seen_to_;  // number of the last segment that receivers' sets were compared with
};

}  // namespace

OpenFeed ArchiveFeeds(OpenArchiveView open_view) {
  return
      [open_view = std::move(open_view)](StreamRange range) -> Result<std::unique_ptr<EventFeed>> {
        TM_ASSIGN_OR_RETURN(std::unique_ptr<ArchiveView> view, open_view());
        return std::unique_ptr<EventFeed>(
            std::make_unique<ArchiveFeed>(std::move(view), std::move(range)));
      };
}

}  // namespace tidemark
